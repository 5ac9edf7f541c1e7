// What all charts share: title, text, axes. `look` is LIGHT or DARK of ../look.js.

/** Five significant digits at most, as short as they come: 0.081234, 1.2e-7, 12345. */
export const shortNumber = (value) => {
  if (value === null || value === undefined || value !== value) return "–";
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-4 && magnitude < 1e6) return String(Number(value.toPrecision(5)));
  return String(value.toExponential(4))
    .replace(/\.?0+e/, "e")
    .replace("e+", "e");
};

export const frame = ({title}, look) => ({
  animation: false,
  backgroundColor: look.background,
  textStyle: {fontFamily: look.font, color: look.text},
  title: title
    ? {text: title, left: 12, top: 8, textStyle: {fontSize: 14, fontWeight: 600, color: look.text}}
    : undefined,
});

export const axis = (name, look, more) => ({
  name,
  nameLocation: "middle",
  nameTextStyle: {color: look.muted},
  axisLabel: {color: look.muted, hideOverlap: true},
  axisLine: {lineStyle: {color: look.line}},
  axisTick: {lineStyle: {color: look.line}},
  splitLine: {lineStyle: {color: look.line}},
  ...more,
});

export const valueAxis = (name, look, more) =>
  axis(name, look, {
    type: "value",
    nameGap: 56,
    ...more,
    axisLabel: {color: look.muted, hideOverlap: true, formatter: shortNumber},
  });

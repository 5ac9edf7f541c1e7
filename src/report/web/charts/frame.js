// What all charts share: title, text, axes. `look` is LIGHT or DARK of ../look.js; a picture's has
// `still`, nothing can be scrolled or pointed at, and the `width` of the picture.
import {fitted} from "./measure.js";

const rounded = (value, digits) => {
  if (value === null || value === undefined || value !== value) return "–";
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-4 && magnitude < 1e6) return String(Number(value.toPrecision(digits)));
  return String(value.toExponential(digits - 1))
    .replace(/\.?0+e/, "e")
    .replace("e+", "e");
};

/** Five significant digits at most, as short as they come: 0.081234, 1.2e-7, 12345. */
export const shortNumber = (value) => rounded(value, 5);

// What an axis marks is round already, and has as many digits as tell it from its neighbours.
const tickNumber = (value) => rounded(value, 12);

/** Of whole numbers, ascending, those to mark: round ones, at most so many; the ends if there are none. */
export const roundOnes = (numbers, most) => {
  for (let power = 1; power <= 1e9; power *= 10) {
    for (const digit of [1, 2, 5]) {
      const chosen = numbers.filter((number) => number % (digit * power) === 0);
      if (chosen.length > 1 && chosen.length <= most) return chosen;
    }
  }
  return numbers.length > 1 ? [numbers[0], numbers[numbers.length - 1]] : numbers;
};

const TITLE_SIZE = 14;
const BOLD = 1.12; // letters are so much wider

const titleOf = (title, look) => ({
  text: look.still ? fitted(title, BOLD * TITLE_SIZE, look.width - 24) : title,
  left: 12,
  top: 8,
  textStyle: {fontSize: TITLE_SIZE, fontWeight: 600, color: look.text},
});

export const frame = ({title}, look) => ({
  animation: false,
  backgroundColor: look.background,
  textStyle: {fontFamily: look.font, color: look.text},
  title: title ? titleOf(title, look) : undefined,
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
    axisLabel: {color: look.muted, hideOverlap: true, formatter: tickNumber},
  });

/** An axis that marks these values and no others. */
export const marked = (one, customValues) => ({
  ...one,
  axisTick: {...one.axisTick, customValues},
  splitLine: {...one.splitLine, customValues},
  axisLabel: {...one.axisLabel, showMinLabel: true, showMaxLabel: true, customValues},
});

import {axis, frame, shortNumber} from "./frame.js";
import {FONT_SIZE, nameOffsets} from "./names.js";

// Errors that read well on a logarithmic axis.
const TICKS = [];
for (let power = -9; power <= 2; ++power) for (const digit of [1, 2, 5]) TICKS.push(digit * 10 ** power);

/** Ends of the error axis, which has room for an error of zero, at `low`, below the `least` other one. */
const spanOf = (errors, limit) => {
  const positive = [...errors, limit ?? 0].filter((error) => error > 0);
  const least = Math.min(...positive);
  const hasZero = errors.some((error) => error === 0);
  return {low: hasZero ? least / 4 : least / 1.25, least, high: Math.max(...positive) * 1.25, hasZero};
};

// Projections nearly always have the same error, so they stand side by side: so many pixels apart,
// but no further in all than this part of a bit.
const DODGE = 9,
  DODGED_BITS = 0.1;

const dodgeOf = (groups, pixelsPerBit) =>
  Math.min(DODGE, (DODGED_BITS * pixelsPerBit) / Math.max(1, groups.length - 1));

const DOT = 9;
const symbolOf = (isShared) => (isShared ? "diamond" : "circle");

/** A stroke from the median to the worst error. */
const strokes = (group, offset, colour, y) => ({
  type: "custom",
  silent: true,
  z: 1,
  data: group.points.map((p) => [p.bits, y(p.median), y(p.worst)]),
  renderItem: (params, api) => {
    const [x, y1] = api.coord([api.value(0), api.value(2)]);
    const y2 = api.coord([api.value(0), api.value(1)])[1];
    return {
      type: "line",
      shape: {x1: x + offset, x2: x + offset, y1, y2},
      style: {stroke: colour, lineWidth: 1.5, opacity: 0.55},
    };
  },
});

const dots = (group, offset, colour, y, look) => ({
  type: "scatter",
  symbol: symbolOf(group.shared),
  symbolSize: group.shared ? DOT + 2 : DOT,
  symbolOffset: [offset, 0],
  z: 3,
  cursor: "default",
  itemStyle: {color: colour, borderColor: look.background, borderWidth: 1},
  data: group.points.map((of) => ({value: [of.bits, y(of.error)], of})),
});

const groupSeries = (data, look, y, dodge) =>
  data.groups.flatMap((group, i) => {
    const offset = (i - (data.groups.length - 1) / 2) * dodge;
    const colour = look.series[group.colour % look.series.length];
    return [strokes(group, offset, colour, y), dots(group, offset, colour, y, look)];
  });

const frontSeries = (data, look, y) => ({
  type: "line",
  silent: true,
  symbol: "none",
  z: 0,
  lineStyle: {color: look.muted, width: 1.5, type: "dashed"},
  data: data.front.map((p) => [p.bits, y(p.error)]),
  markLine: {
    silent: true,
    symbol: "none",
    z: 1,
    data: data.limit === null ? [] : [{yAxis: Math.log10(data.limit)}],
    lineStyle: {color: look.series[1], width: 1.5, type: "solid"},
    label: {position: "insideEndTop", color: look.text, formatter: data.limitLabel},
  },
});

const nameSeries = (schemes, look, y, offsets) => ({
  type: "scatter",
  silent: true,
  symbolSize: 1,
  itemStyle: {color: "transparent"},
  z: 2,
  data: schemes.map((p, i) => ({
    value: [p.bits, y(p.error)],
    name: p.label,
    label: {...offsets[i], color: p.onFront ? look.text : look.muted, fontWeight: p.onFront ? 600 : 400},
  })),
  label: {
    show: true,
    position: "inside",
    verticalAlign: "middle",
    formatter: "{b}",
    fontSize: FONT_SIZE,
    backgroundColor: look.background,
    padding: [1, 3],
  },
});

/** An axis label of logarithms, where the lowest one stands for zero if there is a zero. */
const errorLabel =
  ({low, hasZero}, zero, other) =>
  (y) =>
    hasZero && y <= Math.log10(low) ? zero : other(y);

const errorAxes = (data, look, span, isNarrow, nameGap) => {
  const {low, least, high, hasZero} = span;
  const from = hasZero ? least / 1.25 : low;
  const ticks = [...(hasZero ? [low] : []), ...TICKS.filter((tick) => tick >= from && tick <= high)].map(
    Math.log10,
  );
  const both = {
    type: "value",
    min: Math.log10(low),
    max: Math.log10(high),
    nameGap: 44,
    axisTick: {customValues: ticks, lineStyle: {color: look.line}},
  };
  const labels = (formatter) => ({color: look.muted, customValues: ticks, formatter});
  return [
    axis(data.yName, look, {
      ...both,
      nameGap,
      splitLine: {show: false},
      axisLabel: labels(errorLabel(span, "0 (exact)", (y) => shortNumber(Number((10 ** y).toPrecision(2))))),
    }),
    axis("signal to noise", look, {
      ...both,
      position: "right",
      show: !isNarrow,
      splitLine: {show: false},
      axisLabel: labels(errorLabel(span, "∞ dB", (y) => `${Math.round(-20 * y)} dB`)),
    }),
  ];
};

/** Functions from data to pixels of the chart, as its grid and axes lay it out. */
const pixelsOf =
  ({left, right, top, bottom}, {width, height}, x, span, y) =>
  (p) => {
    const down = (error) =>
      top + ((Math.log10(span.high) - y(error)) / Math.log10(span.high / span.low)) * (height - top - bottom);
    return {
      x: left + ((p.bits - x.min) / (x.max - x.min)) * (width - left - right),
      y: down(p.error),
      top: down(p.worst),
    };
  };

/** Whether names are short in a chart of that size. */
export const isNarrowChart = ({width}) => width < 560;

/**
 * Error against bits per weight.
 * data: {groups: [{colour, shared, points: [{bits, error, median, worst}]}],
 *        schemes: [{label, short (where there is little room), bits, error, worst, onFront}], front: [{bits, error}], limit (null: none), limitLabel,
 *        xName, yName}. An item's `of` is the point.
 */
export const tradeoff = (data, look, size) => {
  const errors = data.groups.flatMap(({points}) => points.flatMap((p) => [p.error, p.median, p.worst]));
  const span = spanOf(errors, data.limit);
  const y = (error) => Math.log10(Math.max(error, span.low));
  const bits = data.schemes.map((p) => p.bits);
  const isNarrow = isNarrowChart(size);
  const schemes = data.schemes.map((p) => ({...p, label: (isNarrow && p.short) || p.label}));
  const grid = {
    // "0 (exact)" is a long label.
    left: span.hasZero ? 90 : 68,
    right: isNarrow ? 14 : 64,
    top: 16,
    bottom: 52,
    outerBoundsMode: "none",
  };
  const x = {min: Math.floor(Math.min(...bits) - 0.3), max: Math.ceil(Math.max(...bits) + 0.5)};
  const dodge = dodgeOf(data.groups, (size.width - grid.left - grid.right) / (x.max - x.min));
  const reach = (dodge * (data.groups.length - 1)) / 2 + DOT / 2 + 3;
  return {
    ...frame({}, look),
    grid,
    xAxis: axis(data.xName, look, {
      type: "value",
      nameGap: 30,
      minInterval: 1,
      ...x,
      splitLine: {lineStyle: {color: look.line, opacity: 0.4}},
    }),
    yAxis: errorAxes(data, look, span, isNarrow, grid.left - 24),
    series: [
      ...groupSeries(data, look, y, dodge),
      frontSeries(data, look, y),
      nameSeries(
        schemes,
        look,
        y,
        nameOffsets(schemes, pixelsOf(grid, size, x, span, y), reach, {
          left: grid.left,
          right: size.width,
          bottom: size.height - grid.bottom,
        }),
      ),
    ],
  };
};

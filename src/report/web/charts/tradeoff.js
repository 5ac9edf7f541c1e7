import {axis, frame, shortNumber} from "./frame.js";

// Errors that read well on a logarithmic axis.
const TICKS = [];
for (let power = -8; power <= 2; ++power) for (const digit of [1, 2, 5]) TICKS.push(digit * 10 ** power);

const log = Math.log10;

/** Ends of the error axis: [low, high, floor], where an error of zero is drawn at `floor`. */
const span = (errors, limit) => {
  const positive = [...errors, limit].filter((error) => error > 0);
  const low = Math.min(...positive), high = Math.max(...positive);
  const zero = errors.some((error) => error === 0);
  return zero ? [low / 4, high * 1.25, low / 4] : [low / 1.25, high * 1.25, low];
};

const ticksOf = (low, high) => TICKS.filter((tick) => tick >= low && tick <= high).map(log);

// Three places side by side for the projections, which nearly always have the same error.
const DODGE = 9;

const symbolOf = (shared) => (shared ? "diamond" : "circle");

const pointSeries = (group, index, total, look, y) => {
  const offset = (index - (total - 1) / 2) * DODGE;
  const colour = look.series[group.colour % look.series.length];
  return [{
    type: "custom", silent: true, name: group.name, data: group.points.map((p) => [p.bits, y(p.median), y(p.worst)]),
    z: 1, renderItem: (params, api) => {
      const [x, top] = api.coord([api.value(0), api.value(2)]);
      const bottom = api.coord([api.value(0), api.value(1)])[1];
      return {type: "line", silent: true, shape: {x1: x + offset, x2: x + offset, y1: top, y2: bottom},
        style: {stroke: colour, lineWidth: 1.5, opacity: 0.55}};
    },
  }, {
    type: "scatter", name: group.name, symbol: symbolOf(group.shared), symbolSize: group.shared ? 11 : 9,
    symbolOffset: [offset, 0], z: 3, itemStyle: {color: colour, borderColor: look.background, borderWidth: 1},
    data: group.points.map((p) => ({value: [p.bits, y(p.error)], point: p})),
  }];
};

const frontSeries = (data, look, y) => ({
  type: "line", name: "best trade-off", silent: true, symbol: "none", z: 0,
  lineStyle: {color: look.muted, width: 1.5, type: "dashed"}, itemStyle: {color: look.muted},
  data: data.front.map((p) => [p.bits, y(p.error)]),
  markLine: data.limit ? {silent: true, symbol: "none", lineStyle: {color: look.series[1], width: 1.5, type: "solid"},
    label: {position: "insideEndTop", color: look.text, formatter: data.limitLabel},
    data: [{yAxis: log(data.limit)}]} : undefined,
});

// Names stand at the right of each scheme, and make room for each other.
const nameSeries = (data, look, y) => ({
  type: "scatter", name: "names", silent: true, symbolSize: 1, itemStyle: {opacity: 0}, z: 4,
  data: data.schemes.map((p) => ({value: [p.bits, y(p.error)], name: p.label,
    label: {color: p.onFront ? look.text : look.muted, fontWeight: p.onFront ? 600 : 400}})),
  label: {show: true, position: "right", distance: 22, formatter: "{b}", fontSize: 12},
  labelLayout: {moveOverlap: "shiftY"},
});

/**
 * Error against bits per weight.
 * data: {groups: [{name, colour, shared, points: [{bits, error, median, worst}]}],
 *        schemes: [{label, bits, error, onFront}], front: [{bits, error}], limit, limitLabel, xName, yName}
 */
export const tradeoff = (data, look, {width}) => {
  const errors = data.groups.flatMap(({points}) => points.flatMap((p) => [p.error, p.median, p.worst]));
  const [low, high, floor] = span(errors, data.limit);
  const y = (error) => log(Math.max(error, floor));
  const bits = data.schemes.map((p) => p.bits);
  const ticks = ticksOf(low, high);
  const narrow = width < 560;
  const errorAxis = (more) => axis("", look, {type: "value", min: log(low), max: log(high), ...more,
    axisTick: {customValues: ticks, lineStyle: {color: look.line}}});
  return {
    ...frame({}, look),
    grid: {left: 64, right: narrow ? 14 : 64, top: narrow ? 84 : 52, bottom: 52},
    legend: {top: 0, left: 0, type: "plain", itemGap: 16, textStyle: {color: look.text}, selectedMode: false,
      data: [...data.groups.map(({name, shared}) => ({name, icon: symbolOf(shared)})), "best trade-off"]},
    xAxis: axis(data.xName, look, {type: "value", nameGap: 30, min: Math.floor(Math.min(...bits) - 0.3),
      max: Math.ceil(Math.max(...bits) + 0.5), minInterval: 1}),
    yAxis: [errorAxis({name: data.yName, nameGap: 46, splitLine: {show: true, lineStyle: {color: look.line, opacity: 0.5}},
      axisLabel: {color: look.muted, customValues: ticks, formatter: (value) => shortNumber(Number((10 ** value).toPrecision(2)))}}),
    errorAxis({position: "right", show: !narrow, name: "signal to noise", nameGap: 46, splitLine: {show: false},
      axisLabel: {color: look.muted, customValues: ticks, formatter: (value) => `${Math.round(-20 * value)} dB`}})],
    series: [...data.groups.flatMap((group, i) => pointSeries(group, i, data.groups.length, look, y)),
      frontSeries(data, look, y), nameSeries(data, look, y)],
  };
};

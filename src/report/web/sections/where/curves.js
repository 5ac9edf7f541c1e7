// Lines over layers: how the values of a layer's experts are spread.
import {lines} from "../../charts/lines.js";
import {widest} from "../../charts/measure.js";
import {h} from "../../dom.js";
import {shortNumber} from "../../format.js";
import {summarise} from "../../stats.js";
import {roundValues} from "../../ticks.js";

const CURVES = {
  high: [
    ["median", 0.5],
    ["90 %", 0.9],
    ["99 %", 0.99],
    ["max", 1],
  ],
  low: [
    ["median", 0.5],
    ["10 %", 0.1],
    ["1 %", 0.01],
    ["min", 0],
  ],
  far: [
    ["median", 0.5],
    ["90 %", 0.9],
    ["99 %", 0.99],
    ["max", 1],
    ["min", 0],
  ],
};
// Marks of the value axis.
const TICKS = 4;
// Of the look's series: the colours of the curves, in their order.
const COLOURS = [0, 5, 4, 1, 3];

/** [{label, byProj: by projection a value for each layer, null where there is none}] */
export const curvesOf = (place, metric, values, kind) => {
  const groups = place.groups(kind);
  const wanted = CURVES[metric.worse];
  const {rows, counts} = summarise(
    values,
    groups,
    wanted.map(([, share]) => share),
  );
  return wanted.map(([label], k) => {
    const byProj = place.projs.map(() => new Array(place.layers.length).fill(null));
    for (let g = 0; g < groups.count; ++g) {
      if (counts[g]) byProj[groups.proj[g]][groups.layer[g]] = rows[k][g];
    }
    return {label, byProj};
  });
};

const withRoom = (low, high) => {
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  // Not below zero only to make room.
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
};

/** Ends of the value axis that all shown projections share. */
export const spanOf = (curves, projs, isLog) => {
  const values = curves
    .flatMap(({byProj}) => projs.flatMap((p) => byProj[p]))
    .filter((value) => value !== null && (!isLog || value > 0));
  if (!values.length) return [0, 1];
  const low = Math.min(...values),
    high = Math.max(...values);
  return isLog ? [low / 1.1, high * 1.1] : withRoom(low, high);
};

// Logarithms are taken here, since an axis of ECharts' would only mark powers of ten.
const axisOf = ([low, high], isLog) => {
  const at = isLog ? (value) => Math.log10(Math.max(value, low)) : (value) => value;
  const ticks = {customValues: roundValues(low, high, isLog, TICKS).map(at)};
  const label = isLog ? (y) => shortNumber(Number((10 ** y).toPrecision(4))) : shortNumber;
  return {at, ends: {min: at(low), max: at(high)}, ticks, label};
};

const FONT_SIZE = 12,
  BESIDE = 12;

/** The room that the labels of the value axis need. */
export const labelRoom = ({span, isLog}) => {
  const {ticks, label} = axisOf(span, isLog);
  return Math.ceil(widest(ticks.customValues.map(label), FONT_SIZE)) + BESIDE;
};

/** The option of a projection's lines over the layers of `view`, which begin at `left`. */
export const curveOption = ({curves, span, isLog}, proj, layers, view, left, look) => {
  const {at, ends, ticks, label} = axisOf(span, isLog);
  const part = (list) => list.slice(view.x[0], view.x[1] + 1);
  const y = (list) => part(list).map((value) => (value === null ? null : at(value)));
  const series = curves.map(({label: name, byProj}) => ({name, y: y(byProj[proj])}));
  const base = lines({xName: "layer", yName: "", x: part(layers), series}, look);
  return {
    ...base,
    legend: undefined,
    color: COLOURS.map((i) => look.series[i]),
    grid: {left, right: 8, top: 10, bottom: 40, outerBoundsMode: "none"},
    xAxis: {...base.xAxis, nameGap: 24, boundaryGap: true},
    yAxis: {
      ...base.yAxis,
      ...ends,
      axisTick: ticks,
      axisLabel: {...base.yAxis.axisLabel, ...ticks, formatter: label},
      splitLine: {...ticks, lineStyle: {color: look.line, opacity: 0.5}},
    },
  };
};

export const curveLegend = (metric) =>
  h(
    "ul",
    {class: "legend"},
    CURVES[metric.worse].map(([label], k) =>
      h("li", null, h("span", {class: `stroke c${COLOURS[k]}`}), label),
    ),
  );

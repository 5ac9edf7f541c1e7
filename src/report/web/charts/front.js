import {roundValues} from "../ticks.js";
import {axis, frame, marked, shortNumber} from "./frame.js";
import {dotLegend} from "./legend.js";

const UNITS = [
  ["TB", 1e12],
  ["GB", 1e9],
  ["MB", 1e6],
  ["kB", 1e3],
  ["bytes", 1],
];
const MARKS = 6;
// What a picture's title takes.
const TITLE = 36;

/** [name, bytes] of the unit that the chart counts sizes in. */
export const unitOf = ({points, chosen, reference}) => {
  const most = Math.max(...points.map(([bytes]) => bytes), chosen.bytes, reference.bytes);
  return UNITS.find(([, unit]) => most >= unit);
};

const point = ({name, bytes, value}, unit, look, colour) => ({
  type: "line",
  name,
  silent: true,
  z: 3,
  symbol: "circle",
  symbolSize: 10,
  itemStyle: {color: look.series[colour], borderColor: look.background, borderWidth: 1},
  data: [[bytes / unit, Math.log10(value)]],
});

/**
 * The least objective (y, logarithmic) for every size (x), and a recipe on it. What costs nothing has
 * no place there.
 * data: {title (of a picture), xName, yName, points: [[bytes, value]], by size; chosen, reference:
 * {name, bytes, value}}.
 */
export const front = (data, look) => {
  const points = data.points.filter(([, value]) => value > 0);
  const marks = [data.chosen, data.reference].filter(({value}) => value > 0);
  const values = [...points.map(([, value]) => value), ...marks.map(({value}) => value)];
  const [low, high] = [Math.min(...values) / 1.25, Math.max(...values) * 1.25];
  const [unitName, unit] = unitOf(data);
  const top = look.still ? TITLE : 0;
  return {
    ...frame(look.still ? data : {}, look),
    grid: {left: 72, right: 24, top: 40 + top, bottom: 52},
    legend: dotLegend(
      marks.map(({name}) => name),
      look,
      look.still ? {top, left: 64} : {},
    ),
    xAxis: axis(`${data.xName}, ${unitName}`, look, {
      type: "value",
      scale: true,
      nameGap: 30,
      axisLine: {onZero: false, lineStyle: {color: look.line}},
      splitLine: {show: false},
    }),
    yAxis: marked(
      axis(data.yName, look, {
        type: "value",
        nameGap: 50,
        min: Math.log10(low),
        max: Math.log10(high),
        axisLabel: {color: look.muted, formatter: (y) => shortNumber(Number((10 ** y).toPrecision(3)))},
      }),
      roundValues(low, high, true, MARKS).map(Math.log10),
    ),
    series: [
      {
        type: "line",
        silent: true,
        symbol: "none",
        step: "end",
        lineStyle: {color: look.muted, width: 1.5},
        data: points.map(([bytes, value]) => [bytes / unit, Math.log10(value)]),
      },
      ...marks.map((mark, i) => point(mark, unit, look, i)),
    ],
  };
};

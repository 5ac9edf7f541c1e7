import {roundValues} from "../ticks.js";
import {axis, frame, marked, shortNumber} from "./frame.js";

const UNITS = [
  ["TB", 1e12],
  ["GB", 1e9],
  ["MB", 1e6],
  ["kB", 1e3],
  ["bytes", 1],
];
const MARKS = 6;

const marksOf = ({chosen, reference}) => [chosen, reference].filter((mark) => mark !== null);
const sizesOf = (data) => [...data.points.map(([bytes]) => bytes), ...marksOf(data).map(({bytes}) => bytes)];

/** [name, bytes] of the unit that the chart counts sizes in. */
export const unitOf = (data) => {
  const most = Math.max(...sizesOf(data));
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
 * The least objective (y, logarithmic) for every size (x), and a recipe on it.
 * data: {xName, yName, points: [[bytes, value]], by size; chosen, reference: {name, bytes, value} or
 * null}. Values are above zero.
 */
export const front = (data, look) => {
  const marks = marksOf(data);
  const values = [...data.points.map(([, value]) => value), ...marks.map(({value}) => value)];
  const [low, high] = [Math.min(...values) / 1.25, Math.max(...values) * 1.25];
  const [unitName, unit] = unitOf(data);
  return {
    ...frame({}, look),
    grid: {left: 72, right: 24, top: 40, bottom: 52},
    legend: {
      top: 0,
      left: 0,
      type: "scroll",
      itemGap: 16,
      textStyle: {color: look.text},
      selectedMode: false,
      pageIconColor: look.text,
      pageTextStyle: {color: look.muted},
      data: marks.map(({name}) => ({name, icon: "circle"})),
    },
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
        data: data.points.map(([bytes, value]) => [bytes / unit, Math.log10(value)]),
      },
      ...marks.map((mark, i) => point(mark, unit, look, i)),
    ],
  };
};

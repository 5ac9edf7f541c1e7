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

const allOf = (points, marks) => [...points, ...marks.flatMap((mark) => mark.points)];

/** [name, bytes] of the unit that the chart counts sizes in. */
export const unitOf = ({points, marks}) => {
  const sizes = allOf(points, marks).map(([bytes]) => bytes);
  return UNITS.find(([, unit]) => Math.max(...sizes) >= unit);
};

const seen = (points) => points.filter(([, value]) => value > 0);
const placed = (points, unit) => points.map(([bytes, value]) => [bytes / unit, Math.log10(value)]);

const dots = (name, data, itemStyle, size) => ({
  type: "line",
  name,
  silent: true,
  z: 3,
  symbol: "circle",
  symbolSize: size,
  lineStyle: {width: 0},
  itemStyle: {borderWidth: 1, ...itemStyle},
  data,
});

/**
 * The least objective (y, logarithmic) for every size (x), and what else there is to choose. What costs
 * nothing has no place there.
 * data: {title (of a picture), xName, yName, points: [[bytes, value]], by size; marks: [{name, points}];
 * at: a point with a ring, if any}.
 */
export const front = (data, look) => {
  const points = seen(data.points);
  const marks = data.marks
    .map((mark, i) => ({...mark, colour: look.series[i], points: seen(mark.points)}))
    .filter((mark) => mark.points.length);
  const values = allOf(points, marks).map(([, value]) => value);
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
        data: placed(points, unit),
      },
      dots(
        "",
        placed(seen(data.at ? [data.at] : []), unit),
        {color: "transparent", borderColor: look.text, borderWidth: 2},
        14,
      ),
      ...marks.map(({name, colour, points: own}) =>
        dots(name, placed(own, unit), {color: colour, borderColor: look.background}, 10),
      ),
    ],
  };
};

import {axis, frame, marked, roundOnes, valueAxis} from "./frame.js";
import {legendOf} from "./legend.js";

const DASHES = ["solid", [6, 3], [1.5, 2.5], [9, 3, 1.5, 3]];

const points = ({y}) => ({
  showSymbol: y.length < 2,
  symbolSize: 5,
  data: y.map((value) => (value === null ? "-" : value)),
});

// Between gaps a point has no line to be seen by, and in a picture no pointer finds it.
const isLone = (y, i) => [y[i - 1], y[i + 1]].every((next) => next === null || next === undefined);

// Layer -1 is one that is not known: it has no next one.
const withGap = (x, y) => (x[0] === -1 ? [y[0], null, ...y.slice(1)] : y);

const stillPoints = (x, {y}) => {
  const at = withGap(x, x),
    values = withGap(x, y);
  return {
    showSymbol: true,
    symbol: "none",
    data: values.map((value, i) => {
      if (value === null) return "-";
      const point = {value: [at[i], value]};
      return isLone(values, i) ? {...point, symbol: "circle", symbolSize: 5} : point;
    }),
  };
};

const styleOf = ({colour, dash}, look) => {
  const color = look.series[colour % look.series.length];
  return {itemStyle: {color}, lineStyle: {color, type: DASHES[dash % DASHES.length]}};
};

const MOST_TICKS = 20;
const ROOM = 0.5;

// Layers that the table lacks keep their place.
const stillAxis = ({xName, x}, look) =>
  marked(
    axis(xName, look, {
      type: "value",
      nameGap: 28,
      min: x[0] - ROOM,
      max: x[x.length - 1] + ROOM,
      splitLine: {show: false},
    }),
    roundOnes(x, MOST_TICKS),
  );

/**
 * Lines over layers (or whatever x numbers).
 * data: {title, xName, yName, x: number[], series: [{name, y: (number|null)[], colour, dash}]}, x
 * ascending, y by x. Of a picture's lines, which have a legend, colour is an index of the look's series and dash one of
 * the dashes.
 */
export const lines = (data, look) => {
  const names = data.series.map(({name}) => name);
  const {top, right, legend} = look.still ? legendOf(names, look) : {top: 0, right: 0};
  return {
    ...frame(data, look),
    color: look.series,
    grid: {left: 76, right: 20 + right, top: 44 + top, bottom: 48},
    legend,
    xAxis: look.still
      ? stillAxis(data, look)
      : axis(data.xName, look, {type: "category", data: data.x.map(String), nameGap: 28}),
    yAxis: valueAxis(data.yName, look, {scale: true, axisLine: {show: false}}),
    series: data.series.map((one) => ({
      type: "line",
      name: one.name,
      connectNulls: false,
      ...(look.still ? {...stillPoints(data.x, one), ...styleOf(one, look)} : points(one)),
    })),
  };
};

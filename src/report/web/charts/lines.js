import {axis, frame, valueAxis} from "./frame.js";

const DASHES = ["solid", [6, 3], [1.5, 2.5], [9, 3, 1.5, 3]];

// ---- the names of a picture's lines: nothing can be scrolled there ----

// Names that take so many letters stand in one row, others at the right.
const ROW_LETTERS = 80,
  LETTERS_OF_SIGN = 6;
const ROWS_OF_COLUMN = 30,
  LETTER_WIDTH = 5.2,
  SIGN_WIDTH = 34;
// Of more lines nobody can tell which is which.
const MOST_NAMES = 2 * ROWS_OF_COLUMN;

const stillLegend = (names, look) => {
  const letters = names.reduce((sum, name) => sum + name.length + LETTERS_OF_SIGN, 0);
  const common = {type: "plain", itemWidth: 22, selectedMode: false, itemStyle: {opacity: 0}};
  if (letters <= ROW_LETTERS) {
    return {top: 30, right: 0, legend: {...common, top: 34, left: 70, textStyle: {color: look.text}}};
  }
  const shown = names.slice(0, MOST_NAMES);
  const columns = Math.ceil(shown.length / ROWS_OF_COLUMN);
  const longest = Math.max(...shown.map((name) => name.length));
  const right = columns * (longest * LETTER_WIDTH + SIGN_WIDTH);
  return {
    top: 0,
    right,
    legend: {
      ...common,
      data: shown,
      orient: "vertical",
      top: 36,
      bottom: 0,
      right: 4,
      itemGap: 2,
      itemHeight: 9,
      textStyle: {color: look.text, fontSize: 9},
    },
  };
};

const legendOf = (names, look) => {
  if (names.length < 2) return {top: 0, right: 0, legend: undefined};
  if (look.still) return stillLegend(names, look);
  return {
    top: 22,
    right: 0,
    legend: {type: "scroll", top: 32, left: 12, right: 12, textStyle: {color: look.text}},
  };
};

// Between gaps a point has no line to be seen by.
const isLone = (y, i) => [y[i - 1], y[i + 1]].every((next) => next === null || next === undefined);

const stillPoints = (y) => ({
  showSymbol: true,
  symbol: "none",
  data: y.map((value, i) => {
    if (value === null) return "-";
    return isLone(y, i) ? {value, symbol: "circle", symbolSize: 5} : value;
  }),
});

const points = (y) => ({
  showSymbol: y.length < 2,
  symbolSize: 5,
  data: y.map((value) => (value === null ? "-" : value)),
});

/**
 * Lines over layers (or whatever x numbers).
 * data: {title, xName, yName, x: number[], series: [{name, y: (number|null)[], colour, dash}]}, y by
 * x; colour is an index of the look's series, dash one of the dashes: both, or none of them.
 */
export const lines = (data, look) => {
  const {top, right, legend} = legendOf(
    data.series.map(({name}) => name),
    look,
  );
  const style = ({colour, dash}) => {
    if (colour === undefined) return {};
    const color = look.series[colour % look.series.length];
    return {itemStyle: {color}, lineStyle: {color, type: DASHES[dash % DASHES.length]}};
  };
  return {
    ...frame(data, look),
    color: look.series,
    grid: {left: 76, right: 20 + right, top: 44 + top, bottom: 48},
    legend,
    xAxis: axis(data.xName, look, {type: "category", data: data.x.map(String), nameGap: 28}),
    yAxis: valueAxis(data.yName, look, {scale: true}),
    series: data.series.map((one) => ({
      type: "line",
      name: one.name,
      connectNulls: false,
      ...(look.still ? stillPoints : points)(one.y),
      ...style(one),
    })),
  };
};

import {axis, frame, valueAxis} from "./frame.js";

const DASHES = ["solid", [6, 3], [1.5, 2.5], [9, 3, 1.5, 3]];

// ---- the names of a picture's lines: nothing can be scrolled there ----

// Names that take so many letters stand in one row, others at the right.
const ROW_LETTERS = 80, LETTERS_OF_SIGN = 6;
const ROWS_OF_COLUMN = 29, LETTER_WIDTH = 5.6, SIGN_WIDTH = 34;

const stillLegend = (names, look) => {
  const letters = names.reduce((sum, name) => sum + name.length + LETTERS_OF_SIGN, 0);
  const common = {type: "plain", itemWidth: 22, selectedMode: false};
  if (letters <= ROW_LETTERS) {
    return {top: 30, right: 0, legend: {...common, top: 34, left: 70, textStyle: {color: look.text}}};
  }
  const columns = Math.ceil(names.length / ROWS_OF_COLUMN);
  const longest = Math.max(...names.map((name) => name.length));
  const right = columns * (longest * LETTER_WIDTH + SIGN_WIDTH);
  return {top: 0, right, legend: {...common, orient: "vertical", top: 36, bottom: 0, right: 8,
    itemGap: 2, itemHeight: 9, textStyle: {color: look.text, fontSize: 9}}};
};

const legendOf = (names, look) => {
  if (names.length < 2) return {top: 0, right: 0, legend: undefined};
  if (look.still) return stillLegend(names, look);
  return {top: 22, right: 0, legend: {type: "scroll", top: 32, left: 12, right: 12,
    textStyle: {color: look.text}}};
};

/**
 * Lines over layers (or whatever x numbers).
 * data: {title, xName, yName, x: number[], series: [{name, y: (number|null)[], colour, dash}]}, y by
 * x; colour is an index of the look's series, dash one of the dashes: both may be left out.
 */
export const lines = (data, look) => {
  const {top, right, legend} = legendOf(data.series.map(({name}) => name), look);
  const style = ({colour, dash}) => ({
    ...(colour === undefined ? {} : {color: look.series[colour % look.series.length]}),
    type: DASHES[(dash || 0) % DASHES.length],
  });
  return {
    ...frame(data, look),
    color: look.series,
    grid: {left: 76, right: 20 + right, top: 44 + top, bottom: 48},
    legend,
    xAxis: axis(data.xName, look, {type: "category", data: data.x.map(String), nameGap: 28}),
    yAxis: valueAxis(data.yName, look, {scale: true}),
    series: data.series.map((one) => ({
      type: "line", name: one.name, data: one.y.map((value) => (value === null ? "-" : value)),
      showSymbol: one.y.length < 2, symbolSize: 5, connectNulls: false, lineStyle: style(one),
      itemStyle: {color: style(one).color},
    })),
  };
};

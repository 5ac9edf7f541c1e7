import {axis, frame, marked, shortNumber, valueAxis} from "./frame.js";
import {fitted, widest} from "./measure.js";
import {roundValues} from "../ticks.js";

// So many bars at most stand upright, if their names have room.
const FEW = 8;
const UPRIGHT_SIZE = 12;
const UPRIGHT_ROOM = 660;

// Names of lying bars have so much of a column's width at most.
const NAMES_SHARE = 0.45;

// [so many lying bars at most, size of what is written beside them]; more bars have no room for values.
const MOST_NUMBERED = 32;
const MOST_ROWS = 40; // of more bars there are several columns
const TEXT_SIZES = [
  [16, 12],
  [24, 10],
  [MOST_NUMBERED, 8],
  [Infinity, 7],
];
const textSize = (rows) => TEXT_SIZES.filter(([most]) => rows <= most)[0][1];

const isUpright = ({labels}) =>
  labels.length <= FEW && widest(labels, UPRIGHT_SIZE) <= UPRIGHT_ROOM / labels.length - 8;

const namesAxis = (labels, size, look, more) =>
  axis("", look, {
    type: "category",
    data: labels,
    axisTick: {show: false},
    axisLabel: {color: look.text, interval: 0, fontSize: size},
    ...more,
  });

/** The bars [from, to) of the data; `label`: what is written beside them, if anything is. */
const barsOf = (data, from, to, label, look) => ({
  type: "bar",
  data: data.values.slice(from, to).map((value, i) => ({
    value,
    itemStyle: {color: look.series[data.colours[from + i] % look.series.length]},
  })),
  barMaxWidth: 64,
  barCategoryGap: "25%",
  label: {show: true, color: look.text, formatter: ({value}) => shortNumber(value), ...label},
});

const upright = (data, look) => ({
  grid: {left: 76, right: 20, top: 52, bottom: 12, containLabel: true},
  xAxis: namesAxis(data.labels, UPRIGHT_SIZE, look),
  yAxis: valueAxis(data.yName, look),
  series: [barsOf(data, 0, data.labels.length, {position: "top", fontSize: UPRIGHT_SIZE}, look)],
});

/** How lying bars share the picture: {columns, rows, width of a column, size of text, ...}. */
const layoutOf = ({labels, values}, look) => {
  const columns = Math.ceil(labels.length / MOST_ROWS);
  const rows = Math.ceil(labels.length / columns);
  const size = textSize(labels.length);
  const width = look.width / columns;
  const isNumbered = labels.length <= MOST_NUMBERED;
  return {
    columns,
    rows,
    size,
    width,
    isNumbered,
    left: 20 + Math.min(widest(labels, size), NAMES_SHARE * width),
    right: isNumbered ? 12 + widest(values.map(shortNumber), size) : 16,
  };
};

// All columns have one scale.
const lengthAxis = ({yName, values}, gridIndex, look) => {
  const low = Math.min(0, ...values),
    high = Math.max(0, ...values);
  const base = valueAxis(yName, look, {gridIndex, nameGap: 24, min: low, max: high > low ? high : 1});
  return marked(base, roundValues(low, high, false, 6));
};

const lying = (data, look) => {
  const layout = layoutOf(data, look);
  const {rows, size, width, left, right} = layout;
  const option = {grid: [], xAxis: [], yAxis: [], series: []};
  for (let c = 0; c < layout.columns; ++c) {
    const labels = data.labels.slice(c * rows, (c + 1) * rows).map((name) => fitted(name, size, left - 20));
    const places = labels.concat(new Array(rows - labels.length).fill(""));
    const beside = {show: layout.isNumbered, position: "right", fontSize: size};
    option.grid.push({
      left: c * width + left,
      width: width - left - right,
      top: 36,
      bottom: 42,
      outerBoundsMode: "none",
    });
    option.xAxis.push(lengthAxis(data, c, look));
    option.yAxis.push(namesAxis(places, size, look, {gridIndex: c, inverse: true}));
    option.series.push({
      ...barsOf(data, c * rows, (c + 1) * rows, beside, look),
      xAxisIndex: c,
      yAxisIndex: c,
    });
  }
  return option;
};

/**
 * One bar for each label, upright or, if they are many or have long names, lying below each other.
 * data: {title, yName, labels: string[], values: number[], colours: number[]}; colours are
 * indices of the look's series.
 */
export const bars = (data, look) => ({
  ...frame(data, look),
  ...(isUpright(data) ? upright : lying)(data, look),
});

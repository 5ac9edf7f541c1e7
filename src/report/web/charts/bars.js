import {axis, frame, shortNumber, valueAxis} from "./frame.js";

// So many bars at most stand upright; of more the labels would not lie level.
const FEW = 8;

// [so many lying bars at most, size of what is written beside them]; more bars have no room for values.
const MOST_NUMBERED = 32;
const TEXT_SIZES = [
  [16, 12],
  [24, 10],
  [MOST_NUMBERED, 8],
  [Infinity, 7],
];
const textSize = (count) => TEXT_SIZES.filter(([most]) => count <= most)[0][1];

const upright = ({yName, labels}, look) => ({
  grid: {left: 76, right: 20, top: 52, bottom: 12, containLabel: true},
  xAxis: axis("", look, {
    type: "category",
    data: labels,
    axisTick: {show: false},
    axisLabel: {color: look.text, interval: 0, width: 680 / labels.length, overflow: "truncate"},
  }),
  yAxis: valueAxis(yName, look),
});

const lying = ({yName, labels}, look) => ({
  grid: {left: 12, right: 56, top: 40, bottom: 30, containLabel: true},
  xAxis: valueAxis(yName, look, {nameGap: 26}),
  yAxis: axis("", look, {
    type: "category",
    data: labels,
    inverse: true,
    axisTick: {show: false},
    axisLabel: {
      color: look.text,
      hideOverlap: true,
      fontSize: textSize(labels.length),
      width: 260,
      overflow: "truncate",
      interval: 0,
    },
  }),
});

/**
 * One bar for each label, upright or, if there are many, lying below each other.
 * data: {title, yName, labels: string[], values: number[], colours: number[]}; colours are
 * indices of the look's series.
 */
export const bars = (data, look) => {
  const isFew = data.labels.length <= FEW;
  const bar = (value, i) => ({
    value,
    itemStyle: {color: look.series[data.colours[i] % look.series.length]},
  });
  return {
    ...frame(data, look),
    ...(isFew ? upright : lying)(data, look),
    series: [
      {
        type: "bar",
        data: data.values.map(bar),
        barMaxWidth: 64,
        barCategoryGap: "25%",
        label: {
          show: data.labels.length <= MOST_NUMBERED,
          position: isFew ? "top" : "right",
          color: look.text,
          fontSize: isFew ? 12 : textSize(data.labels.length),
          formatter: ({value}) => shortNumber(value),
        },
      },
    ],
  };
};

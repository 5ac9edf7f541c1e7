import {axis, frame, shortNumber, valueAxis} from "./frame.js";

// So many bars at most have their labels level and their values written above them.
const FEW = 8;

// [so many bars at most, size of their labels]
const LABEL_SIZES = [[20, 12], [30, 11], [40, 10], [Infinity, 8]];
const labelSize = (count) => LABEL_SIZES.filter(([most]) => count <= most)[0][1];

/**
 * One bar for each label. data: {title, yName, labels: string[], values: (number|null)[],
 * colours: number[]}; colours are indices of the look's series.
 */
export const bars = ({title, yName, labels, values, colours}, look) => {
  const isFew = labels.length <= FEW;
  const bar = (value, i) => ({value: value === null ? "-" : value,
    itemStyle: {color: look.series[colours[i] % look.series.length]}});
  return {
    ...frame({title}, look),
    grid: {left: 76, right: 20, top: 52, bottom: 12, containLabel: true},
    xAxis: axis("", look, {type: "category", data: labels, axisTick: {show: false},
      axisLabel: {color: look.text, interval: 0, rotate: isFew ? 0 : 60, hideOverlap: true,
        fontSize: labelSize(labels.length), width: isFew ? 680 / labels.length : 200,
        overflow: "truncate"}}),
    yAxis: valueAxis(yName, look),
    series: [{type: "bar", data: values.map(bar), barMaxWidth: 64, barCategoryGap: "25%",
      label: {show: isFew, position: "top", color: look.text,
        formatter: ({value}) => shortNumber(value)}}],
  };
};

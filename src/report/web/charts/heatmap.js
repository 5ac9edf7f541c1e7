import {axis, frame, shortNumber} from "./frame.js";

/**
 * One coloured cell for each matrix.
 * data: {title, xName, yName, xLabels: string[], yLabels: string[], range: [low, high],
 *        cells: [[x index, y index, value], ...]}; a cell that is not there has the colour `missing`.
 */
export const heatmap = (data, look) => ({
  ...frame(data, look),
  grid: {left: 60, right: 96, top: 44, bottom: 48, show: true, backgroundColor: look.missing,
    borderWidth: 0},
  xAxis: axis(data.xName, look, {type: "category", data: data.xLabels, nameGap: 28,
    splitLine: {show: false}}),
  yAxis: axis(data.yName, look, {type: "category", data: data.yLabels, nameGap: 40,
    splitLine: {show: false}}),
  visualMap: {type: "continuous", min: data.range[0], max: data.range[1], right: 8, top: "middle",
    calculable: false, inRange: {color: look.ramp}, textStyle: {color: look.muted},
    text: [shortNumber(data.range[1]), shortNumber(data.range[0])], itemHeight: 240},
  series: [{type: "heatmap", data: data.cells, progressive: 0}],
});

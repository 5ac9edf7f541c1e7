import {axis, frame, shortNumber} from "./frame.js";

const cells = (data, look) => ({
  grid: {left: 60, right: 96, top: 44, bottom: 48, show: true, backgroundColor: look.missing, borderWidth: 0},
  xAxis: axis(data.xName, look, {
    type: "category",
    data: data.xLabels,
    nameGap: 28,
    splitLine: {show: false},
  }),
  yAxis: axis(data.yName, look, {
    type: "category",
    data: data.yLabels,
    nameGap: 40,
    splitLine: {show: false},
  }),
  visualMap: {
    type: "continuous",
    min: data.range[0],
    max: data.range[1],
    right: 8,
    top: "middle",
    calculable: false,
    inRange: {color: look.ramp},
    textStyle: {color: look.muted},
    text: [shortNumber(data.range[1]), shortNumber(data.range[0])],
    itemHeight: 240,
  },
  series: [{type: "heatmap", data: data.cells, progressive: 0}],
});

// Cell i spans i - 0.5 to i + 0.5.
const cellAxis = (name, labels, [first, last], look, more) =>
  axis(name, look, {
    type: "value",
    min: first - 0.5,
    max: last + 0.5,
    minInterval: 1,
    ...more,
    splitLine: {show: false},
    axisTick: {show: false},
    axisLine: {show: false},
    axisLabel: {
      color: look.muted,
      hideOverlap: true,
      showMinLabel: false,
      showMaxLabel: false,
      formatter: (value) => (value === Math.floor(value) ? labels[value] : ""),
    },
  });

const painting = (data, look, paint) => ({
  grid: {left: 52, right: 8, top: 8, bottom: 40, outerBoundsMode: "none"},
  xAxis: cellAxis(data.xName, data.xLabels, paint.view.x, look, {nameGap: 24}),
  yAxis: cellAxis(data.yName, data.yLabels, paint.view.y, look, {nameGap: 36, inverse: true}),
  series: [
    {
      type: "custom",
      silent: true,
      data: [[paint.view.x[0], paint.view.y[0]]],
      renderItem: (params) => {
        const {x, y, width, height} = params.coordSys;
        return {type: "image", style: {image: paint.image(width, height), x, y, width, height}};
      },
    },
  ],
});

/**
 * One coloured cell for each matrix.
 * data: {title, xName, yName, xLabels: string[], yLabels: string[], range: [low, high],
 *        cells: [[x index, y index, value], ...]}; a cell that is not there has the colour `missing`.
 *
 * With `paint` the cells are one image, since 70,000 rectangles take ECharts most of a second:
 * {view: {x: [first, last], y: [first, last]}, image(width, height)}, view in cells, image in pixels.
 * Row 0 is then at the top; cells and range are not looked at.
 */
export const heatmap = (data, look, paint) => ({
  ...frame(data, look),
  ...(paint ? painting(data, look, paint) : cells(data, look)),
});

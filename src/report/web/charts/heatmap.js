import {axis, frame, valueAxis} from "./frame.js";

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

/** An image that fills its grid, in which `at` is a point. */
const imageSeries = (at, image, more) => ({
  type: "custom",
  silent: true,
  data: [at],
  ...more,
  renderItem: (params) => {
    const {x, y, width, height} = params.coordSys;
    return {type: "image", style: {image: image(width, height), x, y, width, height}};
  },
});

const painting = (data, look, {view, image}) => ({
  grid: {left: 52, right: 8, top: 8, bottom: 40, outerBoundsMode: "none"},
  xAxis: cellAxis(data.xName, data.xLabels, view.x, look, {nameGap: 24}),
  yAxis: cellAxis(data.yName, data.yLabels, view.y, look, {nameGap: 36, inverse: true}),
  series: [imageSeries([view.x[0], view.y[0]], image)],
});

/** The cells under a title, and right of them what their colours mean. */
const withScale = (cells, {range: [min, max], image}, look) => ({
  grid: [
    {...cells.grid, left: 60, right: 99, top: 45, bottom: 39},
    {width: 15, right: 69, top: 45, bottom: 39, outerBoundsMode: "none"},
  ],
  xAxis: [cells.xAxis, {type: "value", gridIndex: 1, show: false, min: 0, max: 1}],
  yAxis: [
    cells.yAxis,
    valueAxis("", look, {gridIndex: 1, position: "right", min, max, splitLine: {show: false}}),
  ],
  series: [...cells.series, imageSeries([0, min], image, {xAxisIndex: 1, yAxisIndex: 1})],
});

/**
 * One coloured cell for each matrix, all of them one image, since 70,000 rectangles take ECharts most
 * of a second. Row 0 is at the top.
 * data: {title, xName, yName, xLabels: string[], yLabels: string[]}.
 * paint: {view: {x: [first, last], y: [first, last]}, image(width, height)}, view in cells, image in
 *        pixels; and, for a picture, scale: {range: [low, high], image(width, height)}.
 */
export const heatmap = (data, look, paint) => {
  const cells = painting(data, look, paint);
  return {...frame(data, look), ...(paint.scale ? withScale(cells, paint.scale, look) : cells)};
};

import {axis, frame, marked, roundOnes} from "./frame.js";
import {widest} from "./measure.js";

const SCALE_SIZE = 12;

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

const LEAST_LEFT = 52,
  LABEL_SIZE = 12;
// Beside the labels: the axis's name, and the gaps around both.
const BESIDE = 30,
  NAME_BESIDE = 16;

/** Where cells begin, so that the longest of the row labels is whole. */
export const leftOf = (labels) => Math.max(LEAST_LEFT, Math.ceil(widest(labels, LABEL_SIZE)) + BESIDE);

const painting = (data, look, {view, image, left = LEAST_LEFT}) => ({
  grid: {left, right: 8, top: 8, bottom: 40, outerBoundsMode: "none"},
  xAxis: cellAxis(data.xName, data.xLabels, view.x, look, {nameGap: 24}),
  yAxis: cellAxis(data.yName, data.yLabels, view.y, look, {nameGap: left - NAME_BESIDE, inverse: true}),
  series: [imageSeries([view.x[0], view.y[0]], image)],
});

const MOST_X_TICKS = 20;
const MOST_Y_TICKS = 16;

/** A whole axis with round labels, which are numbers. */
const still = (cellAxis, labels, most) =>
  marked(
    cellAxis,
    roundOnes(labels.map(Number), most).map((number) => labels.indexOf(String(number))),
  );

/** What the colours mean: ticks are [place from 0 (below) to 1, text]. */
const scaleAxis = (ticks, look) => {
  const places = ticks.map(([at]) => at);
  const textAt = (place) => ticks.filter(([at]) => Math.abs(at - place) < 1e-6)[0][1];
  const axisLabel = {color: look.muted, fontSize: SCALE_SIZE, formatter: textAt};
  const base = axis("", look, {type: "value", gridIndex: 1, position: "right", min: 0, max: 1});
  return marked({...base, splitLine: {show: false}, axisLabel}, places);
};

/** The cells under a title, and right of them what their colours mean. */
const withScale = (cells, {ticks, image}, data, look) => {
  const right =
    16 +
    widest(
      ticks.map(([, text]) => text),
      SCALE_SIZE,
    );
  const band = {top: 45, bottom: 39, outerBoundsMode: "none"};
  return {
    grid: [
      {...cells.grid, ...band, left: 60, right: right + 30},
      {...band, width: 15, right},
    ],
    xAxis: [
      still(cells.xAxis, data.xLabels, MOST_X_TICKS),
      {type: "value", gridIndex: 1, show: false, min: 0, max: 1},
    ],
    yAxis: [still(cells.yAxis, data.yLabels, MOST_Y_TICKS), scaleAxis(ticks, look)],
    series: [...cells.series, imageSeries([0, 0], image, {xAxisIndex: 1, yAxisIndex: 1})],
  };
};

/** What the colour of some cells means that is none of the scale. */
const notes = ({values}, look) => {
  if (values.indexOf(null) < 0) return [];
  const textStyle = {fontSize: 11, fontWeight: 400, color: look.muted};
  return [
    {text: "no value", right: 10, bottom: 8, padding: [3, 6], backgroundColor: look.missing, textStyle},
  ];
};

/**
 * One coloured cell for each matrix, all of them one image, since 70,000 rectangles take ECharts most
 * of a second. Row 0 is at the top.
 * data: {title, xName, yName, xLabels: string[], yLabels: string[]}.
 * paint: {view: {x: [first, last], y: [first, last]}, image(width, height), left}, view in cells, image
 *        in pixels, left of which the labels stand; and, for a picture, scale: {ticks: [[place from 0 to 1, text], ...], image(width, height)},
 *        which stands right of the cells.
 */
export const heatmap = (data, look, paint) => {
  const base = frame(data, look),
    cells = painting(data, look, paint);
  if (!paint.scale) return {...base, ...cells};
  return {...base, ...withScale(cells, paint.scale, data, look), title: [base.title, ...notes(data, look)]};
};

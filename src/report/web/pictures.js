// The charts as SVG text, for an engine without a browser: ECharts' own server-side rendering. The
// engine is one of ECMAScript 5: syntax is translated, but of newer built-in functions there are only
// those of es5.js.
import "./es5.js";
import * as echarts from "echarts/core";
import {BarChart, CustomChart, LineChart} from "echarts/charts";
import {GridComponent, LegendComponent, TitleComponent} from "echarts/components";
import {SVGRenderer} from "echarts/renderers";
import {bars} from "./charts/bars.js";
import {front} from "./charts/front.js";
import {heatmap} from "./charts/heatmap.js";
import {lines} from "./charts/lines.js";
import {textWidth} from "./charts/measure.js";
import {shortNumber} from "./charts/frame.js";
import {coloursOf, firstRange, rampOf, shareIn} from "./colours.js";
import {LIGHT} from "./look.js";
import {cellPixels, STEPS} from "./raster.js";
import {roundValues} from "./ticks.js";

echarts.use([BarChart, CustomChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

echarts.setPlatformAPI({
  measureText: (text, font) => ({width: textWidth(text, parseFloat(/([\d.]+)px/.exec(font)[1]))}),
});

// A PNG has so many pixels for each unit of the SVG.
const RESOLUTION = 5 / 3;

// Parts of the scale's length that a mark keeps clear of its ends.
const CLEAR = 0.08;
const MARKS = 5;

const threeDigits = (value) => shortNumber(Number(value.toPrecision(3)));

/** [[place, text], ...]: the ends, which tell if values lie beyond, and round values between them. */
const marksOf = (colours, [first, last]) => {
  const [low, high] = [colours.at(first), colours.at(last)];
  if (low === high) return [[0.5, shortNumber(low)]];
  const shareOf = shareIn(colours, [first, last]);
  const between = roundValues(low, high, colours.isLog, MARKS)
    .map((value) => [shareOf(value), shortNumber(value)])
    .filter(([share]) => share > CLEAR && share < 1 - CLEAR);
  return [
    [0, (first > 0 ? "≤ " : "") + threeDigits(low)],
    ...between,
    [1, (last < 1 ? "≥ " : "") + threeDigits(high)],
  ];
};

/** What the heatmap paints; pngUrl(pixels, columns, rows, width, height) is the engine's: it enlarges. */
const paintOf = ({xLabels, yLabels, values, scale, metric, worse = "far"}, look) => {
  const all = Float64Array.from(scale, Number);
  const isWanted = () => true;
  const colours = coloursOf(all, isWanted, null, /_db$/.test(metric) ? "dB" : "");
  const range = firstRange(colours, all, isWanted, worse);
  const image = (columns, rows, numbers, shareOf) => (width, height) =>
    pngUrl(
      cellPixels(
        columns,
        rows,
        (x, y) => y * columns + x,
        numbers,
        shareOf,
        rampOf(colours, look),
        look.missing,
      ),
      columns,
      rows,
      Math.round(width * RESOLUTION),
      Math.round(height * RESOLUTION),
    );
  const cells = values.map((value) => (value === null ? NaN : value));
  const steps = [];
  for (let i = STEPS - 1; i >= 0; --i) steps.push(i / (STEPS - 1));
  return {
    view: {x: [0, xLabels.length - 1], y: [0, yLabels.length - 1]},
    image: image(xLabels.length, yLabels.length, cells, shareIn(colours, range)),
    scale: {ticks: marksOf(colours, range), image: image(1, STEPS, steps, (share) => share)},
  };
};

/**
 * By chart its option. The data of a heatmap has besides `values`, a number or null for each cell, row
 * by row; `scale`, the values (or a fair sample, with the least and the largest) of all heatmaps that are
 * to have comparable colours; `metric`, the column's name; and `worse`, as in metrics.js.
 */
const OPTIONS = {
  bars,
  front,
  heatmap: (data, look) => heatmap(data, look, paintOf(data, look)),
  lines,
};

/** What the renderer does not say as it is wanted. Behind `="` it is markup: in text `"` is escaped. */
const mended = (svg) =>
  svg
    .replace(/<image /g, '<image preserveAspectRatio="none" style="image-rendering:pixelated" ')
    .replace(/ dominant-baseline="central"/g, ' dy=".35em"') // librsvg has no baselines
    .replace(/(="(?:url\(#)?)zr\d+-/g, "$1"); // a count of this engine's pictures

/** data: JSON text, as the chart's file says. */
globalThis.drawPicture = (chart, data, width, height) => {
  const picture = echarts.init(null, null, {renderer: "svg", ssr: true, width, height});
  picture.setOption(OPTIONS[chart](JSON.parse(data), {...LIGHT, still: true, width}));
  const svg = picture.getZr().painter.renderToString({cssAnimation: false, cssEmphasis: false});
  picture.dispose();
  return mended(svg);
};

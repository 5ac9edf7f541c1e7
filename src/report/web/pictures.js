// The charts as SVG text, for an engine without a browser: ECharts' own server-side rendering. The
// engine is one of ECMAScript 5: syntax is translated, but no newer built-in function is there.
import * as echarts from "echarts/core";
import {BarChart, CustomChart, LineChart} from "echarts/charts";
import {GridComponent, LegendComponent, TitleComponent} from "echarts/components";
import {SVGRenderer} from "echarts/renderers";
import {bars} from "./charts/bars.js";
import {heatmap} from "./charts/heatmap.js";
import {lines} from "./charts/lines.js";
import {coloursOf, rampOf, shareIn} from "./colours.js";
import {LIGHT} from "./look.js";
import {cellPixels, STEPS} from "./raster.js";

echarts.use([BarChart, CustomChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

// Letters of DejaVu Sans are so wide, and those of East Asia fill a square: rather too much than too
// little, so that nothing is cut.
const LETTER = 0.58;
const SQUARE_FROM = 0x2e80;

echarts.setPlatformAPI({
  measureText: (text, font) => {
    const size = parseFloat(/([\d.]+)px/.exec(font)[1]);
    let width = 0;
    for (let i = 0; i < text.length; ++i) width += text.charCodeAt(i) < SQUARE_FROM ? LETTER * size : size;
    return {width};
  },
});

/** `still`: nothing can be scrolled. */
const LOOK = {...LIGHT, still: true};

// A range of one value has that value in its middle.
const spread = ([low, high]) => {
  const room = low === high ? Math.abs(low) * 0.1 || 1 : 0;
  return [low - room, high + room];
};

// A PNG has so many pixels for each unit of the SVG.
const RESOLUTION = 5 / 3;

/** What the heatmap paints; pngUrl(pixels, columns, rows, width, height) is the engine's: it enlarges. */
const paintOf = ({xLabels, yLabels, values, range}) => {
  const span = spread(range);
  const colours = coloursOf(span, () => true, "linear");
  const ramp = rampOf(colours, LOOK);
  const shareOf = shareIn(colours, [0, 1]);
  const image = (columns, rows, numbers) => (width, height) =>
    pngUrl(
      cellPixels(columns, rows, (x, y) => y * columns + x, numbers, shareOf, ramp, LOOK.missing),
      columns,
      rows,
      Math.round(width * RESOLUTION),
      Math.round(height * RESOLUTION),
    );
  const cells = values.map((value) => (value === null ? NaN : value));
  const steps = [];
  for (let i = STEPS - 1; i >= 0; --i) steps.push(colours.at(i / (STEPS - 1)));
  return {
    view: {x: [0, xLabels.length - 1], y: [0, yLabels.length - 1]},
    image: image(xLabels.length, yLabels.length, cells),
    scale: {range: [colours.at(0), colours.at(1)], image: image(1, STEPS, steps)},
  };
};

/**
 * By chart its option. The data of a heatmap has besides `values`, a number or null for each cell, row
 * by row, and `range`, the least and the largest of those that are to have comparable colours.
 */
const OPTIONS = {
  bars: (data) => bars(data, LOOK),
  heatmap: (data) => heatmap(data, LOOK, paintOf(data)),
  lines: (data) => lines(data, LOOK),
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
  picture.setOption(OPTIONS[chart](JSON.parse(data)));
  const svg = picture.getZr().painter.renderToString({cssAnimation: false, cssEmphasis: false});
  picture.dispose();
  return mended(svg);
};

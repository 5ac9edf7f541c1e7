// The charts as SVG text, for an engine without a browser: ECharts' own server-side rendering.
import * as echarts from "echarts/core";
import {BarChart, HeatmapChart, LineChart} from "echarts/charts";
import {GridComponent, LegendComponent, TitleComponent, VisualMapComponent} from "echarts/components";
import {SVGRenderer} from "echarts/renderers";
import {bars} from "./charts/bars.js";
import {heatmap} from "./charts/heatmap.js";
import {lines} from "./charts/lines.js";
import {LIGHT} from "./look.js";

echarts.use([BarChart, HeatmapChart, LineChart, GridComponent, LegendComponent, TitleComponent,
  VisualMapComponent, SVGRenderer]);

const CHARTS = {bars, heatmap, lines};

/** request: JSON text {chart, width, height, data}, sizes in pixels, data as the chart's file says. */
globalThis.drawPicture = (request) => {
  const {chart, width, height, data} = JSON.parse(request);
  const picture = echarts.init(null, null, {renderer: "svg", ssr: true, width, height});
  picture.setOption(CHARTS[chart](data, LIGHT));
  const svg = picture.renderToSVGString();
  picture.dispose();
  return svg;
};

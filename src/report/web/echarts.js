// The parts of ECharts that the page draws with; the rest stays out of the bundle.
import * as echarts from "echarts/core";
import {BarChart, CustomChart, LineChart, ScatterChart} from "echarts/charts";
import {GridComponent, LegendComponent, MarkLineComponent} from "echarts/components";
import {CanvasRenderer} from "echarts/renderers";

echarts.use([
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  CanvasRenderer,
]);

export {echarts};

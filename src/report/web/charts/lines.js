import {axis, frame, valueAxis} from "./frame.js";

/**
 * Lines over layers (or whatever x numbers).
 * data: {title, xName, yName, x: number[], series: [{name, y: (number|null)[]}]}, y by x.
 */
export const lines = (data, look) => ({
  ...frame(data, look),
  color: look.series,
  grid: {left: 76, right: 20, top: data.series.length > 1 ? 66 : 44, bottom: 48},
  legend: data.series.length > 1
    ? {type: "scroll", top: 32, left: 12, right: 12, textStyle: {color: look.text}} : undefined,
  xAxis: axis(data.xName, look, {type: "category", data: data.x.map(String), nameGap: 28}),
  yAxis: valueAxis(data.yName, look, {scale: true}),
  series: data.series.map(({name, y}) => ({
    type: "line", name, data: y.map((value) => (value === null ? "-" : value)),
    showSymbol: y.length < 2, symbolSize: 5, connectNulls: false,
  })),
});

import {axis, frame, valueAxis} from "./frame.js";

/**
 * One scheme's error (y) against another one's (x), a point for each matrix, and the line where both are equal.
 * data: {xName, yName, range: [low, high], series: [{name, points: [[x, y], ...]}]}.
 */
export const pairs = (data, look) => {
  const [min, max] = data.range;
  return {
    ...frame({}, look),
    color: look.series,
    grid: {left: 70, right: 16, top: 34, bottom: 48},
    legend: {top: 0, left: 0, type: "scroll", textStyle: {color: look.text}, selectedMode: false,
      data: data.series.map(({name}) => ({name, icon: "circle"}))},
    xAxis: valueAxis(data.xName, look, {min, max, nameGap: 28}),
    yAxis: valueAxis(data.yName, look, {min, max, nameGap: 54}),
    series: [...data.series.map(({name, points}) => ({
      type: "scatter", name, data: points, silent: true, progressive: 0, large: true, largeThreshold: 3000,
      symbolSize: points.length > 3000 ? 2.5 : 5, itemStyle: {opacity: points.length > 3000 ? 0.5 : 0.7},
    })), {
      type: "line", silent: true, symbol: "none", data: [[min, min], [max, max]], z: 5,
      lineStyle: {color: look.muted, width: 1, type: "dashed"},
    }],
  };
};

/** How often each difference occurs. data: {xName, yName, low, high, counts: number[]}. */
export const differences = (data, look) => {
  const step = (data.high - data.low) / data.counts.length;
  const at = (i) => data.low + (i + 0.5) * step;
  return {
    ...frame({}, look),
    grid: {left: 60, right: 16, top: 34, bottom: 48},
    xAxis: valueAxis(data.xName, look, {min: data.low, max: data.high, nameGap: 28, splitLine: {show: false}}),
    yAxis: axis(data.yName, look, {type: "value", nameGap: 44, minInterval: 1}),
    series: [{type: "bar", silent: true, barWidth: "96%", data: data.counts.map((count, i) => ({
      value: [at(i), count], itemStyle: {color: at(i) < 0 ? look.series[0] : look.series[1]}})),
    markLine: {silent: true, symbol: "none", label: {show: false}, lineStyle: {color: look.text, width: 1, type: "solid"},
      data: data.low < 0 && data.high > 0 ? [{xAxis: 0}] : []}}],
  };
};

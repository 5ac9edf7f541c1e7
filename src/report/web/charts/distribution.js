import {axis, frame, shortNumber} from "./frame.js";

/**
 * The colour scale as a histogram of what it colours.
 * data: {counts: number[], colours: string[] by bin, ticks: [[bin position, value]]}.
 */
export const distribution = (data, look) => ({
  ...frame({}, look),
  grid: {left: 10, right: 10, top: 4, bottom: 20},
  xAxis: axis("", look, {type: "value", min: 0, max: data.counts.length, splitLine: {show: false},
    axisLine: {show: false}, axisTick: {customValues: data.ticks.map(([at]) => at)},
    axisLabel: {color: look.muted, hideOverlap: true, customValues: data.ticks.map(([at]) => at),
      formatter: (at) => shortNumber(data.ticks.find(([tick]) => Math.abs(tick - at) < 1e-6)?.[1]),
      alignMinLabel: "left", alignMaxLabel: "right"}}),
  yAxis: {type: "value", show: false, min: 0},
  // A root, so that a single expert far off is seen beside thousands.
  series: [{type: "bar", silent: true, barWidth: "100%", barCategoryGap: "0%", data: data.counts.map((count, i) => ({
    value: [i + 0.5, Math.sqrt(count)], itemStyle: {color: data.colours[i]}}))}],
});

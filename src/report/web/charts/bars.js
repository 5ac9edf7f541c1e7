import {axis, frame, valueAxis} from "./frame.js";

/** One bar for each label. data: {title, yName, labels: string[], values: (number|null)[]}. */
export const bars = (data, look) => ({
  ...frame(data, look),
  color: look.series,
  grid: {left: 76, right: 20, top: 44, bottom: 20, containLabel: true},
  xAxis: axis("", look, {type: "category", data: data.labels,
    axisLabel: {color: look.muted, interval: 0, rotate: data.labels.length > 6 ? 30 : 0,
      width: 180, overflow: "truncate"}}),
  yAxis: valueAxis(data.yName, look),
  series: [{type: "bar", data: data.values.map((value) => (value === null ? "-" : value)),
    barMaxWidth: 64}],
});

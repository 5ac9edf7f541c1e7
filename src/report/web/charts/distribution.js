import {axis, frame, shortNumber} from "./frame.js";

const isNear = (a, b) => Math.abs(a - b) < 1e-6;

/**
 * The colour scale as a histogram of what it colours.
 * data: {counts: number[], colours: string[] by bin, ticks: [[bin position, value], ...]}.
 */
export const distribution = ({counts, colours, ticks}, look) => {
  // The dark end of the ramp would be lost on a dark background.
  const outline = look.dark ? {borderColor: look.muted, borderWidth: 0.5} : {};
  const customValues = ticks.map(([at]) => at);
  return {
    ...frame({}, look),
    grid: {left: 10, right: 10, top: 4, bottom: 20},
    xAxis: axis("", look, {
      type: "value",
      min: 0,
      max: counts.length,
      splitLine: {show: false},
      axisLine: {show: false},
      axisTick: {customValues, lineStyle: {color: look.line}},
      axisLabel: {
        color: look.muted,
        hideOverlap: true,
        customValues,
        alignMinLabel: "left",
        alignMaxLabel: "right",
        formatter: (at) => shortNumber(ticks.find(([tick]) => isNear(tick, at))?.[1]),
      },
    }),
    yAxis: {type: "value", show: false, min: 0},
    // A root, so that a single expert far off is seen beside thousands.
    series: [
      {
        type: "bar",
        silent: true,
        barWidth: "100%",
        barCategoryGap: "0%",
        data: counts.map((count, i) => ({
          value: [i + 0.5, Math.sqrt(count)],
          itemStyle: {color: colours[i], ...outline},
        })),
      },
    ],
  };
};

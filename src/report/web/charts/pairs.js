import {axis, frame, valueAxis} from "./frame.js";
import {dotLegend} from "./legend.js";

// So many points are drawn faster, and smaller.
const MANY = 3000;

const dots = ({name, points}) => {
  const isMany = points.length > MANY;
  return {
    type: "scatter",
    name,
    data: points,
    silent: true,
    progressive: 0,
    large: true,
    largeThreshold: MANY,
    symbolSize: isMany ? 2.5 : 6,
    itemStyle: {opacity: isMany ? 0.5 : 0.7},
  };
};

/** An axis whose ends, odd numbers, have no label. */
const roundAxis = (name, look, more) => {
  const whole = valueAxis(name, look, more);
  return {...whole, axisLabel: {...whole.axisLabel, showMinLabel: false, showMaxLabel: false}};
};

/**
 * One scheme's error (y) against another one's (x), and the line where both are equal.
 * data: {xName, yName, range: [low, high], series: [{name, points: [[x, y], ...]}]}.
 */
export const pairs = ({xName, yName, range: [min, max], series}, look) => ({
  ...frame({}, look),
  color: look.series,
  grid: {left: 70, right: 16, top: 34, bottom: 48},
  legend: dotLegend(
    series.map(({name}) => name),
    look,
  ),
  xAxis: roundAxis(xName, look, {min, max, nameGap: 28, splitLine: {show: false}}),
  yAxis: roundAxis(yName, look, {min, max, nameGap: 54, splitLine: {show: false}}),
  series: [
    ...series.map(dots),
    {
      type: "line",
      silent: true,
      symbol: "none",
      z: 5,
      data: [
        [min, min],
        [max, max],
      ],
      lineStyle: {color: look.muted, width: 1, type: "dashed"},
    },
  ],
});

/** How often each difference occurs. data: {xName, yName, low, high, counts: number[]}. */
export const differences = ({xName, yName, low, high, counts}, look) => {
  const step = (high - low) / counts.length;
  const bars = counts.map((count, i) => {
    const at = low + (i + 0.5) * step;
    return {value: [at, count], itemStyle: {color: at < 0 ? look.series[0] : look.series[1]}};
  });
  return {
    ...frame({}, look),
    grid: {left: 60, right: 16, top: 34, bottom: 48},
    xAxis: roundAxis(xName, look, {min: low, max: high, nameGap: 28, splitLine: {show: false}}),
    yAxis: axis(yName, look, {
      type: "value",
      nameGap: 44,
      minInterval: 1,
      splitLine: {lineStyle: {color: look.line, opacity: 0.5}},
    }),
    series: [
      {
        type: "bar",
        silent: true,
        barWidth: "96%",
        data: bars,
        markLine: {
          silent: true,
          symbol: "none",
          label: {show: false},
          lineStyle: {color: look.text, width: 1, type: "solid"},
          data: low < 0 && high > 0 ? [{xAxis: 0}] : [],
        },
      },
    ],
  };
};

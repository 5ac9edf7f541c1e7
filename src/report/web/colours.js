// Which colour a value has: the range of the values, linear or logarithmic, the ramp.
import {roundValues} from "./ticks.js";
import {TO_SIGMA, histogram, overall} from "./stats.js";

// If the largest value is so many times the median, linear colours would show nothing but that one.
const LOG_FROM = 10;

const extentOf = (values, isWanted) => {
  let low = Infinity,
    high = -Infinity,
    positive = Infinity;
  for (let i = 0; i < values.length; ++i) {
    const value = values[i];
    if (value !== value || !isWanted(i)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    if (value > 0) positive = Math.min(positive, value);
  }
  return {low, high, positive};
};

// Values nearer to the median than this hardly differ: the span reaches as far on both sides, so that
// noise does not look like contrast.
const LEAST_REACH = 0.1;
// All of them as near as this: nothing stands out.
const ALIKE = 0.03;

/** [below, above] a value, `share` of it away; of decibels, what a share of the size makes. */
const around = (value, share, unit) => {
  if (unit === "dB") return [value + 20 * Math.log10(1 - share), value + 20 * Math.log10(1 + share)];
  return [value - share * Math.abs(value), value + share * Math.abs(value)];
};

const endsOf = ({low, high, positive}, isLog) => {
  if (isLog) return [Math.log10(positive), Math.log10(high)];
  const reach = Math.max(-low, high);
  return low < 0 && high > 0 ? [-reach, reach] : [low, high];
};

/** The extent, with the least reach around the median; values without any spread keep one colour. */
const widened = (extent, median, unit) => {
  if (extent.low === extent.high || (extent.low < 0 && extent.high > 0)) return extent;
  const [below, above] = around(median, LEAST_REACH, unit);
  const low = Math.min(extent.low, below),
    high = Math.max(extent.high, above);
  return {low, high, positive: low > 0 ? Math.min(extent.positive, low) : extent.positive};
};

/**
 * The colours for values[i] with isWanted(i); wish: "linear", "log" or null, as the values are
 * spread; unit: the values'. null if there is no value. `at(t)` is the value at t (0 to 1) of the
 * whole span, `t(value)` the reverse; `areAlike`: no value is far from the median.
 */
export const coloursOf = (values, isWanted, wish, unit) => {
  const measured = extentOf(values, isWanted);
  if (measured.low > measured.high) return null;
  const {
    count,
    at: [median],
  } = overall(values, isWanted, [0.5]);
  const extent = widened(measured, median, unit);
  const canLog = measured.low >= 0 && measured.high > 0;
  const isLog = canLog && (wish ? wish === "log" : measured.high > LOG_FROM * median);
  const [from, to] = endsOf(extent, isLog);
  const [below, above] = around(median, ALIKE, unit);
  // Zero has no logarithm: it counts as the lowest.
  const scaled = (value) => (isLog ? Math.log10(Math.max(value, extent.positive)) : value);
  return {
    isLog,
    canLog,
    median,
    areAlike: count > 1 && below <= measured.low && measured.high <= above,
    near: around(median, LEAST_REACH, unit),
    isSigned: extent.low < 0 && extent.high > 0,
    t: (value) => {
      if (value !== value) return NaN;
      return to === from ? 0.5 : (scaled(value) - from) / (to - from);
    },
    at: (t) => (isLog ? 10 ** (from + t * (to - from)) : from + t * (to - from)),
  };
};

/** Where a value lies in the part [first, last] of the span: 0 to 1, the nearer end outside of it. */
export const shareIn =
  (colours, [first, last]) =>
  (value) =>
    Math.max(0, Math.min(1, (colours.t(value) - first) / (last - first)));

// So far from the median, in robust deviations, a value does not take part in the first range.
const CALM = 8;

/**
 * The part of the span to begin with: all of it, but for the end that is good. An expert whose weights
 * are all zero has no error, and all others would look alike beside it.
 */
export const firstRange = (colours, values, isWanted, worse) => {
  const positions = Float64Array.from(values, colours.t);
  const {
    at: [middle],
  } = overall(positions, isWanted, [0.5]);
  const {
    at: [spread],
  } = overall(
    positions.map((t) => Math.abs(t - middle)),
    isWanted,
    [0.5],
  );
  const reach = CALM * TO_SIGMA * spread;
  if (colours.isSigned || worse === "far" || !(reach > 0)) return [0, 1];
  const [below, above] = colours.near.map(colours.t);
  return worse === "high"
    ? [Math.max(0, Math.min(below, middle - reach)), 1]
    : [0, Math.min(1, Math.max(above, middle + reach))];
};

export const rampOf = (colours, look) => (colours.isSigned ? look.diverging : look.ramp);

/** Counts of `bins` steps of the span. */
export const spreadOf = (colours, values, isWanted, bins) =>
  histogram(Float64Array.from(values, colours.t), isWanted, 0, 1, bins);

/** About `wish` round values to mark on the scale: [[t, value], ...]. */
export const ticksOf = (colours, wish) =>
  roundValues(colours.at(0), colours.at(1), colours.isLog, wish).map((value) => [colours.t(value), value]);

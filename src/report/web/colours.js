// Which colour a value has: the range of the values, linear or logarithmic, the ramp.
import {histogram, overall} from "./stats.js";

// If the largest value is so many times the median, linear colours would show nothing but that one.
const LOG_FROM = 10;

const extentOf = (values, wanted) => {
  let low = Infinity, high = -Infinity, positive = Infinity;
  for (let i = 0; i < values.length; ++i) {
    if (!(values[i] === values[i]) || !wanted(i)) continue;
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
    if (values[i] > 0) positive = Math.min(positive, values[i]);
  }
  return {low, high, positive};
};

/**
 * The colours for values[i] with wanted(i). scale: "linear", "log" or null (as the values are spread).
 * null if there is no value. `at(t)` is the value at t (0 to 1) of the whole span, `t(value)` the reverse.
 */
export const coloursOf = (values, wanted, scale) => {
  const {low, high, positive} = extentOf(values, wanted);
  if (low > high) return null;
  const canLog = low >= 0 && high > 0;
  const middle = overall(values, wanted, [0.5]).at[0];
  const log = canLog && (scale ? scale === "log" : high > LOG_FROM * middle);
  const signed = low < 0 && high > 0;
  const reach = Math.max(-low, high);
  const [from, to] = log ? [Math.log10(positive), Math.log10(high)] : signed ? [-reach, reach] : [low, high];
  return {
    log, canLog, signed, low, high,
    // Zero has no logarithm: it counts as the lowest.
    t: (value) => (to === from ? 0.5 : ((log ? Math.log10(Math.max(value, positive)) : value) - from) / (to - from)),
    at: (t) => (log ? 10 ** (from + t * (to - from)) : from + t * (to - from)),
  };
};

// A value at the end of the range must not fall out of it by rounding.
const SLACK = 1e-9;

/** Where a value lies in the part [first, last] of the span, 0 to 1; NaN outside of it. */
export const shareIn = (colours, [first, last]) => (value) => {
  const share = (colours.t(value) - first) / (last - first || 1);
  if (!(share >= -SLACK && share <= 1 + SLACK)) return NaN;
  return Math.max(0, Math.min(1, share));
};

export const rampOf = (colours, look) => (colours.signed ? look.diverging : look.ramp);

/** Counts of `bins` steps of the span. */
export const spreadOf = (colours, values, wanted, bins) => {
  const positions = new Float64Array(values.length);
  for (let i = 0; i < values.length; ++i) positions[i] = colours.t(values[i]);
  return histogram(positions, wanted, 0, 1, bins);
};

/** Round values to mark on the scale: [[t, value], ...]. */
export const ticksOf = (colours, wish) => {
  const ends = [colours.at(0), colours.at(1)];
  if (ends[0] === ends[1]) return [[0.5, ends[0]]];
  const candidates = colours.log ? decades(ends) : steps(ends, wish);
  const inside = candidates.filter((value) => value >= ends[0] && value <= ends[1]);
  return (inside.length > 1 ? inside : ends).map((value) => [colours.t(value), value]);
};

const decades = ([low, high]) => {
  const powers = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); ++p) powers.push(p);
  const digits = powers.length > 4 ? [1] : [1, 2, 5];
  return powers.flatMap((p) => digits.map((digit) => Number(`${digit}e${p}`)));
};

const steps = ([low, high], wish) => {
  const rough = (high - low) / wish;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({length: Math.floor(high / step + 1e-9) - first + 1}, (_, i) => Number(((first + i) * step).toPrecision(6)));
};

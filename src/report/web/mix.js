// A scheme for each layer, projection and kind of expert: the fewest bits that keep the error under a limit.
import {overall, summarise} from "./stats.js";

export const JUDGES = [["median", "median expert"], ["p90", "90 % of experts"], ["max", "worst expert"]];
const SHARES = {median: 0.5, p90: 0.9, max: 1};
const SHARE_LIST = [0.5, 0.9, 1];
const rowOf = (judge) => SHARE_LIST.indexOf(SHARES[judge]);

const SCALE_BYTES = {fp32: 4};

/** Bits per weight by a scheme's definition, for runs whose tables do not have them; NaN if unknown. */
export const nominalBits = ({mode, bits, group_size: group, compute_dtype: dtype}) => {
  if (mode === "mxfp4" || mode === "mxfp8") return bits + 8 / group;
  if (mode === "nvfp4") return 4.5;
  if (mode === "affine") return bits + (2 * 8 * (SCALE_BYTES[dtype] ?? 2)) / group;
  return NaN;
};

/** Sums of `values` times `weights` over each group, where both are known; and of the weights that counted. */
const weightedMeans = (values, weights, groups) => {
  const means = new Float64Array(groups.count);
  for (let g = 0; g < groups.count; ++g) {
    let sum = 0, total = 0;
    for (let i = groups.begin[g]; i < groups.end[g]; ++i) {
      if (!(values[i] === values[i] && weights[i] === weights[i])) continue;
      sum += values[i] * weights[i];
      total += weights[i];
    }
    means[g] = sum / total;
  }
  return means;
};

const sums = (values, groups) => {
  const result = new Float64Array(groups.count);
  for (let g = 0; g < groups.count; ++g) {
    for (let i = groups.begin[g]; i < groups.end[g]; ++i) if (values[i] === values[i]) result[g] += values[i];
  }
  return result;
};

const storedBits = (run, place) => {
  const bits = run.facts.storages.map((storage) => storage.bits ?? NaN);
  return Float64Array.from(place.storage, (s) => (s < 0 ? NaN : bits[s]));
};

const everyMatrix = () => true;

const schemeNumbers = async (run, place, groups, index) => {
  const scheme = run.facts.schemes[index];
  const [errors, bits] = await Promise.all([run.values("w_rel_fro", index), run.values("bits_per_weight", index)]);
  const means = weightedMeans(bits, place.weights, groups);
  const nominal = nominalBits(scheme);
  let counted = 0;
  for (let g = 0; g < groups.count; ++g) {
    if (means[g] === means[g]) continue;
    means[g] = nominal;
    ++counted;
  }
  const {rows, counts} = summarise(errors, groups, SHARE_LIST);
  return {index, name: scheme.name, bits: means, bitsByDefinition: counted === groups.count && groups.count > 0,
    rows, counts, whole: overall(errors, everyMatrix, SHARE_LIST)};
};

/** What is known of every scheme and group, once for a run: see choose(). */
export const gather = async (run, place) => {
  const groups = place.groups("each");
  const schemes = await Promise.all(run.facts.schemes.map((_, i) => schemeNumbers(run, place, groups, i)));
  const measured = new Int32Array(groups.count);
  for (const {counts} of schemes) for (let g = 0; g < groups.count; ++g) measured[g] = Math.max(measured[g], counts[g]);
  return {groups, schemes, measured, weights: sums(place.weights, groups),
    stored: weightedMeans(storedBits(run, place), place.weights, groups)};
};

/** A group's error under a scheme, as `judge` takes it of its experts. */
export const errorOf = (scheme, judge, g) => scheme.rows[rowOf(judge)][g];

/** The same over all matrices of the run. */
export const wholeError = (scheme, judge) => scheme.whole.at[rowOf(judge)];

// A scheme that failed on a matrix which another one managed is no candidate: its error hides that one.
const isCandidate = (numbers, scheme, g) => scheme.counts[g] > 0 && scheme.counts[g] === numbers.measured[g] &&
  scheme.bits[g] === scheme.bits[g];

const cheapest = (numbers, judge, limit, g) => {
  let best = null;
  for (const scheme of numbers.schemes) {
    if (!isCandidate(numbers, scheme, g) || !(errorOf(scheme, judge, g) <= limit)) continue;
    const order = best && (scheme.bits[g] - best.bits[g] || errorOf(scheme, judge, g) - errorOf(best, judge, g));
    if (!best || order < 0) best = scheme;
  }
  return best;
};

const mostExact = (numbers, judge, g) => {
  let best = null;
  for (const scheme of numbers.schemes) {
    if (isCandidate(numbers, scheme, g) && !(best && errorOf(best, judge, g) <= errorOf(scheme, judge, g))) best = scheme;
  }
  return best;
};

/** Size in bits of `bitsOf(g)` bits for each weight of group g. */
const sizeOf = (numbers, bitsOf) => {
  let bits = 0;
  for (let g = 0; g < numbers.groups.count; ++g) bits += numbers.weights[g] * bitsOf(g);
  return bits;
};

const total = ({weights}) => weights.reduce((sum, w) => sum + w, 0);

/**
 * The choice under a limit: {scheme: Int8Array by group (-1: no scheme has numbers), met: Uint8Array,
 * notMet, unmeasured: how many groups, bytes, bits: per weight}. Where no scheme meets the limit it is the
 * one with the least error; where none has numbers the stored bits count.
 */
export const choose = (numbers, judge, limit) => {
  const {groups} = numbers;
  const scheme = new Int16Array(groups.count), met = new Uint8Array(groups.count);
  const bits = new Float64Array(groups.count);
  let notMet = 0, unmeasured = 0;
  for (let g = 0; g < groups.count; ++g) {
    const found = cheapest(numbers, judge, limit, g);
    const taken = found ?? mostExact(numbers, judge, g);
    met[g] = found ? 1 : 0;
    scheme[g] = taken ? taken.index : -1;
    bits[g] = taken ? taken.bits[g] : numbers.stored[g];
    if (!taken) ++unmeasured;
    else if (!found) ++notMet;
  }
  const size = sizeOf(numbers, (g) => bits[g]);
  return {scheme, met, bits, notMet, unmeasured, bytes: size / 8, bitsPerWeight: size / total(numbers)};
};

/** One scheme for everything: {bytes, bitsPerWeight, over: groups above the limit, missing: without all numbers}. */
export const single = (numbers, scheme, judge, limit) => {
  let over = 0, missing = 0;
  for (let g = 0; g < numbers.groups.count; ++g) {
    if (!isCandidate(numbers, scheme, g)) ++missing;
    else if (errorOf(scheme, judge, g) > limit) ++over;
  }
  const size = sizeOf(numbers, (g) => scheme.bits[g]);
  return {bytes: size / 8, bitsPerWeight: size / total(numbers), over, missing};
};

export const storedSize = (numbers) => {
  const size = sizeOf(numbers, (g) => numbers.stored[g]);
  return {bytes: size / 8, bitsPerWeight: size / total(numbers)};
};

const niceBelow = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return Number((Math.max(1, Math.floor(value / power * 2) / 2) * power).toPrecision(2));
};

/** Ends of the slider and a limit to begin with: 0.1, if it parts the schemes, else one that does. */
export const limitRange = (numbers) => {
  const errors = numbers.schemes.flatMap((s) => [s.whole.at[0], s.whole.at[2]]).filter((e) => e > 0);
  if (!errors.length) return null;
  const low = Math.min(...errors) / 2, high = Math.max(...errors) * 1.2;
  const medians = numbers.schemes.map((s) => s.whole.at[0]).filter((e) => e > 0).sort((a, b) => a - b);
  const parts = medians.length < 2 ? medians[0] > 0.1 : medians[0] < 0.1 && medians.at(-1) > 0.1;
  const middle = Math.sqrt(medians[0] * (medians.at(-1) ?? medians[0]));
  return {low, high, start: parts ? 0.1 : niceBelow(Math.max(middle, low))};
};

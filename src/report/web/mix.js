// A scheme for each layer, projection and kind of expert: the fewest bits that keep the error under
// a limit.
import {hasValue, overall, summarise} from "./stats.js";

export const ERROR = "w_rel_fro";

/** What a layer is judged by: key, words, share of its experts whose error is no larger. */
export const JUDGES = [
  ["median", "median expert", 0.5],
  ["p90", "90 % of experts", 0.9],
  ["max", "worst expert", 1],
];
export const SHARES = JUDGES.map(([, , share]) => share);
export const judgeIndex = (judge) => JUDGES.findIndex(([key]) => key === judge);
export const judgeWords = (judge) => JUDGES[judgeIndex(judge)][1];

/** Means of `values` by group, each weighing as many as it has weights; NaN of none. */
const weightedMeans = (values, weights, groups) => {
  const means = new Float64Array(groups.count);
  for (let g = 0; g < groups.count; ++g) {
    let sum = 0,
      total = 0;
    for (let i = groups.begin[g]; i < groups.end[g]; ++i) {
      if (values[i] !== values[i]) continue;
      sum += values[i] * weights[i];
      total += weights[i];
    }
    means[g] = sum / total;
  }
  return means;
};

const sums = (values, groups) =>
  Float64Array.from({length: groups.count}, (_, g) =>
    values.subarray(groups.begin[g], groups.end[g]).reduce((sum, value) => sum + value, 0),
  );

const storedBits = ({facts}, place) => Float64Array.from(place.storage, (s) => facts.storages[s].bits ?? NaN);

const everyMatrix = () => true;

const schemeNumbers = async (run, place, groups, index) => {
  const [errors, bits] = await Promise.all([run.values(ERROR, index), run.values("bits_per_weight", index)]);
  return {
    index,
    name: run.facts.schemes[index].name,
    bits: weightedMeans(bits, place.weights, groups),
    ...summarise(errors, groups, SHARES),
    whole: overall(errors, everyMatrix, SHARES).at,
  };
};

/**
 * What choose() needs, once for a run: {groups, weights, stored, measured: by group; schemes}. A
 * scheme has `bits`, `rows` (errors, by judge) and `counts` by group, and `whole`, its errors over
 * all matrices by judge.
 */
export const gather = async (run, place) => {
  const groups = place.groups("each");
  const schemes = await Promise.all(
    run.facts.schemes.map((_, index) => schemeNumbers(run, place, groups, index)),
  );
  const measured = Int32Array.from({length: groups.count}, (_, g) =>
    Math.max(0, ...schemes.map(({counts}) => counts[g])),
  );
  return {
    groups,
    schemes,
    measured,
    weights: sums(place.weights, groups),
    stored: weightedMeans(storedBits(run, place), place.weights, groups),
  };
};

/** A group's error under a scheme, as `judge` takes it of its experts. */
export const errorOf = (scheme, judge, g) => scheme.rows[judgeIndex(judge)][g];

// A scheme that failed on a matrix which another one managed is no candidate: its error hides it.
const isCandidate = ({measured}, scheme, g) =>
  scheme.counts[g] > 0 && scheme.counts[g] === measured[g] && scheme.bits[g] === scheme.bits[g];

/** The first of `schemes` by (score, tie); null of none. */
const leastOf = (schemes, score, tie) =>
  schemes.reduce((best, scheme) => {
    const order = best === null ? -1 : score(scheme) - score(best) || tie(scheme) - tie(best);
    return order < 0 ? scheme : best;
  }, null);

const chooseFor = (numbers, judge, limit, g) => {
  const candidates = numbers.schemes.filter((scheme) => isCandidate(numbers, scheme, g));
  const error = (scheme) => errorOf(scheme, judge, g),
    bits = (scheme) => scheme.bits[g];
  const under = candidates.filter((scheme) => error(scheme) <= limit);
  return under.length
    ? {scheme: leastOf(under, bits, error), isMet: true}
    : {scheme: leastOf(candidates, error, bits), isMet: false};
};

/** {bytes, bitsPerWeight} of bits[g] bits for each weight of group g. */
const sizeOf = ({weights}, bits) => {
  let size = 0,
    total = 0;
  for (let g = 0; g < weights.length; ++g) {
    size += weights[g] * bits[g];
    total += weights[g];
  }
  return {bytes: size / 8, bitsPerWeight: size / total};
};

/**
 * The choice under a limit: {scheme: index by group, -1 where none has numbers; met, bits: by group;
 * notMet, unmeasured: how many groups; bytes, bitsPerWeight}. Where no scheme meets the limit it is
 * the one with the least error; where none has numbers the stored bits count.
 */
export const choose = (numbers, judge, limit) => {
  const {count} = numbers.groups;
  const scheme = new Int32Array(count),
    met = new Uint8Array(count),
    bits = new Float64Array(count);
  let notMet = 0,
    unmeasured = 0;
  for (let g = 0; g < count; ++g) {
    const taken = chooseFor(numbers, judge, limit, g);
    met[g] = taken.isMet ? 1 : 0;
    scheme[g] = taken.scheme?.index ?? -1;
    bits[g] = taken.scheme?.bits[g] ?? numbers.stored[g];
    if (!taken.scheme) ++unmeasured;
    else if (!taken.isMet) ++notMet;
  }
  return {scheme, met, bits, notMet, unmeasured, ...sizeOf(numbers, bits)};
};

/** Where a scheme has no size, what is stored counts; a scheme that failed everywhere has none. */
const sizeOfScheme = (numbers, {bits}) =>
  sizeOf(numbers, hasValue(bits) ? bits.map((b, g) => (b === b ? b : numbers.stored[g])) : bits);

/**
 * One scheme for all: {bytes, bitsPerWeight; over, failed: how many groups are above the limit, are
 * not done though another scheme did them}.
 */
export const single = (numbers, scheme, judge, limit) => {
  let over = 0,
    failed = 0;
  for (let g = 0; g < numbers.groups.count; ++g) {
    if (!numbers.measured[g]) continue;
    if (!isCandidate(numbers, scheme, g)) ++failed;
    else if (errorOf(scheme, judge, g) > limit) ++over;
  }
  return {over, failed, ...sizeOfScheme(numbers, scheme)};
};

export const storedSize = (numbers) => sizeOf(numbers, numbers.stored);

/** Errors of all matrices, each under the scheme chosen for it, by judge. */
export const errorsOfChoice = async (run, {groups, schemes}, chosen) => {
  const columns = await Promise.all(schemes.map(({index}) => run.values(ERROR, index)));
  const errors = new Float64Array(run.matrices).fill(NaN);
  for (let g = 0; g < groups.count; ++g) {
    const [begin, end] = [groups.begin[g], groups.end[g]];
    if (chosen.scheme[g] >= 0) errors.set(columns[chosen.scheme[g]].subarray(begin, end), begin);
  }
  return overall(errors, everyMatrix, SHARES).at;
};

const twoDigitsBelow = (value) => {
  const power = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.floor(value / power) * power).toPrecision(2));
};

// A tenth of the weights' size: about what 4-bit schemes leave.
const USUAL_LIMIT = 0.1;

/** Ends of the slider and a limit to begin with that parts the schemes; null without errors. */
export const limitRange = ({schemes}) => {
  const errors = schemes.flatMap(({whole}) => whole).filter((error) => error > 0);
  const medians = schemes.map(({whole}) => whole[0]).filter((error) => error > 0);
  if (!medians.length) return null;
  const low = Math.min(...medians),
    high = Math.max(...medians);
  const parts = low < USUAL_LIMIT && USUAL_LIMIT < high;
  return {
    low: Math.min(...errors) / 2,
    high: Math.max(...errors) * 1.2,
    start: parts ? USUAL_LIMIT : twoDigitsBelow(Math.sqrt(low * high)),
  };
};

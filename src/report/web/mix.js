// A scheme for each layer, projection and kind of expert: as good as one for all in the fewest bits, the
// least error in a size, or the fewest bits under a limit. What is best was found before
// (src/insight/choice.h); here stands which of that was asked for, and what it amounts to.
//
// A choice: {scheme: index by group, -1 where none has numbers; met, bits: by group; notMet, unmeasured:
// how many groups; bytes, bitsPerWeight; error}. Where none has numbers the stored bits count. `error` is
// the root of the mean of squared relative errors, each matrix weighing as much as it has weights.
import {hasValue, medianOf, overall, summarise} from "./stats.js";

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

const schemeNumbers = async (run, place, groups, fits, index) => {
  const [errors, bits] = await Promise.all([run.values(ERROR, index), run.values("bits_per_weight", index)]);
  return {
    ...run.facts.schemes[index],
    index,
    fits,
    codeBits: run.facts.schemes[index].bits,
    squares: weightedMeans(
      errors.map((error) => error * error),
      place.weights,
      groups,
    ),
    bits: weightedMeans(bits, place.weights, groups),
    ...summarise(errors, groups, SHARES),
    whole: overall(errors, everyMatrix, SHARES).at,
  };
};

/**
 * What choices are made of, once for a run: {groups, weights, stored, measured: by group; schemes; and as
 * choice_data.h has them fronts, reference, uniform, good, budgets, realSaving}. A scheme has `bits`,
 * `squares` (of errors, their mean), `rows` (errors, by judge), `counts` and `fits` by group, and `whole`,
 * its errors over all matrices by judge.
 */
export const gather = async (run, place) => {
  const groups = place.groups("each");
  const {fits, real_saving: realSaving, ...best} = await run.choice();
  const schemes = await Promise.all(
    run.facts.schemes.map((_, index) => schemeNumbers(run, place, groups, fits[index], index)),
  );
  const measured = Int32Array.from({length: groups.count}, (_, g) =>
    Math.max(0, ...schemes.map(({counts}) => counts[g])),
  );
  return {
    ...best,
    realSaving,
    groups,
    schemes,
    measured,
    weights: sums(place.weights, groups),
    stored: weightedMeans(storedBits(run, place), place.weights, groups),
  };
};

/** A group's error under a scheme, as `judge` takes it of its experts. */
export const errorOf = (scheme, judge, g) => scheme.rows[judgeIndex(judge)][g];

// What misses a limit by so little has met it: the next scheme costs many bits.
export const TOLERANCE = 0.03;

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

const errorOfAll = ({schemes, weights}, taken) => {
  let sum = 0,
    total = 0;
  taken.forEach((index, g) => {
    if (index < 0) return;
    sum += schemes[index].squares[g] * weights[g];
    total += weights[g];
  });
  return Math.sqrt(sum / total);
};

/** The choice that takes `taken` (scheme by group), `met` where it keeps a limit. */
const choiceOf = (numbers, taken, met) => {
  const bits = Float64Array.from(taken, (index, g) =>
    index < 0 ? numbers.stored[g] : numbers.schemes[index].bits[g],
  );
  const count = (is) => taken.reduce((n, index, g) => n + (is(index, g) ? 1 : 0), 0);
  return {
    scheme: taken,
    met,
    bits,
    notMet: count((index, g) => index >= 0 && !met[g]),
    unmeasured: count((index) => index < 0),
    error: errorOfAll(numbers, taken),
    ...sizeOf(numbers, bits),
  };
};

const everyGroup = ({groups}, schemeOf) => Int32Array.from({length: groups.count}, (_, g) => schemeOf(g));
const allMet = ({groups}) => new Uint8Array(groups.count).fill(1);

/** The choice under a limit: the first of each group's front; where none meets it, the one with the least error. */
export const chooseUnder = (numbers, judge, limit) => {
  const isUnder = (g) => (index) => errorOf(numbers.schemes[index], judge, g) <= limit * (1 + TOLERANCE);
  const fronts = numbers.fronts[judgeIndex(judge)];
  const taken = Int32Array.from(fronts, (front, g) => front.find(isUnder(g)) ?? front.at(-1) ?? -1);
  const met = Uint8Array.from(taken, (index, g) => (index >= 0 && isUnder(g)(index) ? 1 : 0));
  return choiceOf(numbers, taken, met);
};

// ---- mixtures of the best trade-offs ----

/** One scheme wherever it fits; elsewhere what is stored stays. */
export const alone = (numbers, scheme) =>
  choiceOf(
    numbers,
    everyGroup(numbers, (g) => (scheme.fits[g] ? scheme.index : -1)),
    allMet(numbers),
  );

/** The schemes that have numbers somewhere. */
export const knownSchemes = ({schemes}) => schemes.filter(({bits}) => hasValue(bits));

/** How many matrices have an error under the scheme that a choice takes for them. */
export const fittedBy = ({schemes}, {scheme}) =>
  scheme.reduce((sum, index, g) => sum + (index < 0 ? 0 : schemes[index].counts[g]), 0);

/** The error of a choice over the groups for which `other` takes a scheme. */
export const errorWhere = (numbers, {scheme}, other) =>
  errorOfAll(
    numbers,
    scheme.map((index, g) => (other.scheme[g] < 0 ? -1 : index)),
  );

/** One scheme for all; where it does not fit, the one nearest to it in bits. */
export const uniform = (numbers, scheme) => ({
  ...choiceOf(numbers, Int32Array.from(numbers.uniform[scheme.index]), allMet(numbers)),
  base: scheme.index,
});

/** Whether a choice has another scheme than its base somewhere. */
export const isMixed = ({scheme, base}) => scheme.some((index) => index >= 0 && index !== base);

/** The index of the other scheme that takes most nearly as many bits as scheme `index`. */
export const nearestTo = ({schemes}, index) => {
  const usual = schemes.map(({bits}) => medianOf(bits, 0, bits.length));
  const away = (s) => Math.abs(usual[s] - usual[index]) || 0;
  return schemes
    .map((_, s) => s)
    .filter((s) => s !== index)
    .sort((a, b) => away(a) - away(b))[0];
};

/** Whether it is affine, 4 bits in groups of 64. */
export const isUsual = ({mode, codeBits, group_size: size}) =>
  mode === "affine" && codeBits === 4 && size === 64;

/**
 * The fewest bits that are as good as the reference alone. `base` of the result is the scheme that it
 * starts from, `saves` the share that the mixture saves, which is not taken if that is nothing real.
 */
export const chooseAsGood = (numbers) => {
  const {scheme, ...more} = numbers.good;
  return {...choiceOf(numbers, Int32Array.from(scheme), allMet(numbers)), ...more};
};

/** The schemes of budget k: each budget tells what it changes. */
const schemesOfBudget = ({groups, budgets}, k) => {
  const taken = new Int32Array(groups.count).fill(-1);
  for (const {changes} of budgets.slice(0, k + 1)) {
    for (let i = 0; i < changes.length; i += 2) taken[changes[i]] = changes[i + 1];
  }
  return taken;
};

/** The least error in bytes that fit; `isTooLarge` if even the fewest bits take more. */
export const chooseInSize = (numbers, fits) => {
  const {budgets} = numbers;
  const k = Math.max(
    0,
    budgets.findLastIndex(({from}, i) => i > 0 && fits(from)),
  );
  const {base, saves} = budgets[k];
  return {
    ...choiceOf(numbers, schemesOfBudget(numbers, k), allMet(numbers)),
    base,
    saves,
    isTooLarge: k === 0,
  };
};

/** What each scheme beside the base does: [{scheme, groups, bytes, error}], changes against the base. */
export const stepsFrom = (numbers, chosen) => {
  if (chosen.base === null || chosen.base === undefined) return [];
  const base = uniform(numbers, numbers.schemes[chosen.base]);
  return numbers.schemes
    .map((scheme) => {
      const isMine = (g) => chosen.scheme[g] === scheme.index && base.scheme[g] !== scheme.index;
      const alone = choiceOf(
        numbers,
        base.scheme.map((own, g) => (isMine(g) ? scheme.index : own)),
        allMet(numbers),
      );
      const groups = [...chosen.scheme.keys()].filter(isMine).length;
      return {scheme, groups, bytes: alone.bytes - base.bytes, error: alone.error / base.error - 1};
    })
    .filter(({groups}) => groups);
};

/** Mean bits per weight of a choice where it takes a scheme. */
export const bitsTaken = ({weights}, {scheme, bits}) => {
  const taken = (g) => (scheme[g] < 0 ? 0 : weights[g]);
  return sizeOf(
    {weights: weights.map((_, g) => taken(g))},
    bits.map((b, g) => (taken(g) ? b : 0)),
  ).bitsPerWeight;
};

/** Mean bits per weight of a scheme over the groups that count and where it has them. */
export const meanBits = ({groups, weights}, scheme, isWanted) => {
  let sum = 0,
    total = 0;
  for (let g = 0; g < groups.count; ++g) {
    if (!isWanted(g) || scheme.bits[g] !== scheme.bits[g]) continue;
    sum += scheme.bits[g] * weights[g];
    total += weights[g];
  }
  return sum / total;
};

/** The scheme that most weights take, null if none does. */
export const mostTaken = ({schemes, weights}, chosen) => {
  const taken = schemes.map(({index}) =>
    chosen.scheme.reduce((sum, scheme, g) => sum + (scheme === index ? weights[g] : 0), 0),
  );
  const most = Math.max(...taken);
  return most > 0 ? taken.indexOf(most) : null;
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
    if (!scheme.fits[g]) ++failed;
    else if (errorOf(scheme, judge, g) > limit * (1 + TOLERANCE)) ++over;
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

// Numbers about groups of matrices. A column is a Float64Array with NaN for null; matrices are
// sorted by projection, layer and slot, so that a group is a range of them and only what is sorted
// is copied.

/**
 * Ranges of matrices of one projection and layer, as Int32Arrays: {count, begin, end, proj, layer,
 * shared}. kind "routed" or "shared" leaves the others out, "each" makes groups of both, "all" puts
 * them together.
 */
export const groupsOf = ({proj, layer, shared}, kind) => {
  const begin = [],
    end = [];
  const isWanted = (i) => kind === "all" || kind === "each" || (shared[i] === 1) === (kind === "shared");
  const goesOn = (i) => {
    const first = begin.at(-1);
    return (
      end.at(-1) === i &&
      proj[first] === proj[i] &&
      layer[first] === layer[i] &&
      (kind === "all" || shared[first] === shared[i])
    );
  };
  for (let i = 0; i < proj.length; ++i) {
    if (!isWanted(i)) continue;
    if (goesOn(i)) {
      end[end.length - 1] = i + 1;
    } else {
      begin.push(i);
      end.push(i + 1);
    }
  }
  const of = (column) => Int32Array.from(begin, (i) => column[i]);
  return {
    count: begin.length,
    begin: Int32Array.from(begin),
    end: Int32Array.from(end),
    proj: of(proj),
    layer: of(layer),
    shared: of(shared),
  };
};

/** The value below which a share of sorted[0, length) lies, interpolated linearly as NumPy does. */
const quantile = (sorted, length, share) => {
  if (length === 0) return NaN;
  const at = share * (length - 1);
  const low = Math.floor(at);
  if (low + 1 >= length) return sorted[low];
  return sorted[low] + (sorted[low + 1] - sorted[low]) * (at - low);
};

/** f of values[begin, end) where it is a number, sorted, in `room`; returns how many. */
const sortInto = (room, values, begin, end, f = (value) => value) => {
  let length = 0;
  for (let i = begin; i < end; ++i) {
    const value = f(values[i]);
    if (value === value) room[length++] = value;
  }
  room.subarray(0, length).sort();
  return length;
};

const roomFor = ({count, begin, end}) => {
  let longest = 0;
  for (let g = 0; g < count; ++g) longest = Math.max(longest, end[g] - begin[g]);
  return new Float64Array(longest);
};

/** By share of `shares` a Float64Array by group; and `counts`, how many values are not null. */
export const summarise = (values, groups, shares) => {
  const room = roomFor(groups);
  const rows = shares.map(() => new Float64Array(groups.count));
  const counts = new Int32Array(groups.count);
  for (let g = 0; g < groups.count; ++g) {
    counts[g] = sortInto(room, values, groups.begin[g], groups.end[g]);
    shares.forEach((share, s) => {
      rows[s][g] = quantile(room, counts[g], share);
    });
  }
  return {rows, counts};
};

/** Quantiles of all values[i] for which isWanted(i). */
export const overall = (values, isWanted, shares) => {
  let length = 0;
  const room = new Float64Array(values.length);
  for (let i = 0; i < values.length; ++i) {
    if (values[i] === values[i] && isWanted(i)) room[length++] = values[i];
  }
  room.subarray(0, length).sort();
  return {count: length, at: shares.map((share) => quantile(room, length, share))};
};

export const hasValue = (values) => values.some((value) => value === value);

// ---- how far from the others ----

// The median distance from the median, times this, is a normal distribution's standard deviation.
export const TO_SIGMA = 1.4826;

// Zero, a dead expert's, is as far as can be.
const positiveLog = (value) => (value >= 0 ? Math.log(value) : NaN);
const itself = (value) => value;

/**
 * What distances are measured in: logarithms, as findings are, so that half and twice are as far;
 * the values themselves where they have a sign, or are logarithms already.
 */
export const distanceScale = (values, unit) =>
  unit === "dB" || values.some((value) => value < 0) ? itself : positiveLog;

/** A function that tells how many robust standard deviations a value lies from the median of
 * values[begin, end); NaN if most of them are equal. */
export const deviationIn = (values, begin, end, scale, room = new Float64Array(end - begin)) => {
  const middle = quantile(room, sortInto(room, values, begin, end, scale), 0.5);
  const distance = (value) => Math.abs(scale(value) - middle);
  const spread = TO_SIGMA * quantile(room, sortInto(room, values, begin, end, distance), 0.5);
  const isKnown = Number.isFinite(middle) && spread > 0 && spread < Infinity;
  return (value) => (isKnown ? (scale(value) - middle) / spread : NaN);
};

/** deviationIn() of each value in its group. */
export const deviations = (values, groups, scale) => {
  const room = roomFor(groups);
  const result = new Float64Array(values.length).fill(NaN);
  for (let g = 0; g < groups.count; ++g) {
    const [begin, end] = [groups.begin[g], groups.end[g]];
    const deviation = deviationIn(values, begin, end, scale, room);
    for (let i = begin; i < end; ++i) result[i] = deviation(values[i]);
  }
  return result;
};

export const medianOf = (values, begin, end) => {
  const room = new Float64Array(end - begin);
  return quantile(room, sortInto(room, values, begin, end), 0.5);
};

// ---- the worst, the best, how many ----

/** The `limit` indices below `length` with the largest score(i), largest first; never a NaN. */
export const largest = (length, score, limit) => {
  const best = [],
    scores = [];
  for (let i = 0; i < length; ++i) {
    const mine = score(i);
    if (mine !== mine || (best.length === limit && !(mine > scores[limit - 1]))) continue;
    let at = best.length;
    while (at > 0 && scores[at - 1] < mine) --at;
    best.splice(at, 0, i);
    scores.splice(at, 0, mine);
    best.length = scores.length = Math.min(limit, best.length);
  }
  return best;
};

/** Of points {bits, error} those that no other one beats in both, by rising bits. */
export const front = (points) => {
  const sorted = points
    .filter(({bits, error}) => bits === bits && error === error)
    .sort((a, b) => a.bits - b.bits || a.error - b.error);
  let least = Infinity;
  return sorted.filter(({error}) => {
    const isBetter = error < least;
    least = Math.min(least, error);
    return isBetter;
  });
};

/** The items of a list by keyOf(item), as a Map of lists. */
export const grouped = (list, keyOf) => {
  const groups = new Map();
  for (const item of list) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
};

/** How many of the wanted values fall in each of `bins` equal steps from low to high, ends too. */
export const histogram = (values, isWanted, low, high, bins) => {
  const counts = new Array(bins).fill(0);
  const scale = bins / (high - low);
  for (let i = 0; i < values.length; ++i) {
    const value = values[i];
    if (!(value >= low && value <= high) || !isWanted(i)) continue;
    ++counts[Math.min(bins - 1, Math.floor((value - low) * scale))];
  }
  return counts;
};

// Numbers about groups of matrices. A column is a Float64Array with NaN for null; matrices are sorted by
// projection, layer and slot, so that a group is a range of them and nothing is copied but what is sorted.

export const KINDS = ["all", "routed", "shared"];

/**
 * Ranges of matrices of one projection and layer: {count, begin, end, proj, layer, shared}, Int32Arrays.
 * kind "routed" or "shared" leaves the others out; "each" makes groups of both; "all" puts them together.
 */
export const groupsOf = (place, kind) => {
  const begin = [], end = [], key = [];
  const {proj, layer, shared} = place;
  const wanted = (i) => kind === "all" || kind === "each" || (shared[i] === 1) === (kind === "shared");
  for (let i = 0; i < proj.length; ++i) {
    if (!wanted(i)) continue;
    const last = key.at(-1);
    const same = last !== undefined && proj[last] === proj[i] && layer[last] === layer[i] &&
      end.at(-1) === i && (kind === "all" || shared[last] === shared[i]);
    if (same) end[end.length - 1] = i + 1;
    else {
      begin.push(i);
      end.push(i + 1);
      key.push(i);
    }
  }
  const of = (column) => Int32Array.from(key, (i) => column[i]);
  return {count: key.length, begin: Int32Array.from(begin), end: Int32Array.from(end), proj: of(proj),
    layer: of(layer), shared: of(shared)};
};

/** The value below which a share of sorted[0, length) lies, interpolated linearly as NumPy does. */
export const quantile = (sorted, length, share) => {
  if (length === 0) return NaN;
  const at = share * (length - 1);
  const low = Math.floor(at);
  return low + 1 < length ? sorted[low] + (sorted[low + 1] - sorted[low]) * (at - low) : sorted[low];
};

/** values[begin, end) that are not null, sorted, in `room`; returns how many. */
const sortInto = (room, values, begin, end) => {
  let length = 0;
  for (let i = begin; i < end; ++i) if (values[i] === values[i]) room[length++] = values[i];
  room.subarray(0, length).sort();
  return length;
};

const roomFor = (groups) => {
  let longest = 0;
  for (let g = 0; g < groups.count; ++g) longest = Math.max(longest, groups.end[g] - groups.begin[g]);
  return new Float64Array(longest);
};

/** For each share of `shares` a Float64Array by group, and `counts`, the values that are not null. */
export const summarise = (values, groups, shares) => {
  const room = roomFor(groups);
  const rows = shares.map(() => new Float64Array(groups.count));
  const counts = new Int32Array(groups.count);
  for (let g = 0; g < groups.count; ++g) {
    counts[g] = sortInto(room, values, groups.begin[g], groups.end[g]);
    for (let s = 0; s < shares.length; ++s) rows[s][g] = quantile(room, counts[g], shares[s]);
  }
  return {rows, counts};
};

/** quantiles of all values[i] for which wanted(i). */
export const overall = (values, wanted, shares) => {
  let length = 0;
  const room = new Float64Array(values.length);
  for (let i = 0; i < values.length; ++i) {
    if (values[i] === values[i] && wanted(i)) room[length++] = values[i];
  }
  room.subarray(0, length).sort();
  return {count: length, at: shares.map((share) => quantile(room, length, share))};
};

// The median absolute deviation of a normal distribution is its standard deviation divided by this.
const MAD_TO_SIGMA = 1.4826;

/** {middle, spread} of values[begin, end): the median, and the median deviation as a standard deviation. */
export const robust = (values, begin, end, room = new Float64Array(end - begin)) => {
  const middle = quantile(room, sortInto(room, values, begin, end), 0.5);
  let length = 0;
  for (let i = begin; i < end; ++i) if (values[i] === values[i]) room[length++] = Math.abs(values[i] - middle);
  room.subarray(0, length).sort();
  return {middle, spread: MAD_TO_SIGMA * quantile(room, length, 0.5)};
};

/** How many robust standard deviations each value lies from its group's median; null where most are equal. */
export const deviations = (values, groups) => {
  const room = roomFor(groups);
  const result = new Float64Array(values.length).fill(NaN);
  for (let g = 0; g < groups.count; ++g) {
    const {middle, spread} = robust(values, groups.begin[g], groups.end[g], room);
    for (let i = groups.begin[g]; i < groups.end[g]; ++i) {
      if (spread > 0) result[i] = (values[i] - middle) / spread;
    }
  }
  return result;
};

/** The `limit` indices with the largest score(i), largest first; NaN is never among them. */
export const largest = (length, score, limit) => {
  const best = [], scores = [];
  for (let i = 0; i < length; ++i) {
    const mine = score(i);
    if (!(mine === mine) || (best.length === limit && !(mine > scores[limit - 1]))) continue;
    let at = best.length;
    while (at > 0 && scores[at - 1] < mine) --at;
    best.splice(at, 0, i);
    scores.splice(at, 0, mine);
    if (best.length > limit) {
      best.pop();
      scores.pop();
    }
  }
  return best;
};

/** Of points {bits, error} those that no other one beats in both, by rising bits. */
export const front = (points) => {
  const sorted = points.filter(({bits, error}) => bits === bits && error === error)
    .sort((a, b) => a.bits - b.bits || a.error - b.error);
  let best = Infinity;
  return sorted.filter(({error}) => error < best && ((best = error), true));
};

/** How many of values fall into each of `bins` equal steps from low to high; the ends count in. */
export const histogram = (values, wanted, low, high, bins) => {
  const counts = new Float64Array(bins);
  const step = bins / (high - low);
  for (let i = 0; i < values.length; ++i) {
    const value = values[i];
    if (!(value >= low && value <= high) || !wanted(i)) continue;
    ++counts[Math.min(bins - 1, Math.floor((value - low) * step))];
  }
  return counts;
};

// Round values to mark on an axis.

const decades = (low, high) => {
  const powers = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); ++p) powers.push(p);
  const digits = powers.length > 4 ? [1] : [1, 2, 5];
  return powers.flatMap((p) => digits.map((digit) => Number(`${digit}e${p}`)));
};

const steps = (low, high, wish) => {
  const rough = (high - low) / wish;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= rough);
  const list = [];
  for (let k = Math.ceil(low / step); k <= Math.floor(high / step); ++k) {
    list.push(Number((k * step).toPrecision(6)));
  }
  return list;
};

/** About `wish` round values from low to high; the ends where there are no two. */
export const roundValues = (low, high, isLog, wish) => {
  if (low === high) return [low];
  const all = isLog ? decades(low, high) : steps(low, high, wish);
  const inside = all.filter((value) => value >= low && value <= high);
  return inside.length > 1 ? inside : [low, high];
};

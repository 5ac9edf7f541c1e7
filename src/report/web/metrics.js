// What each metric is called, what it means to a reader, and which way is bad.

// label, worse, meaning. worse: "high", "low", or "far": neither is bad in itself, but far from the
// neighbours is a sign.
const KNOWN = {
  w_rel_fro: [
    "Relative error",
    "high",
    "Size of the quantization error relative to the size of the weights: 0.1 means that the error is " +
      "a tenth as large as what it spoils.",
  ],
  w_rel_max: [
    "Largest error, relative",
    "high",
    "The largest error of a single weight, relative to the largest weight.",
  ],
  max_abs_err: ["Largest error", "high", "The largest error of a single weight."],
  sqnr_db: [
    "Signal to noise",
    "low",
    "The relative error in decibels: 20 dB is an error of a tenth, 40 dB of a hundredth; each " +
      "well-spent bit gains about 6.",
  ],
  zero_share: [
    "Weights that become zero",
    "high",
    "Share of the weights that quantization turns into zero. Near 1, the scale was too coarse for the " +
      "matrix.",
  ],
  clip_share: [
    "Weights that are clipped",
    "high",
    "Share of the weights that lie outside of what the codes reach, and are moved to the end of the " +
      "range.",
  ],
  bits_per_weight: [
    "Bits per weight",
    "high",
    "What storing one weight costs, scales and zero points included.",
  ],
  scale_mean: [
    "Mean scale",
    "far",
    "Mean of the scales, the step sizes of the groups. Affine scales have a sign and cancel: see the " +
      "mean size of the scales.",
  ],
  scale_max: ["Largest scale", "far", "The coarsest step of any group."],
  scale_abs_mean: ["Mean size of the scales", "far", "How coarse the steps of the groups are on average."],
  scale_abs_max: ["Largest size of a scale", "far", "The coarsest step of any group, without its sign."],
  bias_mean: ["Mean bias", "far", "Mean of the offsets that affine schemes store beside each scale."],
  bias_max: ["Largest bias", "far", "Largest of the offsets that affine schemes store beside each scale."],
  mean: ["Mean weight", "far", "Average of the weights. Close to zero in nearly all matrices."],
  std: ["Spread of the weights", "far", "Standard deviation of the weights."],
  mean_abs: ["Mean magnitude", "far", "Average size of a weight without its sign."],
  rms: [
    "RMS",
    "far",
    "Root mean square, the typical size of a weight. An expert far below its neighbours may never " +
      "have been trained.",
  ],
  max_abs: [
    "Largest weight",
    "high",
    "The largest weight without its sign. One that towers over the rest makes its whole group coarse.",
  ],
  outlier_max_over_mean: [
    "Largest over mean weight",
    "high",
    "How many times the mean magnitude the largest weight is. Weights close to normal have 5 to 7.",
  ],
  nonfinite_count: [
    "NaN and infinite weights",
    "high",
    "Weights that are no number. A matrix with any has no other statistics.",
  ],
  storage_bits_per_weight: [
    "Stored bits per weight",
    "far",
    "What one weight costs in the checkpoint as it is, scales included.",
  ],
};

// Column names drop the point: 999 is 99.9.
const percentile = (digits) =>
  digits.length > 2 && digits !== "100" ? `${digits.slice(0, 2)}.${digits.slice(2)}` : digits;

const PATTERNS = [
  [
    /^p(\d+)_abs$/,
    (p) => [
      `${percentile(p)} % of |w| lie below`,
      "far",
      `The size that ${percentile(p)} % of the weights do not exceed.`,
    ],
  ],
  [
    /^outlier_p(\d+)_over_median$/,
    (p) => [
      `${percentile(p)} % percentile over median`,
      "high",
      "How heavy the tail is: a large weight over a typical one. Normal weights have 3.8 at 99 % and " +
        "4.9 at 99.9 %.",
    ],
  ],
  [
    /^g(\d+)_p(\d+)_outlier$/,
    (size, p) => [
      `Outliers in groups of ${size}, ${percentile(p)} %`,
      "high",
      `In groups of ${size} weights that share one scale: the largest weight over the mean ` +
        `one. ${percentile(p)} % of the groups have less.`,
    ],
  ],
  [
    /^g(\d+)_max_outlier$/,
    (size) => [
      `Outliers in groups of ${size}, worst`,
      "high",
      `In groups of ${size} weights that share one scale: the largest weight over the mean one, in ` +
        "the worst group.",
    ],
  ],
];

const described = (name) => {
  if (Object.hasOwn(KNOWN, name)) return KNOWN[name];
  for (const [pattern, describe] of PATTERNS) {
    const match = pattern.exec(name);
    if (match) return describe(...match.slice(1));
  }
  return [name, "far", ""];
};

const ADVICE = {
  high: "Lower is better.",
  low: "Higher is better.",
  far: "Neither end is bad in itself: look for experts far from the others of their layer.",
};

const WORST = {
  high: (label) => `with the highest ${label}`,
  low: (label) => `with the lowest ${label}`,
  far: (label) => `whose ${label} is farthest from its layer's median`,
};

// RMS and NaN stay as they are.
const inSentence = (label) =>
  /^.[A-Z]|^NaN/.test(label) ? label : label.charAt(0).toLowerCase() + label.slice(1);

/**
 * A metric of the data with what a reader needs beside it: {label, worse, plain, advice, worst}, the
 * last the words for its worst matrices.
 */
export const explained = (metric) => {
  const [label, worse, plain] = described(metric.name);
  return {...metric, label, worse, plain, advice: ADVICE[worse], worst: WORST[worse](inSentence(label))};
};

/** Paragraphs that define a metric. */
export const definition = ({label, name, plain, doc, unit, advice}) => {
  const title = label === name ? name : `${label} (${name})`;
  const exact = doc ? `Exactly: ${doc}.` : "";
  const inUnit = unit ? `Unit: ${unit}.` : "";
  return [title, plain, `${exact} ${inUnit}`.trim(), advice].filter((text) => text);
};

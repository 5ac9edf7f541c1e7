// What words mean that are not metrics: a title, and paragraphs.

/** Of a run's `far`. */
export const robustDeviations = (far) => [
  "Robust deviations",
  "How far the value lies from the median of its layer and projection, in robust standard deviations: " +
    "1.4826 times the median distance from that median, measured on logarithms where values have no " +
    `sign. Above ${far} is unusual.`,
];

export const FEW_HUGE = [
  "Few huge weights",
  "One weight in a thousand holds most of the sum of squares of this matrix. Relative errors tell of those few, so " +
    "they look better than they are: the other weights may be spoiled.",
];

export const MODE = [
  "Mode",
  "How codes stand for weights. affine: each group has a scale and an offset. mxfp4, mxfp8, nvfp4: small " +
    "floating-point codes with one scale for each group, and no offset.",
];

export const CODE_BITS = [
  "Bits of a code",
  "What the code of one weight takes. Scales and offsets of its group come on top: see bits per weight.",
];

export const GROUP_SIZE = [
  "Weights that share a scale",
  "So many consecutive weights of a row are one group. Larger groups take fewer bits, and one large weight " +
    "spoils more neighbours.",
];

export const COMPUTED_IN = [
  "Computed in",
  "The type in which weights, scales and reconstruction are held while they are compared: fp32, fp16 or " +
    "bf16. Errors include what its rounding costs.",
];

export const ENCODER = [
  "Encoder",
  "The program whose rounding was followed when codes and scales were made, such as MLX on a CPU (mlx-cpu) " +
    "or on a GPU (mlx-gpu). They differ in the last bits of scales.",
];

export const QUANTIZER = [
  "Quantizer",
  "What computed the codes: native is moescope's own quantizer, mlx is MLX itself.",
];

export const PERCENTILES = [
  "Percentiles",
  "Whether the percentiles of the weights were taken of all weights of a matrix, or of a sample of them.",
];

export const COVERAGE = [
  "Experts analysed",
  "The share of the experts' parameters whose matrices are in this report. Warnings and unmatched tensors tell " +
    "of the rest.",
];

export const SIZE = [
  "Size",
  "What all experts take with these bits per weight: codes, scales and offsets, in decimal units.",
];

export const OF_STORED = ["Of stored", "The size, of what the same experts take in the checkpoint now."];

export const OVER_LIMIT = [
  "Choices over the limit",
  "A choice is one projection of one layer, routed and shared experts by themselves. Over the limit are " +
    "those whose error, of the experts that it must hold for, is above it.",
  "Failed: the scheme could not be applied to all matrices that another one did; where it has no size, what is " +
    "stored now counts. Without numbers: no scheme could be applied.",
];

// What these numbers can't tell, and where to read on.
import {h} from "../dom.js";
import {section} from "../parts.js";

const LIMITS = [
  [
    "Good for ranking experts inside one layer and projection.",
    "There all experts see inputs of the same kind, so the one with the larger relative error is the " +
      "one that this scheme suits less.",
  ],
  [
    "Not for ranking layers or projections by importance.",
    "The same relative error can be harmless in one layer and costly in another: that depends on the " +
      "inputs, and on what later layers do with the output. A choice by one limit for all layers is a " +
      "start, not an optimum.",
  ],
  [
    "Not the quality of the model's answers.",
    "Nothing here is a KL divergence, a perplexity or a benchmark score. Measure those on the " +
      "quantized model before you publish it.",
  ],
  [
    "Blind to activations.",
    "No input was run through the model. Methods that look at activations, such as GPTQ and AWQ, can " +
      "end with a larger weight error and better answers.",
  ],
  [
    "Blind to routing.",
    "How often the router picks an expert is not seen. A poor expert that is never chosen costs " +
      "nothing; a shared expert works for every token.",
  ],
  [
    "Plain rounding.",
    "Schemes are simulated as a runtime encodes weights by itself, group by group, without calibration.",
  ],
];

const SOURCES = [
  [
    "E. Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    "https://arxiv.org/abs/2210.17323",
    "rounds weights so that the layer's output changes least, by second-order information from " +
      "calibration data, instead of each to the nearest.",
  ],
  [
    "J. Lin et al., AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration",
    "https://arxiv.org/abs/2306.00978",
    "finds the few weights that matter most by the activations they meet, not by their own size.",
  ],
  [
    "P. Li et al., QuantMoE-Bench: Examining Post-Training Quantization for Mixture-of-Experts",
    "https://arxiv.org/abs/2406.08155",
    "measures that blocks, experts and linear layers of an MoE need different numbers of bits; shared " +
      "experts, which every token passes, may need more.",
  ],
  [
    "W. Huang et al., Mixture Compressor for Mixture-of-Experts LLMs Gains More",
    "https://arxiv.org/abs/2410.06270",
    "finds that experts differ in reconstruction error of activations, routing scores and how often " +
      "they are used, and gives them bits accordingly.",
  ],
  [
    "A. Dutta et al., Accuracy is Not All You Need",
    "https://arxiv.org/abs/2407.09141",
    "shows that a compressed model can keep its benchmark score while many answers flip, and proposes " +
      "to measure KL divergence and flips.",
  ],
  [
    "llama.cpp, llama-perplexity with --kl-divergence",
    "https://github.com/ggml-org/llama.cpp/tree/master/tools/perplexity",
    "measures perplexity, and the KL divergence of a quantized model from the original, on a text of " +
      "yours.",
  ],
];

export const limitsSection = () =>
  section(
    "limits",
    "What this does not show",
    h(
      "p",
      {class: "lead"},
      "All numbers on this page are about weights. They tell where to look and what to try first; " +
        "they do not tell how well the quantized model will answer.",
    ),
    h(
      "dl",
      {class: "limits"},
      LIMITS.map(([title, text]) => h("div", null, h("dt", null, title), h("dd", null, text))),
    ),
    h("h3", null, "Sources"),
    h(
      "ul",
      {class: "sources"},
      SOURCES.map(([title, url, claim]) =>
        h(
          "li",
          null,
          h("a", {href: url, rel: "noreferrer"}, title),
          " ",
          h("span", {class: "url"}, url),
          " ",
          claim,
        ),
      ),
    ),
  );

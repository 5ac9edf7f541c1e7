#pragma once

#include <span>

#include "codec/config_words.h"
#include "codec/weight.h"

namespace moe {

// The codecs: one file and one line here for each way of storing weights. Each looks whether
// `payload` is the payload of its scheme, by suffix, dtype and companions, and then fills name,
// shape, storage, float_dtype, parts and open (bits_per_weight is filled by FindWeight). It takes
// it only when all that `words` say of its module agrees with the tensors (docs/formats.md has the
// table of statements).

using FindCodec = Result<std::optional<Weight>> (*)(const TensorRef& payload,
                                                    const TensorIndex& tensors,
                                                    const QuantWords& words);

/// What `find` says under the first of the config's alternatives that agrees with the tensors; else
/// the refusal under the first.
Result<std::optional<Weight>> FindUnder(std::span<const QuantWords> alternatives, FindCodec find,
                                        const TensorRef& payload, const TensorIndex& tensors);

#define MOE_CODEC(Find)                                                                    \
  Result<std::optional<Weight>> Find(const TensorRef& payload, const TensorIndex& tensors, \
                                     const QuantWords& words)

MOE_CODEC(FindMlxWeight);      ///< X.weight U32 + X.scales (+ X.biases, X.global_scale)
MOE_CODEC(FindMxfp4Blocks);    ///< X_blocks + X_scales (gpt-oss)
MOE_CODEC(FindPackedInts);     ///< X.weight_packed I32 + X.weight_scale (compressed-tensors)
MOE_CODEC(FindPackedFloats);   ///< NVFP4, MXFP4, MXFP6: compressed-tensors, ModelOpt, DeepSeek-V4
MOE_CODEC(FindFp8Weight);      ///< F8 with scales of any shape
MOE_CODEC(FindInt8Weight);     ///< I8 with X.weight_scale, or X.SCB (bitsandbytes)
MOE_CODEC(FindGptqWeight);     ///< X.qweight [in * bits / 32, out]
MOE_CODEC(FindAwqWeight);      ///< X.qweight [in, out / 8]
MOE_CODEC(FindBitsandbytes4);  ///< X.weight U8 + X.weight.quant_state.*
MOE_CODEC(FindGgufBlocks);     ///< block types of ggml

#undef MOE_CODEC

}  // namespace moe

#pragma once

#include <span>
#include <string_view>

#include "codec/statements.h"
#include "codec/weight.h"

namespace moe {

// The codecs, one file for each way of storing weights, and what they are called. Names of the
// tensors that belong to a weight stand in companions.h.

/// Looks whether `payload` is the payload of its scheme, by suffix, dtype and companions, and then
/// describes the weight; nullopt: it isn't. bits_per_weight of 0 is computed from its parts. It
/// takes it only when all that `words` say of its module agrees with the tensors (docs/formats.md
/// has the table of statements).
using FindCodec = Result<std::optional<Weight>>(const TensorRef& payload,
                                                const TensorIndex& tensors,
                                                const QuantWords& words);

FindCodec FindGgufBlocks;     ///< block types of ggml
FindCodec FindMlxWeight;      ///< X.weight U32 + X.scales (+ X.biases, X.global_scale)
FindCodec FindMxfp4Blocks;    ///< X_blocks + X_scales (gpt-oss)
FindCodec FindPackedInts;     ///< X.weight_packed I32 + X.weight_scale (compressed-tensors)
FindCodec FindPackedFloats;   ///< NVFP4, MXFP4, MXFP6: compressed-tensors, ModelOpt, DeepSeek-V4
FindCodec FindFp8Weight;      ///< F8 with scales of any shape
FindCodec FindGptqWeight;     ///< X.qweight [in * bits / 32, out]
FindCodec FindAwqWeight;      ///< X.qweight [in, out / 8]
FindCodec FindBitsandbytes4;  ///< X.weight U8 + X.weight.quant_state.*
FindCodec FindInt8Weight;     ///< I8 with X.weight_scale, or X.SCB (bitsandbytes)
FindCodec FindPlainFloats;    ///< F64, F32, F16, BF16 as they are

/// In the order of checkpoints.md section 11: the first that takes the tensor wins.
inline constexpr FindCodec* kCodecs[] = {
    FindGgufBlocks,    FindMlxWeight,  FindMxfp4Blocks, FindPackedInts,
    FindPackedFloats,  FindFp8Weight,  FindGptqWeight,  FindAwqWeight,
    FindBitsandbytes4, FindInt8Weight, FindPlainFloats,
};

/// What quant_method may say of what some codec reads; AutoRound's packings are told by others.
inline constexpr std::string_view kReadMethods[] = {"gptq",  "awq",          "compressed-tensors",
                                                    "fp8",   "fbgemm_fp8",   "mxfp8",
                                                    "mxfp4", "bitsandbytes", "modelopt"};

/// What it says of what no codec reads (checkpoints.md section 11).
inline constexpr std::string_view kUnreadMethods[] = {
    "aqlm",  "vptq",     "quanto",      "eetq", "higgs", "hqq",    "spqr", "torchao",
    "quark", "fp_quant", "fouroversix", "sinq", "gemma", "bitnet", "exl3", "paroquant"};

/// compressed-tensors' `format` of what some codec reads.
inline constexpr std::string_view kReadFormats[] = {
    "pack-quantized",  "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp6-pack-quantized",
    "mxfp8-quantized", "float-quantized",      "int-quantized",        "naive-quantized"};

/// What `find` says under the first of the config's alternatives that agrees with the tensors; else
/// the refusal under the first.
Result<std::optional<Weight>> FindUnder(std::span<const QuantWords> alternatives, FindCodec find,
                                        const TensorRef& payload, const TensorIndex& tensors);

}  // namespace moe

// gpt-oss MXFP4, formats.md section 5: X_blocks U8 [E, out, in / 32, 16], low nibble first, and
// X_scales U8 [E, out, in / 32], value = e2m1 * 2^(scale - 127).
#include <fmt/format.h>

#include "base/small_floats.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {

Result<std::optional<Weight>> FindMxfp4Blocks(const TensorRef& payload, const TensorIndex& tensors,
                                              const QuantWords& words) {
  const TensorInfo& blocks = payload.info();
  auto stem = StemOf(blocks.name, "_blocks");
  std::string_view suffix = "_scales";
  if (!stem) {
    stem = StemOf(blocks.name, ".blocks");  // OpenAI's own files
    suffix = ".scales";
  }
  if (!stem || blocks.dtype != DType::kU8 || blocks.shape.size() != 4) {
    return std::optional<Weight>{};
  }
  const std::vector<uint64_t> groups(blocks.shape.begin(), blocks.shape.end() - 1);
  const auto scales = tensors.Find(*stem, suffix);
  const bool fits = scales && IsByteScale(scales->info().dtype) && scales->info().shape == groups &&
                    blocks.shape[3] == 16;
  if (!fits) {
    return WrongCompanion(payload,
                          fmt::format("{}{} U8 of its first three axes, and 16 bytes a "
                                      "group",
                                      *stem, suffix),
                          scales);
  }
  auto agrees =
      CheckStatements(payload, scales, words,
                      {SaysMethod(words, {"mxfp4", "mlx"}), Says("mode", words.mode, "mxfp4"),
                       Says("bits", words.bits, 4), Says("group_size", words.group, 32)});
  if (!agrees) return tl::make_unexpected(agrees.error());
  ScaledCodes codes;
  codes.rows = groups[1];
  codes.cols = groups[2] * 32;
  codes.bits = 4;
  codes.row_bytes = groups[2] * 16;
  codes.elements = Fp4Elements();
  codes.scales.dtype = DType::kU8;
  codes.scales.codes = &kE8m0Values;
  codes.scales.matrices = groups[0];
  codes.scales.rows = groups[1];
  codes.scales.cols = groups[2];
  codes.scales.block_cols = 32;

  Weight weight;
  weight.name = std::string(*stem);
  weight.shape = {groups[0], codes.rows, codes.cols};
  weight.storage = "mxfp4";
  weight.parts = {payload, *scales};
  weight.open =
      [codes](std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    return MakeScaledArray(std::move(opened));
  };
  return weight;
}

}  // namespace moe

// gpt-oss MXFP4, checkpoints.md section 5: X_blocks U8 [E, out, in / 32, 16], low nibble first, and
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
  const uint64_t rows = groups[1];
  return ScaledWeight(
      {.name = std::string(*stem),
       .shape = {groups[0], rows, groups[2] * 32},
       .storage = "mxfp4",
       .parts = {payload, *scales}},
      {.bits = 4,
       .elements = Fp4Elements(),
       .scales = {.codes = &kE8m0Values, .rows = rows, .cols = groups[2], .block_cols = 32}});
}

}  // namespace moe

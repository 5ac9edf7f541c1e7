#include "codec/qweight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <span>

#include "checkpoint/names.h"
#include "codec/statements.h"

namespace moe {
namespace {

constexpr std::string_view kSuffix = ".qweight";

bool IsOtherInteger(DType dtype) {
  constexpr DType kOthers[] = {DType::kI8,  DType::kU8,  DType::kI16,
                               DType::kU16, DType::kI64, DType::kU64};
  return std::find(std::begin(kOthers), std::end(kOthers), dtype) != std::end(kOthers);
}

std::string DTypeThenShape(const TensorInfo& info) {
  return fmt::format("{} [{}]", info.dtype_text, fmt::join(info.shape, ", "));
}

Result<void> CheckMatrix(const std::string& place, std::string_view suffix, const TensorInfo& info,
                         bool dtype_fits) {
  const std::vector<uint64_t>& shape = info.shape;
  if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0 || !dtype_fits) {
    return Malformed(
        place, fmt::format("X{} must be a matrix of {}, found {}", suffix,
                           suffix == ".scales" ? "floats" : "32-bit words", DTypeThenShape(info)));
  }
  if (info.byte_swapped || info.fortran_order) {
    return Fail(ErrorCode::kUnsupported, place,
                fmt::format("X{} is big-endian or in Fortran order", suffix));
  }
  return {};
}

/// What `key` of the config may say, if anything, when quant_method is `method`: other packings
/// have the same tensor names, some the same shapes.
struct KnownText {
  std::string_view method, key;
  std::vector<std::string_view> texts;
};

const std::vector<KnownText>& KnownTexts() {
  static const std::vector<KnownText> known = {
      {"", "version", {"gemm"}},
      {"", "checkpoint_format", {"gptq", "gptq_v2"}},
      {"gptq", "checkpoint_format", {"gptq", "gptq_v2"}},
      {"gptq", "format", {"gptq", "gptq_v2"}},
      {"awq", "version", {"gemm"}},
      {"awq", "checkpoint_format", {"gemm"}},
      {"awq", "format", {"gemm"}},
      {"auto-round",
       "packing_format",
       {"auto", "auto_round", "auto_round:gptqmodel", "auto_round:gptq", "auto_round:auto_gptq",
        "auto_round:awq", "auto_round:auto_awq"}},
  };
  return known;
}

Result<void> CheckText(const std::string& place, std::string_view key, const std::string& text,
                       std::span<const std::string_view> texts) {
  if (text.empty() || std::find(texts.begin(), texts.end(), text) != texts.end()) return {};
  return Fail(ErrorCode::kUnsupported, place,
              fmt::format("packed with {} '{}': only {} is read", key, Printable(text),
                          fmt::join(texts, ", ")));
}

Result<void> CheckConfig(const std::string& place, const QuantWords& words) {
  constexpr std::string_view kMethods[] = {"gptq", "awq", "auto-round"};
  constexpr std::string_view kPackDTypes[] = {"int32"};
  auto known = CheckText(place, "quant_method", words.method, kMethods);
  if (known) known = CheckText(place, "pack_dtype", words.Text("pack_dtype"), kPackDTypes);
  for (const KnownText& rule : KnownTexts()) {
    if (!known) break;
    if (rule.method == words.method) {
      known = CheckText(place, rule.key, words.Text(rule.key), rule.texts);
    }
  }
  return known;
}

/// "gptq" or "awq" as quant_method says, or AutoRound's packing_format; empty: neither is said.
std::string PackingOf(const QuantWords& words) {
  if (words.method == "gptq" || words.method == "awq") return words.method;
  const std::string packing = words.Text("packing_format");
  if (packing.find("awq") != std::string::npos) return "awq";
  return packing.empty() || packing == "auto" ? "" : "gptq";
}

/// AWQ packs codes and zero points along the same axis, GPTQ along different ones (checkpoints.md
/// section 11).
Result<void> CheckPacking(Qweight& found, const QuantWords& words) {
  const TensorInfo &codes = found.codes.info(), &zeros = found.zeros.info(),
                   &scales = found.scales.info();
  const bool gptq = codes.shape[1] == scales.shape[1];
  const bool awq = codes.shape[1] == zeros.shape[1];
  const std::string said = PackingOf(words);
  if (gptq == awq || !(said.empty() || (said == "awq") == awq)) {
    return Malformed(
        found.place,
        fmt::format("X.qweight {}, X.qzeros {} and X.scales {} fit neither GPTQ nor "
                    "AWQ gemm, or not the '{}' of config.json",
                    DTypeThenShape(codes), DTypeThenShape(zeros), DTypeThenShape(scales), said));
  }
  if (zeros.shape[0] != scales.shape[0]) {
    return Malformed(found.place, fmt::format("X.qzeros has {} groups, X.scales {}", zeros.shape[0],
                                              scales.shape[0]));
  }
  found.packed_along_outputs = awq;
  found.groups = scales.shape[0];
  found.outputs = scales.shape[1];
  return {};
}

}  // namespace

Result<void> CheckGroups(const Qweight& found, const QuantWords& words, uint64_t inputs,
                         uint64_t bits) {
  return CheckStatements(found.codes, found.scales, words,
                         {Says("mode", words.mode, "none"), Says("bits", words.bits, bits),
                          Says("is_marlin_format", words.Flag("is_marlin_format"), false),
                          SaysGrid(words, found.outputs, inputs, {found.outputs, found.groups})});
}

Result<std::optional<Qweight>> FindQweight(const TensorRef& payload, const TensorIndex& tensors,
                                           const QuantWords& words) {
  const TensorInfo& info = payload.info();
  if (!info.name.ends_with(kSuffix)) return std::optional<Qweight>{};
  if (!IsWord(info.dtype) && !IsOtherInteger(info.dtype)) return std::optional<Qweight>{};
  Qweight found;
  found.place = TensorPlace(info.name);
  found.stem = info.name.substr(0, info.name.size() - kSuffix.size());
  found.codes = payload;
  if (auto known = CheckConfig(found.place, words); !known) {
    return tl::make_unexpected(known.error());
  }
  if (!IsWord(info.dtype)) {
    return Fail(ErrorCode::kUnsupported, found.place,
                fmt::format("codes packed into {} are not read, only into int32", info.dtype_text));
  }
  const auto zeros = tensors.Find(found.stem, ".qzeros");
  const auto scales = tensors.Find(found.stem, ".scales");
  if (!zeros || !scales) {
    return Malformed(found.place,
                     fmt::format("has no X.{} beside it", zeros ? "scales" : "qzeros"));
  }
  found.zeros = *zeros;
  found.scales = *scales;
  auto sound = CheckMatrix(found.place, kSuffix, info, true);
  if (sound) {
    sound = CheckMatrix(found.place, ".qzeros", zeros->info(), IsWord(zeros->info().dtype));
  }
  if (sound) {
    sound = CheckMatrix(found.place, ".scales", scales->info(), IsScaleFloat(scales->info().dtype));
  }
  if (sound) sound = CheckPacking(found, words);
  if (!sound) return tl::make_unexpected(sound.error());
  return found;
}

Result<QweightDecoder::Layout> LayoutOf(const Qweight& found, const QuantWords& words,
                                        uint64_t inputs, bool g_idx) {
  const uint64_t groups = found.groups, size = words.group.value_or(0), even = inputs / groups;
  QweightDecoder::Layout layout{inputs, found.outputs, groups, 0, found.scales.info().dtype};
  if (size > 0 && CeilDiv(inputs, size) == groups) {
    layout.group_size = size;
  } else if (groups == 1 || (inputs % groups == 0 && std::has_single_bit(even))) {
    layout.group_size = even;
  } else if (!g_idx) {
    return Malformed(found.place, fmt::format("{} inputs in {} groups do not tell the group size",
                                              inputs, groups));
  }
  return layout;
}

Weight QweightWeight(const Qweight& found, const QweightDecoder::Layout& layout,
                     std::string_view scheme) {
  const std::string group = layout.groups == 1      ? "_channel"
                            : layout.group_size > 0 ? fmt::format("_g{}", layout.group_size)
                                                    : "";
  return {.name = found.stem + ".weight",
          .shape = {layout.outputs, layout.inputs},
          .storage = fmt::format("{}{}", scheme, group),
          .float_dtype = HalfOrOpaque(layout.scale_dtype),
          .parts = {found.codes, found.zeros, found.scales}};
}

RangesOfMatrix QweightRanges(const Weight& weight, const QweightDecoder::Layout& layout,
                             const QweightPacking& packing, bool g_idx) {
  const uint64_t scale_bytes = DTypeBits(layout.scale_dtype) / 8;
  const PartLayout codes{.kind = PartLayout::Kind::kLines,
                         .weights = packing.outputs,
                         .bytes = sizeof(uint32_t),
                         .line_bytes = layout.outputs / packing.outputs * sizeof(uint32_t),
                         .down = true,
                         .across = packing.inputs,
                         .lines = packing.word_rows};
  const PartLayout scales{.kind = PartLayout::Kind::kLines,
                          .bytes = scale_bytes,
                          .line_bytes = layout.outputs * scale_bytes,
                          .down = true,
                          .across = layout.group_size};
  const bool in_order = !g_idx && layout.group_size > 0;
  return RangesBy(weight, {codes, PartLayout{}, in_order ? scales : PartLayout{}});
}

QweightDecoder::QweightDecoder(const Layout& layout, std::vector<TensorBytes> parts)
    : layout_(layout),
      parts_(std::move(parts)),
      scales_{.bytes = parts_[2],
              .dtype = layout.scale_dtype,
              .rows = layout.groups,
              .cols = layout.outputs} {}

uint64_t QweightDecoder::GroupOf(uint64_t input) const {
  return parts_.size() > 3 ? WordAt(part(3), input) : input / layout_.group_size;
}

/// block[i * kOutputs + k]: the weight of input + i, output + k.
void QweightDecoder::DecodeBlock(uint64_t input, uint64_t inputs, uint64_t output, size_t outputs,
                                 float* block) const {
  std::array<uint32_t, kOutputs> codes{}, zeros{};
  std::array<float, kOutputs> scales{};
  uint64_t loaded = layout_.groups;  // none
  for (uint64_t i = 0; i < inputs; ++i) {
    const uint64_t group = GroupOf(input + i);
    if (group != loaded) {
      for (size_t k = 0; k < outputs; ++k) scales[k] = scales_.At(0, group, output + k);
      Zeros(group, output, outputs, zeros.data());
      loaded = group;
    }
    Codes(input + i, output, outputs, codes.data());
    float* line = block + i * kOutputs;
    for (size_t k = 0; k < kOutputs; ++k) {  // a constant count, for SIMD
      line[k] = scales[k] * static_cast<float>(static_cast<int32_t>(codes[k] - zeros[k]));
    }
  }
}

std::optional<uint32_t> QweightDecoder::OnlyZero() const {
  uint32_t only = 0;
  Zeros(0, 0, 1, &only);
  std::array<uint32_t, kOutputs> zeros{};
  for (uint64_t group = 0; group < layout_.groups; ++group) {
    for (uint64_t output = 0; output < layout_.outputs; output += kOutputs) {
      const size_t count = std::min<uint64_t>(kOutputs, layout_.outputs - output);
      Zeros(group, output, count, zeros.data());
      const bool same = std::all_of(zeros.begin(), zeros.begin() + count,
                                    [only](uint32_t zero) { return zero == only; });
      if (!same) return std::nullopt;
    }
  }
  return only;
}

Result<void> CheckSymmetric(const QweightDecoder& array, unsigned bits, const std::string& place,
                            const std::string& entry) {
  const uint32_t middle = 1u << (bits - 1);
  const auto only = array.OnlyZero();
  if (only == middle) return {};
  return Malformed(place,
                   fmt::format("X.qzeros needs zero points of {} as it is symmetric ({}), found {}",
                               middle, entry, only ? fmt::to_string(*only) : "several"));
}

Result<void> QweightDecoder::Read(uint64_t, const Tile& tile, float* out) const {
  std::array<float, kInputs * kOutputs> block;
  for (uint64_t row = 0; row < tile.rows; row += kOutputs) {
    const uint64_t rows = std::min<uint64_t>(kOutputs, tile.rows - row);
    for (uint64_t col = 0; col < tile.cols; col += kInputs) {
      const uint64_t cols = std::min<uint64_t>(kInputs, tile.cols - col);
      DecodeBlock(tile.col + col, cols, tile.row + row, rows, block.data());
      for (uint64_t r = 0; r < rows; ++r) {
        float* line = out + (row + r) * tile.cols + col;
        for (uint64_t c = 0; c < cols; ++c) line[c] = block[c * kOutputs + r];
      }
    }
  }
  return {};
}

}  // namespace moe

// compressed-tensors pack-quantized, formats.md 6.2: X.weight_packed I32 along the input axis,
// codes stored as q + 2^(bits - 1), X.weight_scale, X.weight_shape, and X.weight_zero_point packed
// along the output axis. value = (code - zero code) * scale.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/checked.h"
#include "base/little_endian.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

/// How codes lie in words: dense since compressed-tensors 0.18, before that no code straddles.
struct Packing {
  unsigned bits = 0;
  bool padded = false;

  unsigned CodesPerWord() const { return 32 / bits; }
  /// Words of `count` codes; nullopt: too many.
  std::optional<uint64_t> Words(uint64_t count) const {
    if (padded) return CeilDiv(count, CodesPerWord());
    const auto all = CheckedMul(count, bits);
    return all ? std::optional(CeilDiv(*all, 32)) : std::nullopt;
  }
};

/// Whether the library of config.json's "version" is older than 0.`release`; nullopt: not told.
std::optional<bool> IsBefore(const QuantWords& words, unsigned release) {
  const std::string text = words.Text("version");
  unsigned major = 0, minor = 0;
  const char* const end = text.data() + text.size();
  const auto dot = std::from_chars(text.data(), end, major);
  if (dot.ec != std::errc() || dot.ptr == end || *dot.ptr != '.' ||
      std::from_chars(dot.ptr + 1, end, minor).ec != std::errc()) {
    return std::nullopt;
  }
  return major == 0 && minor < release;
}

/// The packing that puts `cols` codes into `words` words, of the configured width if there is one.
/// nullopt: none, or they cannot be told apart.
std::optional<Packing> PackingOf(uint64_t cols, uint64_t words,
                                 const std::optional<uint64_t>& width, std::optional<bool> pads) {
  std::vector<Packing> fits;
  for (unsigned bits = 1; bits <= 8; ++bits) {
    if (width.value_or(bits) != bits) continue;
    const bool dense = Packing{bits, false}.Words(cols) == words;
    bool padded = 32 % bits != 0 && Packing{bits, true}.Words(cols) == words;
    if (dense && cols <= 32 / bits) padded = false;  // one word: the same
    const bool both = dense && padded;
    for (const bool pad : {false, true}) {
      if ((pad ? padded : dense) && !(both && pads && *pads != pad)) fits.push_back({bits, pad});
    }
  }
  return fits.size() == 1 ? std::optional(fits.front()) : std::nullopt;
}

/// Columns that share a scale: the config's size where it says one (the last group may be short),
/// else the size that divides the columns. 0: none.
uint64_t GroupOf(uint64_t cols, uint64_t groups, const QuantWords& words) {
  if (groups <= 1) return groups == 0 ? 0 : cols;
  if (words.group.value_or(0) > 0) return *words.group;
  return cols % groups == 0 ? cols / groups : 0;
}

/// The shape that weight_shape tells. nullopt: it is no short list of integers.
std::optional<std::vector<uint64_t>> ReadShape(const TensorRef& tensor) {
  const TensorInfo& info = tensor.info();
  const size_t width = info.dtype == DType::kI64 ? 8 : info.dtype == DType::kI32 ? 4 : 0;
  if (width == 0 || info.shape.size() != 1 || info.shape[0] < 2 || info.shape[0] > 8) {
    return std::nullopt;
  }
  const auto bytes = tensor.file->Bytes(tensor.index);
  if (!bytes || bytes->data.size() != info.shape[0] * width) return std::nullopt;
  std::vector<uint64_t> shape(info.shape[0]);
  for (size_t i = 0; i < shape.size(); ++i) {
    shape[i] = width == 8 ? LoadLittleEndian<uint64_t>(bytes->data, i * 8)
                          : LoadLittleEndian<uint32_t>(bytes->data, i * 4);
  }
  return shape;
}

/// Columns of the weight: weight_shape is that of `words` but for its last axis, or its last two
/// axes alone. 0: it isn't.
uint64_t ColsOf(std::span<const uint64_t> words, const TensorRef& tensor) {
  const auto shape = ReadShape(tensor);
  if (!shape || (shape->size() != 2 && shape->size() != words.size())) return 0;
  const auto outer = words.subspan(words.size() - shape->size(), shape->size() - 1);
  return std::equal(outer.begin(), outer.end(), shape->begin()) ? shape->back() : 0;
}

/// Zero codes, packed along the output axis as the codes are along the input axis: words
/// [matrices, word_rows, groups].
struct ZeroCodes {
  TensorBytes bytes;
  Packing packing;
  uint64_t word_rows = 0, groups = 0;

  float operator()(uint64_t matrix, uint64_t row, uint64_t group) const {
    const auto word = [&](uint64_t index) -> uint64_t {
      const uint64_t at = (matrix * word_rows + index) * groups + group;
      return LoadLittleEndian<uint32_t>(bytes.data, at * 4);
    };
    const unsigned bits = packing.bits;
    uint64_t first = row * bits / 32, shift = row * bits % 32;
    if (packing.padded) {
      first = row / packing.CodesPerWord();
      shift = row % packing.CodesPerWord() * bits;
    }
    uint64_t pair = word(first);
    if (shift + bits > 32) pair |= word(first + 1) << 32;
    return static_cast<float>((pair >> shift) & ((1u << bits) - 1));
  }
};

bool IsWord(DType dtype) { return dtype == DType::kI32 || dtype == DType::kU32; }

struct Parts {
  TensorRef scale, shape;
  std::optional<TensorRef> zero, g_idx;
};

/// Zero points and g_idx have the shapes that the weight asks for.
Result<void> CheckOptionalParts(const TensorRef& payload, const Parts& parts, uint64_t cols,
                                uint64_t groups, const Packing& packing) {
  const std::vector<uint64_t>& shape = payload.info().shape;
  const auto word_rows = packing.Words(shape[shape.size() - 2]);
  if (parts.zero && !(word_rows && IsWord(parts.zero->info().dtype) &&
                      parts.zero->info().shape == WithLastAxes(shape, *word_rows, groups))) {
    return WrongCompanion(payload,
                          fmt::format("weight_zero_point I32 [.., {}, {}]: {}-bit codes packed "
                                      "along its rows",
                                      word_rows.value_or(0), groups, packing.bits),
                          parts.zero);
  }
  if (parts.g_idx && (parts.g_idx->info().dtype != DType::kI32 ||
                      parts.g_idx->info().shape != std::vector<uint64_t>{cols})) {
    return WrongCompanion(payload, fmt::format("weight_g_idx I32 [{}]", cols), parts.g_idx);
  }
  return {};
}

/// What the config says of the whole weight, but for the width of its codes.
Result<void> CheckWords(const TensorRef& payload, const Parts& parts, const QuantWords& words,
                        uint64_t cols, uint64_t groups) {
  const std::vector<uint64_t>& shape = payload.info().shape;
  const uint64_t rows = shape[shape.size() - 2];
  auto agrees = CheckStatements(
      payload, parts.scale, words,
      {SaysMethod(words, {"compressed-tensors"}), SaysFormat(words, {"pack-quantized"}),
       Says("type", words.type, "int"), SaysGrid(words, rows, cols, {rows, groups})});
  if (!agrees) return agrees;
  agrees =
      CheckStatements(payload, parts.zero, words, {SaysZeroPoints(words, parts.zero.has_value())});
  if (!agrees) return agrees;
  // Since 0.19 the library puts columns back in order and saves no g_idx.
  const bool lost = words.act_order == true && groups > 1 && IsBefore(words, 19) == true;
  return CheckStatements(payload, parts.g_idx, words,
                         {{"weight_g_idx: actorder", lost ? "group" : "not by group",
                           parts.g_idx ? "with weight_g_idx" : "without weight_g_idx",
                           parts.g_idx ? words.act_order != false : !lost}});
}

/// Group of each column. Empty where all are -1: then columns are in order.
Result<std::vector<uint32_t>> ReadGroupOfCol(const TensorRef& payload, const TensorRef& g_idx,
                                             std::span<const std::byte> bytes,
                                             const ScaleGrid& scales) {
  std::vector<uint32_t> group_of_col(bytes.size() / 4);
  for (size_t i = 0; i < group_of_col.size(); ++i) {
    group_of_col[i] = LoadLittleEndian<uint32_t>(bytes, i * 4);
  }
  const auto unset = std::count(group_of_col.begin(), group_of_col.end(), ~uint32_t{0});
  if (unset == std::ssize(group_of_col)) return std::vector<uint32_t>{};
  const uint32_t largest = *std::max_element(group_of_col.begin(), group_of_col.end());
  if (largest >= scales.cols) {
    return WrongCompanion(
        payload,
        fmt::format("weight_g_idx below {}, not {}", scales.cols, static_cast<int32_t>(largest)),
        g_idx);
  }
  if (const auto odd = FindUnevenGroup(group_of_col, scales.cols, scales.block_cols)) {
    return WrongCompanion(payload,
                          fmt::format("weight_g_idx with {} columns in group {} of {}, not {}",
                                      odd->wanted, odd->group, scales.cols, odd->columns),
                          g_idx);
  }
  return group_of_col;
}

/// The decoder of `codes` from the bytes of payload, scale, shape, zero points and g_idx.
auto Opener(const TensorRef& payload, const Parts& parts, const ScaledCodes& codes,
            const ZeroCodes& zeros) {
  return [=](std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    if (parts.g_idx) {
      auto groups = ReadGroupOfCol(payload, *parts.g_idx, bytes.back().data, opened.scales);
      if (!groups) return tl::make_unexpected(groups.error());
      opened.group_of_col = std::move(*groups);
    }
    if (parts.zero) {
      ZeroCodes zero = zeros;
      zero.bytes = std::move(bytes[3]);
      opened.zero = std::move(zero);
    }
    return MakeScaledArray(std::move(opened));
  };
}

Result<std::optional<Weight>> Build(const TensorRef& payload, std::string_view stem,
                                    const Parts& parts, const QuantWords& said) {
  const std::vector<uint64_t>& words = payload.info().shape;
  const uint64_t rows = words[words.size() - 2], cols = ColsOf(words, parts.shape);
  if (cols == 0) {
    return WrongCompanion(payload, "weight_shape of its rows and the true columns", parts.shape);
  }
  const auto packing = PackingOf(cols, words.back(), said.bits, IsBefore(said, 18));
  if (!packing) {
    return WrongCompanion(
        payload,
        fmt::format("one packing of {} bits that puts {} columns into {} words "
                    "(config.json: num_bits, version)",
                    said.bits ? fmt::to_string(*said.bits) : "1 to 8", cols, words.back()),
        parts.shape);
  }
  const TensorInfo& scale = parts.scale.info();
  const uint64_t groups = scale.shape.empty() ? 0 : scale.shape.back();
  if (auto agrees = CheckWords(payload, parts, said, cols, groups); !agrees) {
    return tl::make_unexpected(agrees.error());
  }
  const uint64_t group = GroupOf(cols, groups, said);
  if (group == 0 || !IsScaleFloat(scale.dtype) ||
      scale.shape != WithLastAxes(words, rows, groups)) {
    return WrongCompanion(payload, "weight_scale by row or group of its columns", parts.scale);
  }
  auto fits = CheckOptionalParts(payload, parts, cols, groups, *packing);
  if (!fits) return tl::make_unexpected(fits.error());

  ScaledCodes codes;
  codes.rows = rows;
  codes.cols = cols;
  codes.bits = packing->bits;
  codes.row_bytes = words.back() * 4;
  codes.codes_per_word = packing->padded ? packing->CodesPerWord() : 0;
  codes.elements = IntegerElements(parts.zero ? 0 : -(int64_t{1} << (packing->bits - 1)));
  codes.scales.dtype = scale.dtype;
  codes.scales.matrices = MatricesOf(words);
  codes.scales.rows = rows;
  codes.scales.cols = groups;
  codes.scales.block_cols = group;

  Weight weight;
  weight.name = fmt::format("{}.weight", stem);
  weight.shape = WithLastAxes(words, rows, cols);
  weight.storage =
      fmt::format("int{}_{}{}", packing->bits, groups == 1 ? "channel" : fmt::format("g{}", group),
                  parts.zero ? "_asym" : "");
  if (scale.dtype != DType::kF32) weight.float_dtype = scale.dtype;
  weight.parts = {payload, parts.scale, parts.shape};
  if (parts.zero) weight.parts.push_back(*parts.zero);
  if (parts.g_idx) weight.parts.push_back(*parts.g_idx);
  weight.open =
      Opener(payload, parts, codes, {{}, *packing, packing->Words(rows).value_or(0), groups});
  return weight;
}

}  // namespace

Result<std::optional<Weight>> FindPackedInts(const TensorRef& payload, const TensorIndex& tensors,
                                             const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const auto stem = StemOf(info.name, ".weight_packed");
  if (!stem || !IsWord(info.dtype) || info.shape.size() < 2) return std::optional<Weight>{};
  const auto scale = tensors.Find(*stem, ".weight_scale");
  if (!scale) return WrongCompanion(payload, "weight_scale", std::nullopt);
  const auto shape = tensors.Find(*stem, ".weight_shape");
  if (!shape) return WrongCompanion(payload, "weight_shape", std::nullopt);
  return Build(payload, *stem,
               {*scale, *shape, tensors.Find(*stem, ".weight_zero_point"),
                tensors.Find(*stem, ".weight_g_idx")},
               words);
}

}  // namespace moe

// compressed-tensors pack-quantized, checkpoints.md 6.2: X.weight_packed I32 along the input axis,
// codes stored as q + 2^(bits - 1), X.weight_scale, X.weight_shape, and X.weight_zero_point packed
// along the output axis. value = (code - zero code) * scale.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

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

struct Parts {
  TensorRef payload, scale, shape;
  std::optional<TensorRef> zero, g_idx;
};

/// What the shapes tell.
struct Layout {
  uint64_t rows = 0, cols = 0, groups = 0;
  uint64_t group = 0;  ///< columns of one
  Packing packing;
};

/// Zero points and g_idx have the shapes that the weight asks for.
Result<void> CheckOptionalParts(const Parts& parts, const Layout& layout) {
  const std::vector<uint64_t>& shape = parts.payload.info().shape;
  const auto word_rows = layout.packing.Words(layout.rows);
  if (parts.zero && !(word_rows && IsWord(parts.zero->info().dtype) &&
                      parts.zero->info().shape == WithLastAxes(shape, *word_rows, layout.groups))) {
    return WrongCompanion(parts.payload,
                          fmt::format("weight_zero_point I32 [.., {}, {}]: {}-bit codes packed "
                                      "along its rows",
                                      word_rows.value_or(0), layout.groups, layout.packing.bits),
                          parts.zero);
  }
  if (parts.g_idx && (parts.g_idx->info().dtype != DType::kI32 ||
                      parts.g_idx->info().shape != std::vector<uint64_t>{layout.cols})) {
    return WrongCompanion(parts.payload, fmt::format("weight_g_idx I32 [{}]", layout.cols),
                          parts.g_idx);
  }
  return {};
}

/// What the config says of the whole weight, but for the width of its codes.
Result<void> CheckWords(const Parts& parts, const QuantWords& words, const Layout& layout) {
  const uint64_t rows = layout.rows, groups = layout.groups;
  auto agrees = CheckStatements(
      parts.payload, parts.scale, words,
      {SaysMethod(words, {"compressed-tensors"}), SaysFormat(words, {"pack-quantized"}),
       Says("type", words.type, "int"), SaysGrid(words, rows, layout.cols, {rows, groups})});
  if (!agrees) return agrees;
  agrees = CheckStatements(parts.payload, parts.zero, words,
                           {SaysZeroPoints(words, parts.zero.has_value())});
  if (!agrees) return agrees;
  // Since 0.19 the library puts columns back in order and saves no g_idx.
  const bool lost = words.act_order == true && groups > 1 && IsBefore(words, 19) == true;
  return CheckStatements(parts.payload, parts.g_idx, words,
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

/// The packing of `cols` columns.
Result<Packing> CheckedPacking(const Parts& parts, uint64_t cols, const QuantWords& said) {
  const uint64_t words = parts.payload.info().shape.back();
  if (cols == 0) {
    return WrongCompanion(parts.payload, "weight_shape of its rows and the true columns",
                          parts.shape);
  }
  const auto packing = PackingOf(cols, words, said.bits, IsBefore(said, 18));
  if (packing) return *packing;
  return WrongCompanion(parts.payload,
                        fmt::format("one packing of {} bits that puts {} columns into {} words "
                                    "(config.json: num_bits, version)",
                                    said.bits ? fmt::to_string(*said.bits) : "1 to 8", cols, words),
                        parts.shape);
}

/// The layout that shapes and config agree on.
Result<Layout> FindLayout(const Parts& parts, const QuantWords& said) {
  const std::vector<uint64_t>& words = parts.payload.info().shape;
  const TensorInfo& scale = parts.scale.info();
  Layout layout;
  layout.rows = words[words.size() - 2];
  layout.cols = ColsOf(words, parts.shape);
  const auto packing = CheckedPacking(parts, layout.cols, said);
  if (!packing) return tl::make_unexpected(packing.error());
  layout.packing = *packing;
  layout.groups = scale.shape.empty() ? 0 : scale.shape.back();
  if (auto agrees = CheckWords(parts, said, layout); !agrees) {
    return tl::make_unexpected(agrees.error());
  }
  layout.group = GroupOf(layout.cols, layout.groups, said);
  if (layout.group == 0 || !IsScaleFloat(scale.dtype) ||
      scale.shape != WithLastAxes(words, layout.rows, layout.groups)) {
    return WrongCompanion(parts.payload, "weight_scale by row or group of its columns",
                          parts.scale);
  }
  if (auto fits = CheckOptionalParts(parts, layout); !fits) {
    return tl::make_unexpected(fits.error());
  }
  return layout;
}

/// How zero codes lie: the words of so many rows, one for each group.
PartLayout LayoutOfZeros(const Layout& layout) {
  const unsigned bits = layout.packing.bits, common = std::gcd(bits, 32u);
  PartLayout zeros = WholeLines(layout.groups * sizeof(uint32_t), layout.packing.CodesPerWord());
  if (!layout.packing.padded) {
    zeros.across = 32 / common;
    zeros.lines = bits / common;
  }
  return zeros;
}

/// Shape (known by now), zero points and g_idx.
Companions CompanionsOf(const Parts& parts, const Layout& layout) {
  const ZeroCodes zeros{
      {}, layout.packing, layout.packing.Words(layout.rows).value_or(0), layout.groups};
  const auto read = [=](std::span<TensorBytes> companions, ScaledCodes& codes) -> Result<void> {
    if (parts.g_idx) {
      auto groups =
          ReadGroupOfCol(parts.payload, *parts.g_idx, companions.back().data, codes.scales);
      if (!groups) return tl::make_unexpected(groups.error());
      codes.group_of_col = std::move(*groups);
    }
    if (parts.zero) {
      ZeroCodes zero = zeros;
      zero.bytes = std::move(companions[1]);
      codes.zero = std::move(zero);
    }
    return {};
  };
  if (!parts.zero) return {read};
  return {read, {PartLayout{}, LayoutOfZeros(layout)}};
}

Weight WeightOf(const Parts& parts, std::string_view stem, const Layout& layout) {
  const std::vector<uint64_t>& words = parts.payload.info().shape;
  const auto [rows, cols, groups, group, packing] = layout;
  const std::string by = groups == 1 ? "channel" : fmt::format("g{}", group);
  Weight weight{.name = fmt::format("{}.weight", stem),
                .shape = WithLastAxes(words, rows, cols),
                .storage = fmt::format("int{}_{}{}", packing.bits, by, parts.zero ? "_asym" : ""),
                .parts = {parts.payload, parts.scale, parts.shape}};
  if (parts.zero) weight.parts.push_back(*parts.zero);
  if (parts.g_idx) weight.parts.push_back(*parts.g_idx);
  const int64_t middle = int64_t{1} << (packing.bits - 1);
  return ScaledWeight(std::move(weight),
                      {.bits = packing.bits,
                       .row_bytes = words.back() * 4,
                       .codes_per_word = packing.padded ? packing.CodesPerWord() : 0,
                       .elements = IntegerElements(parts.zero ? 0 : -middle),
                       .scales = {.rows = rows, .cols = groups, .block_cols = group}},
                      CompanionsOf(parts, layout));
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
  const Parts parts{payload, *scale, *shape, tensors.Find(*stem, ".weight_zero_point"),
                    tensors.Find(*stem, ".weight_g_idx")};
  const auto layout = FindLayout(parts, words);
  if (!layout) return tl::make_unexpected(layout.error());
  return WeightOf(parts, *stem, *layout);
}

}  // namespace moe

// compressed-tensors pack-quantized, formats.md 6.2: X.weight_packed I32 along the input axis,
// codes stored as q + 2^(bits - 1), X.weight_scale, X.weight_shape, and X.weight_zero_point packed
// along the output axis. value = (code - zero code) * scale.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/checked.h"
#include "base/little_endian.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

/// What one of config.json's config_groups says of weights; 0: nothing.
struct GroupConfig {
  uint64_t bits = 0, group_size = 0;
  bool asymmetric = false;
};

/// All config_groups, also those that are a preset's name with its targets: {"W4A16": ["Linear"]}.
std::vector<GroupConfig> ConfigsOf(const nlohmann::ordered_json& quantization) {
  std::vector<GroupConfig> configs;
  if (!quantization.is_object()) return configs;
  const auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) return configs;
  for (const auto& [name, group] : groups->items()) {
    GroupConfig config;
    if (group.is_object() && group.contains("weights")) {
      const nlohmann::ordered_json& weights = group["weights"];
      config.bits = UnsignedAt(weights, "num_bits").value_or(0);
      config.group_size = UnsignedAt(weights, "group_size").value_or(0);
      config.asymmetric = weights.is_object() && weights.contains("symmetric") &&
                          weights["symmetric"] == nlohmann::ordered_json(false);
    } else if (group.is_array() && name.size() > 2 && name[0] == 'W' && name[2] == 'A' &&
               std::isdigit(static_cast<unsigned char>(name[1])) != 0) {
      config.bits = static_cast<uint64_t>(name[1] - '0');
      config.asymmetric = name.ends_with("_ASYM");
    }
    configs.push_back(config);
  }
  return configs;
}

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

/// Whether the library of config.json's "version" left top bits unused; nullopt: it isn't told.
std::optional<bool> PadsByVersion(const nlohmann::ordered_json& quantization) {
  if (!quantization.is_object()) return std::nullopt;
  const auto found = quantization.find("version");
  if (found == quantization.end() || !found->is_string()) return std::nullopt;
  const std::string text = found->get<std::string>();
  unsigned major = 0, minor = 0;
  const char* const end = text.data() + text.size();
  const auto dot = std::from_chars(text.data(), end, major);
  if (dot.ec != std::errc() || dot.ptr == end || *dot.ptr != '.' ||
      std::from_chars(dot.ptr + 1, end, minor).ec != std::errc()) {
    return std::nullopt;
  }
  return major == 0 && minor < 18;
}

/// The packing that puts `cols` codes into `words` words, of a configured width if one fits.
/// nullopt: none, or they cannot be told apart.
std::optional<Packing> PackingOf(uint64_t cols, uint64_t words,
                                 const std::vector<GroupConfig>& configs,
                                 std::optional<bool> pads) {
  std::vector<Packing> all, configured;
  for (unsigned bits = 1; bits <= 8; ++bits) {
    const bool dense = Packing{bits, false}.Words(cols) == words;
    bool padded = 32 % bits != 0 && Packing{bits, true}.Words(cols) == words;
    if (dense && cols <= 32 / bits) padded = false;  // one word: the same
    const bool both = dense && padded;
    for (const bool pad : {false, true}) {
      if (!(pad ? padded : dense) || (both && pads && *pads != pad)) continue;
      all.push_back({bits, pad});
      if (std::any_of(configs.begin(), configs.end(),
                      [&](const GroupConfig& config) { return config.bits == bits; })) {
        configured.push_back({bits, pad});
      }
    }
  }
  const std::vector<Packing>& fits = configured.empty() ? all : configured;
  return fits.size() == 1 ? std::optional(fits.front()) : std::nullopt;
}

/// Columns that share a scale: the config's size where it gives `groups` groups (the last may be
/// short), else the size that divides the columns. 0: none, or two that differ.
uint64_t GroupOf(uint64_t cols, uint64_t groups, const std::vector<GroupConfig>& configs) {
  if (groups <= 1) return groups == 0 ? 0 : cols;
  uint64_t fit = 0;
  for (const GroupConfig& config : configs) {
    const uint64_t size = config.group_size;
    if (size == 0 || CeilDiv(cols, size) != groups) continue;
    if (fit != 0 && fit != size) return 0;
    fit = size;
  }
  return fit != 0 ? fit : cols % groups == 0 ? cols / groups : 0;
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

/// Zero points and g_idx have the shapes that the weight asks for; zero points may only be absent
/// where the config doesn't tell of them.
Result<void> CheckOptionalParts(const TensorRef& payload, const Parts& parts, uint64_t cols,
                                uint64_t groups, const Packing& packing,
                                const std::vector<GroupConfig>& configs) {
  const std::vector<uint64_t>& shape = payload.info().shape;
  const auto word_rows = packing.Words(shape[shape.size() - 2]);
  bool needed = false, optional = false;
  for (const GroupConfig& config : configs) {
    if (config.bits == packing.bits) (config.asymmetric ? needed : optional) = true;
  }
  const bool fits = parts.zero
                        ? word_rows && IsWord(parts.zero->info().dtype) &&
                              parts.zero->info().shape == WithLastAxes(shape, *word_rows, groups)
                        : !needed || optional;
  if (!fits) {
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

/// Group of each column. Empty where one is -1: then the library takes columns in order.
Result<std::vector<uint32_t>> ReadGroupOfCol(const TensorRef& payload, const TensorRef& g_idx,
                                             std::span<const std::byte> bytes, uint64_t groups) {
  std::vector<uint32_t> group_of_col(bytes.size() / 4);
  for (size_t i = 0; i < group_of_col.size(); ++i) {
    group_of_col[i] = LoadLittleEndian<uint32_t>(bytes, i * 4);
  }
  if (std::count(group_of_col.begin(), group_of_col.end(), ~uint32_t{0}) != 0) {
    return std::vector<uint32_t>{};
  }
  const auto largest = std::max_element(group_of_col.begin(), group_of_col.end());
  if (largest != group_of_col.end() && *largest >= groups) {
    return WrongCompanion(payload, fmt::format("weight_g_idx below {}, not {}", groups, *largest),
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
      auto groups = ReadGroupOfCol(payload, *parts.g_idx, bytes.back().data, opened.scales.cols);
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
                                    const Parts& parts,
                                    const nlohmann::ordered_json& quantization) {
  const std::vector<uint64_t>& words = payload.info().shape;
  const uint64_t rows = words[words.size() - 2], cols = ColsOf(words, parts.shape);
  if (cols == 0) {
    return WrongCompanion(payload, "weight_shape of its rows and the true columns", parts.shape);
  }
  const std::vector<GroupConfig> configs = ConfigsOf(quantization);
  const auto packing = PackingOf(cols, words.back(), configs, PadsByVersion(quantization));
  if (!packing) {
    return WrongCompanion(payload,
                          fmt::format("one packing of 1 to 8 bits that puts {} columns into {} "
                                      "words (config.json: num_bits, version)",
                                      cols, words.back()),
                          parts.shape);
  }
  const TensorInfo& scale = parts.scale.info();
  const uint64_t groups = scale.shape.empty() ? 0 : scale.shape.back();
  const uint64_t group = GroupOf(cols, groups, configs);
  if (group == 0 || !IsScaleFloat(scale.dtype) ||
      scale.shape != WithLastAxes(words, rows, groups)) {
    return WrongCompanion(payload, "weight_scale by row or group of its columns", parts.scale);
  }
  auto fits = CheckOptionalParts(payload, parts, cols, groups, *packing, configs);
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
                                             const nlohmann::ordered_json& quantization) {
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
               quantization);
}

}  // namespace moe

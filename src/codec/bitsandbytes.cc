#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/json.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

constexpr size_t kCodes = 16, kNestedCodes = 256;
constexpr uint64_t kMaxStateBytes = 1 << 16;  // the text has some hundred bytes

/// What the JSON text of X.weight.quant_state says.
struct QuantState {
  std::vector<uint64_t> shape;
  uint64_t elements = 0;
  uint64_t block_size = 0;
  uint64_t nested_block_size = 0;  ///< 0: scales are floats, not codes themselves
  float nested_offset = 0;
  DType dtype = DType::kOpaque;
};

/// w[k] = quant_map[code k] * scale[k / block_size], k over the flattened weight, the first of two
/// codes in the high nibble; scale[b] = nested_quant_map[absmax[b]] * nested_absmax[b /
/// nested_block_size] + nested_offset where absmax is of bytes (checkpoints.md 7.3). Not rounded to
/// the 16-bit type that the library computes in.
class Bitsandbytes4Decoder : public TileDecoder {
 public:
  Bitsandbytes4Decoder(const QuantState& state, std::vector<TensorBytes> parts)
      : rows_(state.shape[state.shape.size() - 2]),
        cols_(state.shape.back()),
        block_size_(state.block_size),
        nested_block_size_(state.nested_block_size),
        nested_offset_(state.nested_offset),
        parts_(std::move(parts)) {
    for (size_t i = 0; i < kCodes; ++i) map_[i] = FloatAt(parts_[kMap].data, i);
  }

  Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const override {
    for (uint64_t r = 0; r < tile.rows; ++r) {
      ReadRun((matrix * rows_ + tile.row + r) * cols_ + tile.col, tile.cols, out + r * tile.cols);
    }
    return {};
  }

  enum PartNumber : size_t { kCodeBytes, kAbsmax, kMap, kState, kNestedAbsmax, kNestedMap };

 private:
  float ScaleOf(uint64_t block) const {
    if (nested_block_size_ == 0) return FloatAt(parts_[kAbsmax].data, block);
    const auto code = std::to_integer<size_t>(parts_[kAbsmax].data[block]);
    return FloatAt(parts_[kNestedMap].data, code) *
               FloatAt(parts_[kNestedAbsmax].data, block / nested_block_size_) +
           nested_offset_;
  }

  void ReadRun(uint64_t first, uint64_t count, float* out) const {
    const std::byte* bytes = parts_[kCodeBytes].data.data();
    const uint64_t end = first + count;
    for (uint64_t k = first; k < end;) {
      const uint64_t block = k / block_size_;
      const uint64_t stop = k + std::min(end - k, block_size_ - k % block_size_);
      const float scale = ScaleOf(block);
      for (; k < stop; ++k) {
        const auto pair = std::to_integer<unsigned>(bytes[k / 2]);
        *out++ = map_[k % 2 == 0 ? pair >> 4 : pair & 15] * scale;
      }
    }
  }

  uint64_t rows_, cols_, block_size_, nested_block_size_;
  float nested_offset_;
  std::array<float, kCodes> map_{};
  std::vector<TensorBytes> parts_;
};

/// 0 when it is absent or no positive integer.
uint64_t Count(const Json& object, const char* key) {
  const Json* value = object.Find(key);
  return value && value->is_number_unsigned() ? value->get<uint64_t>() : 0;
}

std::string Text(const Json& object, const char* key) {
  const Json* value = object.Find(key);
  return value && value->is_string() ? value->get<std::string>() : std::string();
}

/// Sizes of at least two axes, none 0, whose product is a uint64_t; else none.
std::vector<uint64_t> Shape(const Json& object) {
  const Json* sizes = object.Find("shape");
  if (!sizes || !sizes->is_array() || sizes->size() < 2) return {};
  std::vector<uint64_t> shape;
  for (const Json& size : *sizes) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() == 0) return {};
    shape.push_back(size.get<uint64_t>());
  }
  return CheckedProduct(shape) ? shape : std::vector<uint64_t>();
}

DType FloatType(std::string_view name) {
  if (name == "float16") return DType::kF16;
  return name == "bfloat16" ? DType::kBF16 : DType::kOpaque;
}

Result<QuantState> ParseState(std::span<const std::byte> bytes, std::string_view type,
                              const std::string& place) {
  const char* text = reinterpret_cast<const char*>(bytes.data());
  const Json json = Json::Parse({text, bytes.size()}).value_or(Json());
  if (!json.is_object()) return Malformed(place, "its quant_state is no JSON object");
  QuantState state;
  state.shape = Shape(json);
  if (state.shape.empty()) {
    return Malformed(place, "its quant_state has no shape of two or more positive sizes");
  }
  state.elements = *CheckedProduct(state.shape);
  state.block_size = Count(json, "blocksize");
  if (state.block_size == 0) return Malformed(place, "its quant_state has no blocksize");
  if (const std::string named = Text(json, "quant_type"); named != type) {
    return Malformed(place, fmt::format("its quant_state says quant_type '{}', its name '{}'",
                                        Printable(named), type));
  }
  state.nested_block_size = Count(json, "nested_blocksize");
  const Json* offset = json.Find("nested_offset");
  const double nested_offset = offset && offset->is_number() ? offset->get<double>() : NAN;
  if (std::abs(nested_offset) <= FLT_MAX) {
    state.nested_offset = static_cast<float>(nested_offset);
  } else if (state.nested_block_size != 0) {
    return Malformed(place, "its quant_state has nested_blocksize, but no nested_offset");
  }
  state.dtype = FloatType(Text(json, "dtype"));
  return state;
}

/// A companion that must be there.
struct Needed {
  std::string_view suffix;
  DType dtype;
  uint64_t count;
};

Result<TensorRef> FindNeeded(const TensorInfo& payload, const TensorIndex& tensors,
                             const Needed& needed, const std::string& place) {
  const auto found = tensors.Find(payload.name, needed.suffix);
  const std::string_view suffix = needed.suffix;
  if (!found) return Malformed(place, fmt::format("has no X.weight{} beside it", suffix));
  const TensorInfo& info = found->info();
  if (info.dtype != needed.dtype || CheckedProduct(info.shape) != needed.count) {
    return Malformed(
        place, fmt::format("X.weight{} must have {} of {}, found [{}] of {}", suffix, needed.count,
                           DTypeName(needed.dtype), fmt::join(info.shape, ", "), info.dtype_text));
  }
  if (info.byte_swapped) {
    return Fail(ErrorCode::kUnsupported, place, fmt::format("X.weight{} is big-endian", suffix));
  }
  return *found;
}

Result<std::vector<TensorRef>> FindParts(const TensorRef& payload, const TensorRef& state_text,
                                         const TensorIndex& tensors, const QuantState& state,
                                         const std::string& place) {
  const uint64_t blocks = (state.elements - 1) / state.block_size + 1;
  const bool nested = state.nested_block_size != 0;
  std::vector<Needed> needed = {{".absmax", nested ? DType::kU8 : DType::kF32, blocks},
                                {".quant_map", DType::kF32, kCodes}};
  if (nested) {
    needed.push_back({".nested_absmax", DType::kF32, (blocks - 1) / state.nested_block_size + 1});
    needed.push_back({".nested_quant_map", DType::kF32, kNestedCodes});
  }
  std::vector<TensorRef> parts = {payload};  // in the order of Bitsandbytes4Decoder::PartNumber
  for (const Needed& companion : needed) {
    const auto found = FindNeeded(payload.info(), tensors, companion, place);
    if (!found) return tl::make_unexpected(found.error());
    parts.push_back(*found);
  }
  parts.insert(parts.begin() + Bitsandbytes4Decoder::kState, state_text);
  return parts;
}

/// The text of `tensor`, a vector of bytes.
Result<QuantState> ReadState(const TensorRef& tensor, std::string_view type,
                             const std::string& place) {
  const TensorInfo& info = tensor.info();
  if (info.dtype != DType::kU8 || info.nbytes > kMaxStateBytes) {
    return Malformed(place,
                     fmt::format("its quant_state must be at most {} bytes, found [{}] of {}",
                                 kMaxStateBytes, fmt::join(info.shape, ", "), info.dtype_text));
  }
  const auto bytes = tensor.file->Bytes(tensor.index);
  if (!bytes) return tl::make_unexpected(bytes.error());
  return ParseState(bytes->data, type, place);
}

Result<void> CheckPayload(const TensorInfo& info, const QuantState& state,
                          const std::string& place) {
  const uint64_t bytes = state.elements / 2 + state.elements % 2;
  if (info.nbytes != bytes) {
    return Malformed(place, fmt::format("[{}] of 4-bit codes needs {} bytes, has {}",
                                        fmt::join(state.shape, ", "), bytes, info.nbytes));
  }
  if (info.byte_swapped || (info.fortran_order && info.shape.size() > 1)) {
    return Fail(ErrorCode::kUnsupported, place, "is big-endian or in Fortran order");
  }
  return {};
}

/// Of codes, absmax and, where that is of codes itself, nested_absmax: they follow the flat weight.
std::vector<PartLayout> LayoutsOf(const QuantState& state) {
  const auto flat = [](uint64_t weights, uint64_t bytes) {
    return PartLayout{.kind = PartLayout::Kind::kFlat, .weights = weights, .bytes = bytes};
  };
  const bool nested = state.nested_block_size != 0;
  std::vector<PartLayout> layouts(Bitsandbytes4Decoder::kNestedAbsmax + 1);
  layouts[Bitsandbytes4Decoder::kCodeBytes] = flat(2, 1);
  layouts[Bitsandbytes4Decoder::kAbsmax] = flat(state.block_size, nested ? 1 : sizeof(float));
  if (nested && state.nested_block_size <= UINT64_MAX / state.block_size) {
    layouts[Bitsandbytes4Decoder::kNestedAbsmax] =
        flat(state.block_size * state.nested_block_size, sizeof(float));
  }
  return layouts;
}

/// X.weight.quant_state.*, whose name says the type of the codes.
struct StateText {
  TensorRef tensor;
  std::string_view type;
};

Result<std::optional<StateText>> FindStateText(const std::string& payload,
                                               const TensorIndex& tensors,
                                               const std::string& place) {
  for (const std::string_view type : {"nf4", "fp4"}) {
    const auto text = tensors.Find(payload, fmt::format(".quant_state.bitsandbytes__{}", type));
    if (text) return StateText{*text, type};
  }
  if (!tensors.Find(payload, ".absmax")) return std::optional<StateText>{};
  return Malformed(place, "has X.weight.absmax, but no X.weight.quant_state beside it");
}

Result<void> CheckWords(const TensorRef& payload, const StateText& text, const QuantState& state,
                        const QuantWords& words) {
  return CheckStatements(
      payload, text.tensor, words,
      {SaysMethod(words, {"bitsandbytes"}), Says("load_in_4bit", words.Flag("load_in_4bit"), true),
       Says("load_in_8bit", words.Flag("load_in_8bit"), false),
       Says("bnb_4bit_quant_type", words.Text("bnb_4bit_quant_type"), text.type),
       Says("bnb_4bit_use_double_quant", words.Flag("bnb_4bit_use_double_quant"),
            state.nested_block_size != 0)});
}

}  // namespace

Result<std::optional<Weight>> FindBitsandbytes4(const TensorRef& payload,
                                                const TensorIndex& tensors,
                                                const QuantWords& words) {
  const std::string& name = payload.info().name;
  const std::string place = TensorPlace(name);
  const auto text = FindStateText(name, tensors, place);
  if (!text) return tl::make_unexpected(text.error());
  if (!*text) return std::optional<Weight>{};
  const auto& [state_text, type] = **text;
  const auto state = ReadState(state_text, type, place);
  if (!state) return tl::make_unexpected(state.error());
  auto fits = CheckWords(payload, **text, *state, words);
  if (fits) fits = CheckPayload(payload.info(), *state, place);
  if (!fits) return tl::make_unexpected(fits.error());
  auto parts = FindParts(payload, state_text, tensors, *state, place);
  if (!parts) return tl::make_unexpected(parts.error());
  Weight weight{.name = name,
                .shape = state->shape,
                .storage = fmt::format("bnb_{}", type),
                .float_dtype = state->dtype,
                .parts = std::move(*parts)};
  weight.ranges_of = RangesBy(weight, LayoutsOf(*state));
  weight.open =
      OpenTiled(weight,
                [state = *state](
                    std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const TileDecoder>> {
                  return std::make_shared<Bitsandbytes4Decoder>(state, std::move(bytes));
                });
  return weight;
}

}  // namespace moe

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/checked.h"
#include "codec/codecs.h"
#include "codec/qweight.h"

namespace moe {
namespace {

/// How wide the codes are and what must be added to a stored zero point (checkpoints.md 7.1): 1 in
/// version 1 of the format, 0 in version 2.
struct Packing {
  unsigned bits = 4;
  unsigned zero_offset = 1;
};

/// Words that hold a stream of so many codes.
uint64_t WordsFor(uint64_t codes, unsigned bits) {
  return codes / 32 * bits + (codes % 32 * bits + 31) / 32;
}

/// Codes run as a stream of bits, least first, through the 32-bit words: `bits` words hold 32 codes
/// of one output along the inputs, zero points of one group likewise along the outputs.
class GptqDecoder : public QweightDecoder {
 public:
  GptqDecoder(const Layout& layout, const Packing& packing, std::vector<TensorBytes> parts)
      : QweightDecoder(layout, std::move(parts)),
        packing_(packing),
        outputs_(layout.outputs),
        zero_row_words_(WordsFor(layout.outputs, packing.bits)),
        mask_((1u << packing.bits) - 1) {}

  /// In a symmetric checkpoint each zero point is 2^(bits - 1): the other version's constant
  /// reveals that the config names the wrong one, or none.
  Result<void> CheckVersion(const std::string& place) const {
    const uint32_t middle = (mask_ + 1) / 2;
    const uint32_t other = packing_.zero_offset == 1 ? middle + 1 : middle - 1;
    if (OnlyZero() != other) return {};
    return Malformed(place,
                     fmt::format("its zero points are {} where a symmetric checkpoint has {}: not "
                                 "of the format version that the config names",
                                 other, middle),
                     "correct checkpoint_format (gptq or gptq_v2) in config.json");
  }

 protected:
  void Codes(uint64_t input, uint64_t output, size_t count, uint32_t* codes) const override {
    const uint64_t bit = input * packing_.bits, word = bit / 32 * outputs_ + output;
    const unsigned shift = bit % 32;
    if (shift + packing_.bits <= 32) {
      for (size_t k = 0; k < count; ++k) codes[k] = WordAt(part(0), word + k) >> shift & mask_;
      return;
    }
    for (size_t k = 0; k < count; ++k) {
      const uint32_t low = WordAt(part(0), word + k) >> shift;
      codes[k] = (low | WordAt(part(0), word + outputs_ + k) << (32 - shift)) & mask_;
    }
  }

  void Zeros(uint64_t group, uint64_t output, size_t count, uint32_t* zeros) const override {
    for (size_t k = 0; k < count; ++k) {
      const uint64_t bit = (output + k) * packing_.bits, word = group * zero_row_words_ + bit / 32;
      const unsigned shift = bit % 32;
      uint32_t stored = WordAt(part(1), word) >> shift;
      if (shift + packing_.bits > 32) stored |= WordAt(part(1), word + 1) << (32 - shift);
      zeros[k] = (stored + packing_.zero_offset) & mask_;  // wraps, as the writer's -1 did
    }
  }

 private:
  Packing packing_;
  uint64_t outputs_, zero_row_words_;
  uint32_t mask_;
};

/// A shape of X.qweight: so many inputs of so many bits.
struct Inputs {
  unsigned bits;
  uint64_t count;
};

/// The widths that codes and zero points allow. The libraries pack whole words of inputs.
std::vector<Inputs> FittingInputs(const Qweight& found) {
  std::vector<Inputs> fitting;
  const uint64_t word_rows = found.codes.info().shape[0];
  const auto code_bits = CheckedMul(word_rows, 32);
  if (!code_bits) return fitting;
  for (const unsigned bits : {2u, 3u, 4u, 8u}) {
    const uint64_t count = *code_bits / bits;
    const bool fits = count > 0 && WordsFor(count, bits) == word_rows &&
                      WordsFor(found.outputs, bits) == found.zeros.info().shape[1];
    if (fits) fitting.push_back({bits, count});
  }
  return fitting;
}

/// The config's bits where the shapes allow them; else the shapes', for CheckGroups() to refuse.
Result<Inputs> FindInputs(const TensorRef& payload, const Qweight& found,
                          const std::optional<TensorRef>& g_idx, const QuantWords& words) {
  std::vector<Inputs> fitting = FittingInputs(found);
  const auto erase = [&](const auto& other) {
    if (!std::all_of(fitting.begin(), fitting.end(), other)) std::erase_if(fitting, other);
  };
  erase([&](const Inputs& inputs) { return inputs.bits != words.bits; });
  if (g_idx) erase([&](const Inputs& inputs) { return inputs.count != g_idx->info().shape[0]; });
  if (fitting.size() != 1) {
    return Malformed(
        found.place,
        fmt::format("{} rows of codes for {} outputs, with {} words of zero points, "
                    "do not tell a width of 2, 3, 4 or 8 bits",
                    found.codes.info().shape[0], found.outputs, found.zeros.info().shape[1]));
  }
  if (g_idx && g_idx->info().shape[0] != fitting[0].count) {
    return WrongCompanion(payload, fmt::format("X.g_idx I32 [{}]", fitting[0].count), g_idx);
  }
  return fitting[0];
}

/// AutoRound's own packing and gptq_v2 store the zero point itself (auto_round/inference/backend.py
/// calls the others "zp+-1").
unsigned ZeroOffset(const QuantWords& words) {
  const std::string packing = words.Text("packing_format");
  const bool plain = packing == "auto_round" || packing == "auto_round:gptqmodel" ||
                     words.Text("checkpoint_format") == "gptq_v2" || words.format == "gptq_v2";
  return plain ? 0 : 1;
}

Result<std::optional<TensorRef>> FindInputGroups(const Qweight& found, const TensorIndex& tensors) {
  const auto g_idx = tensors.Find(found.stem, ".g_idx");
  if (!g_idx) return g_idx;
  const TensorInfo& info = g_idx->info();
  if (info.shape.size() != 1 || !IsWord(info.dtype) || info.byte_swapped) {
    return Malformed(found.place, fmt::format("X.g_idx must be a vector of int32, found {} [{}]",
                                              info.dtype_text, fmt::join(info.shape, ", ")));
  }
  return g_idx;
}

/// `in_order`: the config says that groups are runs of group_size inputs.
Result<void> CheckInputGroups(const TensorBytes& g_idx, const QweightDecoder::Layout& layout,
                              bool in_order, const std::string& place) {
  std::vector<uint32_t> group_of_input(layout.inputs);
  for (uint64_t i = 0; i < layout.inputs; ++i) {
    const uint32_t group = WordAt(g_idx.data, i);  // a negative one is a huge one
    group_of_input[i] = group;
    if (group >= layout.groups) {
      return Malformed(place, fmt::format("X.g_idx puts input {} into group {} of {}", i,
                                          static_cast<int32_t>(group), layout.groups));
    }
    if (in_order && group != i / layout.group_size) {
      return Malformed(place, fmt::format("X.g_idx puts input {} into group {}, desc_act false of "
                                          "config.json into {}",
                                          i, group, i / layout.group_size));
    }
  }
  if (const auto odd = FindUnevenGroup(group_of_input, layout.groups, layout.group_size)) {
    return Malformed(place, fmt::format("X.g_idx needs {} inputs in group {} of {}, found {}",
                                        odd->wanted, odd->group, layout.groups, odd->columns));
  }
  return {};
}

/// All that the config says of the weight.
Result<void> CheckWords(const Qweight& found, const std::optional<TensorRef>& g_idx,
                        const Inputs& inputs, const QuantWords& words) {
  auto agrees = CheckGroups(found, words, inputs.count, inputs.bits);
  if (!agrees) return agrees;
  const std::string version = words.Text("checkpoint_format");
  if (!version.empty()) {
    agrees =
        CheckStatements(found.codes, found.zeros, words, {Says("format", words.format, version)});
    if (!agrees) return agrees;
  }
  if (words.act_order == true && found.groups > 1 && !g_idx) {
    return WrongCompanion(
        found.codes, fmt::format("X.g_idx I32 [{}] (desc_act true: {})", inputs.count, words.entry),
        std::nullopt);
  }
  return {};
}

Weight WeightOf(const Qweight& found, const std::optional<TensorRef>& g_idx,
                const QweightDecoder::Layout& layout, const Packing& packing,
                const QuantWords& words) {
  Weight weight = QweightWeight(found, layout, fmt::format("gptq_int{}", packing.bits));
  if (g_idx) weight.parts.push_back(*g_idx);
  const unsigned common = std::gcd(packing.bits, 32u);
  weight.ranges_of =
      QweightRanges(weight, layout, {.inputs = 32 / common, .word_rows = packing.bits / common},
                    g_idx.has_value());
  weight.open = OpenTiled(
      weight,
      [layout, packing, place = found.place, entry = words.entry, symmetric = words.symmetric,
       in_order = words.act_order == false && layout.group_size > 0](
          std::vector<TensorBytes> parts) -> Result<std::shared_ptr<const TileDecoder>> {
        Result<void> sound;
        if (parts.size() > 3) sound = CheckInputGroups(parts[3], layout, in_order, place);
        auto array = std::make_shared<GptqDecoder>(layout, packing, std::move(parts));
        if (sound && symmetric != false) sound = array->CheckVersion(place);
        if (sound && symmetric == true) sound = CheckSymmetric(*array, packing.bits, place, entry);
        if (!sound) return tl::make_unexpected(sound.error());
        return array;
      });
  return weight;
}

}  // namespace

Result<std::optional<Weight>> FindGptqWeight(const TensorRef& payload, const TensorIndex& tensors,
                                             const QuantWords& words) {
  const auto maybe = FindQweight(payload, tensors, words);
  if (!maybe) return tl::make_unexpected(maybe.error());
  if (!*maybe || (*maybe)->packed_along_outputs) return std::optional<Weight>{};
  const Qweight& found = **maybe;
  const auto g_idx = FindInputGroups(found, tensors);
  if (!g_idx) return tl::make_unexpected(g_idx.error());
  const auto inputs = FindInputs(payload, found, *g_idx, words);
  if (!inputs) return tl::make_unexpected(inputs.error());
  if (auto agrees = CheckWords(found, *g_idx, *inputs, words); !agrees) {
    return tl::make_unexpected(agrees.error());
  }
  const auto layout = LayoutOf(found, words, inputs->count, g_idx->has_value());
  if (!layout) return tl::make_unexpected(layout.error());
  return WeightOf(found, *g_idx, *layout, {inputs->bits, ZeroOffset(words)}, words);
}

}  // namespace moe

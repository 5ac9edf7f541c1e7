#include <fmt/format.h>

#include <array>

#include "codec/codecs.h"
#include "codec/qweight.h"

namespace moe {
namespace {

/// AutoAWQ's "gemm" layout (checkpoints.md 7.2): a word holds 8 codes of 4 bits, of 8 outputs in
/// the order 0, 2, 4, 6, 1, 3, 5, 7; zero points likewise, and nothing is added to them.
class AwqDecoder : public QweightDecoder {
 public:
  AwqDecoder(const Layout& layout, std::vector<TensorBytes> parts)
      : QweightDecoder(layout, std::move(parts)), row_words_(layout.outputs / 8) {}

 protected:
  void Codes(uint64_t input, uint64_t output, size_t count, uint32_t* codes) const override {
    Unpack(part(0), input, output, count, codes);
  }
  void Zeros(uint64_t group, uint64_t output, size_t count, uint32_t* zeros) const override {
    Unpack(part(1), group, output, count, zeros);
  }

 private:
  void Unpack(std::span<const std::byte> words, uint64_t row, uint64_t output, size_t count,
              uint32_t* codes) const {
    constexpr std::array<unsigned, 8> kShift = {0, 16, 4, 20, 8, 24, 12, 28};
    const uint64_t first = row * row_words_;
    size_t k = 0;
    while (k < count) {
      const uint32_t word = WordAt(words, first + (output + k) / 8);
      for (size_t j = (output + k) % 8; j < 8 && k < count; ++j, ++k) {
        codes[k] = word >> kShift[j] & 15;
      }
    }
  }

  uint64_t row_words_;
};

Result<void> CheckBits(const Qweight& found, const QuantWords& said) {
  const uint64_t words = found.codes.info().shape[1];
  if (found.outputs % 8 == 0 && words == found.outputs / 8) {
    return CheckGroups(found, said, found.codes.info().shape[0], 4);
  }
  return Fail(said.bits.value_or(4) == 4 ? ErrorCode::kMalformed : ErrorCode::kUnsupported,
              found.place,
              fmt::format("4-bit AWQ packs {} outputs into {} words, found {}", found.outputs,
                          found.outputs / 8, words));
}

}  // namespace

Result<std::optional<Weight>> FindAwqWeight(const TensorRef& payload, const TensorIndex& tensors,
                                            const QuantWords& words) {
  const auto found = FindQweight(payload, tensors, words);
  if (!found) return tl::make_unexpected(found.error());
  if (!*found || !(*found)->packed_along_outputs) return std::optional<Weight>{};
  if (auto fits = CheckBits(**found, words); !fits) {
    return tl::make_unexpected(fits.error());
  }
  const auto layout = LayoutOf(**found, words, payload.info().shape[0]);
  if (!layout) return tl::make_unexpected(layout.error());
  Weight weight = QweightWeight(**found, *layout, "awq_int4");
  weight.ranges_of = QweightRanges(weight, *layout, {.outputs = 8});
  weight.open =
      OpenTiled(weight,
                [layout = *layout, place = (*found)->place, entry = words.entry,
                 symmetric = words.symmetric == true](
                    std::vector<TensorBytes> parts) -> Result<std::shared_ptr<const TileDecoder>> {
                  auto array = std::make_shared<AwqDecoder>(layout, std::move(parts));
                  Result<void> sound;
                  if (symmetric) sound = CheckSymmetric(*array, 4, place, entry);
                  if (!sound) return tl::make_unexpected(sound.error());
                  return array;
                });
  return weight;
}

}  // namespace moe

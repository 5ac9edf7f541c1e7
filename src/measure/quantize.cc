#include "moescope/quantize.h"

#include "measure/quantizer.h"

namespace moe {
namespace {

// Element i of the stream occupies bits [i * bits, (i + 1) * bits), least significant first. A row
// is a whole number of words, so the matrix is one stream.
std::vector<uint32_t> PackCodes(std::span<const uint8_t> codes, unsigned bits) {
  std::vector<uint32_t> words((codes.size() * bits + 31) / 32);
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t bit = i * bits;
    const uint64_t shifted = uint64_t{codes[i]} << (bit % 32);
    words[bit / 32] |= static_cast<uint32_t>(shifted);
    if (shifted >> 32 != 0) words[bit / 32 + 1] |= static_cast<uint32_t>(shifted >> 32);
  }
  return words;
}

}  // namespace

Result<QuantizedMatrix> QuantizeMatrix(std::span<const float> w, uint64_t rows, uint64_t cols,
                                       const QuantScheme& scheme, QuantProfile profile,
                                       ComputeDType dtype) {
  if ((cols != 0 && rows > w.size() / cols) || rows * cols != w.size()) {
    return Fail(ErrorCode::kBadArgument, "QuantizeMatrix",
                "has " + std::to_string(w.size()) + " values for " + std::to_string(rows) + " x " +
                    std::to_string(cols));
  }
  const auto quantizer = MakeQuantizer(scheme, profile, dtype, rows, cols);
  if (!quantizer) return tl::make_unexpected(quantizer.error());
  const size_t groups = w.size() / quantizer->group_size;

  QuantizedMatrix out;
  out.rows = rows;
  out.cols = cols;
  out.scales.resize(groups);
  out.biases.resize(quantizer->mode->has_bias ? groups : 0);
  out.w_hat.resize(w.size());
  std::vector<uint8_t> codes(w.size());
  GroupRun run{w.data(),     groups, out.scales.data(), out.biases.data(), out.w_hat.data(),
               codes.data(), 0};
  quantizer->encoder.run(*quantizer, run);
  out.codes = PackCodes(codes, quantizer->bits);
  return out;
}

}  // namespace moe

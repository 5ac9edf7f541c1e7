#include "moescope/quantize.h"

#include <span>

#include "base/little_endian.h"
#include "measure/encode.h"
#include "measure/quantizer.h"

namespace moe {

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
  (quantizer->search ? RunSearch : quantizer->encoder.run)(*quantizer, run);
  std::vector<std::byte> packed(codes.size() * quantizer->bits / 8);
  PackCodes(codes.data(), codes.size(), quantizer->bits, packed.data());
  for (size_t at = 0; at < packed.size(); at += sizeof(uint32_t)) {
    out.codes.push_back(LoadLittleEndian<uint32_t>(packed, at));
  }
  return out;
}

}  // namespace moe

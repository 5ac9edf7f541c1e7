// Every case of tests/data/oracle: what the real MLX made of known inputs.
#include "measure/oracle.h"

#include <gtest/gtest.h>

#include <cmath>

#include "measure/encode.h"

namespace moe {
namespace {

// Index of the first element whose bits differ (any NaN equals any NaN), or -1.
long FirstDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) return static_cast<long>(i);
  }
  return -1;
}

TEST(Oracle, HasTheCasesOfBothVersions) { EXPECT_EQ(oracle::AllCases().size(), 831u + 108u); }

TEST(Oracle, CodesScalesBiasesAndReconstructionAreBitExact) {
  for (const auto& c : oracle::AllCases()) {
    SCOPED_TRACE(c.Label());
    const auto& file = oracle::FileOf(c);
    const auto w = file.Floats(c.name + ".w");
    const auto made = QuantizeMatrix(w, c.rows, c.cols, c.scheme, c.profile, c.dtype);
    ASSERT_TRUE(made.has_value()) << made.error().Text();
    EXPECT_EQ(made->codes, file.Words(c.name + ".q"));
    EXPECT_EQ(FirstDifference(made->scales, file.Floats(c.name + ".scales")), -1);
    if (file.Has(c.name + ".biases")) {
      EXPECT_EQ(FirstDifference(made->biases, file.Floats(c.name + ".biases")), -1);
    } else {
      EXPECT_TRUE(made->biases.empty());
    }
    EXPECT_EQ(FirstDifference(made->w_hat, file.Floats(c.name + ".w_hat")), -1);
  }
}

TEST(Oracle, TheBytesOfFilesAreTheSame) {
  for (const auto& c : oracle::AllCases()) {
    SCOPED_TRACE(c.Label());
    const auto& file = oracle::FileOf(c);
    const auto w = file.Floats(c.name + ".w");
    const auto quantizer = MakeQuantizer(c.scheme, c.profile, c.dtype, c.rows, c.cols);
    ASSERT_TRUE(quantizer.has_value());
    const GroupBytes each = GroupBytesOf(*quantizer);
    const size_t groups = w.size() / quantizer->group_size;
    std::vector<std::byte> codes(groups * each.codes), scales(groups * each.scale),
        biases(groups * each.bias);
    EncodeGroups(*quantizer, w.data(), groups, {codes.data(), scales.data(), biases.data()});
    EXPECT_TRUE(codes == file.Bytes(c.name + ".q"));
    EXPECT_TRUE(scales == file.Bytes(c.name + ".scales"));
    EXPECT_TRUE(each.bias == 0 || biases == file.Bytes(c.name + ".biases"));
  }
}

}  // namespace
}  // namespace moe

#include "verify/expectation.h"

#include <gtest/gtest.h>

namespace moe {
namespace {

TEST(Expectation, FollowsTheStorage) {
  const struct {
    const char* storage;
    Method method;
    double ceiling;
  } cases[] = {
      {"gguf_q4_K", Method::kCeiling, 0.18},       {"gguf_iq2_xxs", Method::kCeiling, 0.65},
      {"int8_channel", Method::kCeiling, 0.03},    {"fp8_block128", Method::kCeiling, 0.04},
      {"fp8_e5m2_tensor", Method::kCeiling, 0.08}, {"gguf_q8_0", Method::kCeiling, 0.03},
      {"gguf_nvfp4", Method::kSimulated, 0.18},    {"mxfp4", Method::kSimulated, 0.18},
  };
  for (const auto& [storage, method, ceiling] : cases) {
    Weight weight;
    weight.storage = storage;
    const Expectation expectation = ExpectationOf(weight);
    EXPECT_EQ(expectation.method, method) << storage;
    EXPECT_EQ(expectation.ceiling, ceiling) << storage;
    EXPECT_EQ(expectation.alike.has_value(), method == Method::kSimulated) << storage;
  }
}

}  // namespace
}  // namespace moe

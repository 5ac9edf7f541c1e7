#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/float_convert.h"
#include "base/test_json.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

using testing::HasSubstr;

constexpr uint64_t kInputs = 96, kOutputs = 72, kGroup = 32, kGroups = 3;
constexpr unsigned kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};  // column in nibble i (checkpoints.md 7.2)

/// A matrix of codes [rows, kOutputs], packed.
std::vector<uint32_t> Pack(const std::vector<uint32_t>& codes) {
  std::vector<uint32_t> words(codes.size() / 8);
  for (size_t w = 0; w < words.size(); ++w) {
    for (unsigned i = 0; i < 8; ++i) words[w] |= codes[w * 8 + kOrder[i]] << (4 * i);
  }
  return words;
}

struct Module {
  MemoryFile file;
  std::vector<float> expected;  // [kOutputs, kInputs]

  Module() : expected(kOutputs * kInputs) {
    std::mt19937 random(1);
    std::vector<uint32_t> codes(kInputs * kOutputs), zeros(kGroups * kOutputs);
    std::vector<uint16_t> scales(kGroups * kOutputs);
    for (uint32_t& code : codes) code = static_cast<uint32_t>(random()) % 16;
    for (uint32_t& zero : zeros) zero = static_cast<uint32_t>(random()) % 16;
    for (uint16_t& scale : scales) {
      scale = FloatToBFloat16(0.001f * static_cast<float>(random() % 1000));
    }
    for (uint64_t i = 0; i < kInputs; ++i) {
      for (uint64_t o = 0; o < kOutputs; ++o) {
        const uint64_t g = i / kGroup * kOutputs + o;
        const int difference =
            static_cast<int>(codes[i * kOutputs + o]) - static_cast<int>(zeros[g]);
        expected[o * kInputs + i] = BFloat16ToFloat(scales[g]) * static_cast<float>(difference);
      }
    }
    file.Add("x.qweight", DType::kI32, {kInputs, kOutputs / 8}, Pack(codes));
    file.Add("x.qzeros", DType::kI32, {kGroups, kOutputs / 8}, Pack(zeros));
    file.Add("x.scales", DType::kBF16, {kGroups, kOutputs}, scales);
  }
};

TEST(Awq, DecodesByTheFormula) {
  const Module module;
  for (const Json& config :
       {Json(nullptr), Json{{"quant_method", "awq"}, {"version", "GEMM"}, {"group_size", 32}},
        Json{{"quant_method", "auto-round"}, {"packing_format", "auto_round:auto_awq"}}}) {
    const auto weight = FindFirst(FindAwqWeight, module.file, config);
    ASSERT_TRUE(weight.has_value()) << weight.error().Text();
    ASSERT_TRUE(weight->has_value());
    EXPECT_EQ((*weight)->name, "x.weight");
    EXPECT_EQ((*weight)->shape, (std::vector<uint64_t>{kOutputs, kInputs}));
    EXPECT_EQ((*weight)->storage, "awq_int4_g32");
    EXPECT_EQ((*weight)->float_dtype, DType::kBF16);
    const auto array = OpenParts(**weight);
    ASSERT_TRUE(array.has_value()) << array.error().Text();
    for (const auto& [rows, cols] : {std::pair<uint64_t, uint64_t>{1000, 1000}, {3, 7}, {67, 1}}) {
      EXPECT_EQ(ReadInTiles(**array, 1, kOutputs, kInputs, rows, cols), module.expected);
    }
  }
}

struct BrokenAwq {
  const char* name;
  const char* config;
  void (*breaks)(MemoryFile&);
  ErrorCode code;
  const char* expected_part;
};

void Nothing(MemoryFile&) {}

const BrokenAwq kBroken[] = {
    {"Gemv", R"({"quant_method":"awq","version":"gemv"})", Nothing, ErrorCode::kUnsupported,
     "gemv"},
    {"GemvFast", R"({"quant_method":"awq","checkpoint_format":"gemv_fast"})", Nothing,
     ErrorCode::kUnsupported, "gemv_fast"},
    {"SaysGptq", R"({"quant_method":"gptq"})", Nothing, ErrorCode::kMalformed, "fit neither"},
    {"OtherBits", R"({"quant_method":"awq","bits":8})",
     [](MemoryFile& file) { file.info(2).shape[1] = 36; }, ErrorCode::kUnsupported, "36 outputs"},
    {"FewerOutputs", "{}", [](MemoryFile& file) { file.info(2).shape[1] = 64; },
     ErrorCode::kMalformed, "64 outputs into 8 words, found 9"},
    {"FewerGroups", "{}", [](MemoryFile& file) { file.info(1).shape[0] = 2; },
     ErrorCode::kMalformed, "2 groups, X.scales 3"},
    {"OddGroups", "{}", [](MemoryFile& file) { file.info(1).shape[0] = file.info(2).shape[0] = 5; },
     ErrorCode::kMalformed, "5 groups do not tell"},
    {"NoZeros", "{}", [](MemoryFile& file) { file.info(1).name = "y"; }, ErrorCode::kMalformed,
     "no X.qzeros"},
};

class AwqBroken : public testing::TestWithParam<BrokenAwq> {};

TEST_P(AwqBroken, IsRefusedWithTheReason) {
  Module module;
  GetParam().breaks(module.file);
  const auto weight = FindFirst(FindAwqWeight, module.file, AsJson(GetParam().config));
  ASSERT_FALSE(weight.has_value());
  EXPECT_EQ(weight.error().code, GetParam().code);
  EXPECT_THAT(weight.error().message, HasSubstr(GetParam().expected_part));
}

INSTANTIATE_TEST_SUITE_P(All, AwqBroken, testing::ValuesIn(kBroken),
                         [](const auto& test) { return test.param.name; });

TEST(Awq, IsNoGptq) {
  const Module module;
  const auto gptq = FindFirst(FindGptqWeight, module.file);
  ASSERT_TRUE(gptq.has_value());
  EXPECT_FALSE(gptq->has_value());
}

TEST(Awq, DecodesCheckpointsAsTheLibraryDoes) {
  ExpectZooDecodes("awq_int4_qwen2_moe", FindAwqWeight);
}

}  // namespace
}  // namespace moe

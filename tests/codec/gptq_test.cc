#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/float_convert.h"
#include "base/test_json.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

using testing::HasSubstr;

/// Writes codes of `bits` bits one after the other, least bit first, into words `stride` apart.
void PutCode(std::vector<uint32_t>& words, size_t first, size_t stride, unsigned bits,
             uint64_t number, uint32_t code) {
  for (unsigned b = 0; b < bits; ++b) {
    const uint64_t bit = number * bits + b;
    words[first + bit / 32 * stride] |= (code >> b & 1u) << bit % 32;
  }
}

/// A random GPTQ module and the weight [outputs, inputs] that checkpoints.md 7.1 says it is.
struct Module {
  uint64_t inputs = 96, outputs = 70, group_size = 32;
  unsigned bits = 4, zero_offset = 1;
  bool act_order = false, with_g_idx = true;

  MemoryFile file;
  std::vector<float> expected;

  uint64_t groups() const { return (inputs + group_size - 1) / group_size; }

  void Make() {
    std::mt19937 random(bits * 10 + zero_offset);
    const uint32_t codes = 1u << bits;
    const uint64_t word_rows = inputs * bits / 32, zero_words = (outputs * bits + 31) / 32;
    std::vector<uint32_t> qweight(word_rows * outputs), qzeros(groups() * zero_words);
    std::vector<uint16_t> scales(groups() * outputs);
    std::vector<int32_t> g_idx(inputs);
    std::vector<uint32_t> zeros(groups() * outputs);
    expected.assign(outputs * inputs, 0);
    for (uint64_t g = 0; g < groups(); ++g) {
      for (uint64_t o = 0; o < outputs; ++o) {
        const uint32_t stored = static_cast<uint32_t>(random()) % codes;
        PutCode(qzeros, g * zero_words, 1, bits, o, stored);
        zeros[g * outputs + o] = (stored + zero_offset) % codes;
        scales[g * outputs + o] = FloatToHalf(0.001f * static_cast<float>(random() % 1000));
      }
    }
    for (uint64_t i = 0; i < inputs; ++i) {
      g_idx[i] = static_cast<int32_t>(i / group_size);
    }
    if (act_order) std::shuffle(g_idx.begin(), g_idx.end(), random);
    for (uint64_t i = 0; i < inputs; ++i) {
      const auto g = static_cast<uint64_t>(g_idx[i]);
      for (uint64_t o = 0; o < outputs; ++o) {
        const uint32_t code = static_cast<uint32_t>(random()) % codes;
        PutCode(qweight, o, outputs, bits, i, code);
        const int difference = static_cast<int>(code) - static_cast<int>(zeros[g * outputs + o]);
        expected[o * inputs + i] =
            HalfToFloat(scales[g * outputs + o]) * static_cast<float>(difference);
      }
    }
    file.Add("x.qweight", DType::kI32, {word_rows, outputs}, qweight);
    file.Add("x.qzeros", DType::kI32, {groups(), zero_words}, qzeros);
    file.Add("x.scales", DType::kF16, {groups(), outputs}, scales);
    if (with_g_idx) file.Add("x.g_idx", DType::kI32, {inputs}, g_idx);
  }
};

void ExpectDecodes(const Module& module, const Json& config, const char* storage) {
  const auto weight = FindFirst(FindGptqWeight, module.file, config);
  ASSERT_TRUE(weight.has_value()) << weight.error().Text();
  ASSERT_TRUE(weight->has_value());
  EXPECT_EQ((*weight)->name, "x.weight");
  EXPECT_EQ((*weight)->shape, (std::vector<uint64_t>{module.outputs, module.inputs}));
  EXPECT_EQ((*weight)->storage, storage);
  EXPECT_EQ((*weight)->float_dtype, DType::kF16);
  const auto array = OpenParts(**weight);
  ASSERT_TRUE(array.has_value()) << array.error().Text();
  for (const auto& [rows, cols] : {std::pair<uint64_t, uint64_t>{1000, 1000}, {3, 7}, {65, 1}}) {
    EXPECT_EQ(ReadInTiles(**array, 1, module.outputs, module.inputs, rows, cols), module.expected);
  }
}

class GptqBits : public testing::TestWithParam<unsigned> {};

TEST_P(GptqBits, DecodeByTheFormula) {
  for (const unsigned zero_offset : {0u, 1u}) {
    for (const bool act_order : {false, true}) {
      Module module;
      module.bits = GetParam();
      module.zero_offset = zero_offset;
      module.act_order = act_order;
      module.Make();
      Json config = {{"quant_method", "gptq"}, {"bits", GetParam()}, {"group_size", 32}};
      if (zero_offset == 0) config["checkpoint_format"] = "gptq_v2";
      ExpectDecodes(module, config, ("gptq_int" + std::to_string(GetParam()) + "_g32").c_str());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GptqBits, testing::Values(2u, 3u, 4u, 8u));

TEST(Gptq, ShapesTellTheBitsWhenTheConfigNamesNone) {
  Module module;
  module.bits = 8;
  module.Make();
  ExpectDecodes(module, nullptr, "gptq_int8_g32");
}

TEST(Gptq, WithoutInputGroupsCountsThemOff) {
  Module module;
  module.with_g_idx = false;
  module.group_size = 64;  // 96 inputs: the second group is half
  module.Make();
  ExpectDecodes(module, {{"bits", 4}, {"group_size", 64}}, "gptq_int4_g64");
  const auto unknown = FindFirst(FindGptqWeight, module.file);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_THAT(unknown.error().message, HasSubstr("do not tell the group size"));
}

TEST(Gptq, OneGroupIsCalledChannel) {
  Module module;
  module.with_g_idx = false;
  module.group_size = 96;
  module.Make();
  ExpectDecodes(module, {{"bits", 4}, {"group_size", -1}}, "gptq_int4_channel");
}

TEST(Gptq, AutoRoundNamesTheZeroPointsByItsPacking) {
  for (const auto& [packing, offset] :
       {std::pair{"auto_round", 0u}, {"auto_round:gptqmodel", 0u}, {"auto_round:auto_gptq", 1u}}) {
    Module module;
    module.zero_offset = offset;
    module.Make();
    ExpectDecodes(module, {{"quant_method", "auto-round"}, {"packing_format", packing}},
                  "gptq_int4_g32");
  }
}

// Each case differs from a good module in the config or in one header.
struct BrokenGptq {
  const char* name;
  const char* config;
  void (*breaks)(MemoryFile&);
  ErrorCode code;
  const char* expected_part;
};

void Nothing(MemoryFile&) {}

const BrokenGptq kBroken[] = {
    {"Planar", R"({"checkpoint_format":"gptq_p"})", Nothing, ErrorCode::kUnsupported, "gptq_p"},
    {"Marlin", R"({"quant_method":"gptq","checkpoint_format":"marlin"})", Nothing,
     ErrorCode::kUnsupported, "marlin"},
    {"OtherMethod", R"({"quant_method":"qqq"})", Nothing, ErrorCode::kUnsupported, "qqq"},
    {"OtherWords", R"({"pack_dtype":"int16"})", Nothing, ErrorCode::kUnsupported, "int16"},
    {"OtherPayload", "{}", [](MemoryFile& file) { file.info(0).dtype = DType::kI16; },
     ErrorCode::kUnsupported, "only into int32"},
    {"SaysAwq", R"({"quant_method":"awq"})", Nothing, ErrorCode::kMalformed, "fit neither"},
    {"NoZeros", "{}", [](MemoryFile& file) { file.info(1).name = "y"; }, ErrorCode::kMalformed,
     "no X.qzeros"},
    {"NoScales", "{}", [](MemoryFile& file) { file.info(2).name = "y"; }, ErrorCode::kMalformed,
     "no X.scales"},
    {"ScalesOfInts", "{}", [](MemoryFile& file) { file.info(2).dtype = DType::kI16; },
     ErrorCode::kMalformed, "matrix of floats"},
    {"FewerScales", "{}", [](MemoryFile& file) { file.info(2).shape[0] = 2; },
     ErrorCode::kMalformed, "3 groups, X.scales 2"},
    {"OtherZeros", "{}", [](MemoryFile& file) { file.info(1).shape[1] = 11; },
     ErrorCode::kMalformed, "11 words of zero points"},
    {"Stacked", "{}", [](MemoryFile& file) { file.info(0).shape = {1, 12, 70}; },
     ErrorCode::kMalformed, "must be a matrix"},
    {"Fortran", "{}", [](MemoryFile& file) { file.info(0).fortran_order = true; },
     ErrorCode::kUnsupported, "Fortran"},
    {"OtherInputs", "{}", [](MemoryFile& file) { file.info(3).shape = {95, 1}; },
     ErrorCode::kMalformed, "vector of int32"},
    {"FewerInputs", "{}", [](MemoryFile& file) { file.info(3).shape = {88}; },
     ErrorCode::kMalformed, "X.g_idx I32 [96], found x.g_idx [88]"},
};

class GptqBroken : public testing::TestWithParam<BrokenGptq> {};

TEST_P(GptqBroken, IsRefusedWithTheReason) {
  Module module;
  module.Make();
  GetParam().breaks(module.file);
  const auto weight = FindFirst(FindGptqWeight, module.file, AsJson(GetParam().config));
  ASSERT_FALSE(weight.has_value());
  EXPECT_EQ(weight.error().code, GetParam().code);
  EXPECT_THAT(weight.error().message, HasSubstr(GetParam().expected_part));
  EXPECT_EQ(weight.error().where, "tensor 'x.qweight'");
}

INSTANTIATE_TEST_SUITE_P(All, GptqBroken, testing::ValuesIn(kBroken),
                         [](const auto& test) { return test.param.name; });

MemoryFile ConstantModule(uint32_t zero_word, int32_t last_group) {
  MemoryFile file;
  file.Add("x.qweight", DType::kI32, {1, 8}, std::vector<uint32_t>(8, 0x12345678));
  file.Add("x.qzeros", DType::kI32, {1, 1}, std::vector<uint32_t>{zero_word});
  file.Add("x.scales", DType::kF32, {1, 8}, std::vector<float>(8, 0.5f));
  file.Add("x.g_idx", DType::kI32, {8}, std::vector<int32_t>{0, 0, 0, 0, 0, 0, 0, last_group});
  return file;
}

Result<std::shared_ptr<const WeightArray>> OpenConstant(const MemoryFile& file,
                                                        const Json& config) {
  const auto weight = FindFirst(FindGptqWeight, file, config);
  if (!weight) return tl::make_unexpected(weight.error());
  return OpenParts(**weight);
}

TEST(Gptq, GroupsOfInputsMustExist) {
  for (const int32_t group : {1, -1}) {
    const auto array = OpenConstant(ConstantModule(0x77777777, group), {{"bits", 4}});
    ASSERT_FALSE(array.has_value());
    EXPECT_THAT(array.error().message,
                HasSubstr("input 7 into group " + std::to_string(group) + " of 1"));
  }
}

TEST(Gptq, SymmetricZeroPointsOfTheOtherVersionAreRefused) {
  const Json v1 = {{"bits", 4}, {"sym", true}};
  const Json v2 = {{"bits", 4}, {"sym", true}, {"checkpoint_format", "gptq_v2"}};
  EXPECT_TRUE(OpenConstant(ConstantModule(0x77777777, 0), v1).has_value());
  EXPECT_TRUE(OpenConstant(ConstantModule(0x88888888, 0), v2).has_value());
  const auto array = OpenConstant(ConstantModule(0x88888888, 0), v1);
  ASSERT_FALSE(array.has_value());
  EXPECT_THAT(array.error().message, HasSubstr("zero points are 9"));
  EXPECT_FALSE(OpenConstant(ConstantModule(0x77777777, 0), v2).has_value());
}

TEST(Gptq, LeavesOtherTensorsAlone) {
  Module module;
  module.Make();
  TensorIndex tensors;
  tensors.Add(module.file);
  for (const size_t companion : {1u, 2u, 3u}) {
    const auto weight = FindGptqWeight({&module.file, companion}, tensors, {});
    ASSERT_TRUE(weight.has_value());
    EXPECT_FALSE(weight->has_value());
  }
  const auto awq = FindFirst(FindAwqWeight, module.file);
  ASSERT_TRUE(awq.has_value());
  EXPECT_FALSE(awq->has_value());
}

TEST(Gptq, DecodesCheckpointsAsTheLibraryDoes) {
  ExpectZooDecodes("gptq_int3_olmoe", FindGptqWeight);
  ExpectZooDecodes("gptq_int4_sym_qwen3_moe", FindGptqWeight);
}

}  // namespace
}  // namespace moe

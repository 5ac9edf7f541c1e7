#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/test_json.h"
#include "codec/codecs.h"
#include "memory_file.h"

namespace moe {
namespace {

using testing::HasSubstr;

constexpr const char* kState =
    R"({"quant_type":"nf4","blocksize":64,"dtype":"bfloat16","shape":[2,5,19]})";
constexpr const char* kNestedState =
    R"({"quant_type":"nf4","blocksize":4,"dtype":"float16","shape":[2,5,19],)"
    R"("nested_blocksize":16,"nested_dtype":"float32","nested_offset":0.25})";

/// 2 x 5 x 19 random codes (blocks cross rows and matrices) and the weight that checkpoints.md 7.3
/// says they are.
struct Stack {
  MemoryFile file;
  std::vector<float> expected = std::vector<float>(190);

  Stack(DType storage, bool nested, std::string state, const char* type = "nf4") {
    std::mt19937 random(1);
    const auto any = [&random] { return static_cast<float>(random() % 2001) / 1000 - 1; };
    const auto floats = [&](size_t count) {
      std::vector<float> values(count);
      for (float& value : values) value = any();
      return values;
    };
    const size_t block_size = nested ? 4 : 64, blocks = (190 + block_size - 1) / block_size;
    const std::vector<float> map = floats(16), nested_map = floats(256), nested_absmax = floats(3);
    std::vector<float> absmax = floats(blocks);
    std::vector<uint8_t> codes(96), absmax_codes(blocks);
    for (size_t b = 0; b < blocks && nested; ++b) {
      absmax_codes[b] = static_cast<uint8_t>(random());
      absmax[b] = nested_map[absmax_codes[b]] * nested_absmax[b / 16] + 0.25f;
    }
    for (size_t k = 0; k < 190; ++k) {
      const uint32_t code = static_cast<uint32_t>(random()) % 16;
      codes[k / 2] = static_cast<uint8_t>(codes[k / 2] | code << (k % 2 == 0 ? 4 : 0));
      expected[k] = map[code] * absmax[k / block_size];
    }
    codes.resize(95);
    if (storage != DType::kU8) codes.push_back(0);
    const uint64_t size = codes.size() / (DTypeBits(storage) / 8);
    file.Add("x.weight", storage, {size, 1}, codes);
    if (nested) {
      file.Add("x.weight.absmax", DType::kU8, {blocks}, absmax_codes);
    } else {
      file.Add("x.weight.absmax", DType::kF32, {blocks}, absmax);
    }
    file.Add("x.weight.quant_map", DType::kF32, {16}, map);
    const std::vector<char> text(state.begin(), state.end());
    file.Add(std::string("x.weight.quant_state.bitsandbytes__") + type, DType::kU8, {text.size()},
             text);
    if (!nested) return;
    file.Add("x.weight.nested_absmax", DType::kF32, {3}, nested_absmax);
    file.Add("x.weight.nested_quant_map", DType::kF32, {256}, nested_map);
  }
};

void ExpectDecodes(const Stack& stack, DType dtype, const char* storage) {
  const auto weight = FindFirst(FindBitsandbytes4, stack.file);
  ASSERT_TRUE(weight.has_value()) << weight.error().Text();
  ASSERT_TRUE(weight->has_value());
  EXPECT_EQ((*weight)->name, "x.weight");
  EXPECT_EQ((*weight)->shape, (std::vector<uint64_t>{2, 5, 19}));
  EXPECT_EQ((*weight)->storage, storage);
  EXPECT_EQ((*weight)->float_dtype, dtype);
  const auto array = OpenParts(**weight);
  ASSERT_TRUE(array.has_value());
  for (const auto& [rows, cols] : {std::pair<uint64_t, uint64_t>{9, 99}, {2, 7}, {3, 1}}) {
    EXPECT_EQ(ReadInTiles(**array, 2, 5, 19, rows, cols), stack.expected);
  }
}

TEST(Bitsandbytes4, DecodesByTheFormula) {
  ExpectDecodes(Stack(DType::kU8, false, kState), DType::kBF16, "bnb_nf4");
}

TEST(Bitsandbytes4, DecodesDoubleQuantizedScales) {
  ExpectDecodes(Stack(DType::kU8, true, kNestedState), DType::kF16, "bnb_nf4");
}

TEST(Bitsandbytes4, TakesTheTypeFromTheStatesName) {
  std::string state = kState;
  state.replace(state.find("nf4"), 3, "fp4");
  ExpectDecodes(Stack(DType::kU8, false, state, "fp4"), DType::kBF16, "bnb_fp4");
}

TEST(Bitsandbytes4, ReadsCodesStoredAsFloats) {
  std::string state = kState;
  state.replace(state.find("[2,5,19]"), 8, "[2,6,16]");  // 192 codes: 48 words of 16 bits
  Stack stack(DType::kBF16, false, state);
  const auto weight = FindFirst(FindBitsandbytes4, stack.file);
  ASSERT_TRUE(weight.has_value()) << weight.error().Text();
  const auto array = OpenParts(**weight);
  const std::vector<float> read = ReadInTiles(**array, 2, 6, 16, 6, 16);
  EXPECT_EQ(std::vector<float>(read.begin(), read.begin() + 190), stack.expected);
}

struct BrokenState {
  const char* name;
  const char* from;  // this part of kNestedState
  const char* to;    // is replaced by this
  const char* expected_part;
};

constexpr BrokenState kBrokenStates[] = {
    {"NoJson", "{", "", "no JSON object"},
    {"NoShape", "shape", "shapes", "no shape"},
    {"Vector", "[2,5,19]", "[190]", "no shape"},
    {"NegativeSize", "[2,5,19]", "[2,-5,19]", "no shape"},
    {"TextSize", "[2,5,19]", "[2,\"5\",19]", "no shape"},
    {"HugeShape", "[2,5,19]", "[4294967296,4294967296,19]", "no shape"},
    {"OtherShape", "[2,5,19]", "[2,5,20]", "needs 100 bytes, has 95"},
    {"NoBlocks", "\"blocksize\":4", "\"blocksize\":0", "no blocksize"},
    {"OtherBlocks", "\"blocksize\":4", "\"blocksize\":8", ".absmax must have 24 of uint8"},
    {"OtherType", "nf4", "fp4", "quant_type 'fp4', its name 'nf4'"},
    {"NoOffset", "nested_offset", "offset", "no nested_offset"},
    {"HugeOffset", "0.25", "1e300", "no nested_offset"},
    {"OtherNestedBlocks", "\"nested_blocksize\":16", "\"nested_blocksize\":8",
     ".nested_absmax must have 6"},
    {"NotNested", "nested_blocksize", "n", ".absmax must have 48 of float32"},
};

class Bitsandbytes4Broken : public testing::TestWithParam<BrokenState> {};

TEST_P(Bitsandbytes4Broken, IsRefusedWithTheReason) {
  std::string state = kNestedState;
  state.replace(state.find(GetParam().from), std::string(GetParam().from).size(), GetParam().to);
  const Stack stack(DType::kU8, true, state);
  const auto weight = FindFirst(FindBitsandbytes4, stack.file);
  ASSERT_FALSE(weight.has_value());
  EXPECT_EQ(weight.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(weight.error().message, HasSubstr(GetParam().expected_part));
}

INSTANTIATE_TEST_SUITE_P(All, Bitsandbytes4Broken, testing::ValuesIn(kBrokenStates),
                         [](const auto& test) { return test.param.name; });

TEST(Bitsandbytes4, NeedsItsCompanions) {
  for (const size_t companion : {1u, 2u, 4u, 5u}) {
    Stack stack(DType::kU8, true, kNestedState);
    stack.file.info(companion).name = "y";
    const auto weight = FindFirst(FindBitsandbytes4, stack.file);
    ASSERT_FALSE(weight.has_value());
    EXPECT_THAT(weight.error().message, HasSubstr("beside it"));
  }
  Stack stack(DType::kU8, true, kNestedState);
  stack.file.info(3).name = "y";
  EXPECT_THAT(FindFirst(FindBitsandbytes4, stack.file).error().message,
              HasSubstr("no X.weight.quant_state"));
}

TEST(Bitsandbytes4, LeavesOtherTensorsAlone) {
  MemoryFile file;
  file.Add("x.weight", DType::kU8, {2, 2}, std::vector<uint8_t>(4));
  const auto weight = FindFirst(FindBitsandbytes4, file);
  ASSERT_TRUE(weight.has_value());
  EXPECT_FALSE(weight->has_value());
}

}  // namespace
}  // namespace moe

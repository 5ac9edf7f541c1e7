// compressed-tensors pack-quantized: codes and zero points packed by hand as its versions before
// and since 0.18 do, decoded, compared with (code - zero) * scale (checkpoints.md 6.2).
#include <gtest/gtest.h>

#include "base/test_json.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

constexpr uint64_t kExperts = 2, kRows = 13, kCols = 160;

uint32_t CodeAt(uint64_t index, unsigned bits) {
  return static_cast<uint32_t>(index * 2654435761u >> 13) & ((1u << bits) - 1);
}

uint64_t WordsOf(uint64_t count, unsigned bits, bool padded) {
  return padded ? (count + 32 / bits - 1) / (32 / bits) : (count * bits + 31) / 32;
}

/// Sets code number k of `count` in a line of words, `step` apart, beginning at words[first].
void PutCode(std::vector<uint32_t>& words, uint64_t first, uint64_t step, uint64_t k, uint32_t code,
             unsigned bits, bool padded) {
  for (unsigned b = 0; b < bits; ++b) {
    const uint64_t bit = padded ? k / (32 / bits) * 32 + k % (32 / bits) * bits + b : k * bits + b;
    words[first + bit / 32 * step] |= ((code >> b) & 1u) << (bit % 32);
  }
}

Json Config(unsigned bits, int group, bool symmetric = true) {
  const Json weights = {{"num_bits", bits}, {"group_size", group}, {"symmetric", symmetric}};
  return {{"config_groups", {{"group_0", {{"weights", weights}}}}}};
}

struct Case {
  unsigned bits = 4;
  bool padded = false, zeros = false;
  uint64_t groups = 5, group = 32;
  std::vector<int32_t> g_idx = {};
};

/// A stack of kExperts; scales are float16 1, 1.5, 2, ...
MemoryFile Encode(const Case& c) {
  const uint64_t width = WordsOf(kCols, c.bits, c.padded);
  const uint64_t zero_rows = WordsOf(kRows, c.bits, c.padded);
  std::vector<uint32_t> words(kExperts * kRows * width), zeros(kExperts * zero_rows * c.groups);
  for (uint64_t line = 0; line < kExperts * kRows; ++line) {
    for (uint64_t k = 0; k < kCols; ++k) {
      PutCode(words, line * width, 1, k, CodeAt(line * kCols + k, c.bits), c.bits, c.padded);
    }
    for (uint64_t g = 0; g < c.groups; ++g) {
      PutCode(zeros, line / kRows * zero_rows * c.groups + g, c.groups, line % kRows,
              CodeAt(line * c.groups + g + 7, c.bits), c.bits, c.padded);
    }
  }
  std::vector<uint16_t> scales(kExperts * kRows * c.groups);
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint16_t>(0x3c00 + i % 97);
  MemoryFile file;
  file.Add("m.weight_packed", DType::kI32, {kExperts, kRows, width}, words);
  file.Add("m.weight_scale", DType::kF16, {kExperts, kRows, c.groups}, scales);
  file.Add("m.weight_shape", DType::kI64, {3}, std::vector<int64_t>{kExperts, kRows, kCols});
  if (c.zeros) {
    file.Add("m.weight_zero_point", DType::kI32, {kExperts, zero_rows, c.groups}, zeros);
  }
  if (!c.g_idx.empty()) file.Add("m.weight_g_idx", DType::kI32, {kCols}, c.g_idx);
  return file;
}

void ExpectDecodes(const Case& c, const Json& config, const std::string& storage) {
  SCOPED_TRACE(storage + (c.padded ? " padded" : " dense"));
  const MemoryFile file = Encode(c);
  const auto weight = FindFirst(FindPackedInts, file, config);
  ASSERT_TRUE(weight.has_value()) << weight.error().Text();
  ASSERT_TRUE(weight->has_value());
  EXPECT_EQ((*weight)->storage, storage);
  EXPECT_EQ((*weight)->float_dtype, DType::kF16);
  EXPECT_EQ((*weight)->shape, (std::vector<uint64_t>{kExperts, kRows, kCols}));
  const auto array = OpenParts(**weight);
  ASSERT_TRUE(array.has_value()) << array.error().Text();
  const bool in_order = std::count(c.g_idx.begin(), c.g_idx.end(), -1) != 0 || c.g_idx.empty();
  const auto got = ReadInTiles(**array, kExperts, kRows, kCols, 3, 37);
  for (uint64_t i = 0; i < got.size(); ++i) {
    const uint64_t line = i / kCols, k = i % kCols;
    const uint64_t g = in_order ? k / c.group : static_cast<uint64_t>(c.g_idx[k]);
    const uint64_t at = line * c.groups + g;
    const double zero = c.zeros ? CodeAt(at + 7, c.bits) : 1u << (c.bits - 1);
    const double scale = 1 + static_cast<double>(at % 97) / 1024;
    ASSERT_EQ(got[i], static_cast<float>((CodeAt(i, c.bits) - zero) * scale)) << i;
  }
}

TEST(PackedInts, StacksOfAllWidthsDecodeWithZeroPointsOfTheirPacking) {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const bool padded : {false, true}) {
      const std::string name = "int" + std::to_string(bits) + "_g32";
      ExpectDecodes({bits, padded, false}, Config(bits, 32), name);
      ExpectDecodes({bits, padded, true}, Config(bits, 32, false), name + "_asym");
    }
  }
}

TEST(PackedInts, HaveOneScaleARowOrAShortLastGroup) {
  ExpectDecodes({.groups = 1, .group = kCols}, nullptr, "int4_channel");
  ExpectDecodes({.groups = 2, .group = 128}, Config(4, 128), "int4_g128");
  ExpectDecodes({.groups = 2, .group = 80}, nullptr, "int4_g80");
  const MemoryFile ragged = Encode({.groups = 3});
  EXPECT_FALSE(FindFirst(FindPackedInts, ragged, Config(4, 32)).has_value());
}

TEST(PackedInts, TakeTheirGroupsFromGIdxUnlessAllAreMinusOne) {
  Case c;
  for (int32_t k = 0; k < static_cast<int32_t>(kCols); ++k) c.g_idx.push_back(k * 7 % 5);
  ExpectDecodes(c, nullptr, "int4_g32");
  for (const int32_t beyond : {5, -1}) {
    c.g_idx[3] = beyond;
    const MemoryFile file = Encode(c);
    const auto weight = FindFirst(FindPackedInts, file);
    ASSERT_TRUE(weight.has_value());
    EXPECT_EQ(OpenParts(**weight).error().code, ErrorCode::kMalformed);
  }
  c.g_idx.assign(kCols, -1);
  ExpectDecodes(c, nullptr, "int4_g32");
}

TEST(PackedInts, TakeTheirWidthFromAnyConfigGroupThatFits) {
  const Case eight = {.bits = 8};  // 8 bits take the words of padded 7
  EXPECT_FALSE(FindFirst(FindPackedInts, Encode(eight)).has_value());
  Json mixed = Config(4, 32);
  mixed["config_groups"]["group_1"]["weights"]["num_bits"] = 8;
  ExpectDecodes(eight, mixed, "int8_g32");
  ExpectDecodes(eight, Json{{"config_groups", {{"W8A16", ListOf("Linear")}}}}, "int8_g32");
  for (const char* text : {"[]", "{\"config_groups\": 1}", "{\"config_groups\": {\"a\": null}}",
                           "{\"config_groups\": {\"W\": [], \"g\": {\"weights\": [4]}}}",
                           "{\"config_groups\": {\"g\": {\"weights\": {\"num_bits\": \"8\"}}}}"}) {
    EXPECT_FALSE(FindFirst(FindPackedInts, Encode(eight), AsJson(text)).has_value()) << text;
  }
}

// 20 columns of 3 bits fill 2 words in both packings, and differ from column 10 on.
TEST(PackedInts, AskForTheVersionWhereThePackingsTakeTheSameWords) {
  std::vector<uint32_t> dense(2), padded(2);
  for (uint64_t k = 0; k < 20; ++k) {
    PutCode(dense, 0, 1, k, CodeAt(k, 3), 3, false);
    PutCode(padded, 0, 1, k, CodeAt(k, 3), 3, true);
  }
  const auto decode = [](const std::vector<uint32_t>& words, const Json& version) {
    MemoryFile file;
    file.Add("m.weight_packed", DType::kI32, {1, 2}, words);
    file.Add("m.weight_scale", DType::kF32, {1, 1}, std::vector<float>{1});
    file.Add("m.weight_shape", DType::kI32, {2}, std::vector<int32_t>{1, 20});
    Json config = Config(3, -1);
    config["version"] = version;
    const auto weight = FindFirst(FindPackedInts, file, config);
    if (!weight) return std::vector<float>{};
    return ReadInTiles(**OpenParts(**weight), 1, 1, 20, 1, 20);
  };
  const auto since = decode(dense, "0.18.0");
  const auto before = decode(padded, "0.17.1.a20260101");
  ASSERT_EQ(since.size(), 20u);
  ASSERT_EQ(before.size(), 20u);
  for (uint64_t k = 0; k < 20; ++k) {
    EXPECT_EQ(since[k], static_cast<float>(CodeAt(k, 3)) - 4.0f);
    EXPECT_EQ(before[k], since[k]);
  }
  for (const Json& version : {Json(), Json(18), Json("new"), Json("0"), Json("")}) {
    EXPECT_TRUE(decode(dense, version).empty()) << version.Text();
  }
}

TEST(PackedInts, ZeroPointsThatTheConfigTellsOfMustBeThere) {
  const MemoryFile none = Encode({});
  const auto found = FindFirst(FindPackedInts, none, Config(4, 32, false));
  ASSERT_FALSE(found.has_value());
  EXPECT_NE(found.error().message.find("symmetric false"), std::string::npos);
  EXPECT_NE(found.error().message.find("without zero points"), std::string::npos);
}

TEST(PackedInts, WrongCompanionsAreRefused) {
  const Case all = {.zeros = true, .g_idx = std::vector<int32_t>(kCols)};
  ASSERT_TRUE(FindFirst(FindPackedInts, Encode(all)).has_value());
  for (size_t part = 1; part <= 4; ++part) {
    MemoryFile narrow = Encode(all), strange = Encode(all), scalar = Encode(all);
    narrow.info(part).shape.back() -= 1;
    strange.info(part).dtype = DType::kU8;
    scalar.info(part).shape.clear();
    for (const MemoryFile* file : {&narrow, &strange, &scalar}) {
      const auto found = FindFirst(FindPackedInts, *file);
      ASSERT_FALSE(found.has_value()) << file->tensors()[part].name;
      EXPECT_EQ(found.error().code, ErrorCode::kMalformed);
    }
  }
  MemoryFile other;  // weight_shape of another stack
  other.Add("m.weight_packed", DType::kI32, {2, 1, 4}, std::vector<uint32_t>(8));
  other.Add("m.weight_scale", DType::kF32, {2, 1, 1}, std::vector<float>(2));
  other.Add("m.weight_shape", DType::kI64, {3}, std::vector<int64_t>{3, 1, 32});
  EXPECT_FALSE(FindFirst(FindPackedInts, other, Config(4, 32)).has_value());
}

TEST(PackedInts, ShapesWithoutElementsDoNotOverflow) {
  MemoryFile file;
  const uint64_t huge = uint64_t{1} << 62;
  file.Add("m.weight_packed", DType::kI32, {0, huge, 4}, std::vector<uint32_t>());
  file.Add("m.weight_scale", DType::kF32, {0, huge, 1}, std::vector<float>());
  file.Add("m.weight_shape", DType::kI64, {2},
           std::vector<int64_t>{static_cast<int64_t>(huge), 32});
  const auto weight = FindFirst(FindPackedInts, file, Config(4, 32));
  ASSERT_TRUE(weight.has_value()) << weight.error().Text();
  EXPECT_TRUE(OpenParts(**weight).has_value());
}

TEST(PackedInts, ZooDecodes) { ExpectZooDecodes("ct_w4a16_qwen3_moe", FindPackedInts); }

}  // namespace
}  // namespace moe

#include "report/block.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace moe {
namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

std::string FromBase64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<uint32_t>(kDigits.find(c));
    have += 6;
    if (have < 8) continue;
    have -= 8;
    bytes += static_cast<char>(bits >> have & 0xff);
  }
  return bytes;
}

std::string Inflate(const std::string& deflated) {
  std::string bytes(1 << 16, '\0');
  uLongf size = bytes.size();
  const int done = uncompress(reinterpret_cast<Bytef*>(bytes.data()), &size,
                              reinterpret_cast<const Bytef*>(deflated.data()), deflated.size());
  EXPECT_EQ(done, Z_OK);
  bytes.resize(size);
  return bytes;
}

// The codes k of a block, as page_data.h describes it; nullopt for null.
std::vector<std::optional<int64_t>> Codes(const Block& block, size_t count) {
  const std::string bytes = Inflate(FromBase64(block.base64));
  EXPECT_EQ(bytes.size(), block.planes * count);
  std::vector<std::optional<int64_t>> codes(count);
  for (size_t i = 0; i < count; ++i) {
    uint64_t u = 0;
    for (unsigned p = 0; p < block.planes; ++p) {
      u |= uint64_t{static_cast<uint8_t>(bytes[p * count + i])} << (8 * p);
    }
    if (u != 0) codes[i] = static_cast<int64_t>(u) - 1 + block.base;
  }
  return codes;
}

// A code of kind "number" as text that C and Python read: "81234e-6".
std::string Decimal(int64_t k) {
  if (k == 0) return "0";
  const int64_t magnitude = std::abs(k) - 1;
  return (k < 0 ? "-" : "") + std::to_string(10000 + magnitude % 90000) + "e" +
         std::to_string(magnitude / 90000 - 400);
}

struct Rounded {
  double value;
  const char* decimal;  // python3: f"{value:.4e}", as mantissa without the point
};
constexpr Rounded kRounded[] = {
    {0.0, "0"},
    {1.0, "10000e-4"},
    {-1.0, "-10000e-4"},
    {0.0812344, "81234e-6"},
    {0.08123461, "81235e-6"},
    {99999.4, "99999e0"},
    {99999.6, "10000e1"},  // rounds into the next power of ten
    {9.99996, "10000e-3"},
    {1000.0, "10000e-1"},
    {1e15, "10000e11"},  // log10 is 15 or a hair less
    {1e-300, "10000e-304"},
    {5e-324, "49407e-328"},  // the smallest double
    {1.7976931348623157e308, "17977e304"},
    {-2.5e-7, "-25000e-11"},
};

TEST(Block, NumbersKeepFiveSignificantDigits) {
  std::vector<double> values;
  for (const Rounded& row : kRounded) values.push_back(row.value);
  const Block block = PackNumbers(values);
  EXPECT_EQ(block.kind, "number");
  const auto codes = Codes(block, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_TRUE(codes[i]) << kRounded[i].decimal;
    EXPECT_EQ(Decimal(*codes[i]), kRounded[i].decimal);
  }
}

TEST(Block, NanAndInfinityAreNull) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto codes = Codes(PackNumbers(std::vector{kNull, 2.0, infinity, -infinity}), 4);
  EXPECT_FALSE(codes[0]);
  EXPECT_EQ(Decimal(*codes[1]), "20000e-4");
  EXPECT_FALSE(codes[2]);
  EXPECT_FALSE(codes[3]);
}

TEST(Block, NothingButNullsIsAPlaneOfZeroes) {
  const Block block = PackNumbers(std::vector{kNull, kNull});
  EXPECT_EQ(block.planes, 1u);
  EXPECT_THAT(Codes(block, 2), testing::Each(std::nullopt));
}

TEST(Block, TakesAsFewPlanesAsTheRangeNeeds) {
  // 255 values beside null fit one byte, 256 do not.
  EXPECT_EQ(PackInts(std::vector<uint32_t>{7, 261}).planes, 1u);
  EXPECT_EQ(PackInts(std::vector<uint32_t>{7, 262}).planes, 2u);
  EXPECT_EQ(PackInts(std::vector<uint32_t>{7, 262}).base, 7);
  EXPECT_THAT(Codes(PackInts(std::vector<uint32_t>{7, 70000, 262}), 3),
              testing::ElementsAre(7, 70000, 262));
}

TEST(Block, AnEmptyColumnHasNoBytes) { EXPECT_EQ(Codes(PackInts({}), 0).size(), 0u); }

TEST(Block, TextIsKept) {
  for (const std::string text : {"[]", "[\"a\"]", "[\"ab\"]", "[\"abc\"]"}) {  // each padding
    const Block block = PackText(text);
    EXPECT_EQ(block.kind, "text");
    EXPECT_EQ(Inflate(FromBase64(block.base64)), text);
  }
}

}  // namespace
}  // namespace moe

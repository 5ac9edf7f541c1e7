#include "measure/percentiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/float_convert.h"
#include "measure/array_matrix.h"

namespace moe {
namespace {

// Feeds `values` in uneven pieces, a second time if asked; returns the percentiles.
std::vector<double> Select(const std::vector<float>& values, const std::vector<double>& wanted,
                           unsigned shift, bool expect_second_read) {
  PercentileSelector selector(values.size(), wanted, shift);
  const auto feed = [&](auto&& use) {
    size_t piece = 1;
    for (size_t i = 0; i < values.size(); i += piece, piece = piece % 1000 + 37) {
      piece = std::min(piece, values.size() - i);
      use(std::span(values).subspan(i, piece));
    }
  };
  feed([&](auto piece) { selector.Add(piece); });
  const bool second = selector.NeedsSecondRead();
  EXPECT_EQ(second, expect_second_read);
  if (second) feed([&](auto piece) { selector.Refine(piece); });
  return selector.Values();
}

std::vector<double> BySorting(std::vector<float> values, const std::vector<double>& wanted) {
  for (float& value : values) value = std::fabs(value);
  std::sort(values.begin(), values.end());
  std::vector<double> out;
  for (const double q : wanted) {
    const double h = static_cast<double>(values.size() - 1) * (q / 100);
    const auto low = static_cast<size_t>(h);
    const size_t high = std::min(low + 1, values.size() - 1);
    out.push_back(values[low] + (static_cast<double>(values[high]) - values[low]) *
                                    (h - static_cast<double>(low)));
  }
  return out;
}

std::vector<float> BFloat16Weights(size_t count) {
  auto values = TestWeights(count);
  for (float& value : values) value = RoundToBFloat16(value);
  return values;
}

const std::vector<double> kMany = {50, 99, 99.9, 0, 100, 25, 12.3456};

TEST(PercentileSelector, EqualsSorting) {
  const struct {
    const char* name;
    std::vector<float> values;
    std::vector<double> wanted;
    unsigned shift;
    bool second_read;
  } kCases[] = {
      {"OneValue", {-3.0f}, kMany, 13, false},
      {"TwoValues", {-3.0f, 1.0f}, kMany, 13, false},
      {"KeptWhole", TestWeights(1000), kMany, 13, false},
      {"KeptUpperEnd", TestWeights(500000), {95.0}, 16, false},
      {"KeptMaximum", TestWeights(500000), {100.0}, 16, false},
      {"BinsThatNeedRefining", TestWeights(300000), kMany, 13, true},
      {"FewBins", TestWeights(300000), {50.0}, 16, true},
      {"BFloat16InOneRead", BFloat16Weights(300000), kMany, 16, false},
      {"ManyEqual", std::vector<float>(300000, 0.1f), kMany, 13, true},
      {"Zeroes", std::vector<float>(300000), kMany, 13, false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Select(c.values, c.wanted, c.shift, c.second_read), BySorting(c.values, c.wanted));
  }
}

TEST(PercentileSelector, TellsValuesApartThatDifferInTheLastBit) {
  std::vector<float> values(200000, 1.0f);
  for (size_t i = 0; i < values.size(); i += 4) values[i] = 1.0f + 0x1p-23f;
  EXPECT_EQ(Select(values, {50, 80}, 13, true), (std::vector<double>{1.0, 1.0 + 0x1p-23}));
}

TEST(PercentileSelector, SeparatesSubnormalHalves) {
  std::vector<float> values(200000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = HalfToFloat(static_cast<uint16_t>(i % 0x7c00));  // every finite half
  }
  EXPECT_EQ(Select(values, {0.5, 50, 99.9}, 13, false), BySorting(values, {0.5, 50, 99.9}));
}

TEST(PercentileSelector, SurvivesASecondReadOfOtherValues) {
  const auto values = TestWeights(300000);
  PercentileSelector selector(values.size(), {50.0}, 13);
  selector.Add(values);
  ASSERT_TRUE(selector.NeedsSecondRead());
  selector.Refine(std::vector<float>(10, NAN));
  EXPECT_EQ(selector.Values().size(), 1u);
}

}  // namespace
}  // namespace moe

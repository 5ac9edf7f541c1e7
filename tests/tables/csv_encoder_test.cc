#include "tables/csv_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace moe {
namespace {

// Source: python3 -c 'print(repr(x))' of each.
struct FloatText {
  double value;
  const char* text;
};

constexpr FloatText kFloats[] = {
    {0.0, "0.0"},
    {-0.0, "-0.0"},
    {121.0, "121.0"},
    {120.375, "120.375"},
    {0.1, "0.1"},
    {0.0001, "0.0001"},
    {0.00001, "1e-05"},
    {1.5e-7, "1.5e-07"},
    {1e15, "1000000000000000.0"},
    {1e16, "1e+16"},
    {123456789012345680.0, "1.2345678901234568e+17"},
    {9007199254740993.0, "9007199254740992.0"},
    {5e-324, "5e-324"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {std::numeric_limits<double>::infinity(), "inf"},
    {-std::numeric_limits<double>::infinity(), "-inf"},
    {std::numeric_limits<double>::quiet_NaN(), ""},
};

TEST(PythonFloatText, IsPythonsRepr) {
  for (const FloatText& item : kFloats) EXPECT_EQ(PythonFloatText(item.value), item.text);
}

// Source: csv.writer(lineterminator="\n") of Python 3.11 and pandas.DataFrame.to_csv.
TEST(CsvLine, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(CsvLine({"a", std::string("b,c"), "d\"e", "f\ng", "h\ri", " j "}),
            "a,\"b,c\",\"d\"\"e\",\"f\ng\",\"h\ri\", j \n");
}

TEST(CsvLine, WritesEachTypeAsPandasDoes) {
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(CsvLine({Value(), int64_t{-1}, 1.0, true, false}), ",-1,1.0,True,False\n");
  EXPECT_EQ(CsvLine({Shape{2, 8, 64}, Shape{8}, Shape{}}), "\"(2, 8, 64)\",\"(8,)\",()\n");
}

TEST(CsvLine, ALoneEmptyCellIsQuotedSoThatTheLineIsNotBlank) {
  EXPECT_EQ(CsvLine({std::string()}), "\"\"\n");
  EXPECT_EQ(CsvLine({Value()}), "\"\"\n");
  EXPECT_EQ(CsvLine({Value(), Value()}), ",\n");
}

}  // namespace
}  // namespace moe

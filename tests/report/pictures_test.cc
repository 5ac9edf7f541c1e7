#include "report/pictures.h"

#include <gmock/gmock.h>

#include "report/png.h"

namespace moe {
namespace {

using testing::HasSubstr;

constexpr char kBars[] =
    R"({"title": "t", "yName": "y", "labels": ["a", "b"], "values": [1, 2], "colours": [0, 1]})";
constexpr char kLines[] =
    R"({"title": "t", "xName": "x", "yName": "y", "x": [0, 1],
        "series": [{"name": "a", "y": [1, 2], "colour": 0, "dash": 0},
                   {"name": "b", "y": [null, 2], "colour": 1, "dash": 1}]})";
constexpr char kHeatmap[] =
    R"({"title": "t", "xName": "x", "yName": "y", "xLabels": ["0", "1"], "yLabels": ["0"],
        "values": [1, null], "scale": [1, 2], "metric": "rms"})";

constexpr char kFront[] =
    R"({"title": "t", "xName": "x", "yName": "y", "points": [[1000, 2, 3], [2000, 0.5, 4]],
        "marks": [{"name": "a", "points": [[2000, 0.5]]}, {"name": "b", "points": []}]})";

TEST(Pictures, DependOnNothingButTheirData) {
  const auto fresh = *Pictures::Open(), used = *Pictures::Open();
  for (const auto& [chart, data] : {std::pair{"bars", kBars}, std::pair{"lines", kLines},
                                    std::pair{"heatmap", kHeatmap}, std::pair{"front", kFront}}) {
    const auto first = used->Svg(chart, data);
    ASSERT_TRUE(first) << first.error().Text();
    EXPECT_THAT(*first, testing::StartsWith("<svg width=\"768\" height=\"384\""));
    EXPECT_EQ(used->Svg(chart, data).value(), *first) << chart;
    EXPECT_EQ(fresh->Svg(chart, data).value(), *first) << chart;
  }
}

TEST(Pictures, ShowTextsAsText) {
  const auto pictures = *Pictures::Open();
  const auto titled = pictures->Svg(
      "bars", R"({"title": "<script>&\"'", "yName": "=\"zr1-x\" dominant-baseline=\"central\"",
                  "labels": ["${x} {a|b}"], "values": [1], "colours": [0]})");
  ASSERT_TRUE(titled) << titled.error().Text();
  EXPECT_THAT(*titled, HasSubstr("&lt;script&gt;&amp;&quot;"));
  EXPECT_THAT(*titled, HasSubstr("=&quot;zr1-x&quot; dominant-baseline=&quot;central&quot;"));
  EXPECT_THAT(*titled, HasSubstr("${x} {a|b}"));
}

TEST(Pictures, AnErrorOfTheScriptIsAnErrorAndTheEngineGoesOn) {
  const auto pictures = *Pictures::Open();
  for (const auto& [chart, data] : {std::pair{"pie", "{}"}, std::pair{"bars", "{"},
                                    std::pair{"bars", "{}"}, std::pair{"heatmap", "[]"}}) {
    const auto svg = pictures->Svg(chart, data);
    ASSERT_FALSE(svg) << chart << data;
    EXPECT_EQ(svg.error().code, ErrorCode::kMalformed);
    EXPECT_THAT(svg.error().Text(), HasSubstr("Error: "));
  }
  EXPECT_TRUE(pictures->Svg("bars", kBars));
}

TEST(Pictures, RunningOutOfMemoryIsAnErrorToo) {
  for (const size_t limit : {size_t{0}, size_t{1000}, size_t{100'000}, size_t{4'000'000}}) {
    EXPECT_FALSE(Pictures::Open(limit)) << limit;
  }
  const auto pictures = Pictures::Open(size_t{64} << 20);
  ASSERT_TRUE(pictures) << pictures.error().Text();
  std::string values = "1";
  for (int i = 1; i < 1'000'000; ++i) values += ",1";
  const std::string data = std::string(R"({"title": "", "xName": "", "yName": "", "yLabels": ["0"],
      "xLabels": [)") + values +
                           R"(], "values": [)" + values + R"(], "scale": [0, 1], "metric": "rms"})";
  EXPECT_FALSE((*pictures)->Svg("heatmap", data));
  EXPECT_TRUE((*pictures)->Svg("bars", kBars));
}

/// Big-endian number in the header of a PNG.
uint32_t HeaderNumber(const std::string& png, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<uint8_t>(png[at + i]);
  return number;
}

std::pair<uint32_t, uint32_t> SizeOf(const std::string& png) {
  return {HeaderNumber(png, 16), HeaderNumber(png, 20)};  // PNG, section 11.2.2: IHDR
}

TEST(Png, OfSvgHasTheWantedSize) {
  const auto png =
      PngOfSvg(R"(<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"/>)", 32, 16);
  ASSERT_TRUE(png) << png.error().Text();
  EXPECT_EQ(SizeOf(*png), std::pair(32u, 16u));
}

TEST(Png, OfSvgHas160PixelsAnInch) {
  const auto png =
      PngOfSvg(R"(<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"/>)", 32, 16);
  ASSERT_TRUE(png);
  // import struct, zlib; b = b"pHYs" + struct.pack(">IIB", 6299, 6299, 1)
  // struct.pack(">I", 9) + b + struct.pack(">I", zlib.crc32(b))
  const std::string chunk(
      "\x00\x00\x00\x09pHYs\x00\x00\x18\x9b\x00\x00\x18\x9b\x01\x49\x75\x83\x94", 21);
  EXPECT_EQ(png->substr(33, 21), chunk);
}

TEST(Png, OfWhatIsNoSvgIsAnError) {
  for (const char* text : {"", "<svg", "<html/>"}) {
    const auto png = PngOfSvg(text, 32, 16);
    ASSERT_FALSE(png) << text;
    EXPECT_THAT(png.error().Text(), HasSubstr("can't be drawn"));
  }
}

TEST(Png, OfPixelsIsEnlargedButNeverShrunk) {
  const std::string pixels(4 * 6, '\x7f');
  EXPECT_EQ(SizeOf(*PngOfPixels(pixels, 3, 2, 10, 20)), std::pair(10u, 20u));
  EXPECT_EQ(SizeOf(*PngOfPixels(pixels, 3, 2, 1, 20)), std::pair(3u, 20u));
  EXPECT_FALSE(PngOfPixels(pixels, 3, 2, 100'000, 1));  // more than cairo draws
}

}  // namespace
}  // namespace moe

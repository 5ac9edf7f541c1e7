#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace moe {
namespace {

struct Text {
  const char* name;
  std::string raw, printable;
};

class PrintableText : public testing::TestWithParam<Text> {};

TEST_P(PrintableText, CommandsNoTerminal) {
  EXPECT_EQ(Printable(GetParam().raw), GetParam().printable);
}

// The C1 control U+009B begins a terminal's commands as ESC [ does.
INSTANTIATE_TEST_SUITE_P(
    All, PrintableText,
    testing::Values(
        Text{"Plain", "model.layers.0", "model.layers.0"},
        Text{"Letters", "größe 大 😀 \u05d0", "größe 大 😀 \u05d0"},
        Text{"Escape", "a\x1b[31mb", "a\\x1b[31mb"},
        Text{"LineEnds", "a\r\n\tb", "a\\x0d\\x0a\\x09b"},
        Text{"Nul", std::string("a\0b", 3), "a\\x00b"}, Text{"Delete", "a\x7f", "a\\x7f"},
        Text{"C1Control", "a\u009b31m", "a\\xc2\\x9b31m"},
        Text{"NoBreakSpaceStays", "a\u00a0b", "a\u00a0b"},
        Text{"RightToLeftOverride", "a\u202eb", "a\\xe2\\x80\\xaeb"},
        Text{"Isolate", "a\u2066b", "a\\xe2\\x81\\xa6b"},
        Text{"LineSeparator", "a\u2028b", "a\\xe2\\x80\\xa8b"},
        Text{"NoUtf8", "a\xff\xc3", "a\\xff\\xc3"}, Text{"Overlong", "\xc0\x9b", "\\xc0\\x9b"},
        Text{"Long", std::string(10'000, 'x'), std::string(200, 'x') + "... (10000 bytes)"}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(EscapedLines, KeepsLineEndsOnly) {
  EXPECT_EQ(EscapedLines("a\r\n\x1b[1m\tb\n"), "a\\x0d\n\\x1b[1m\\x09b\n");
}

TEST(AsUtf8, KeepsAllButBytesThatAreNone) {
  EXPECT_EQ(AsUtf8("gr\u00f6\u00dfe\x1b[1m\n"), "gr\u00f6\u00dfe\x1b[1m\n");
  EXPECT_EQ(AsUtf8("a\xff b\xc3"), "a\\xff b\\xc3");
  EXPECT_TRUE(IsUtf8(AsUtf8("\xed\xa0\x80")));  // a surrogate
}

}  // namespace
}  // namespace moe

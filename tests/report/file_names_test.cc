#include "report/file_names.h"

#include <gtest/gtest.h>

namespace moe {
namespace {

TEST(FileSafe, KeepsLettersDigitsAndFewSigns) {
  const std::pair<const char*, const char*> cases[] = {
      {"down_proj", "down_proj"},
      {"q4.g32-x_Y", "q4.g32-x_Y"},
      {"a / b", "a_b"},
      {"  a b\n", "a_b"},
      {"_a__b_", "a__b"},  // of its own it may have two
      {"/etc/../x", "etc_.._x"},
      {"é", "unknown"},
      {"<script>", "script"},
      {"///", "unknown"},
      {"", "unknown"},
      {" ", "unknown"},
  };
  for (const auto& [label, name] : cases) EXPECT_EQ(FileSafe(label), name) << label;
}

// Digests: printf 'a/b' | sha1sum
TEST(FileNames, OfLabelsThatCollideDifferByTheDigestOfTheLaterOne) {
  FileNames names;
  EXPECT_EQ(names.Of("a b"), "a_b");
  EXPECT_EQ(names.Of("a/b"), "a_b__3ec69c85");
  EXPECT_EQ(names.Of("a_b"), "a_b__eb2980a5");
  EXPECT_EQ(names.Of("a b"), "a_b");
  EXPECT_EQ(names.Of(" a/b "), "a_b__3ec69c85");  // the same label
}

TEST(FileNames, ADigestThatIsTakenGetsANumber) {
  FileNames names;
  EXPECT_EQ(names.Of("a_b__3ec69c85"), "a_b__3ec69c85");
  EXPECT_EQ(names.Of("a b"), "a_b");
  EXPECT_EQ(names.Of("a/b"), "a_b__3ec69c85_2");
}

TEST(FileNames, OfLongLabelsAreCutAndStayApart) {
  FileNames names;
  const std::string one = names.Of(std::string(10'000, 'x'));
  const std::string two = names.Of(std::string(10'001, 'x'));
  EXPECT_LT(one.size(), 100u);
  EXPECT_NE(one, two);
}

}  // namespace
}  // namespace moe

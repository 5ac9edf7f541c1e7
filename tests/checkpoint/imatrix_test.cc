// llama.cpp's old importance matrix, built by hand after checkpoints.md 9.1.
#include "checkpoint/imatrix.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "base/temp_folder.h"
#include "base/test_files.h"

namespace moe {
namespace {

std::string Int(int32_t value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string Entry(const std::string& name, int32_t calls, int32_t values) {
  return Int(static_cast<int32_t>(name.size())) + name + Int(calls) + Int(values) +
         std::string(static_cast<size_t>(values) * 4, '\1');
}

std::string TwoEntries() {
  return Int(2) + Entry("blk.0.attn_q.weight", 3, 4) + Entry("blk.0.ffn_up_exps.weight", 3, 8);
}

struct LegacyCase {
  const char* name;
  std::string bytes;
  bool is_imatrix;
};

const LegacyCase kLegacyCases[] = {
    {"EntriesOnly", TwoEntries(), true},
    {"LastChunk", TwoEntries() + Int(7), true},
    {"LastChunkAndDataset", TwoEntries() + Int(7) + Int(8) + "wiki.txt", true},
    {"DatasetIsCut", TwoEntries() + Int(7) + Int(8) + "wiki", false},
    {"BytesBehindTheDataset", TwoEntries() + Int(7) + Int(4) + "wiki.txt", false},
    {"Empty", "", false},
    {"NoEntries", Int(0), false},
    {"NegativeCount", Int(-1) + Entry("x", 3, 4), false},
    {"MoreEntriesThanThereAre", Int(3) + Entry("x", 3, 4), false},
    {"HugeCount", Int(INT32_MAX) + Entry("x", 3, 4), false},
    {"NameLeavesTheFile", Int(1) + Int(100) + "x", false},
    {"NameIsEmpty", Int(1) + Entry("", 3, 4), false},
    {"NameIsNoText", Int(1) + Entry(std::string(3, '\0'), 3, 4), false},
    {"NegativeNameLength", Int(1) + Int(-4) + "x", false},
    {"NegativeCalls", Int(1) + Entry("x", -1, 4), false},
    {"NoValues", Int(1) + Entry("x", 3, 0), false},
    {"ValuesLeaveTheFile", Int(1) + Int(1) + "x" + Int(3) + Int(INT32_MAX), false},
    {"PlainText", "a readme, kept as .dat", false},
};

class LegacyImatrix : public testing::TestWithParam<LegacyCase> {};

TEST_P(LegacyImatrix, IsRecognisedByItsWholeWalk) {
  const TempFolder folder;
  EXPECT_EQ(LooksLikeLegacyImatrix(folder.Write("x.dat", GetParam().bytes)), GetParam().is_imatrix);
}

INSTANTIATE_TEST_SUITE_P(All, LegacyImatrix, testing::ValuesIn(kLegacyCases),
                         [](const auto& test) { return test.param.name; });

TEST(LegacyImatrixFile, OfTheZooIsRecognisedButNoCutOfItWithinTheEntries) {
  const std::string good = ReadText(TestData() / "zoo/imatrix_qwen3_moe/imatrix.dat");
  const TempFolder folder;
  ASSERT_TRUE(LooksLikeLegacyImatrix(folder.Write("good.dat", good)));
  for (size_t bytes = 0; bytes < good.size() / 2; ++bytes) {
    const auto path = folder.Write("cut.dat", good.substr(0, bytes));
    ASSERT_FALSE(LooksLikeLegacyImatrix(path)) << bytes;
    std::filesystem::remove(path);
  }
}

TEST(LegacyImatrixFile, ThatIsNotThereIsNone) {
  const TempFolder folder;
  EXPECT_FALSE(LooksLikeLegacyImatrix(folder.path() / "gone.dat"));
  EXPECT_FALSE(LooksLikeLegacyImatrix(folder.path()));
}

}  // namespace
}  // namespace moe

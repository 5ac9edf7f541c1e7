// Importance matrices by hand, of the zoo, and of llama-imatrix (tests/data/imatrix).
#include "evidence/imatrix_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "evidence/calibration_files.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<double> Numbers(const StoredFloats& floats, size_t begin, size_t count) {
  std::vector<double> numbers;
  for (size_t i = begin; i < begin + count; ++i) numbers.push_back(floats[i]);
  return numbers;
}

const ImatrixEntry* Named(const ImatrixFile& file, const std::string& name) {
  const auto found = std::ranges::find(file.entries, name, &ImatrixEntry::name);
  return found == file.entries.end() ? nullptr : &*found;
}

Result<ImatrixFile> Opened(const std::string& bytes, const std::string& name = "x.gguf") {
  const TempFolder folder;
  return ImatrixFile::Open(folder.Write(name, bytes));
}

// gguf 0.19.0's GGUFReader: counts, and in_sum2 as float64 sums of all its values.
TEST(ImatrixFile, HoldsWhatLlamaImatrixWrote) {
  const auto file = ImatrixFile::Open(TestData() / "imatrix/imatrix.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_FALSE(file->older);
  EXPECT_EQ(file->entries.size(), 16U);
  const ImatrixEntry* down = Named(*file, "blk.1.ffn_down_exps.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->columns, 256U);
  EXPECT_EQ(down->sums.size(), 768U);
  EXPECT_THAT(Numbers(down->counts, 0, 3), ElementsAre(1269, 267, 0));
  EXPECT_THAT(Numbers(down->sums, 512, 3), ElementsAre(0, 0, 0));  // no token came
  const ImatrixEntry* query = Named(*file, "blk.0.attn_q.weight");
  ASSERT_NE(query, nullptr);
  EXPECT_EQ(query->columns, 256U);  // its shape is [256]
  EXPECT_THAT(Numbers(query->counts, 0, 1), ElementsAre(1536));
  EXPECT_THAT(Numbers(query->sums, 0, 2), ElementsAre(895.5099f, 700.4967f));
}

TEST(ImatrixFile, ReadsTheOlderFormOfTheSameRun) {
  const auto file = ImatrixFile::Open(TestData() / "imatrix/imatrix.dat");
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_TRUE(file->older);
  EXPECT_EQ(file->entries.size(), 16U);
  const ImatrixEntry* down = Named(*file, "blk.1.ffn_down_exps.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->calls, 20U);                                        // ceil(1269 / 64)
  EXPECT_THAT(Numbers(down->sums, 512, 3), ElementsAre(20, 20, 20));  // ones stand in
}

TEST(ImatrixFile, IsToldByItsBytesNotItsSuffix) {
  const auto older = Opened(OlderImatrix({{"a.weight", 2, {1, 2}}}), "x.gguf");
  ASSERT_TRUE(older.has_value()) << older.error().Text();
  EXPECT_TRUE(older->older);
  const auto newer = Opened(GgufImatrix({{"a.weight", 2, {1, 2}, {3}}}), "x.dat");
  ASSERT_TRUE(newer.has_value()) << newer.error().Text();
  EXPECT_FALSE(newer->older);
}

TEST(ImatrixFile, LeavesOtherSuffixesAlone) {
  const auto file = Opened(GgufFile({{"a.weight.in_sum", {2}, {-1, 2}},
                                     {"a.weight.counts", {1}, {3}},
                                     {"a.weight.in_sum2", {2}, {1, 2}}}));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  ASSERT_EQ(file->entries.size(), 1U);
  EXPECT_EQ(file->entries[0].name, "a.weight");
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct BrokenCase {
  const char* name;
  std::string bytes;
  ErrorCode code;
  const char* part;
};

const BrokenCase kBroken[] = {
    {"Empty", "", ErrorCode::kMalformed, "is no importance matrix"},
    {"Text", "layer,expert\n", ErrorCode::kMalformed, "is no importance matrix"},
    {"Checkpoint", GgufFile({{"a.weight", {2}, {1, 2}}}, "model"), ErrorCode::kUnsupported,
     "GGUF file of another kind"},
    {"NoSums", GgufFile({{"a.weight.counts", {1}, {2}}}), ErrorCode::kMalformed,
     "has no NAME.in_sum2"},
    {"NoCounts", GgufFile({{"a.weight.in_sum2", {2}, {1, 2}}}), ErrorCode::kMalformed,
     "has no a.weight.counts"},
    {"CountsOfAnotherNumber", GgufImatrix({{"a.weight", 2, {1, 2, 3, 4, 5, 6}, {1, 2}}}),
     ErrorCode::kMalformed, "has 3 matrices, a.weight.counts 2 numbers"},
    {"NoColumns", GgufFile({{"a.weight.in_sum2", {0, 2}, {}}, {"a.weight.counts", {1}, {1}}}),
     ErrorCode::kMalformed, "is empty"},
    {"SumsOfOtherType",
     GgufFile({{"a.weight.in_sum2", {1}, {1}, 26},  // int32
               {"a.weight.counts", {1}, {1}}}),
     ErrorCode::kMalformed, "is int32, not float32"},
    {"NanSum", GgufImatrix({{"a.weight", 2, {1, kNan}, {3}}}), ErrorCode::kMalformed,
     "sums' number 1 is nan"},
    {"InfiniteSum", GgufImatrix({{"a.weight", 2, {kInfinity, 1}, {3}}}), ErrorCode::kMalformed,
     "sums' number 0 is inf"},
    {"NegativeSum", GgufImatrix({{"a.weight", 2, {1, -2}, {3}}}), ErrorCode::kMalformed,
     "sums' number 1 is -2"},
    {"NegativeCount", GgufImatrix({{"a.weight", 2, {1, 2}, {-3}}}), ErrorCode::kMalformed,
     "counts' number 0 is -3"},
    {"SumsOfNoToken", GgufImatrix({{"a.weight", 1, {1, 2}, {3, 0}}}), ErrorCode::kMalformed,
     "matrix 1 has sums of 0 tokens"},
    {"EntryTwice", GgufImatrix({{"a.weight", 1, {1}, {3}}, {"a.weight", 1, {1}, {3}}}),
     ErrorCode::kMalformed, "stands twice"},
    {"OlderEntryTwice", OlderImatrix({{"a.weight", 1, {1}}, {"a.weight", 1, {1}}}),
     ErrorCode::kMalformed, "stands twice"},
    {"OlderNan", OlderImatrix({{"a.weight", 1, {kNan}}}), ErrorCode::kMalformed,
     "sums' number 0 is nan"},
    {"OlderOfManyEntries", RawNumber<int32_t>(INT32_MAX) + OlderImatrix({{"a.weight", 1, {1}}}),
     ErrorCode::kMalformed, "is no importance matrix"},
};

class BrokenImatrix : public testing::TestWithParam<BrokenCase> {};

TEST_P(BrokenImatrix, IsRefusedWithTheReason) {
  const auto file = Opened(GetParam().bytes);
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, GetParam().code) << file.error().Text();
  EXPECT_THAT(file.error().Text(), HasSubstr(GetParam().part));
}

INSTANTIATE_TEST_SUITE_P(All, BrokenImatrix, testing::ValuesIn(kBroken),
                         [](const auto& test) { return test.param.name; });

TEST(ImatrixFile, CutOrChangedAtAnyByteIsReadOrRefused) {
  const TempFolder folder;
  for (const std::string& good :
       {GgufImatrix({{"blk.0.ffn_up_exps.weight", 3, {1, 2, 3, 4, 5, 6}, {2, 3}}}),
        OlderImatrix({{"blk.0.ffn_up_exps.weight", 2, {1, 2, 3, 4, 5, 6}}})}) {
    ASSERT_TRUE(ImatrixFile::Open(folder.Write("good", good)).has_value());
    for (size_t bytes = 0; bytes < good.size(); ++bytes) {
      EXPECT_FALSE(ImatrixFile::Open(folder.Write("cut", good.substr(0, bytes)))) << bytes;
      for (const char flip : {'\x01', '\x80', '\xff'}) {
        std::string changed = good;
        changed[bytes] = static_cast<char>(changed[bytes] ^ flip);
        const auto file = ImatrixFile::Open(folder.Write("changed", changed));
        if (!file) continue;  // else all that it says lies in the file
        for (const ImatrixEntry& entry : file->entries) {
          EXPECT_LE(entry.sums.size() * 4, good.size());
        }
      }
    }
  }
}

TEST(ImatrixFile, ThatIsNotThereIsNotFound) {
  const TempFolder folder;
  EXPECT_EQ(ImatrixFile::Open(folder.path() / "gone").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace moe

#include "model/open_checkpoint.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "checkpoint/scalars.h"
#include "model/open_model.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kMixtral = TestData() / "zoo/hf4_mixtral/model.safetensors";

Result<Checkpoint> Open(const ScanPlan& scan, bool keep_going = false) {
  return OpenCheckpoint(scan, {}, {}, keep_going, {});
}

TEST(OpenCheckpoint, RefusesATensorNameThatStandsInTwoFiles) {
  const TempFolder folder;
  fs::copy_file(kMixtral, folder.path() / "copy.safetensors");
  const ScanPlan scan = FilesOf({kMixtral, folder.path() / "copy.safetensors"});
  const auto refused = Open(scan);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("holds 2 models"));
  EXPECT_THAT(refused.error().message, HasSubstr("copy.safetensors"));
  EXPECT_THAT(refused.error().message, HasSubstr("lm_head.weight"));

  const auto skipped = Open(scan, true);
  ASSERT_TRUE(skipped.has_value()) << skipped.error().Text();
  EXPECT_THAT(skipped->skipped_files, ElementsAre(HasSubstr("copy.safetensors")));
  EXPECT_EQ(skipped->tensors.size(), Open(FilesOf({kMixtral}))->tensors.size());
}

// Tensors of the shards "a" and "b" of an index; which count.
struct CopyCase {
  const char* name;
  std::map<std::string, std::string> weight_map;
  std::vector<std::string> a, b, left_out;
  const char* warning;  // "": none
  const char* error = "";
};

const CopyCase kCopyCases[] = {
    {"AllAtHome", {{"x", "a"}, {"y", "b"}}, {"x"}, {"y"}, {}, ""},
    {"ACopyInALaterShard",
     {{"x", "a"}, {"y", "b"}},
     {"x"},
     {"x", "y"},
     {"b x"},
     "x of b.safetensors"},
    {"ACopyInAnEarlierShard",
     {{"x", "b"}},
     {"x"},
     {"x"},
     {"a x"},
     "copies outside the shard that the index names, left out (1): x of a"},
    {"WhatIsNotListed", {{"x", "a"}, {"y", "b"}}, {"x", "z"}, {"y"}, {"a z"}, ""},
    {"ACopyOfWhatAMissingShardHolds", {{"x", "c"}, {"y", "b"}}, {"x"}, {"y"}, {"a x"}, "x of a"},
    {"InAnotherShardThanTheIndexSays", {{"x", "b"}, {"y", "b"}}, {"x"}, {"y"}, {}, "x in a"},
    {"InTwoOtherShards", {{"x", "c"}}, {"x"}, {"x"}, {}, "", "where the index has it"},
};

class Copies : public testing::TestWithParam<CopyCase> {};

TEST_P(Copies, CountWhereTheIndexSays) {
  const CopyCase& test = GetParam();
  const TempFolder folder;
  IndexSummary index;
  index.used_for_scan = true;
  index.index_path = folder.path() / "model.safetensors.index.json";
  for (const auto& [tensor, shard] : test.weight_map) {
    index.weight_map[tensor] = shard + ".safetensors";
  }
  ScanPlan scan = FilesOf({folder.Write("a.safetensors", Scalars(test.a)),
                           folder.Write("b.safetensors", Scalars(test.b))});
  if (*test.error != '\0') scan.files.push_back(folder.Write("c.safetensors", Scalars({"q"})));
  const auto opened = OpenCheckpoint(scan, index, {}, false, {});
  ASSERT_EQ(opened.has_value(), *test.error == '\0');
  if (!opened) {
    EXPECT_THAT(opened.error().message, HasSubstr(test.error));
    return;
  }
  std::vector<std::string> left_out;
  for (const ModelTensor& tensor : opened->tensors) {
    if (tensor.left_out == ModelTensor::LeftOut::kNo) continue;
    left_out.push_back(tensor.ref.file->path().stem().string() + " " + tensor.info().name);
  }
  EXPECT_EQ(left_out, test.left_out);
  EXPECT_EQ(opened->AllShapes().size(), test.a.size() + test.b.size() - left_out.size());
  if (*test.warning == '\0') {
    EXPECT_TRUE(opened->warnings.empty());
  } else {
    ASSERT_EQ(opened->warnings.size(), 1u);
    EXPECT_THAT(opened->warnings[0].text, HasSubstr(test.warning));
  }
  const auto model = OpenModel(scan, index);
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  EXPECT_EQ(model->tensors().size(), test.a.size() + test.b.size());
}

INSTANTIATE_TEST_SUITE_P(All, Copies, testing::ValuesIn(kCopyCases),
                         [](const auto& test) { return test.param.name; });

TEST(OpenCheckpoint, RefusesATensorNameThatStandsInTwoPartsOfOneSet) {
  const TempFolder folder;
  const ScanPlan scan = FilesOf({folder.Write("m-1-of-2.safetensors", Scalars({"x"})),
                                 folder.Write("m-2-of-2.safetensors", Scalars({"x"}))});
  const auto opened = OpenCheckpoint(scan, {}, {}, false, {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().where, (folder.path() / "m-2-of-2.safetensors").string());
  EXPECT_THAT(opened.error().message, HasSubstr("earlier file"));
}

TEST(OpenCheckpoint, LeavesOutTheTensorsOfAnAdapterInAModel) {
  const TempFolder folder;
  const ScanPlan scan =
      FilesOf({folder.Write("m.safetensors", Scalars({"a.weight", "a.lora_A.weight"}))});
  const auto opened = OpenCheckpoint(scan, {}, {}, false, {});
  ASSERT_TRUE(opened.has_value()) << opened.error().Text();
  EXPECT_EQ(opened->tensors[0].left_out, ModelTensor::LeftOut::kAdapter);
  EXPECT_EQ(opened->tensors[1].left_out, ModelTensor::LeftOut::kNo);
  ASSERT_EQ(opened->warnings.size(), 1u);
  EXPECT_THAT(opened->warnings[0].text, HasSubstr("a.lora_A.weight"));
}

TEST(OpenCheckpoint, SkipsABrokenFileOnlyWhenToldToKeepGoing) {
  const TempFolder folder;
  const fs::path broken = folder.Write("a.safetensors", "no header");
  const ScanPlan scan = FilesOf({broken, kMixtral});
  const auto refused = Open(scan);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kMalformed);

  const auto opened = Open(scan, true);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->files.at(0), nullptr);
  EXPECT_NE(opened->files.at(1), nullptr);
  EXPECT_EQ(opened->warnings.size(), 1u);
}

TEST(OpenCheckpoint, EndsWhenItIsStopped) {
  const std::atomic<bool> stopped = true;
  const auto opened = OpenCheckpoint(FilesOf({kMixtral}), {}, {}, false, StopToken(stopped));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace moe

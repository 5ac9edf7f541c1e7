#include "collect/plan.h"

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "checkpoint/scalars.h"
#include "collect/memory_sink.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kZoo = TestData() / "zoo";

struct Planned {
  Result<CollectPlan> plan;
  MemorySink inventory, unmatched;
};

std::unique_ptr<Planned> PlanFiles(const ScanPlan& scan, const PlanOptions& options,
                                   const IndexSummary& index = {}, bool stopped = false,
                                   bool keep_going = false) {
  auto planned = std::make_unique<Planned>();
  const Extractor extractor = *Extractor::Create(DefaultExtractOptions());
  const auto stop = [stopped] { return stopped; };
  auto checkpoint = OpenCheckpoint(scan, index, {}, keep_going, stop);
  if (!checkpoint) {
    planned->plan = tl::make_unexpected(checkpoint.error());
    return planned;
  }
  planned->plan = MakePlan(std::move(*checkpoint), index, extractor, options, planned->inventory,
                           planned->unmatched, stop);
  return planned;
}

ScanPlan FilesOf(std::vector<fs::path> files) {
  ScanPlan scan;
  scan.files = std::move(files);
  return scan;
}

TEST(MakePlan, FindsTheMatricesOfAShardedCheckpoint) {
  const fs::path model = kZoo / "hf4_qwen3_moe_sharded";
  const auto expected = nlohmann::json::parse(std::ifstream(model / "expected.json"));
  const IndexSummary index = FindShardIndex(model, {});
  const auto planned = PlanFiles(*PlanScan(model, {}, index), {}, index);
  ASSERT_TRUE(planned->plan.has_value()) << planned->plan.error().Text();
  const CollectPlan& plan = *planned->plan;

  EXPECT_EQ(plan.checkpoint.files.size(), 6u);
  EXPECT_EQ(plan.matrices(), expected["expert_matrices"]);
  EXPECT_EQ(plan.tensors_observed, expected["tensor_count"]);
  EXPECT_EQ(planned->inventory.rows.size(), plan.tensors_observed);
  EXPECT_EQ(plan.observed_tensors.size(), plan.tensors_observed);
  EXPECT_EQ(plan.unmatched_expertish, 0u);

  std::vector<std::string> found, wanted;
  for (const PlannedBank& planned_bank : plan.banks) {
    found.push_back(plan.checkpoint.files[planned_bank.file]->tensors()[planned_bank.tensor].name);
  }
  for (const auto& matrix : expected["experts"]) wanted.push_back(matrix["source_tensor"]);
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(wanted));
}

TEST(MakePlan, CountsEveryTensorInOneRole) {
  const fs::path file = kZoo / "hf4_qwen2_moe/model.safetensors";
  const auto planned = PlanFiles(FilesOf({file}), {});
  const CollectPlan& plan = *planned->plan;
  RoleTotals sum;
  for (const RoleTotals& role : plan.roles) {
    sum.tensors += role.tensors;
    sum.bytes += role.bytes;
  }
  EXPECT_EQ(sum.tensors, plan.tensors_observed);
  const auto expected = nlohmann::json::parse(std::ifstream(file.parent_path() / "expected.json"));
  uint64_t elements = 0;
  for (const auto& matrix : expected["experts"]) {
    elements += matrix["rows"].get<uint64_t>() * matrix["cols"].get<uint64_t>();
  }
  EXPECT_EQ(plan.planned_parameters, elements);
  EXPECT_EQ(plan.expert_parameters, elements);
  EXPECT_EQ(plan.bytes(), 2 * elements);  // bfloat16
}

TEST(MakePlan, LeavesIndexColumnsNullWithoutAnIndex) {
  const auto planned = PlanFiles(FilesOf({kZoo / "hf4_mixtral/model.safetensors"}), {});
  const TableSchema schema = TensorInventoryTable().Schema();
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    const bool of_index =
        schema.columns[i].name == "in_index" || schema.columns[i].name == "index_shard";
    EXPECT_EQ(planned->inventory.rows.at(0).at(i).index() == 0, of_index) << schema.columns[i].name;
  }
}

TEST(MakePlan, WritesNoInventoryWhenNoneIsWanted) {
  PlanOptions options;
  options.inventory_all_tensors = false;
  const auto planned = PlanFiles(FilesOf({kZoo / "hf4_mixtral/model.safetensors"}), options);
  EXPECT_TRUE(planned->inventory.rows.empty());
  EXPECT_GT(planned->plan->tensors_observed, 0u);
}

TEST(MakePlan, RefusesATensorNameThatStandsInTwoFiles) {
  const fs::path file = kZoo / "hf4_mixtral/model.safetensors";
  const TempFolder folder;
  fs::copy_file(file, folder.path() / "copy.safetensors");
  const ScanPlan scan = FilesOf({file, folder.path() / "copy.safetensors"});
  const auto refused = PlanFiles(scan, {});
  ASSERT_FALSE(refused->plan.has_value());
  EXPECT_THAT(refused->plan.error().message, HasSubstr("holds 2 models"));
  EXPECT_THAT(refused->plan.error().message, HasSubstr("copy.safetensors"));
  EXPECT_THAT(refused->plan.error().message, HasSubstr("lm_head.weight"));

  const auto skipped = PlanFiles(scan, {}, {}, false, true);
  ASSERT_TRUE(skipped->plan.has_value()) << skipped->plan.error().Text();
  EXPECT_THAT(skipped->plan->checkpoint.skipped_files, ElementsAre(HasSubstr("copy.safetensors")));
  EXPECT_EQ(skipped->plan->tensors_observed,
            PlanFiles(FilesOf({file}), {})->plan->tensors_observed);
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
  const auto opened = OpenCheckpoint(scan, index, {}, false, [] { return false; });
  ASSERT_EQ(opened.has_value(), *test.error == '\0');
  if (!opened) {
    EXPECT_THAT(opened.error().message, HasSubstr(test.error));
    return;
  }
  std::vector<std::string> left_out;
  for (size_t f = 0; f < opened->files.size(); ++f) {
    for (size_t t = 0; t < opened->uses[f].size(); ++t) {
      if (opened->uses[f][t].left_out == TensorUse::LeftOut::kNo) continue;
      left_out.push_back(opened->files[f]->path().stem().string() + " " +
                         opened->files[f]->tensors()[t].name);
    }
  }
  EXPECT_EQ(left_out, test.left_out);
  EXPECT_EQ(opened->AllShapes().size(), test.a.size() + test.b.size() - left_out.size());
  if (*test.warning == '\0') {
    EXPECT_TRUE(opened->warnings.empty());
  } else {
    ASSERT_EQ(opened->warnings.size(), 1u);
    EXPECT_THAT(opened->warnings[0].text, HasSubstr(test.warning));
  }
  const auto planned = PlanFiles(scan, {}, index);
  EXPECT_EQ(planned->inventory.rows.size(), test.a.size() + test.b.size());
}

INSTANTIATE_TEST_SUITE_P(All, Copies, testing::ValuesIn(kCopyCases),
                         [](const auto& test) { return test.param.name; });

TEST(OpenCheckpoint, RefusesATensorNameThatStandsInTwoPartsOfOneSet) {
  const TempFolder folder;
  const ScanPlan scan = FilesOf({folder.Write("m-1-of-2.safetensors", Scalars({"x"})),
                                 folder.Write("m-2-of-2.safetensors", Scalars({"x"}))});
  const auto opened = OpenCheckpoint(scan, {}, {}, false, [] { return false; });
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().where, (folder.path() / "m-2-of-2.safetensors").string());
  EXPECT_THAT(opened.error().message, HasSubstr("earlier file"));
}

TEST(OpenCheckpoint, LeavesOutTheTensorsOfAnAdapterInAModel) {
  const TempFolder folder;
  const ScanPlan scan =
      FilesOf({folder.Write("m.safetensors", Scalars({"a.weight", "a.lora_A.weight"}))});
  const auto opened = OpenCheckpoint(scan, {}, {}, false, [] { return false; });
  ASSERT_TRUE(opened.has_value()) << opened.error().Text();
  EXPECT_EQ(opened->uses[0][0].left_out, TensorUse::LeftOut::kAdapter);
  EXPECT_EQ(opened->uses[0][1].left_out, TensorUse::LeftOut::kNo);
  ASSERT_EQ(opened->warnings.size(), 1u);
  EXPECT_THAT(opened->warnings[0].text, HasSubstr("a.lora_A.weight"));
}

TEST(MakePlan, SkipsABrokenFileOnlyWhenToldToKeepGoing) {
  const TempFolder folder;
  const fs::path broken = folder.Write("a.safetensors", "no header");
  const ScanPlan scan = FilesOf({broken, kZoo / "hf4_mixtral/model.safetensors"});
  const auto refused = PlanFiles(scan, {});
  ASSERT_FALSE(refused->plan.has_value());
  EXPECT_EQ(refused->plan.error().code, ErrorCode::kMalformed);

  const auto planned = PlanFiles(scan, {}, {}, false, true);
  ASSERT_TRUE(planned->plan.has_value());
  EXPECT_EQ(planned->plan->checkpoint.files.at(0), nullptr);
  EXPECT_NE(planned->plan->checkpoint.files.at(1), nullptr);
  EXPECT_EQ(planned->plan->warnings.size(), 1u);
}

TEST(MakePlan, EndsWhenItIsStoppedOrARowCantBeWritten) {
  const ScanPlan scan = FilesOf({kZoo / "hf4_mixtral/model.safetensors"});
  EXPECT_EQ(PlanFiles(scan, {}, {}, true)->plan.error().code, ErrorCode::kInterrupted);
  MemorySink full, unmatched;
  full.fails_at = 3;
  const Extractor extractor = *Extractor::Create(DefaultExtractOptions());
  const auto never = [] { return false; };
  const auto plan = MakePlan(*OpenCheckpoint(scan, {}, {}, false, never), {}, extractor, {}, full,
                             unmatched, never);
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(plan.error().message, "is full");
}

}  // namespace
}  // namespace moe

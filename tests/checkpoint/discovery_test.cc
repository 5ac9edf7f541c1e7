#include "checkpoint/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "checkpoint/scalars.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Scan {
  IndexSummary index;
  Result<ScanPlan> plan;
};

Scan Plan(const fs::path& model, const ScanOptions& options) {
  IndexSummary index = FindShardIndex(model, options);
  Result<ScanPlan> plan = PlanScan(model, options, index);
  return {std::move(index), std::move(plan)};
}

std::vector<std::string> Relative(const std::vector<fs::path>& files, const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.lexically_relative(folder).string());
  return names;
}

std::vector<std::string> LeftOutNames(const ScanPlan& plan) {
  std::vector<std::string> names;
  for (const LeftOut& left : plan.left_out) names.push_back(left.path.filename().string());
  return names;
}

// Which files of a folder are read, without an index.
struct WalkCase {
  const char* name;
  Recursive recursive;
  std::optional<int64_t> max_files;
  std::vector<std::string> on_disk, read, left_out;
};

const WalkCase kWalkCases[] = {
    {"SortedByPathComponents",
     Recursive::kAlways,
     {},
     {"b.safetensors", "a/x.safetensors", "a-b/x.safetensors", "note.txt", "c.SAFETENSORS"},
     {"a/x.safetensors", "a-b/x.safetensors", "b.safetensors", "c.SAFETENSORS"},
     {}},
    {"NeverEntersSubfolders", Recursive::kNever, {}, {"b.npz", "a/x.npz"}, {"b.npz"}, {}},
    {"AutoStaysAtTheTop", Recursive::kAuto, {}, {"b.npz", "ref/x.npz"}, {"b.npz"}, {}},
    {"AutoEntersSubfoldersOfAnEmptyTop",
     Recursive::kAuto,
     {},
     {"note.txt", "a/x.npz"},
     {"a/x.npz"},
     {}},
    {"SafetensorsBeforeOthers",
     Recursive::kAuto,
     {},
     {"m.safetensors", "m.gguf", "m.npz"},
     {"m.safetensors"},
     {"m.gguf", "m.npz"}},
    {"GgufBeforeNpz", Recursive::kAuto, {}, {"m.gguf", "m.npz"}, {"m.gguf"}, {"m.npz"}},
    {"KindsAreChosenFolderByFolder",
     Recursive::kAlways,
     {},
     {"m.safetensors", "a/m.npz"},
     {"a/m.npz", "m.safetensors"},
     {}},
    {"ConsolidatedIsASecondCopy",
     Recursive::kAuto,
     {},
     {"consolidated.safetensors", "model-00001-of-00001.safetensors"},
     {"model-00001-of-00001.safetensors"},
     {"consolidated.safetensors"}},
    {"ConsolidatedAloneIsRead",
     Recursive::kAuto,
     {},
     {"consolidated.safetensors"},
     {"consolidated.safetensors"},
     {}},
    {"MaxFiles", Recursive::kAuto, 2, {"c.npz", "b.npz", "a.npz"}, {"a.npz", "b.npz"}, {}},
    {"MaxFilesZero", Recursive::kAuto, 0, {"a.npz"}, {}, {}},
    {"MaxFilesAboveAll", Recursive::kAuto, 9, {"a.npz"}, {"a.npz"}, {}},
    {"MaxFilesFromTheEnd", Recursive::kAuto, -1, {"a.npz", "b.npz"}, {"a.npz"}, {}},
    {"MaxFilesBeforeTheStart", Recursive::kAuto, -5, {"a.npz", "b.npz"}, {}, {}},
    {"HiddenFilesAndFoldersArePassedOver",
     Recursive::kAuto,
     {},
     {"._a.npz", ".b.npz", ".cache/c.npz", "a/d.npz", "a/._d.npz", ".hidden"},
     {"a/d.npz"},
     {"._a.npz", ".b.npz", "._d.npz"}},
    {"Nothing", Recursive::kAuto, {}, {"note.txt"}, {}, {}},
};

class Walk : public testing::TestWithParam<WalkCase> {};

TEST_P(Walk, TakesTheseFiles) {
  const TempFolder folder;
  for (const std::string& name : GetParam().on_disk) folder.Write(name);
  ScanOptions options;
  options.recursive = GetParam().recursive;
  options.max_files = GetParam().max_files;
  const Scan scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value()) << scan.plan.error().Text();
  EXPECT_EQ(Relative(scan.plan->files, folder.path()), GetParam().read);
  EXPECT_EQ(LeftOutNames(*scan.plan), GetParam().left_out);
}

INSTANTIATE_TEST_SUITE_P(All, Walk, testing::ValuesIn(kWalkCases),
                         [](const auto& test) { return test.param.name; });

TEST(PlanScan, TakesSymlinkedFilesButEntersNoSymlinkedFolder) {
  const TempFolder folder, elsewhere;
  elsewhere.Write("blob");
  elsewhere.Write("deep/x.npz");
  fs::create_symlink(elsewhere.path() / "blob", folder.path() / "a.npz");
  fs::create_directory_symlink(elsewhere.path() / "deep", folder.path() / "link");
  fs::create_symlink(elsewhere.path() / "gone", folder.path() / "b.npz");
  ScanOptions options;
  options.recursive = Recursive::kAlways;
  const Scan scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("a.npz"));
  EXPECT_THAT(LeftOutNames(*scan.plan), ElementsAre("b.npz"));
}

TEST(PlanScan, LeavesOutImportanceMatricesAndSidecars) {
  const TempFolder folder;
  const fs::path zoo = TestData() / "zoo";
  fs::copy_file(zoo / "gguf_kquants/model.gguf", folder.path() / "model.gguf");
  for (const char* name : {"imatrix.gguf", "imatrix.dat"}) {
    fs::copy_file(zoo / "imatrix_qwen3_moe" / name, folder.path() / name);
  }
  folder.Write("mmproj-model.gguf");
  folder.Write("other.dat", "no imatrix");
  const Scan scan = Plan(folder.path(), {});
  ASSERT_TRUE(scan.plan.has_value()) << scan.plan.error().Text();
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("model.gguf"));
  EXPECT_THAT(LeftOutNames(*scan.plan),
              ElementsAre("imatrix.dat", "imatrix.gguf", "mmproj-model.gguf"));
  EXPECT_EQ(scan.plan->left_out[0].reason, "importance matrix (imatrix), not a checkpoint");
  EXPECT_EQ(scan.plan->left_out[1].reason, scan.plan->left_out[0].reason);
}

TEST(PlanScan, LeavesOutAListedExtensionThatHasNoReader) {
  const TempFolder folder;
  folder.Write("a.bin");
  ScanOptions options;
  options.extensions = {".bin"};
  const Scan scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_THAT(scan.plan->files, IsEmpty());
  EXPECT_THAT(LeftOutNames(*scan.plan), ElementsAre("a.bin"));
}

TEST(PlanScan, SaysThatAModelPathIsNotThere) {
  const TempFolder folder;
  const Scan scan = Plan(folder.path() / "gone", {});
  ASSERT_FALSE(scan.plan.has_value());
  EXPECT_EQ(scan.plan.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(scan.plan.error().where, HasSubstr("gone"));
}

constexpr char kTwoShards[] = R"({"metadata":{"z":1,"a":{"weight_map":{}}},
    "weight_map":{"x":"./m-2.npz","y":"m-1.npz","w":"m-1.npz","v":"other.bin"}})";

TEST(ShardIndex, DecidesTheScanInShardOrder) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", kTwoShards);
  for (const char* name : {"m-2.npz", "m-1.npz", "consolidated.safetensors", "sub/m.npz"}) {
    folder.Write(name);
  }
  const Scan scan = Plan(folder.path(), {});
  ASSERT_TRUE(scan.plan.has_value()) << scan.plan.error().Text();
  EXPECT_EQ(scan.index.status, IndexStatus::kActive);
  EXPECT_TRUE(scan.index.used_for_scan);
  EXPECT_THAT(scan.index.expected_shards, ElementsAre("m-1.npz", "m-2.npz"));
  EXPECT_EQ(scan.index.metadata_json, R"({"z":1,"a":{"weight_map":{}}})");
  EXPECT_EQ(scan.index.weight_map.at("x"), "m-2.npz");
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("m-1.npz", "m-2.npz"));
  EXPECT_THAT(LeftOutNames(*scan.plan), ElementsAre("consolidated.safetensors"));
  EXPECT_THAT(scan.index.extra_safetensors_files_on_disk, ElementsAre("consolidated.safetensors"));
}

TEST(ShardIndex, TakesTheUsualNameBeforeTheFirstOther) {
  const TempFolder folder;
  folder.Write("a.safetensors.index.json", kTwoShards);
  EXPECT_EQ(FindShardIndex(folder.path(), {}).index_path,
            folder.path() / "a.safetensors.index.json");
  folder.Write("model.safetensors.index.json", kTwoShards);
  EXPECT_EQ(FindShardIndex(folder.path(), {}).index_path,
            folder.path() / "model.safetensors.index.json");
}

TEST(ShardIndex, IsOnlyReportedWhenTheModelIsAFile) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", kTwoShards);
  const Scan scan = Plan(folder.Write("m-2.npz"), {});
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_TRUE(scan.index.active);
  EXPECT_FALSE(scan.index.used_for_scan);
  EXPECT_TRUE(scan.plan->index_discovered_but_ignored_due_to_file_model_path);
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("m-2.npz"));
}

TEST(ShardIndex, IsNotSoughtWhenSwitchedOff) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", kTwoShards);
  ScanOptions options;
  options.use_safetensors_index_json = false;
  const IndexSummary index = FindShardIndex(folder.path(), options);
  EXPECT_EQ(IndexStatusName(index.status), "disabled");
  EXPECT_FALSE(index.searched);
}

TEST(ShardIndex, NotFoundGivesNoWarning) {
  const TempFolder folder;
  const IndexSummary index = FindShardIndex(folder.path(), {});
  EXPECT_EQ(IndexStatusName(index.status), "not_found");
  EXPECT_EQ(UnusedIndexWarning(index), std::nullopt);
}

TEST(ShardIndex, WarnsInTheContractsOrder) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", kTwoShards);
  folder.Write("m-1.npz");
  folder.Write("extra.safetensors");
  const IndexSummary index = FindShardIndex(folder.path(), {});
  EXPECT_THAT(index.missing_shards, ElementsAre("m-2.npz"));
  const IndexComparison compared = CompareWithIndex(index.weight_map, {"w", "y", "new"});
  EXPECT_THAT(IndexWarnings(index, compared),
              ElementsAre("[index] missing shards: m-2.npz", "[index] missing tensors: v, x",
                          "[index] extra tensors: new",
                          "[index] extra safetensors files on disk: extra.safetensors"));
}

struct BrokenIndex {
  const char* name;
  std::string json;
  const char* expected_part;
};

std::string Map(const std::string& value) { return R"({"weight_map":{"t":)" + value + "}}"; }

const BrokenIndex kBrokenIndexes[] = {
    {"Empty", "", "is empty"},
    {"NotJson", "{", "no valid JSON"},
    {"NotAnObject", "[]", "no JSON object"},
    {"NoWeightMap", "{}", "no object `weight_map`"},
    {"WeightMapIsAList", R"({"weight_map":[]})", "no object `weight_map`"},
    {"ValueIsANumber", Map("1"), "entry 't' is no string"},
    {"TensorTwice", R"({"weight_map":{"t":"a","\u0074":"b"}})", "'t' twice"},
    {"ParentFolder", Map(R"("../x.npz")"), "`..`"},
    {"ParentFolderWithin", Map(R"("a/../../x.npz")"), "`..`"},
    {"ParentFolderInBackslashes", Map(R"("..\\x.npz")"), "`..`"},
    {"Absolute", Map(R"("/x.npz")"), "absolute"},
    {"Nul", Map(R"("x\u0000.npz")"), "NUL"},
    {"NoName", Map(R"("./")"), "empty"},
    {"HugeNumber", R"({"metadata":1e999,"weight_map":{}})", "no valid JSON"},
};

class ShardIndexBroken : public testing::TestWithParam<BrokenIndex> {};

TEST_P(ShardIndexBroken, IsWarnedAboutAndTheFolderIsWalked) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", GetParam().json);
  folder.Write("a.npz");
  const Scan scan = Plan(folder.path(), {});
  EXPECT_EQ(IndexStatusName(scan.index.status), "error");
  EXPECT_THAT(scan.index.error, HasSubstr(GetParam().expected_part));
  EXPECT_THAT(*UnusedIndexWarning(scan.index), HasSubstr("[index] failed to parse index "));
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("a.npz"));
}

INSTANTIATE_TEST_SUITE_P(All, ShardIndexBroken, testing::ValuesIn(kBrokenIndexes),
                         [](const auto& test) { return test.param.name; });

TEST(NormaliseShardName, GivesOneNameToOneFile) {
  EXPECT_EQ(*NormaliseShardName("./x.npz"), "x.npz");
  EXPECT_EQ(*NormaliseShardName(R"(a\b.npz)"), "a/b.npz");
  EXPECT_EQ(*NormaliseShardName("a//./b.npz"), "a/b.npz");
}

// strict_index: what ends the run, by the fragments that the contract names.
struct StrictCase {
  const char* name;
  bool use_index, model_is_file;
  const char* json;                         // nullptr: no index
  std::vector<std::string> expected_parts;  // empty: the scan goes on
};

const StrictCase kStrictCases[] = {
    {"FlagOff", false, false, kTwoShards, {"strict_index", "use_safetensors_index_json"}},
    {"NotFoundIsNoFaultOfAWholeSet", true, false, nullptr, {}},
    {"Broken", true, false, "[]", {"strict_index requires an active index (status: error)"}},
    {"MissingShards",
     true,
     false,
     kTwoShards,
     {"1 of 2 shards is missing: m-2.npz, 1 tensor", "--keep-going"}},
    {"AFileIgnoresMissingShards", true, true, kTwoShards, {}},
};

class StrictIndex : public testing::TestWithParam<StrictCase> {};

TEST_P(StrictIndex, EndsTheRunWithTheReason) {
  const TempFolder folder;
  const fs::path shard = folder.Write("m-1.npz");
  if (GetParam().json != nullptr) {
    folder.Write("model.safetensors.index.json", GetParam().json);
  }
  ScanOptions options;
  options.use_safetensors_index_json = GetParam().use_index;
  options.strict_index = true;
  const Scan scan = Plan(GetParam().model_is_file ? shard : folder.path(), options);
  const auto error = scan.plan ? scan.plan->fault : scan.plan.error();
  ASSERT_EQ(error.has_value(), !GetParam().expected_parts.empty());
  for (const std::string& part : GetParam().expected_parts) {
    EXPECT_THAT(error->Text(), HasSubstr(part));
    EXPECT_EQ(error->TypeName(), "SystemExit");
  }
}

INSTANTIATE_TEST_SUITE_P(All, StrictIndex, testing::ValuesIn(kStrictCases),
                         [](const auto& test) { return test.param.name; });

// What the names of the files promise, without an index.
struct GapCase {
  const char* name;
  std::vector<std::string> on_disk;
  const char* missing;  // "": nothing
};

const GapCase kGapCases[] = {
    {"UsualNames",
     {"model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"},
     "1 of 3 shards is missing: model-00002-of-00003.safetensors"},
    {"TheLast", {"m-1-of-2.npz"}, "1 of 2 shards is missing: m-2-of-2.npz"},
    {"NumbersBehindTheSuffix",
     {"model.safetensors-00002-of-00002.safetensors"},
     "1 of 2 shards is missing: model.safetensors-00001-of-00002.safetensors"},
    {"OtherSeparators", {"part1of3.npz", "part3of3.npz"}, "1 of 3 shards is missing: part2of3.npz"},
    {"Underscores", {"m_001_of_002_bf16.npz"}, "1 of 2 shards is missing: m_002_of_002_bf16.npz"},
    {"FromZero",
     {"m-00000-of-00003.npz", "m-00002-of-00003.npz"},
     "1 of 3 shards is missing: m-00001-of-00003.npz"},
    {"GgufPart", {"m-00002-of-00002.gguf"}, "1 of 2 shards is missing: m-00001-of-00002.gguf"},
    {"Several",
     {"m-00002-of-00004.npz"},
     "3 of 4 shards are missing: m-00001-of-00004.npz, m-00003-of-00004.npz, m-00004-of-00004.npz"},
    {"Whole", {"m-00001-of-00002.npz", "m-00002-of-00002.npz"}, ""},
    {"WholeFromZero", {"m-00000-of-00002.npz", "m-00001-of-00002.npz"}, ""},
    {"NumbersAlone", {"w-00.npz", "w-02.npz"}, "1 of 3 shards is missing: w-01.npz"},
    {"NumbersAloneFromOne", {"w-2.npz", "w-3.npz"}, "1 of 3 shards is missing: w-1.npz"},
    {"CapitalLetters", {"M-1-OF-2.npz"}, "1 of 2 shards is missing: M-2-OF-2.npz"},
    {"NumbersFarApart", {"w-4.npz", "w-16.npz"}, ""},
    {"OneNumber", {"w-7.npz"}, ""},
    {"LayersAreNoParts", {"layer-0.npz", "layer-2.npz"}, ""},
    {"WordsAreNoNumbers", {"best-of-two.npz", "profile.npz"}, ""},
};

class Gap : public testing::TestWithParam<GapCase> {};

TEST_P(Gap, EndsAStrictScanAndIsToldByOthers) {
  const TempFolder folder;
  for (const std::string& name : GetParam().on_disk) folder.Write(name);
  const std::string missing = GetParam().missing;
  ScanOptions options;
  options.strict_index = true;
  const auto strict = PlanScan(folder.path(), options, FindShardIndex(folder.path(), options));
  ASSERT_TRUE(strict.has_value());
  ASSERT_EQ(strict->fault.has_value(), !missing.empty());
  if (!strict->fault) return;
  EXPECT_EQ(strict->fault->message, missing);
  options.keep_going = true;
  auto going = PlanScan(folder.path(), options, FindShardIndex(folder.path(), options));
  ASSERT_TRUE(going.has_value());
  EXPECT_FALSE(going->fault.has_value());
  EXPECT_EQ(going->missing.Text(), missing);
  SettleDoubts(false, *going, going->warnings);
  EXPECT_TRUE(going->incomplete);
  EXPECT_THAT(going->warnings, ElementsAre("[scan] " + missing));
  EXPECT_EQ(Relative(going->files, folder.path()), GetParam().on_disk);
}

INSTANTIATE_TEST_SUITE_P(All, Gap, testing::ValuesIn(kGapCases),
                         [](const auto& test) { return test.param.name; });

TEST(SettleDoubts, AFileThatHoldsAllIsNoPartUnlessItsNumbersAreFilledWithZeros) {
  for (const std::string name : {"step-100-of-5000.npz", "m-00001-of-00002.npz"}) {
    const TempFolder folder;
    folder.Write(name);
    ScanOptions options;
    options.strict_index = true;
    auto plan = PlanScan(folder.path(), options, FindShardIndex(folder.path(), options));
    ASSERT_TRUE(plan.has_value());
    EXPECT_TRUE(plan->fault.has_value());
    SettleDoubts(true, *plan, plan->warnings);
    const bool settled = name.starts_with("step");
    EXPECT_EQ(plan->fault.has_value(), !settled);
    EXPECT_EQ(plan->missing.empty(), settled);
    EXPECT_EQ(plan->incomplete, !settled);
    EXPECT_THAT(plan->warnings, ElementsAre(HasSubstr(settled ? "one of 5000 parts, but all"
                                                              : "1 of 2 shards is missing")));
  }
}

TEST(PlanScan, ALinkToNothingIsAMissingShard) {
  const TempFolder folder;
  folder.Write("a.safetensors");
  fs::create_symlink("gone", folder.path() / "b.safetensors");
  ScanOptions options;
  options.strict_index = true;
  const Scan scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value() && scan.plan->fault);
  EXPECT_EQ(scan.plan->fault->message, "1 of 2 shards is missing: b.safetensors");
}

TEST(PlanScan, WithoutStrictIndexAGapIsOnlyWarnedOf) {
  const TempFolder folder;
  folder.Write("m-00001-of-00002.npz");
  const Scan scan = Plan(folder.path(), {});
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_FALSE(scan.plan->incomplete);
  EXPECT_THAT(scan.plan->warnings, ElementsAre(HasSubstr("m-00002-of-00002.npz")));
}

TEST(ShardIndex, OfWhichNoShardIsThereGivesWayToAWholeSet) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", kTwoShards);
  folder.Write("model-00001-of-00002.safetensors");
  EXPECT_TRUE(FindShardIndex(folder.path(), {}).used_for_scan);  // that set lacks a file too
  folder.Write("model-00002-of-00002.safetensors");
  ScanOptions options;
  options.strict_index = true;
  const Scan scan = Plan(folder.path(), options);
  EXPECT_FALSE(scan.index.used_for_scan);
  EXPECT_THAT(*UnusedIndexWarning(scan.index), HasSubstr("none of the 2 shards"));
  ASSERT_TRUE(scan.plan.has_value()) << scan.plan.error().Text();
  EXPECT_EQ(scan.plan->files.size(), 2u);
  folder.Write("m-1.npz");
  EXPECT_TRUE(FindShardIndex(folder.path(), {}).used_for_scan);  // one of its shards is there
}

TEST(PlanScan, LeavesOutAdaptersByNameAndByTensors) {
  const TempFolder folder;
  folder.Write("model.safetensors", Scalars({"a.weight", "b.weight"}));
  for (const char* name :
       {"adapter_model.safetensors", "adapters.safetensors", "0000100_adapters.safetensors"}) {
    folder.Write(name, Scalars({"x"}));
  }
  folder.Write("mine.safetensors",
               Scalars({"base_model.model.a.lora_A.weight", "base_model.model.a.lora_B.weight",
                        "base_model.model.lm_head.weight"}));
  const Scan scan = Plan(folder.path(), {});
  ASSERT_TRUE(scan.plan.has_value()) << scan.plan.error().Text();
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("model.safetensors"));
  EXPECT_THAT(LeftOutNames(*scan.plan),
              ElementsAre("0000100_adapters.safetensors", "adapter_model.safetensors",
                          "adapters.safetensors", "mine.safetensors"));
  EXPECT_THAT(scan.plan->left_out[3].reason, HasSubstr("adapter"));
}

TEST(PlanScan, SaysThatAnAdapterAloneIsNoModel) {
  const TempFolder folder;
  folder.Write("adapter_config.json", R"({"base_model_name_or_path": "org/base"})");
  const fs::path file = folder.Write("weights.safetensors", Scalars({"a.lora_A", "a.lora_B"}));
  for (const fs::path& model : {folder.path(), file}) {
    const Scan scan = Plan(model, {});
    ASSERT_FALSE(scan.plan.has_value());
    EXPECT_THAT(scan.plan.error().message, HasSubstr("is an adapter (LoRA)"));
    EXPECT_THAT(scan.plan.error().hint, HasSubstr("org/base"));
  }
}

TEST(PlanScan, SeveralFoldersOfModelsAreListed) {
  const TempFolder folder;
  folder.Write("a/model.safetensors", Scalars({"x"}));
  folder.Write("b/model.safetensors", Scalars({"y"}));
  Scan scan = Plan(folder.path(), {});
  ASSERT_FALSE(scan.plan.has_value());
  EXPECT_EQ(scan.plan.error().message, "holds 2 models: a/model.safetensors, b/model.safetensors");
  folder.Write("a/config.json", "{}");  // which does not describe b's
  scan = Plan(folder.path(), {});
  ASSERT_FALSE(scan.plan.has_value());
  EXPECT_EQ(scan.plan.error().message, "holds 2 models: a, b/model.safetensors");
  folder.Write("b/config.json", "{}");
  scan = Plan(folder.path(), {});
  ASSERT_FALSE(scan.plan.has_value());
  EXPECT_EQ(scan.plan.error().message, "holds 2 models: a, b");
  fs::remove(folder.path() / "a/config.json");
  fs::rename(folder.path() / "b/config.json", folder.path() / "config.json");  // of all of them
  EXPECT_TRUE(Plan(folder.path(), {}).plan.has_value());
}

TEST(PlanScan, LeavesOutSecondCopiesOfTheSameBytes) {
  const TempFolder folder;
  const std::string bytes(100'000, 'x');
  for (const char* name : {"m-1-of-2.npz", "m-2-of-2.npz"}) folder.Write(name, bytes);
  const std::vector<std::string> copies = {"Copy of m-2-of-2.npz", "m-1-of-2 (1).npz",
                                           "m-1-of-2 - Copy.npz", "m-1-of-2 copy 2.npz",
                                           "m-1-of-2(1).npz"};
  for (const std::string& name : copies) folder.Write(name, bytes);
  ScanOptions options;
  options.strict_index = true;
  Scan scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_FALSE(scan.plan->fault.has_value());
  EXPECT_THAT(Relative(scan.plan->files, folder.path()),
              ElementsAre("m-1-of-2.npz", "m-2-of-2.npz"));
  EXPECT_EQ(LeftOutNames(*scan.plan), copies);
  EXPECT_EQ(scan.plan->left_out[1].reason, "a second copy of m-1-of-2.npz");

  // Other bytes: no copy, whatever its name. Alone, it is the part that it is named after.
  folder.Write("m-1-of-2 (1).npz", std::string(100'000, 'y'));
  fs::remove(folder.path() / "m-2-of-2.npz");
  scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_FALSE(scan.plan->fault.has_value());
  EXPECT_THAT(Relative(scan.plan->files, folder.path()),
              ElementsAre("Copy of m-2-of-2.npz", "m-1-of-2 (1).npz", "m-1-of-2.npz"));
}

TEST(PlanScan, NamesUnfinishedDownloads) {
  const TempFolder folder;
  folder.Write("m-1-of-2.npz");
  folder.Write("m-2-of-2.npz.crdownload");
  folder.Write("note.txt.part");
  ScanOptions options;
  options.strict_index = true;
  Scan scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value() && scan.plan->fault);
  EXPECT_EQ(scan.plan->fault->message,
            "1 of 2 shards is missing: m-2-of-2.npz; unfinished: m-2-of-2.npz.crdownload");
  EXPECT_THAT(LeftOutNames(*scan.plan), ElementsAre("m-2-of-2.npz.crdownload"));
  folder.Write("m-2-of-2.npz");
  scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_FALSE(scan.plan->fault.has_value());
  EXPECT_EQ(scan.plan->left_out.front().reason, "an unfinished download");
  folder.Write("m-1-of-2.npz.aria2");  // its notes on a file that it has not filled yet
  scan = Plan(folder.path(), options);
  ASSERT_TRUE(scan.plan.has_value() && scan.plan->fault);
  EXPECT_THAT(scan.plan->fault->message, HasSubstr("1 of 2 shards is missing: m-1-of-2.npz;"));
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("m-2-of-2.npz"));
}

TEST(ShardIndex, OfWhichNoShardIsThereSaysHowManyItNames) {
  const TempFolder folder;
  folder.Write("model.safetensors", Scalars({"x"}));
  const std::pair<const char*, const char*> cases[] = {
      {R"({"weight_map":{}})", " names no shard"},
      {R"({"weight_map":{"x":"gone.safetensors"}})", "the only shard that "},
      {R"({"weight_map":{"x":"gone.safetensors","y":"too.safetensors"}})", "none of the 2 shards"},
  };
  for (const auto& [json, text] : cases) {
    folder.Write("model.safetensors.index.json", json);
    const auto warning = UnusedIndexWarning(Plan(folder.path(), {}).index);
    ASSERT_TRUE(warning.has_value());
    EXPECT_THAT(*warning, HasSubstr(text));
    EXPECT_THAT(*warning, HasSubstr("what lies beside it is read"));
  }
}

// Folders without a container at the top, and what is read of them.
struct BelowCase {
  const char* name;
  std::vector<std::string> on_disk, indexes, read;
  const char* models;  // "": one
};

const BelowCase kBelowCases[] = {
    {"NumberedFoldersAreOneModel",
     {"layer-0/m.npz", "layer-1/m.npz"},
     {},
     {"layer-0/m.npz", "layer-1/m.npz"},
     ""},
    {"ButNotWithAConfigOfTheirOwn",
     {"m-1/m.npz", "m-1/config.json", "m-2/m.npz"},
     {},
     {},
     "holds 2 models: m-1, m-2/m.npz"},
    {"AnIndexBelowDecides",
     {"config.json", "a/m-1.npz", "a/m-2.npz", "a/old.npz"},
     {"a/model.safetensors.index.json"},
     {"a/m-1.npz", "a/m-2.npz"},
     ""},
    {"AnIndexAndOtherWeights",
     {"a/m-1.npz", "a/m-2.npz", "b/x.npz"},
     {"a/a.safetensors.index.json"},
     {},
     "holds 2 models: a, b/x.npz"},
    {"AnIndexWithoutItsShards",
     {"b/x.npz"},
     {"a/model.safetensors.index.json"},
     {},
     "holds 2 models: a, b/x.npz"},
    {"InnerFoldersAreCopies",
     {"a/m-1.npz", "a/m-2.npz", "a/original/x.npz"},
     {"a/original/a.safetensors.index.json"},
     {"a/m-1.npz", "a/m-2.npz"},
     ""},
    {"TwoIndexesInOneFolder",
     {"m-1.npz", "m-2.npz"},
     {"a.safetensors.index.json", "model.safetensors.index.fp16.json"},
     {},
     "holds 2 models: a.safetensors.index.json, model.safetensors.index.fp16.json"},
};

class Below : public testing::TestWithParam<BelowCase> {};

TEST_P(Below, IsOneModelOrSeveral) {
  const TempFolder folder;
  for (const std::string& name : GetParam().on_disk) folder.Write(name);
  for (const std::string& name : GetParam().indexes) folder.Write(name, kTwoShards);
  const Scan scan = Plan(folder.path(), {});
  const std::string models = GetParam().models;
  ASSERT_EQ(scan.plan.has_value(), models.empty()) << (scan.plan ? "" : scan.plan.error().Text());
  if (scan.plan) {
    EXPECT_EQ(Relative(scan.plan->files, folder.path()), GetParam().read);
  } else {
    EXPECT_EQ(scan.plan.error().message, models);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Below, testing::ValuesIn(kBelowCases),
                         [](const auto& test) { return test.param.name; });

TEST(ShardIndex, ThatIsNamedItselfDecides) {
  const TempFolder folder;
  folder.Write("model.safetensors.index.json", R"({"weight_map":{"x":"other.npz"}})");
  const fs::path given = folder.Write("model.safetensors.index.fp16.json", kTwoShards);
  folder.Write("other.npz");
  folder.Write("m-1.npz");
  folder.Write("m-2.npz");
  Scan scan = Plan(given, {});
  ASSERT_TRUE(scan.plan.has_value()) << scan.plan.error().Text();
  EXPECT_EQ(scan.index.index_path, given);
  EXPECT_TRUE(scan.index.used_for_scan);
  EXPECT_THAT(Relative(scan.plan->files, folder.path()), ElementsAre("m-1.npz", "m-2.npz"));
  folder.Write("model.safetensors.index.fp16.json", "{");
  scan = Plan(given, {});
  ASSERT_FALSE(scan.plan.has_value());
  EXPECT_THAT(scan.plan.error().message, HasSubstr("no valid JSON"));
}

TEST(PlanScan, ASnapshotOfTheHubWithoutLinksIsRead) {
  const TempFolder folder;
  const fs::path snapshot = folder.path() / "models--o--n/snapshots/1";
  folder.Write("models--o--n/blobs/aa", Scalars({"x"}));
  folder.Write("models--o--n/snapshots/1/a.safetensors", "../../blobs/aa");
  Scan scan = Plan(snapshot, {});
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_THAT(Relative(scan.plan->files, snapshot), ElementsAre("a.safetensors"));
  EXPECT_EQ((*OpenTensorFile(scan.plan->files[0]))->tensors()[0].name, "x");
  folder.Write("models--o--n/snapshots/1/b.safetensors", "../../blobs/bb");
  scan = Plan(snapshot, {});
  EXPECT_THAT(scan.plan->missing.names, ElementsAre("b.safetensors"));
}

TEST(ShardIndex, IsNoHiddenFile) {
  const TempFolder folder;
  folder.Write("._a.safetensors.index.json", "no JSON");
  EXPECT_EQ(FindShardIndex(folder.path(), {}).status, IndexStatus::kNotFound);
  folder.Write("a.safetensors.index.json", kTwoShards);
  EXPECT_EQ(FindShardIndex(folder.path(), {}).index_path,
            folder.path() / "a.safetensors.index.json");
}

TEST(ShardIndex, AgreesWithTheShardsThatTransformersWrote) {
  const fs::path model = TestData() / "zoo/hf4_qwen3_moe_sharded";
  const Scan scan = Plan(model, {});
  ASSERT_TRUE(scan.plan.has_value());
  EXPECT_EQ(scan.plan->files.size(), 6u);
  EXPECT_EQ(scan.index.weight_map.size(), 79u);  // 14 + 16 + 16 + 17 + 15 + 1 in the headers
  EXPECT_THAT(scan.index.missing_shards, IsEmpty());
  EXPECT_THAT(scan.index.extra_safetensors_files_on_disk, IsEmpty());
}

}  // namespace
}  // namespace moe

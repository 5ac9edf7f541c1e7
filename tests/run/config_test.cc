#include "run/config.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"

namespace moe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The config of init-run; one key differs in most tests.
Json TemplateJson() { return JsonOfFile(TestData() / "run/analysis_config.json"); }

/// No key that may be absent.
Json MinimalJson() {
  return AsJson(R"({
    "model_path": "m", "scan": {},
    "parsing": {"layer_regex": "l", "expert_regex": "e", "proj_aliases": {}},
    "stats": {"eps": 1e-12}
  })");
}

/// As Python writes it: NaN and Infinity are bare.
std::string PythonText(const Json& json) {
  if (json.is_number_float() && std::isnan(json.get<double>())) return "NaN";
  if (json == kInfinity) return "Infinity";
  if (json == -kInfinity) return "-Infinity";
  std::string text;
  const auto add = [&](const std::string& item) { text += (text.empty() ? "" : ", ") + item; };
  for (const auto& [key, value] : json.items()) add(Json(key).Text() + ": " + PythonText(value));
  for (const Json& item : json) add(PythonText(item));
  if (json.is_object()) return "{" + text + "}";
  return json.is_array() ? "[" + text + "]" : json.Text();
}

Result<Config> Parse(const Json& json) { return ParseConfig(PythonText(json), "C"); }

Json With(Json json, const char* pointer, Json value) {
  PutAt(json, pointer, std::move(value));
  return json;
}

// A value of the template that can't be used; the error names its place and what was expected.
struct BadValue {
  const char* pointer;
  Json value;
  const char* expected_part;
};

const BadValue kBadValues[] = {
    {"/model_path", 3, "a string"},
    {"/scan", Json::Array(), "an object"},
    {"/scan/extensions", ".npz", "a list of strings"},
    {"/scan/extensions", ListOf(".npz", 1), "a list of strings"},
    {"/scan/experts_only", 1, "true or false"},
    {"/scan/max_files", "3", "an integer or null"},
    {"/scan/max_files", 1.5, "an integer or null"},
    {"/scan/max_files", true, "an integer or null"},
    {"/scan/max_files", 1e30, "an integer or null"},
    {"/scan/max_files", uint64_t{1} << 63, "an integer or null"},
    {"/scan/max_files", kNaN, "an integer or null"},
    {"/scan/recursive", 1, "\"auto\""},
    {"/scan/recursive", "deep", "\"auto\""},
    {"/scan/min_expert_coverage", 1.5, "[0, 1]"},
    {"/scan/min_expert_coverage", kNaN, "[0, 1]"},
    {"/parsing/layer_regex", nullptr, "a string"},
    {"/parsing/proj_aliases/up_proj", "up", "a list of strings"},
    {"/extract_rules", Json::Object(), "a list of objects"},
    {"/extract_rules/1/ndim", "2", "an integer or null"},
    {"/extract_rules/2/enabled", 0, "true or false"},
    {"/mlx/backend", "nativ", "native"},
    {"/mlx/profile", "mlx-tpu", "mlx-cpu"},
    {"/stats/eps", "1e-12", "a number"},
    {"/stats/eps", -1, "not negative"},
    {"/stats/eps", kInfinity, "finite"},
    {"/stats/sample_per_matrix", 0, "at least 1"},
    {"/stats/sample_per_matrix", -5, "not negative"},
    {"/stats/sample_seed", -1, "not negative"},
    {"/stats/sample_seed", 1.5, "an integer"},
    {"/stats/sample_seed", 2e19, "an integer"},
    {"/stats/percentile_method", "approximate", "exact, sample"},
    {"/stats/quant_compute_dtype", "fp8", "storage, fp16, bf16, fp32"},
    {"/stats/quant_rel_den_floor", true, "number"},
    {"/stats/quant_rel_den_floor", "1", "number"},
    {"/stats/quant_rel_den_floor", kNaN, "finite"},
    {"/stats/quant_rel_den_floor", kInfinity, "finite"},
    {"/stats/quant_rel_den_floor", -kInfinity, "finite"},
    {"/stats/quant_rel_den_floor", 0, "positive"},
    {"/stats/quant_rel_den_floor", -1.5, "positive"},
    {"/stats/quant_spectral_power_iters", 0, "positive"},
    {"/stats/quant_gram_sample_k", "128", "an integer"},
    {"/stats/percentiles_abs", ListOf(50, "99"), "a list of numbers"},
    {"/stats/group_outlier_percentile", 101, "[0, 100]"},
    {"/stats/group_sizes_lastdim", ListOf(32.5), "a list of integers"},
    {"/stats/group_sizes_lastdim", ListOf(32, 32), "twice"},
    {"/quant_schemes/1/name", 3, "a string"},
    {"/quant_schemes/1/bits", 4.5, "an integer"},
    {"/quant_schemes/1/group_size", "32", "an integer"},
    {"/delta_pairs/0/a", 4, "a string"},
    {"/output/compression", 3, "a string or null"},
    {"/debug/print_progress_every_files", 1.5, "an integer"},
};

TEST(ConfigError, NamesTheJsonPointerAndWhatWasExpected) {
  for (const BadValue& bad : kBadValues) {
    SCOPED_TRACE(bad.pointer + (" " + PythonText(bad.value)));
    const auto config = Parse(With(TemplateJson(), bad.pointer, bad.value));
    ASSERT_FALSE(config.has_value());
    EXPECT_EQ(config.error().code, ErrorCode::kBadArgument);
    EXPECT_EQ(config.error().where, "C " + std::string(bad.pointer));
    EXPECT_THAT(config.error().message, HasSubstr(bad.expected_part));
  }
}

TEST(ConfigError, NamesTheElementOfAList) {
  struct Case {
    const char* pointer;
    Json value;
    const char* element;
  };
  const Case cases[] = {
      {"/stats/percentiles_abs", ListOf(50, 101), "C /stats/percentiles_abs/1"},
      {"/stats/percentiles_abs", ListOf(kNaN), "C /stats/percentiles_abs/0"},
      {"/stats/percentiles_abs", ListOf(95, 99, 95),
       "C /stats/percentiles_abs/2"},  // p95_abs twice
      {"/stats/percentiles_abs", ListOf(99.5, 9.95),
       "C /stats/percentiles_abs/1"},                                          // p995_abs twice
      {"/stats/percentiles_abs", ListOf(9.99), "C /stats/percentiles_abs/0"},  // p999_abs is 99.9's
      {"/stats/percentiles_abs", ListOf(0, -0.0), "C /stats/percentiles_abs/1"},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(PythonText(test.value));
    const auto config = Parse(With(TemplateJson(), test.pointer, test.value));
    ASSERT_FALSE(config.has_value());
    EXPECT_EQ(config.error().where, test.element);
  }
}

TEST(ConfigError, NamesAMissingKey) {
  for (const char* pointer :
       {"/model_path", "/scan", "/parsing", "/parsing/layer_regex", "/parsing/expert_regex",
        "/parsing/proj_aliases", "/stats", "/stats/eps", "/extract_rules/0/name",
        "/extract_rules/1/match", "/quant_schemes/1/name", "/quant_schemes/2/mode",
        "/delta_pairs/0/a", "/delta_pairs/1/b"}) {
    SCOPED_TRACE(pointer);
    Json json = TemplateJson();
    const std::string_view text(pointer);
    const std::string_view parent = text.substr(0, text.rfind('/'));
    Json object = *json.At(parent);
    object.erase(text.substr(parent.size() + 1));
    PutAt(json, parent, object);
    const auto config = Parse(json);
    ASSERT_FALSE(config.has_value());
    EXPECT_EQ(config.error().where, "C " + std::string(pointer));
    EXPECT_THAT(config.error().message, HasSubstr("missing"));
  }
}

TEST(ConfigError, IsOneShortLineWhateverTheValue) {
  const auto config = Parse(With(TemplateJson(), "/stats/eps", std::string(5000, 'x') + "\n"));
  ASSERT_FALSE(config.has_value());
  EXPECT_LT(config.error().Text().size(), 300u);
  EXPECT_EQ(config.error().Text().find('\n'), std::string::npos);
}

TEST(ConfigError, OfADuplicateEnabledSchemeNamesIt) {
  Json json = TemplateJson();
  PutAt(json, "/quant_schemes/1/name", "affine_q4_g32");
  EXPECT_THAT(Parse(json).error().message, HasSubstr("affine_q4_g32"));
  PutAt(json, "/quant_schemes/1/enabled", false);
  EXPECT_TRUE(Parse(json).has_value());
}

TEST(Config, OfTheTemplateIsValidWithoutAWord) {
  const auto config = Parse(TemplateJson());
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_THAT(config->warnings, IsEmpty());
  EXPECT_EQ(config->scan.recursive, Recursive::kAuto);
  EXPECT_THAT(config->scan.extensions, ElementsAre(".safetensors", ".npz", ".gguf"));
  EXPECT_TRUE(config->percentiles.exact);
  EXPECT_EQ(config->extract.rules.size(), 3u);
  EXPECT_EQ(config->quant_schemes.size(), 3u);
  EXPECT_EQ(config->delta_pairs.size(), 2u);
  EXPECT_EQ(config->output.compression, "zstd");
  EXPECT_TRUE(config->metadata.enabled);
}

// Contract section 2, "Defaults when a key is absent", D2, D3, D6, D7, D22.
TEST(Config, GivesAbsentKeysTheContractsMeaning) {
  const auto config = Parse(MinimalJson());
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_THAT(config->warnings, IsEmpty());
  EXPECT_THAT(config->scan.extensions, ElementsAre(".safetensors", ".npz"));
  EXPECT_EQ(config->scan.max_files, std::nullopt);
  EXPECT_EQ(config->scan.recursive, Recursive::kAlways);
  EXPECT_TRUE(config->inventory_all_tensors);
  EXPECT_FALSE(config->dense_weights);
  EXPECT_TRUE(config->scan.use_safetensors_index_json);
  EXPECT_FALSE(config->scan.strict_index);
  EXPECT_EQ(config->min_expert_coverage, std::nullopt);
  EXPECT_TRUE(config->extract.experts_only);
  EXPECT_TRUE(config->extract.include_shared_expert);
  EXPECT_THAT(config->extract.shared_expert_keywords, ElementsAre("shared", "expert"));
  EXPECT_TRUE(config->extract.strict_packed_split);
  EXPECT_FALSE(config->extract.proj_group_strict);
  EXPECT_EQ(config->extract.presets, "auto");
  EXPECT_THAT(config->extract.rules, IsEmpty());
  EXPECT_FALSE(config->metadata.enabled);
  EXPECT_TRUE(config->mlx.enabled);
  EXPECT_EQ(config->mlx.device, "cpu");
  EXPECT_EQ(config->mlx.backend, BackendChoice::kNative);
  EXPECT_EQ(config->measure.profile, QuantProfile::kMlxCpu);
  EXPECT_EQ(config->percentiles.sample_per_matrix, 8192u);
  EXPECT_EQ(config->percentiles.sample_seed, 1337u);
  EXPECT_FALSE(config->percentiles.exact);
  EXPECT_THAT(config->measure.percentiles_abs, ElementsAre(50, 99, 99.9));
  EXPECT_EQ(config->measure.group_outlier_percentile, 95);
  EXPECT_THAT(config->measure.group_sizes, ElementsAre(32, 64));
  EXPECT_EQ(config->measure.compute_dtype, std::nullopt);
  EXPECT_EQ(config->measure.rel_den_floor, std::nullopt);
  EXPECT_THAT(config->quant_schemes, IsEmpty());
  EXPECT_THAT(config->delta_pairs, IsEmpty());
  EXPECT_TRUE(config->output.parquet());
  EXPECT_EQ(config->output.compression, std::nullopt);
  EXPECT_TRUE(config->debug.dump_unmatched_tensors);
  EXPECT_EQ(config->debug.print_progress_every_files, 1);
}

TEST(Config, GivesAbsentKeysOfSchemesAndRulesTheContractsMeaning) {
  Json json = MinimalJson();
  json["quant_schemes"] = ListOf(Json{{"name", "s"}, {"mode", "affine"}});
  json["extract_rules"] = ListOf(Json{{"name", "r"}, {"match", "m"}});
  const auto config = Parse(json);
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_EQ(config->quant_schemes[0].bits, 4);
  EXPECT_EQ(config->quant_schemes[0].group_size, 32);
  const ExtractRule& rule = config->extract.rules[0];
  EXPECT_TRUE(rule.enabled);
  EXPECT_EQ(rule.ndim, std::nullopt);
  EXPECT_EQ(rule.proj_group, std::nullopt);
  EXPECT_EQ(rule.layout.rows_axis, std::nullopt);
  EXPECT_FALSE(rule.packed_split.has_value());
  EXPECT_FALSE(rule.layout_error.has_value());
}

TEST(Config, TakesEverySeedOf64Bits) {
  const auto config = Parse(With(TemplateJson(), "/stats/sample_seed", UINT64_MAX));
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_EQ(config->percentiles.sample_seed, UINT64_MAX);
}

TEST(Config, TakesFloatsWithAnIntegerValueAsIntegers) {
  Json json = TemplateJson();
  PutAt(json, "/quant_schemes/0/bits", 8.0);
  PutAt(json, "/quant_schemes/0/group_size", 64.0);
  json["stats"]["sample_seed"] = 7.0;
  json["stats"]["group_sizes_lastdim"] = ListOf(16.0, -8);
  json["scan"]["max_files"] = -1.0;
  const auto config = Parse(json);
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_EQ(config->quant_schemes[0].bits, 8);
  EXPECT_EQ(config->quant_schemes[0].group_size, 64);
  EXPECT_EQ(config->percentiles.sample_seed, 7u);
  EXPECT_THAT(config->measure.group_sizes, ElementsAre(16, -8));
  EXPECT_EQ(config->scan.max_files, -1);
}

TEST(Config, PutsFurtherPercentilesBehindTheThreeOfEveryRun) {
  const Json listed = ListOf(95, 99.9, 50, 1e-7, 99.99);
  const auto config = Parse(With(TemplateJson(), "/stats/percentiles_abs", listed));
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_THAT(config->measure.percentiles_abs, ElementsAre(50, 99, 99.9, 95, 1e-7, 99.99));
}

TEST(Config, UnderstandsEveryNameOfTheComputeDtype) {
  const std::pair<const char*, std::optional<ComputeDType>> cases[] = {
      {"storage", std::nullopt},           {"fp16", ComputeDType::kF16},
      {"float16", ComputeDType::kF16},     {"bf16", ComputeDType::kBF16},
      {" BFloat16 ", ComputeDType::kBF16}, {"fp32", ComputeDType::kF32},
      {"float32", ComputeDType::kF32}};
  for (const auto& [name, dtype] : cases) {
    const auto config = Parse(With(TemplateJson(), "/stats/quant_compute_dtype", name));
    ASSERT_TRUE(config.has_value()) << config.error().Text();
    EXPECT_EQ(config->measure.compute_dtype, dtype) << name;
  }
}

TEST(Config, TakesEveryProfileAndBackendThatTheSchemaNames) {
  for (const char* name : {"mlx-cpu", "mlx-gpu", "mlx-cpu-legacy", "mlx-gpu-legacy"}) {
    const auto config = Parse(With(TemplateJson(), "/mlx/profile", name));
    ASSERT_TRUE(config.has_value()) << config.error().Text();
    EXPECT_EQ(ProfileName(config->measure.profile), name);
  }
  const std::pair<const char*, BackendChoice> backends[] = {{"native", BackendChoice::kNative},
                                                            {"mlx", BackendChoice::kMlx},
                                                            {"auto", BackendChoice::kAuto}};
  for (const auto& [name, backend] : backends) {
    EXPECT_EQ(Parse(With(TemplateJson(), "/mlx/backend", name))->mlx.backend, backend);
  }
}

TEST(Config, TakesTheProfileOfTheDeviceWhenNoneIsNamed) {
  Json json = With(TemplateJson(), "/mlx", {{"device", "gpu"}});
  EXPECT_EQ(Parse(json)->measure.profile, QuantProfile::kMlxGpu);
  json["mlx"]["profile"] = "mlx-cpu";
  EXPECT_EQ(Parse(json)->measure.profile, QuantProfile::kMlxCpu);
}

// What can't be used in a rule is told where the rule matches, not here (contract section 6, D9).
TEST(Config, KeepsWhatIsWrongWithALayoutOrASplitInTheRule) {
  struct Case {
    const char* key;
    Json value;
    const char* expected_part;
  };
  const Case cases[] = {
      {"layout", 5, "object"},
      {"layout", {{"rows_axis", "0"}}, "rows_axis"},
      {"packed_split", 5, "object"},
      {"packed_split", {{"splits", ListOf(1)}, {"projs", ListOf("up_proj")}}, "'axis'"},
      {"packed_split", {{"axis", "rows"}, {"projs", ListOf("up_proj")}}, "'splits'"},
      {"packed_split", {{"axis", "rows"}, {"splits", ListOf(1)}}, "'projs'"},
      {"packed_split", {{"axis", 0}, {"splits", ListOf(1)}, {"projs", ListOf("u")}}, "axis"},
      {"packed_split", {{"axis", "rows"}, {"splits", "half"}, {"projs", ListOf("u")}}, "\"equal\""},
      {"packed_split",
       {{"axis", "rows"}, {"splits", ListOf(1.5)}, {"projs", ListOf("u")}},
       "integers"},
      {"packed_split", {{"axis", "rows"}, {"splits", ListOf(1)}, {"projs", ListOf(1)}}, "strings"},
      {"packed_split",
       {{"axis", "rows"}, {"splits", ListOf(1)}, {"projs", ListOf("u")}, {"interleave", 1}},
       "interleave"},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.key + (" " + PythonText(test.value)));
    Json json = TemplateJson();
    PutAt(json, "/extract_rules/0/" + std::string(test.key), test.value);
    const auto config = Parse(json);
    ASSERT_TRUE(config.has_value()) << config.error().Text();
    const ExtractRule& rule = config->extract.rules[0];
    const auto& fault = test.key[0] == 'l' ? rule.layout_error : rule.packed_split_error;
    ASSERT_TRUE(fault.has_value());
    EXPECT_THAT(*fault, HasSubstr(test.expected_part));
  }
}

TEST(Config, ReadsPackedSplits) {
  Json json = TemplateJson();
  const Json projs = ListOf("gate_proj", "up_proj");
  PutAt(json, "/extract_rules/0/packed_split",
        {{"axis", "cols"}, {"splits", ListOf(512, -1)}, {"projs", projs}, {"interleave", true}});
  PutAt(json, "/extract_rules/1/packed_split",
        {{"axis", "rows"}, {"splits", "equal"}, {"projs", projs}});
  const auto config = Parse(json);
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  const PackedSplit& first = *config->extract.rules[0].packed_split;
  EXPECT_EQ(first.axis, "cols");
  EXPECT_THAT(first.splits, ElementsAre(512, -1));
  EXPECT_THAT(first.projs, ElementsAre("gate_proj", "up_proj"));
  EXPECT_TRUE(first.interleave);
  EXPECT_TRUE(config->extract.rules[1].packed_split->equal);
}

TEST(Config, KeepsTheOrderOfProjAliases) {
  Json json = TemplateJson();
  json["parsing"]["proj_aliases"] = {{"z", ListOf("1")}, {"a", ListOf("2", "3")}};
  const auto config = Parse(json);
  ASSERT_EQ(config->extract.proj_aliases.size(), 2u);
  EXPECT_EQ(config->extract.proj_aliases[0].first, "z");
  EXPECT_THAT(config->extract.proj_aliases[1].second, ElementsAre("2", "3"));
}

// A warning line and the config that causes it.
struct WarningCase {
  const char* pointer;
  Json value;
  std::vector<const char*> expected_parts;
};

const WarningCase kWarningCases[] = {
    {"/scan/max_file", 1, {"/scan/max_file ", "max_files"}},
    {"/stat", 1, {"/stat ", "stats"}},
    {"/quant_schemes/0/groupsize", 64, {"/quant_schemes/0/groupsize", "group_size"}},
    {"/extract_rules/2/proj_grp", 64, {"/extract_rules/2/proj_grp", "proj_group"}},
    {"/scan~1max_files", 64, {"/scan~1max_files "}},  // a top-level key "scan/max_files"
    {"/mlx/device", "tpu", {"/mlx/device", "tpu"}},
    {"/stats/quant_gram_sample_k", 64, {"w_gram_", "/stats/quant_gram_sample_k"}},
};

TEST(Config, WarnsOnceAboutWhatHasNoEffect) {
  for (const WarningCase& test : kWarningCases) {
    SCOPED_TRACE(test.pointer);
    const auto config = Parse(With(TemplateJson(), test.pointer, test.value));
    ASSERT_TRUE(config.has_value()) << config.error().Text();
    ASSERT_EQ(config->warnings.size(), 1u);
    EXPECT_THAT(config->warnings[0], testing::StartsWith("[config] "));
    for (const char* part : test.expected_parts) {
      EXPECT_THAT(config->warnings[0], HasSubstr(part));
    }
  }
}

TEST(Config, TakesAnUnknownDeviceAsTheCpu) {
  const auto config = Parse(With(TemplateJson(), "/mlx", {{"device", "tpu"}}));
  EXPECT_EQ(config->measure.profile, QuantProfile::kMlxCpu);
}

TEST(Config, WithAKeyTwiceTakesTheLastAndWarns) {
  std::string text = MinimalJson().Text();
  text.insert(1, R"("model_path": "first", )");
  const auto config = ParseConfig(text, "C");
  ASSERT_TRUE(config.has_value()) << config.error().Text();
  EXPECT_EQ(config->model_path, "m");
  EXPECT_THAT(config->warnings, ElementsAre(HasSubstr("\"model_path\" stands twice")));
}

TEST(Config, KeepsTheTextsOwnKeyOrder) {
  const auto config = Parse(TemplateJson());
  EXPECT_EQ(config->raw.Text(), TemplateJson().Text());
}

TEST(ParseConfig, OfNoJsonNamesLineAndColumn) {
  const auto config = ParseConfig("{\n  \"scan\": ,\n}", "C");
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(config.error().message, AllOf(HasSubstr("line 2"), HasSubstr("column 11")));
  EXPECT_EQ(ParseConfig("[]", "C").error().code, ErrorCode::kBadArgument);
}

TEST(LoadConfig, NamesTheMissingFile) {
  const TempFolder folder;
  const auto config = LoadConfig(folder.path() / "analysis_config.json");
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(config.error().TypeName(), "SystemExit");
  EXPECT_THAT(config.error().message,
              HasSubstr("Missing config: " + (folder.path() / "analysis_config.json").string()));
}

TEST(LoadConfig, OfAFolderIsAnError) {
  const TempFolder folder;
  EXPECT_EQ(LoadConfig(folder.path()).error().code, ErrorCode::kIo);
}

TEST(CheckModelPath, RefusesOnlyTheEmptyOne) {
  Json json = TemplateJson();
  EXPECT_EQ(CheckModelPath(*Parse(json), "C").error().where, "C /model_path");
  json["model_path"] = "m";
  EXPECT_TRUE(CheckModelPath(*Parse(json), "C").has_value());
}

}  // namespace
}  // namespace moe

#include "run/config_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "run/config_values.h"

namespace moe {
namespace {

using enum KeyType;

// clang-format off: one key a line, whatever its length
constexpr ConfigKey kKeys[] = {
    {"/model_path", kString, false, true, "", "error", "Checkpoint folder or file. `~` and relative paths are allowed; empty is an error unless `--model-path` is given.", Into<&Config::model_path>},
    {"/scan", kObject, false, true, "", "error", "Which files and tensors are looked at."},
    {"/scan/extensions", kStringList, false, false, "", "[\".safetensors\", \".npz\"]", "File suffixes to scan, case-sensitive.", Into<&Config::scan, &ScanOptions::extensions>},
    {"/scan/experts_only", kBool, false, false, "", "true", "Only expert-like tensors are analysed. false: every float matrix; dense ones count as routed expert 0.", Into<&Config::extract, &ExtractOptions::experts_only>},
    {"/scan/include_shared_expert", kBool, false, false, "", "true", "Shared experts are analysed too (expert_id -1).", Into<&Config::extract, &ExtractOptions::include_shared_expert>},
    {"/scan/inventory_all_tensors", kBool, false, false, "", "true", "One row of data/tensor_inventory for every tensor; false: none.", Into<&Config::inventory_all_tensors>},
    {"/scan/dense_weights", kBool, false, false, "", "false", "The weights outside the experts that runtimes quantize (attention, dense MLPs, embeddings, routers, ...) are measured too: data/dense_stats and data/dense_quant_sim.", Into<&Config::dense_weights>},
    {"/scan/recursive", kAny, false, false, "", "true", "true, false, or \"auto\": subfolders only if the top folder holds no container. Without effect while an index decides.", ReadRecursive, "[true, false, \"auto\"]"},
    {"/scan/use_safetensors_index_json", kBool, false, false, "", "true", "Let a `*.safetensors.index.json` in the model folder decide which files are read.", Into<&Config::scan, &ScanOptions::use_safetensors_index_json>},
    {"/scan/strict_index", kBool, false, false, "", "false", "Fail when shards are missing, by the index or by the numbers in the files' names, or when there is an index that can't be read.", Into<&Config::scan, &ScanOptions::strict_index>},
    {"/scan/min_expert_coverage", kNumber, true, false, "", "null", "Least share (0 to 1) of the expert parameters that must be analysed; below it the exit code is 3.", ReadCoverage},
    {"/scan/max_files", kInteger, true, false, "", "null", "Only the first so many files; 0: none; negative: all but the last so many.", Into<&Config::scan, &ScanOptions::max_files>},
    {"/parsing", kObject, false, true, "", "error", "How names are read."},
    {"/parsing/layer_regex", kString, false, true, "", "error", "Group 1 of the first match in a tensor's name is its layer.", Into<&Config::extract, &ExtractOptions::layer_regex>},
    {"/parsing/expert_regex", kString, false, true, "", "error", "Group 1 of the first match is the expert id; used by the fallback.", Into<&Config::extract, &ExtractOptions::expert_regex>},
    {"/parsing/proj_aliases", kObject, false, true, "", "error", "Canonical projection name to its aliases; order decides. Aliases are whole tokens; one that begins and ends with a dot is a substring.", ReadAliases},
    {"/parsing/proj_aliases/*", kStringList, false, false, "", "", "The aliases of one projection."},
    {"/parsing/shared_expert_keywords", kStringList, false, false, "", "[\"shared\", \"expert\"]", "A tensor is a shared expert's when its lower-cased name holds all of these; empty: never.", Into<&Config::extract, &ExtractOptions::shared_expert_keywords>},
    {"/parsing/strict_packed_split", kBool, false, false, "", "true", "A packed split that can't be applied ends the run (PackedSplitError); false: warning and fallback.", Into<&Config::extract, &ExtractOptions::strict_packed_split>},
    {"/parsing/proj_group_strict", kBool, false, false, "", "false", "Drop tensors whose proj_group token no alias maps, instead of keeping the raw token.", Into<&Config::extract, &ExtractOptions::proj_group_strict>},
    {"/parsing/presets", kString, false, false, "", "\"auto\"", "Rules for known architectures: \"auto\" (chosen by model_type, else by names), \"off\", or the name of one.", Into<&Config::extract, &ExtractOptions::presets>},
    {"/metadata", kObject, true, false, "", "{\"enabled\": false}", "The model's config.json."},
    {"/metadata/enabled", kBool, false, false, "", "false", "Read it and write logs/model_config.raw.json and logs/model_shape_budget.json.", Into<&Config::metadata, &MetadataConfig::enabled>},
    {"/metadata/mode", kString, true, false, "", "\"validate\"", "Without effect; kept for compatibility."},
    {"/metadata/config_path", kString, true, false, "", "null", "Where it is, relative to the model folder; null: looked for.", Into<&Config::metadata, &MetadataConfig::config_path>},
    {"/extract_rules", kObjectList, true, false, "", "[]", "Rules that find expert matrices, tried in order; the first that succeeds wins.", Append<&Config::extract, &ExtractOptions::rules>},
    {"/extract_rules/*/name", kString, false, true, "", "error", "For messages.", Into<&Config::extract, &ExtractOptions::rules, &ExtractRule::name>},
    {"/extract_rules/*/match", kString, false, true, "", "error", "Python regular expression, matched from the start of the tensor's name.", Into<&Config::extract, &ExtractOptions::rules, &ExtractRule::match>},
    {"/extract_rules/*/enabled", kBool, false, false, "", "true", "false: the rule is skipped.", Into<&Config::extract, &ExtractOptions::rules, &ExtractRule::enabled>},
    {"/extract_rules/*/ndim", kInteger, true, false, "", "null", "The rule applies only to tensors of so many dimensions.", Into<&Config::extract, &ExtractOptions::rules, &ExtractRule::ndim>},
    {"/extract_rules/*/layout", kAny, true, false, "", "{}", "layer_axis, expert_axis, rows_axis, cols_axis: input axes or null; negative ones count from the end.", ReadLayout},
    {"/extract_rules/*/proj_group", kInteger, true, false, "", "null", "Group of `match` that names the projection; null: inferred from the whole name.", Into<&Config::extract, &ExtractOptions::rules, &ExtractRule::proj_group>},
    {"/extract_rules/*/expert_group", kInteger, true, false, "", "null", "Group of `match` that is the expert id.", Into<&Config::extract, &ExtractOptions::rules, &ExtractRule::expert_group>},
    {"/extract_rules/*/packed_split", kAny, true, false, "", "null", "axis \"rows\" or \"cols\"; splits: sizes (one may be -1: the rest) or \"equal\"; projs: names; interleave: row i belongs to part i mod n.", ReadPackedSplit},
    {"/mlx", kObject, true, false, "", "{}", "Quantization simulation."},
    {"/mlx/enabled", kBool, false, false, "", "true", "false: no simulation, quant_sim has no rows.", Into<&Config::mlx, &MlxConfig::enabled>},
    {"/mlx/device", kString, true, false, "", "\"cpu\"", "\"cpu\" or \"gpu\": the device whose encoder is simulated when `profile` is absent, and the one the real MLX uses. Anything else counts as cpu, with a warning.", ReadDevice},
    {"/mlx/backend", kString, false, false, "native|mlx|auto", "\"native\"", "native: moescope's own bit-exact quantizer; mlx: the real library through the plugin; auto: mlx if it opens, else native. MOESCOPE_BACKEND overrides.", ReadBackend},
    {"/mlx/profile", kString, true, false, "mlx-cpu|mlx-gpu|mlx-cpu-legacy|mlx-gpu-legacy", "follows mlx.device", "Which MLX encoder is simulated. mlx-gpu is not verified on a Mac.", ReadProfile},
    {"/stats", kObject, false, true, "", "error", "Statistics and precision."},
    {"/stats/eps", kNumber, false, true, "", "error", "Added to denominators.", ReadEps},
    {"/stats/sample_per_matrix", kUnsigned, false, false, "", "8192", "Elements that sampled percentiles are taken from; at least 1.", ReadSampleSize},
    {"/stats/sample_seed", kUnsigned, false, false, "", "1337", "Seed of NumPy's generator for them.", Into<&Config::percentiles, &PercentileConfig::sample_seed>},
    {"/stats/percentile_method", kString, false, false, "exact|sample", "\"sample\"", "exact: over all elements; sample: over the same elements as the Python pipeline.", ReadPercentileMethod},
    {"/stats/quant_compute_dtype", kString, false, false, "", "\"storage\"", "The dtype weights are quantized in: storage (their own), fp16, bf16 or fp32.", ReadComputeDType, "[\"storage\", \"fp16\", \"bf16\", \"fp32\", \"float16\", \"bfloat16\", \"float32\"]"},
    {"/stats/quant_rel_den_floor", kNumber, true, false, "", "no floor", "Least denominator of w_rel_fro and w_rel_max; finite and positive.", ReadFloor},
    {"/stats/percentiles_abs", kNumberList, false, false, "", "[50, 99, 99.9]", "Percentiles of abs(w); 50, 99 and 99.9 are always there, others add columns (95: p95_abs, 99.99: p9999_abs).", ReadPercentiles},
    {"/stats/group_outlier_percentile", kNumber, false, false, "", "95", "Percentile of the group columns; its name is truncated to an integer.", ReadGroupPercentile},
    {"/stats/group_sizes_lastdim", kIntegerList, false, false, "", "[32, 64]", "Group sizes of the outlier columns.", ReadGroupSizes},
    {"/stats/quant_spectral_power_iters", kInteger, false, false, "", "`12`", "Accepted; w_rel_spectral is not computed.", ReadWithoutEffect},
    {"/stats/quant_gram_sample_k", kInteger, false, false, "", "`128`", "Accepted; w_gram_* is not computed.", ReadWithoutEffect},
    {"/evidence", kObject, true, false, "", "{\"enabled\": false}", "What calibration knows of the inputs, for recipes."},
    {"/evidence/enabled", kBool, false, false, "", "false", "Write data/evidence: the energies that a recipe weighs errors with, from importance matrices or guessed from the weights.", Into<&Config::evidence, &EvidenceConfig::enabled>},
    {"/evidence/imatrix", kStringList, true, false, "", "[]", "llama.cpp's importance matrices of this model (GGUF or .dat), added up; also `--imatrix`.", Into<&Config::evidence, &EvidenceConfig::imatrix>},
    {"/evidence/usage", kStringList, true, false, "", "[]", "Counts of tokens by layer and expert (CSV or JSON), added up; also `--usage`.", Into<&Config::evidence, &EvidenceConfig::usage>},
    {"/quant_schemes", kObjectList, true, false, "", "[]", "Schemes to simulate.", ReadScheme},
    {"/quant_schemes/*/name", kString, false, true, "", "error", "Name in the tables; unique among enabled schemes. With `+search` at its end: scales as `quantize --encoder search` finds them."},
    {"/quant_schemes/*/mode", kString, false, true, "", "error", "affine, mxfp4, mxfp8 or nvfp4; anything else gives rows with `error`, and `config check` refuses it."},
    {"/quant_schemes/*/bits", kInteger, false, false, "", "4; of mxfp8 8", "Bits of a code. affine: 1 to 6 or 8; the other modes take what they have."},
    {"/quant_schemes/*/group_size", kInteger, false, false, "", "32; of nvfp4 16", "Elements of a row that share a scale. affine: 32, 64 or 128; the other modes take what they have."},
    {"/quant_schemes/*/enabled", kBool, false, false, "", "true", "false: the scheme is skipped."},
    {"/delta_pairs", kObjectList, true, false, "", "[]", "Pairs of schemes for tables/B_quant_deltas: a minus b.", Append<&Config::delta_pairs>},
    {"/delta_pairs/*/name", kString, false, true, "", "error", "Text of delta_name.", Into<&Config::delta_pairs, &DeltaPair::name>},
    {"/delta_pairs/*/a", kString, false, true, "", "error", "Scheme name.", Into<&Config::delta_pairs, &DeltaPair::a>},
    {"/delta_pairs/*/b", kString, false, true, "", "error", "Scheme name.", Into<&Config::delta_pairs, &DeltaPair::b>},
    {"/output", kObject, true, false, "", "{}", "How tables are written."},
    {"/output/format", kString, false, false, "", "\"parquet\"", "\"parquet\"; anything else means CSV.", Into<&Config::output, &OutputConfig::format>},
    {"/output/compression", kString, true, false, "", "none", "Parquet codec: zstd, snappy, gzip, brotli, lz4; unknown ones fall back to CSV.", Into<&Config::output, &OutputConfig::compression>},
    {"/debug", kObject, true, false, "", "{}", "For people who look closer."},
    {"/debug/dump_unmatched_tensors", kBool, false, false, "", "true", "Write data/unmatched_tensors.", Into<&Config::debug, &DebugConfig::dump_unmatched_tensors>},
    {"/debug/print_progress_every_files", kInteger, false, false, "", "1", "One line every so many files when no terminal shows progress; 0: none.", Into<&Config::debug, &DebugConfig::print_progress_every_files>},
    {"/plots", kObject, true, false, "", "{}", "What build-plots and report --static draw."},
    {"/plots/artifact_keys", kStringList, true, false, "A_weight_global_summary|A_weight_layer_summary|B_quant_global_summary|B_quant_layer_summary", "all but B_quant_layer_summary, as far as they are there", "The tables that are drawn. With this list a missing table is an error, and nothing else is drawn that is not asked for.", ReadArtifactKeys},
    {"/plots/expert_layer_heatmaps", kSwitch, true, false, "", "true without `artifact_keys`, else false", "Heatmaps of layer and expert, one for each projection (and scheme).", ReadSwitch<&PlotsConfig::expert_layer_heatmaps>},
    {"/plots/expert_layer_heatmaps/enabled", kBool, true, false, "", "true", "false or null: none.", Into<&Config::plots, &PlotsConfig::expert_layer_heatmaps, &DataPlotConfig::enabled>},
    {"/plots/expert_layer_heatmaps/source_artifact", kString, false, false, "matrix_stats|quant_sim", "\"matrix_stats\"", "The table of data/.", Into<&Config::plots, &PlotsConfig::expert_layer_heatmaps, &DataPlotConfig::source>},
    {"/plots/expert_layer_heatmaps/metric", kString, false, false, "", "\"outlier_p999_over_median\"", "The column.", ReadMetric<&PlotsConfig::expert_layer_heatmaps>},
    {"/plots/quant_error_layer_lines", kSwitch, true, false, "", "`false`", "A line over layers for each projection and scheme, from quant_sim.", ReadSwitch<&PlotsConfig::quant_error_layer_lines>},
    {"/plots/quant_error_layer_lines/enabled", kBool, true, false, "", "true", "false or null: none.", Into<&Config::plots, &PlotsConfig::quant_error_layer_lines, &DataPlotConfig::enabled>},
    {"/plots/quant_error_layer_lines/source_artifact", kString, false, false, "quant_sim", "\"quant_sim\"", "The table of data/.", Into<&Config::plots, &PlotsConfig::quant_error_layer_lines, &DataPlotConfig::source>},
    {"/plots/quant_error_layer_lines/metric", kString, false, false, "", "\"w_rel_fro\"", "The column.", ReadMetric<&PlotsConfig::quant_error_layer_lines>},
};
// clang-format on

struct TypeText {
  KeyType type;
  std::string_view expected;
};
constexpr TypeText kTypeTexts[] = {
    {kObject, "an object"},
    {kSwitch, "true, false, an object"},
    {kObjectList, "a list of objects"},
    {kString, "a string"},
    {kBool, "true or false"},
    {kInteger, "an integer"},
    {kUnsigned, "an integer that is not negative"},
    {kNumber, "a number"},
    {kStringList, "a list of strings"},
    {kIntegerList, "a list of integers"},
    {kNumberList, "a list of numbers"},
    {kAny, "a value"},
};

}  // namespace

std::span<const ConfigKey> ConfigKeys() { return kKeys; }

std::string ConfigKey::name() const { return std::string(pointer.substr(pointer.rfind('/') + 1)); }

std::string ExpectedOf(const ConfigKey& key) {
  for (const TypeText& text : kTypeTexts) {
    if (text.type != key.type) continue;
    return fmt::format("{}{}", text.expected, key.nullable ? " or null" : "");
  }
  return "a value";
}

std::vector<std::string> AllowedValues(const ConfigKey& key) {
  std::string_view values = key.values;
  std::vector<std::string> list;
  while (!values.empty()) {
    const size_t bar = std::min(values.find('|'), values.size());
    list.emplace_back(values.substr(0, bar));
    values.remove_prefix(std::min(bar + 1, values.size()));
  }
  return list;
}

const ConfigKey* FindConfigKey(std::string_view pattern) {
  const auto* found = std::find_if(std::begin(kKeys), std::end(kKeys),
                                   [&](const ConfigKey& key) { return key.pointer == pattern; });
  return found == std::end(kKeys) ? nullptr : found;
}

std::vector<const ConfigKey*> ConfigKeysBelow(std::string_view pattern) {
  std::vector<const ConfigKey*> children;
  for (const ConfigKey& key : kKeys) {
    const size_t slash = key.pointer.rfind('/');
    if (key.pointer.substr(0, slash) == pattern) children.push_back(&key);
  }
  return children;
}

Json ValueIn(const Json& object, const ConfigKey& key) {
  const Json* found = object.Find(key.name());
  if (found != nullptr && !found->is_null()) return *found;
  if (found != nullptr && key.type == kBool) return false;
  return Json::Parse(key.absent).value_or(Json());
}

tl::unexpected<Error> BadConfigValue(const std::string& where, std::string_view pointer,
                                     const std::string& message) {
  return Fail(ErrorCode::kBadArgument, where + " " + std::string(pointer), message,
              "see docs/config.md or 'moescope config schema'", "ValueError");
}

tl::unexpected<Error> KeyPlace::Bad(const std::string& message, const std::string& below) const {
  return BadConfigValue(config, pointer + below, message);
}

}  // namespace moe

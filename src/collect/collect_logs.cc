#include "collect/collect_logs.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "base/utf8.h"
#include "run/logs.h"
#include "tables/build_tables.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

std::string Now() { return UtcNow(TimePrecision::kSeconds) + "Z"; }

Json OverridesJson(const LogContext& c) {
  Json overrides = Json::Object();
  if (c.options.model_path) overrides["model_path"] = AsUtf8(c.options.model_path->string());
  return overrides;
}

/// The config as it was used: with the command line's word on it.
Json ConfigUsed(const LogContext& c) {
  Json config = c.config.raw;
  if (c.options.model_path) config["model_path"] = AsUtf8(c.options.model_path->string());
  return config;
}

Json ModelPathJson(const LogContext& c, bool resolved) {
  const char* source = c.options.model_path ? "cli_override" : "config";
  return {{"configured", c.config.model_path},
          {"resolved", resolved ? Json(AsUtf8(c.files.path.string())) : Json()},
          {"source", resolved ? Json(source) : Json()}};
}

const WrittenTable* Find(const LogContext& c, const std::string& name) {
  for (const WrittenTable& table : c.report.outputs) {
    if (table.path.stem() == name) return &table;
  }
  return nullptr;
}

Json RowsOf(const LogContext& c, const std::string& name) {
  const WrittenTable* table = Find(c, name);
  return table == nullptr ? 0 : table->rows;
}

/// Shards that were scanned, relative to the index's folder, sorted.
std::set<std::string> ScannedShards(const LogContext& c) {
  std::set<std::string> shards;
  for (const fs::path& file : c.files.scan.files) {
    shards.insert(
        file.lexically_relative(c.files.index.index_path->parent_path()).generic_string());
  }
  return shards;
}

std::vector<std::string> ExtraScannedShards(const LogContext& c) {
  std::vector<std::string> extra;
  const auto& expected = c.files.index.expected_shards;
  for (const std::string& shard : ScannedShards(c)) {
    if (std::find(expected.begin(), expected.end(), shard) == expected.end())
      extra.push_back(shard);
  }
  return extra;
}

Json IndexMetadata(const LogContext& c) {
  const auto metadata = ParseLenientJson(c.files.index.metadata_json, "index metadata");
  return metadata ? *metadata : Json::Object();
}

Json IndexSummaryJson(const LogContext& c) {
  const IndexSummary& index = c.files.index;
  const bool used = index.used_for_scan;
  const IndexComparison& compared = c.model->parts().compared;
  Json json = {{"active", index.active},
               {"parsed", index.parsed},
               {"used_for_scan", used},
               {"index_path", index.index_path ? Json(index.index_path->string()) : Json()},
               {"strict_index", c.config.scan.strict_index},
               {"expected_shards_count", used ? index.expected_shards.size() : 0},
               {"scanned_shards_count", used ? ScannedShards(c).size() : 0},
               {"missing_shards_count", used ? index.missing_shards.size() : 0},
               {"extra_scanned_shards_count", used ? ExtraScannedShards(c).size() : 0},
               {"missing_tensors_count", used ? compared.missing_tensors.size() : 0},
               {"extra_tensors_count", used ? compared.extra_tensors.size() : 0},
               {"extra_safetensors_files_on_disk_count",
                used ? index.extra_safetensors_files_on_disk.size() : 0}};
  if (Json metadata = IndexMetadata(c); !metadata.empty()) json["index_metadata"] = metadata;
  return json;
}

Json IndexReportJson(const LogContext& c) {
  const IndexComparison& compared = c.model->parts().compared;
  Json json = {{"expected_shards", c.files.index.expected_shards},
               {"scanned_shards", ScannedShards(c)},
               {"missing_shards", c.files.index.missing_shards},
               {"extra_scanned_shards", ExtraScannedShards(c)},
               {"missing_tensors", compared.missing_tensors},
               {"extra_tensors", compared.extra_tensors},
               {"extra_safetensors_files_on_disk", c.files.index.extra_safetensors_files_on_disk}};
  if (Json metadata = IndexMetadata(c); !metadata.empty()) json["index_metadata"] = metadata;
  return json;
}

Json TensorNameFormats(const LogContext& c) {
  const ExtractOptions& extract = c.config.extract;
  Json rules = Json::Array(), aliases = Json::Object();
  for (const ExtractRule& rule : extract.rules) {
    if (rule.enabled) {
      rules.push_back({{"name", rule.name}, {"match", rule.match}, {"ndim", OrNull(rule.ndim)}});
    }
  }
  for (const auto& [proj, names] : extract.proj_aliases) aliases[proj] = names;
  return {{"layer_regex", extract.layer_regex},
          {"expert_regex", extract.expert_regex},
          {"enabled_extract_rules", rules},
          {"proj_aliases", aliases}};
}

Json RolesJson(const std::array<RoleTotals, kRoleCount>& all) {
  Json roles = Json::Object();
  for (size_t i = 0; i < kRoleCount; ++i) {
    const RoleTotals& totals = all[i];
    roles[std::string(RoleName(static_cast<Role>(i)))] = {
        {"tensors", totals.tensors}, {"bytes", totals.bytes}, {"parameters", totals.parameters}};
  }
  return roles;
}

/// What contract section 13 does not have: D21's coverage, D22's files that were left out.
void AddOurs(const LogContext& c, Json& health) {
  const Model::Parts& parts = c.model->parts();
  const Coverage& coverage = c.report.coverage;
  health["roles"] = RolesJson(c.counts.Roles());
  health["family"] = c.report.family.empty() ? Json() : Json(c.report.family);
  health["experts"] = ExpertGroupsJson(parts.census.Groups(c.model->facts()));
  health["expert_coverage"] = {{"expert_parameters", coverage.promised},
                               {"missing_parameters", coverage.missing},
                               {"analysed_parameters", coverage.analysed},
                               {"share", OrNull(coverage.share)},
                               {"min_expert_coverage", OrNull(c.config.min_expert_coverage)}};
  health["missing_experts"] = MissingJson(parts.missing);
  Json left_out = Json::Array();
  for (const LeftOut& file : c.files.scan.left_out) {
    left_out.push_back({{"path", AsUtf8(file.path.string())}, {"reason", file.reason}});
  }
  health["left_out_files"] = left_out;
  health["missing_shards"] = c.files.scan.missing.names;
  health["skipped_files"] = parts.checkpoint.skipped_files;
  health["refused_tensors"] = c.counts.refused + c.report.work.refused_tensors;
  health["nonfinite_matrices"] = c.report.work.nonfinite_matrices;
  health["incomplete"] = c.report.incomplete;
}

Json RunHealthJson(const LogContext& c) {
  const TensorCounts& counts = c.counts;
  const auto& skipped = c.model->parts().checkpoint.skipped_files;
  Json run = RunJson(c.options.run_dir);
  run["model_path"] = AsUtf8(c.files.path.string());
  Json health = {
      {"status", "success"},
      {"generated_at", Now()},
      {"duration_seconds", c.report.seconds},
      {"run", run},
      {"config_used", ConfigUsed(c)},
      {"scan_summary",
       {{"files_scanned", c.files.scan.files.size() + c.files.scan.skipped.size() - skipped.size()},
        {"tensors_observed", counts.observed}}},
      {"extraction_summary",
       {{"extracted_by_rule", counts.by_rule},
        {"extracted_by_fallback", counts.by_fallback},
        {"unmatched_expertish", counts.unmatched}}},
      {"outputs_written",
       {{"format", c.config.output.format},
        {"tensor_inventory_rows", RowsOf(c, "tensor_inventory")},
        {"matrix_stats_rows", RowsOf(c, "matrix_stats")},
        {"quant_sim_rows", RowsOf(c, "quant_sim")},
        {"unmatched_tensors_rows", RowsOf(c, "unmatched_tensors")},
        {"warnings_rows", RowsOf(c, "warnings")},
        {"wrote_unmatched_tensors", Find(c, "unmatched_tensors") != nullptr},
        {"wrote_warnings", Find(c, "warnings") != nullptr},
        {"wrote_index_report", c.files.index.used_for_scan}}},
      {"tensor_name_formats", TensorNameFormats(c)},
      {"tensor_name_examples",
       {{"rule_extracted", counts.rule_examples.names()},
        {"fallback_extracted", counts.fallback_examples.names()},
        {"unmatched_expertish", counts.unmatched_examples.names()}}},
      {"smoke_checks",
       {{"effectively_empty_collect",
         {{"triggered", EffectivelyEmpty(c.config, counts, c.report.work)},
          {"candidate_tensors_observed", counts.smoke_candidates},
          {"candidate_examples", counts.smoke_examples.names()}}}}},
      {"derived_tensor_formats", Json::Array({"{tensor}::{proj}", "{tensor}::split[rows]::{proj}",
                                              "{tensor}::split[cols]::{proj}"})},
      {"index_summary", IndexSummaryJson(c)}};
  if (c.config.dense_weights) {
    for (const char* table : {"dense_stats", "dense_quant_sim"}) {
      health["outputs_written"][std::string(table) + "_rows"] = RowsOf(c, table);
    }
  }
  AddOurs(c, health);
  return health;
}

Json IndexStateJson(const IndexSummary& index) {
  Json json = {{"status", IndexStatusName(index.status)},
               {"searched", index.searched},
               {"found", index.found},
               {"parsed", index.parsed},
               {"active", index.active},
               {"used_for_scan", index.used_for_scan},
               {"index_path", index.index_path ? Json(index.index_path->string()) : Json()}};
  if (!index.error.empty()) json["error"] = index.error;
  return json;
}

Json RunContextJson(const LogContext& c) {
  const ScanOptions& scan = c.config.scan;
  const fs::path base = c.files.scan.model_path_is_file ? c.files.path.parent_path() : c.files.path;
  Json examples = Json::Array();
  for (size_t i = 0; i < std::min<size_t>(3, c.files.scan.files.size()); ++i) {
    examples.push_back(c.files.scan.files[i].lexically_relative(base).generic_string());
  }
  return {{"generated_at", Now()},
          {"run", RunJson(c.options.run_dir)},
          {"model_path", ModelPathJson(c, true)},
          {"cli_overrides", OverridesJson(c)},
          {"scan_plan",
           {{"use_safetensors_index_json", scan.use_safetensors_index_json},
            {"strict_index", scan.strict_index},
            {"model_path_kind", c.files.scan.model_path_is_file ? "file" : "dir"},
            {"index_discovered_but_ignored_due_to_file_model_path",
             c.files.scan.index_discovered_but_ignored_due_to_file_model_path},
            {"extensions", scan.extensions},
            {"max_files", OrNull(scan.max_files)},
            {"experts_only", c.config.extract.experts_only},
            {"include_shared_expert", c.config.extract.include_shared_expert},
            {"inventory_all_tensors", c.config.inventory_all_tensors},
            {"scan_mode", c.files.index.used_for_scan ? "index" : "walk"},
            {"scanned_files_count", c.files.scan.files.size()},
            {"scanned_files_example", examples}}},
          {"quant_rel_den_floor", OrNull(c.config.measure.rel_den_floor)},
          {"index", IndexStateJson(c.files.index)}};
}

bool HasMetadataLogs(const LogContext& c) {
  return c.config.metadata.enabled && c.files.metadata.config_path;
}

Result<void> AddMetadataLogs(const LogContext& c, FileTransaction& files) {
  if (!HasMetadataLogs(c)) return {};
  const fs::path& run_dir = c.options.run_dir;
  return AddLog(files, run_dir, "model_config.raw.json",
                TrimmedModelConfig(c.files.metadata.config), KeyOrder::kOwn)
      .and_then([&] {
        return AddLog(files, run_dir, "model_shape_budget.json",
                      {{"config_path", c.files.metadata.config_path->string()},
                       {"shape_budget", c.files.metadata.shape_budget}},
                      KeyOrder::kOwn);
      });
}

}  // namespace

Result<void> AddSuccessLogs(const LogContext& c, FileTransaction& files) {
  const fs::path& run_dir = c.options.run_dir;
  const Json manifest = {{"generated_at", Now()},
                         {"requested_format", c.config.output.format},
                         {"requested_compression", OrNull(c.config.output.compression)},
                         {"artifacts", ArtifactsJson(run_dir, c.report.outputs)}};
  auto done =
      AddLog(files, run_dir, "write_manifest.json", manifest)
          .and_then([&] { return AddLog(files, run_dir, "run_context.json", RunContextJson(c)); })
          .and_then([&] { return AddMetadataLogs(c, files); })
          .and_then([&] { return AddLog(files, run_dir, "run_health.json", RunHealthJson(c)); });
  if (!done || !c.files.index.used_for_scan) return done;
  return AddLog(files, run_dir, "index_report.json", IndexReportJson(c), KeyOrder::kOwn);
}

void RemoveStaleLogs(const LogContext& c) {
  const fs::path& run_dir = c.options.run_dir;
  RemoveLog(run_dir, "run_failure.json");
  if (!c.files.index.used_for_scan) RemoveLog(run_dir, "index_report.json");
  if (HasMetadataLogs(c)) return;
  RemoveLog(run_dir, "model_config.raw.json");
  RemoveLog(run_dir, "model_shape_budget.json");
}

void WriteRunFailure(const LogContext& c, const Error& error) {
  Json index = IndexStateJson(c.files.index);
  index.erase("parsed");
  index.erase("used_for_scan");
  if (!c.files.index_searched) index["status"] = "not_initialized";
  (void)WriteLog(c.options.run_dir, "run_failure.json",
                 {{"generated_at", Now()},
                  {"status", "error"},
                  {"run", RunJson(c.options.run_dir)},
                  {"model_path", ModelPathJson(c, c.files.located)},
                  {"cli_overrides", OverridesJson(c)},
                  {"index", index},
                  {"error", ErrorJson(error)},
                  {"traceback", Traceback("collect-data", error)}});
}

}  // namespace moe

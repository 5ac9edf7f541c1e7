#include "collect/proj_report.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace moe {

void ProjReport::Add(const ModelTensor& tensor) {
  if (tensor.left_out != ModelTensor::LeftOut::kNo) return;
  if (tensor.found.unmatched_reason == "proj_group_strict_no_alias_map") ++no_alias_map_;
  for (const UnmappedProj& proj : tensor.found.unmapped_projs) {
    auto& row =
        rows_[{proj.context, proj.rule_name, proj.raw_proj, proj.resolved_proj, proj.action}];
    if (row.count++ == 0) {
      row = {proj.context,
             proj.rule_name,
             proj.raw_proj,
             proj.resolved_proj,
             proj.action,
             1,
             AsUtf8(tensor.ref.file->path().string()),
             tensor.info().name,
             proj.derived_tensor,
             proj.suggested_proj,
             proj.suggested_match};
    }
    if (proj.action == "dropped_strict") {
      ++dropped_strict_;
    } else {
      ++(proj.context == "packed_split" ? kept_split_ : kept_group_);
    }
  }
}

std::vector<ProjCanonicalizationRow> ProjReport::Rows() const {
  std::vector<ProjCanonicalizationRow> rows;
  for (const auto& [key, row] : rows_) rows.push_back(row);
  return rows;
}

std::vector<std::string> ProjReport::Warnings(const Config& config, const Paths& paths) const {
  std::vector<std::string> lines;
  uint64_t kept = 0, dropped = 0;
  for (const auto& [key, row] : rows_) ++(row.action == "kept_raw" ? kept : dropped);
  const uint64_t kept_events = kept_split_ + kept_group_;
  if (kept_events > 0) {
    lines.push_back(
        fmt::format("[proj] unmapped proj tokens kept raw: packed_split={}, proj_group={} "
                    "(unique={}, occurrences={}). See {}",
                    kept_split_, kept_group_, kept, kept_events, paths.report));
  }
  if (dropped_strict_ > 0 && !config.extract.proj_aliases.empty()) {
    lines.push_back(
        fmt::format("[proj] strict proj_group dropped tensors due to unmapped proj tokens: "
                    "occurrences={} (unique={}). See {}",
                    dropped_strict_, dropped, paths.report));
  }
  if (no_alias_map_ > 0) {
    const std::string where =
        config.debug.dump_unmatched_tensors
            ? fmt::format("See {} for details.", paths.unmatched_tensors)
            : "Enable debug.dump_unmatched_tensors=true to write unmatched_tensors.*.";
    lines.push_back(
        fmt::format("[config] parsing.proj_group_strict=true but parsing.proj_aliases is empty; "
                    "strict proj_group drops occurred (occurrences={}). {}",
                    no_alias_map_, where));
  }
  return lines;
}

}  // namespace moe

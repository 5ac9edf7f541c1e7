#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "checkpoint/discovery.h"
#include "model/metadata.h"
#include "moescope/model.h"

namespace moe {

/// Which files a model is, before any is opened, and what its config.json says.
struct ModelFiles {
  bool located = false, index_searched = false;  ///< how far FindModelFiles() came
  std::filesystem::path path;                    ///< absolute, links resolved
  ModelMetadata metadata;
  ScanOptions options;
  IndexSummary index;
  ScanPlan scan;
  std::optional<Error> fault;  ///< what ended the search; members after it are not filled
};

/// Never fails: what went wrong is `fault`, so that a failure's log can show what was found till
/// then. Errors are those of LocateModel() and PlanScan().
ModelFiles FindModelFiles(const std::string& text, const ModelOptions& options);

}  // namespace moe

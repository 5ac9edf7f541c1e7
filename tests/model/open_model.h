#pragma once

#include <memory>
#include <utility>

#include "model/model_files.h"
#include "moescope/model.h"

namespace moe {

/// The model of files that no search found, and without a config.json.
inline Result<Model> OpenModel(ScanPlan scan, IndexSummary index = {},
                               const ModelOptions& options = {}) {
  auto files = std::make_shared<ModelFiles>();
  files->scan = std::move(scan);
  files->index = std::move(index);
  return Model::Open(std::move(files), options);
}

inline ScanPlan FilesOf(std::vector<std::filesystem::path> files) {
  ScanPlan scan;
  scan.files = std::move(files);
  return scan;
}

}  // namespace moe

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/discovery.h"
#include "experts/model_facts.h"
#include "moescope/error.h"

namespace moe {

/// What was looked at in vain.
struct Search {
  const std::filesystem::path& model;
  const ScanOptions& options;
  const IndexSummary& index;
  const ScanPlan& scan;
  const ModelFacts& facts;
  const std::string& model_type;  ///< of config.json; "" unknown
  uint64_t tensors = 0, routers = 0;
  uint64_t listed = 0;  ///< matrices of experts that the index has, and no file
  bool experts_only = true;
};

/// One sentence that says what lies there instead of experts, and what to do: a folder with files
/// of another kind, without weights or empty, or a dense model. kUnsupported.
Error NothingFound(const Search& search);

}  // namespace moe

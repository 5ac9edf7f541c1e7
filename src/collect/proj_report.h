#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "moescope/model.h"
#include "rows/collect_rows.h"
#include "run/config.h"

namespace moe {

/// Projection tokens that no alias maps. It is told each tensor of a model once, in their order.
class ProjReport {
 public:
  void Add(const ModelTensor& tensor);

  /// Sorted by context, rule, tokens and action.
  std::vector<ProjCanonicalizationRow> Rows() const;

  /// The files that the lines send their reader to; "" where there is none.
  struct Paths {
    std::string report, unmatched_tensors;
  };
  /// The [proj] and [config] lines, which tools that read the logs know word for word.
  std::vector<std::string> Warnings(const Config& config, const Paths& paths) const;

 private:
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>,
           ProjCanonicalizationRow>
      rows_;
  uint64_t dropped_strict_ = 0, kept_split_ = 0, kept_group_ = 0;
  uint64_t no_alias_map_ = 0;  // strict drops without any alias
};

}  // namespace moe

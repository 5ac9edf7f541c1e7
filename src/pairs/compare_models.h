#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "pairs/pair_rows.h"
#include "pairs/pair_work.h"

namespace moe {

/// How much of a role's matrices is what.
struct RoleCounts {
  uint64_t matrices = 0, identical = 0, changed = 0, unread = 0;
  double sum_dd = 0, sum_aa = 0;  ///< of all that were read
  double largest = 0;             ///< relative distance of the furthest
};

/// Two checkpoints of one model, weight by weight.
struct ModelComparison {
  ModelPairs pairs;
  std::vector<CompareRow> rows;                             ///< one for each pair
  std::map<std::string, RoleCounts> roles;                  ///< by role
  uint64_t experts = 0;                                     ///< routed, that both have
  std::map<int64_t, std::vector<int64_t>> changed_experts;  ///< by layer; main stack

  bool equal() const;
  bool complete() const { return pairs.complete() && Count(&RoleCounts::unread) == 0; }
  uint64_t Count(uint64_t RoleCounts::* what) const;
  /// Those furthest from each other, first; what is not finite before all.
  std::vector<const CompareRow*> Worst(size_t most) const;
};

/// Reads both, each weight once, in tiles: a few hundred KiB a thread, and some hundred bytes a
/// matrix. Fails when one can't be read; kInterrupted.
Result<ModelComparison> CompareModels(const Model& a, const Model& b,
                                      const PairWorkOptions& options);

/// The object that compare.json holds (docs/verify.md).
Json ComparisonJson(const ModelComparison& comparison, const Model& a, const Model& b);

}  // namespace moe

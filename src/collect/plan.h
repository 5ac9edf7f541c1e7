#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/discovery.h"
#include "model/expert_census.h"
#include "model/expert_promise.h"
#include "model/open_checkpoint.h"
#include "moescope/checkpoint.h"
#include "moescope/experts.h"
#include "rows/collect_rows.h"
#include "rows/schema.h"

namespace moe {

/// One bank of matrices that will be read: checkpoint.files[file].tensors()[tensor].
struct PlannedBank {
  size_t file = 0, tensor = 0;
  ExpertBank bank;
  std::shared_ptr<const Weight> weight;
  uint64_t matrices() const { return bank.layers * bank.experts; }
  uint64_t matrix_bytes() const;  ///< stored bytes of one matrix, with its share of the scales
};

/// What a role takes in the checkpoint.
struct RoleTotals {
  uint64_t tensors = 0, bytes = 0, parameters = 0;
};

/// Everything the headers tell: nothing of a tensor's data is read to make it.
struct CollectPlan {
  Checkpoint checkpoint;
  std::vector<PlannedBank> banks;  ///< in output order

  uint64_t tensors_observed = 0;
  uint64_t extracted_by_rule = 0, extracted_by_fallback = 0, unmatched_expertish = 0;
  uint64_t refused_tensors = 0;  ///< expert-like, storage not decodable
  std::vector<std::string> rule_examples, fallback_examples, unmatched_examples;  ///< first 25
  uint64_t smoke_candidates = 0;  ///< named like an expert weight (section 13)
  std::vector<std::string> smoke_examples;
  ExpertCensus census;
  std::vector<MissingExperts> missing;  ///< promised by config, router or index, and not there
  std::vector<std::string> surplus;     ///< ExpertPromise::Surplus()
  bool whole = false;                   ///< all that the config promises is there
  std::string family;                   ///< preset that was recognised; "" none
  ModelFacts facts;
  std::array<RoleTotals, kRoleCount> roles;  ///< by Role
  /// Weights of experts: of all tensors that are there, and of those in banks.
  uint64_t expert_parameters = 0, planned_parameters = 0;
  std::set<std::string> observed_tensors;  ///< filled only when an index is used
  std::vector<TensorWarning> warnings;
  std::vector<ProjCanonicalizationRow> proj_report;  ///< sorted by its key
  uint64_t proj_dropped_strict = 0, proj_kept_split = 0, proj_kept_group = 0;
  uint64_t proj_no_alias_map = 0;  ///< strict drops without any alias

  uint64_t matrices() const;
  uint64_t bytes() const;                ///< stored bytes of all planned matrices
  uint64_t promised_parameters() const;  ///< of experts: there or missing
};

struct PlanOptions {
  bool inventory_all_tensors = true;
  bool dump_unmatched_tensors = true;
};

/// Gives each tensor its inventory row (to `inventory`), and decides with `extractor` what is read
/// of it; what can't be placed goes to `unmatched`.
/// `index`: columns in_index and index_shard are filled when it was used for the scan.
/// Fails for a PackedSplitError in strict mode, and when `stopped` says so (kInterrupted).
Result<CollectPlan> MakePlan(Checkpoint checkpoint, const IndexSummary& index,
                             const Extractor& extractor, const PlanOptions& options,
                             RowSink& inventory, RowSink& unmatched,
                             const std::function<bool()>& stopped);

/// `path` as the tables show it: valid UTF-8, other bytes as \\xNN.
std::string PathText(const std::filesystem::path& path);

}  // namespace moe

#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "checkpoint/discovery.h"
#include "model/expert_census.h"
#include "model/expert_promise.h"
#include "moescope/error.h"
#include "moescope/model.h"

namespace moe {

/// Tensors of one role, and what is stored beside them.
struct ModelPart {
  Role role = Role::kOther;
  uint64_t tensors = 0, parameters = 0;
  uint64_t bytes = 0;  ///< of payloads, scales and zero points
  std::set<std::string> storage;
  std::optional<double> bits_per_weight() const;  ///< nullopt: no parameters
};

/// What a checkpoint is, from its headers and config.json alone (no weight is read).
struct Inspection {
  std::filesystem::path model;
  MissingShards missing_shards;
  std::string family, model_type;  ///< "": unknown
  uint64_t files = 0, tensors = 0, bytes = 0;
  std::vector<ExpertGroup> experts;
  std::vector<ModelPart> parts;  ///< those that have tensors, by role
  uint64_t parameters = 0;
  std::optional<uint64_t> active_parameters;  ///< for one token; nullopt: the config doesn't say

  /// What an analysis would read on this machine.
  struct Work {
    uint64_t matrices = 0, bytes = 0, threads = 0;
    double estimated_seconds = 0;
  } work;

  /// An expert-like tensor that would not be read.
  struct Unmatched {
    std::string tensor, reason;
  };
  std::vector<Unmatched> unmatched;
  std::vector<MissingExperts> missing_experts;
  std::vector<LeftOut> left_out_files;
  std::vector<std::string> warnings;
  bool complete = true;          ///< nothing is unmatched, refused or missing
  std::optional<Error> nothing;  ///< there is no expert at all: what it is instead
};

/// The model at `path` as `moescope inspect` sees it: what is missing is told, and the rest looked
/// at. Errors are those of Model::Open().
Result<Model> OpenForInspection(const std::string& path);

Inspection Inspect(const Model& model);

/// The object that `inspect --json` prints:
///   model, missing_shards (null: all are there; else text, names, expected, tensors), files,
///   bytes; family and model_type (null: unknown);
///   experts: ExpertGroupsJson(); parts: by role; parameters: total, active; analyze; unmatched;
///   missing_experts: MissingJson(); left_out_files, warnings.
Json InspectionJson(const Inspection& inspection);

/// Every tensor whose name `pattern` (Python re.search syntax; "" all) finds. kBadArgument for a
/// broken pattern.
Result<std::vector<const ModelTensor*>> FindTensors(const Model& model, const std::string& pattern);

/// name, file, dtype, shape, bytes, role, and of weights scheme and bits per weight.
Json TensorJson(const ModelTensor& tensor);

/// The numbers of columns that the expert matrices have.
std::set<uint64_t> ExpertColumns(const Model& model);

}  // namespace moe

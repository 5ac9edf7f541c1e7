#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "moescope/error.h"

namespace moe {

/// What a checkpoint is, from its headers and config.json alone (no weight is read):
///   model, missing_shards (null: all are there; else text, names, expected, tensors), files,
///   bytes; family (null: none of the table) and model_type;
///   experts: one entry for each kind of expert matrix (ExpertCensus::ToJson);
///   parts: by role, tensors, bytes (scales and zero points with their weight), parameters, true
///     bits per weight and the schemes;
///   parameters: total, active for one token (null where the config has no experts per token);
///   analyze: matrices, bytes and estimated seconds of an analysis on this machine;
///   unmatched: expert-like tensors that would not be read, each with its reason;
///   missing_experts: what config, routers or the index promise and is not there (MissingJson);
///   left_out_files, warnings.
struct Inspection {
  nlohmann::ordered_json report;
  bool complete = true;          ///< nothing is unmatched, refused or missing
  std::optional<Error> nothing;  ///< there is no expert at all: what it is instead
};

/// kNotFound for no such path; kMalformed or kUnsupported for a broken or unknown file, and for a
/// folder without any file that can be read.
Result<Inspection> InspectModel(const std::filesystem::path& model_path);

/// Every tensor of the checkpoint whose name `pattern` (Python re.search syntax; "" all) finds:
/// name, file, dtype, shape, bytes, role, and scheme and bits per weight of weights.
Result<nlohmann::ordered_json> ListTensors(const std::filesystem::path& model_path,
                                           const std::string& pattern);

/// The numbers of columns that the expert matrices of `model_path` have; empty where it has none or
/// can't be opened.
std::set<uint64_t> ExpertColumns(const std::filesystem::path& model_path);

/// Name of the preset that fits `model_path`; "auto" where none is recognised or it can't be
/// opened.
std::string RecognisePreset(const std::filesystem::path& model_path);

}  // namespace moe

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/discovery.h"
#include "codec/weight.h"
#include "moescope/experts.h"

namespace moe {

/// A warning line and the tensor it is about, so that lines of one tensor can stand together
/// whenever they were found. Tensors are numbered over all files.
struct TensorWarning {
  uint64_t tensor_number = 0;
  std::string text;
};

/// What config.json says that the reading of weights may need.
struct ModelWords {
  nlohmann::ordered_json quantization;  ///< quantization_config or quantization; null: none
  std::optional<DType> declared_dtype;  ///< F32, F16 or BF16 (contract D2)
};

/// What a tensor is in the checkpoint.
struct TensorUse {
  std::shared_ptr<const Weight> weight;  ///< payload of this weight; null: of none
  bool companion = false;                ///< scales, zero points, ... of some weight
  std::string refusal;                   ///< not "": a weight's payload that can't be decoded, why
  /// The index does not list it, or counts the copy in another shard, or it is of an adapter
  /// (LoRA): in the inventory, of no use.
  enum class LeftOut { kNo, kUnlisted, kCopy, kAdapter } left_out = LeftOut::kNo;
};

/// All files of a scan, open, and the weights that their tensors hold. Only headers were read, and
/// the few bytes that hold a shape.
struct Checkpoint {
  std::vector<std::unique_ptr<TensorFile>> files;  ///< null where a file was skipped
  std::vector<uint64_t> first_tensor_number;       ///< of each file
  std::vector<std::vector<TensorUse>> uses;        ///< of each file's tensors
  std::vector<std::string> skipped_files;          ///< --keep-going: "PATH: why"
  std::vector<TensorWarning> warnings;
  bool has_empty_file = false;  ///< without a tensor, and no GGUF file: perhaps cut off

  /// As the extractor wants the tensor: its weight's name and shape, or why it can't be read.
  WeightShape ShapeOf(size_t file, size_t tensor) const;
  std::vector<WeightShape> AllShapes() const;  ///< of all tensors that are of use
  bool NothingRead() const;                    ///< there are files, and all were skipped
  std::set<std::string> TensorNames() const;   ///< of all, but for the copies that do not count
};

/// An index that was used for the scan decides which copy of a tensor counts: the one in the shard
/// that it names; if that is open and has none, the only one elsewhere, with a warning.
/// Fails for a broken file or a tensor name that stands in two files (unless keep_going), for files
/// of more than one model (CheckOneModel()), for ScanPlan::fault, and when `stopped` says so
/// (kInterrupted); the files keep `stopped`, for their bytes.
Result<Checkpoint> OpenCheckpoint(const ScanPlan& scan, const IndexSummary& index,
                                  const ModelWords& words, bool keep_going,
                                  const std::function<bool()>& stopped);

/// The error of a collection that the user interrupted.
Error InterruptedError();

}  // namespace moe

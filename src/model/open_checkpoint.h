#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "checkpoint/discovery.h"
#include "codec/weight.h"
#include "moescope/experts.h"
#include "moescope/model.h"
#include "moescope/stop_token.h"

namespace moe {

/// A warning line and the tensor it is about, so that lines of one tensor can stand together
/// whenever they were found. Tensors are numbered over all files.
struct TensorWarning {
  uint64_t tensor_number = 0;
  std::string text;
};

/// What config.json says that the reading of weights may need.
struct ModelWords {
  Json quantization;                    ///< quantization_config or quantization; null: none
  std::optional<DType> declared_dtype;  ///< F32, F16 or BF16 (contract D2)
};

/// All files of a scan, open, and the weights that their tensors hold; Decide() tells which of
/// these are experts. Only headers were read, and the few bytes that hold a shape.
struct Checkpoint {
  std::vector<std::unique_ptr<TensorFile>> files;  ///< null where a file was skipped
  std::vector<ModelTensor> tensors;                ///< file by file
  std::vector<size_t> first_tensor;                ///< of each file
  std::vector<std::string> skipped_files;          ///< keep_going: "PATH: why"
  std::vector<TensorWarning> warnings;
  bool has_empty_file = false;  ///< without a tensor, and no GGUF file: perhaps cut off

  std::vector<WeightShape> AllShapes() const;  ///< of all tensors that are of use
  bool NothingRead() const;                    ///< there are files, and all were skipped
  std::set<std::string> TensorNames() const;   ///< of all, but for the copies that do not count
};

/// As the extractor wants the tensor: its weight's name and shape, or why it can't be read.
WeightShape ShapeOf(const ModelTensor& tensor);

/// An index that was used for the scan decides which copy of a tensor counts: the one in the shard
/// that it names; if that is open and has none, the only one elsewhere, with a warning.
/// Fails for a broken file or a tensor name that stands in two files (unless keep_going), for files
/// of more than one model (CheckOneModel()), for ScanPlan::fault, and when it is stopped; the files
/// keep `stop`, for their bytes.
Result<Checkpoint> OpenCheckpoint(const ScanPlan& scan, const IndexSummary& index,
                                  const ModelWords& words, bool keep_going, const StopToken& stop);

}  // namespace moe

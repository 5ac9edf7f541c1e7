#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "model/expert_census.h"
#include "model/expert_promise.h"
#include "model/model_files.h"
#include "model/open_checkpoint.h"
#include "moescope/experts.h"
#include "moescope/model.h"

namespace moe {

/// A bank, and the number of its first matrix.
struct ModelBank {
  const ModelTensor* tensor = nullptr;
  const ExpertBank* bank = nullptr;  ///< of its banks
  uint64_t first_matrix = 0;
};

/// What a Model knows beside its public face.
struct Model::Parts {
  std::shared_ptr<const ModelFiles> files;
  Checkpoint checkpoint;  ///< with all decisions
  std::optional<Extractor> extractor;
  std::vector<ModelBank> banks;  ///< in the order of the matrices
  uint64_t matrices = 0;
  std::vector<DenseWeight> dense;
  std::vector<MissingExperts> missing;  ///< promised by config, router or index, and not there
  std::vector<std::string> surplus;     ///< ExpertPromise::Surplus()
  ExpertCensus census;

  IndexComparison compared;  ///< with the index that was used for the scan; else empty

  /// Lines about quantization, the experts' numbers and shapes, and what is missing or too much.
  std::vector<std::string> ExpertWarnings() const;

  /// The weight that was opened last.
  struct LastWeight {
    std::mutex mutex;
    const Weight* weight = nullptr;
    std::shared_ptr<const WeightArray> array;
  };
  mutable LastWeight last;
  /// The values of `weight`, kept until those of another are asked for.
  Result<std::shared_ptr<const WeightArray>> Array(const Weight& weight) const;

  /// Number of each key's first matrix, once asked for.
  struct Keys {
    std::once_flag made;
    std::map<MatrixKey, uint64_t> numbers;
  };
  mutable Keys keys;
};

/// Reads the bytes of a weight's parts and opens it. kUnsupported: they are there, and their values
/// can't be decoded.
Result<std::shared_ptr<const WeightArray>> OpenWeight(const Weight& weight);

/// The matrix `view` of an opened weight, with the dtype that its values are meant in.
Result<std::unique_ptr<MatrixSource>> ViewOf(const Weight& weight, const MatrixView& view,
                                             const WeightArray& array);

}  // namespace moe

#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moescope/error.h"
#include "rows/schema.h"

namespace moe {

/// A layer of one stack: a column of the heatmaps.
struct StackLayer {
  std::string stack;   ///< "" where the model has only one
  int64_t layer = -1;  ///< -1: unknown
  auto operator<=>(const StackLayer&) const = default;
  std::string Label() const;  ///< "3", "mtp 0", "?"
};

/// A row of the heatmaps: a routed expert, or one of the shared experts of a layer, which come
/// last.
struct Slot {
  bool shared = false;
  int64_t expert = 0;   ///< of a routed expert
  uint32_t number = 0;  ///< of shared experts, or of matrices that claim to be the same expert's
  auto operator<=>(const Slot&) const = default;
  std::string Label() const;  ///< "5", "shared", "shared 1"
};

/// A scheme of quant_sim. Texts that differ from matrix to matrix are joined: "bf16, fp32".
struct SimulatedScheme {
  std::string name, mode;
  int64_t bits = 0, group_size = 0;
  std::string compute_dtype, backend, profile;
  bool requantized = false;  ///< of some matrix
};

/// A numeric column of matrix_stats, or of quant_sim with a value for each scheme.
struct MatrixMetric {
  Column column;  ///< name, and unit and meaning if we declare it
  bool of_quant = false;
  std::vector<std::vector<double>> values;  ///< [scheme; 0 of matrix_stats][matrix]; NaN is null
};

/// What the rows of a run say, by matrix.
struct RunMatrices {
  /// Which matrix it is: indices into the lists below.
  struct Place {
    uint32_t proj, layer, slot, shape, storage, file;
  };
  struct Storage {
    std::string name;
    std::optional<double> bits;  ///< stored bits per weight; nullopt: unknown
    bool operator==(const Storage&) const = default;
  };
  struct Failure {
    uint32_t scheme;
    std::string error;
    uint64_t count;
  };

  std::vector<std::string> projs, files;
  std::vector<StackLayer> layers;
  std::vector<Slot> slots;
  std::vector<std::pair<int64_t, int64_t>> shapes;  ///< rows, cols
  std::vector<Storage> storages;

  std::vector<Place> places;       ///< by projection, layer, slot
  std::vector<std::string> names;  ///< derived_tensor
  std::vector<MatrixMetric> metrics;
  std::vector<SimulatedScheme> schemes;  ///< in the order of the table
  std::vector<Failure> failures;
  uint64_t orphans = 0;  ///< rows of quant_sim whose matrix is not in matrix_stats

  size_t size() const { return places.size(); }
  const MatrixMetric* Find(std::string_view metric) const;  ///< nullptr if there is none
  std::string LayerText(uint32_t layer) const;              ///< "Layer 3", "An unknown layer"
  std::string ExpertText(size_t matrix) const;              ///< "Layer 3, expert 5"
};

class Run;

/// Reads data/matrix_stats and data/quant_sim, of any age: columns that are not there are null, and
/// bits_per_weight is then what the scheme's bits, groups and 16-bit scales take. Units and
/// meanings are those of the run's config.
///
/// kNotFound, kIo, kMalformed name the table; kMalformed also for two rows of one matrix and
/// scheme. Memory: 8 bytes for each matrix, scheme and metric, and a batch of quant_sim.
Result<RunMatrices> ReadRunMatrices(Run& run);

/// The same without quant_sim, which need not be there: no schemes, and the metrics of the weights.
Result<RunMatrices> ReadRunWeights(Run& run);

}  // namespace moe

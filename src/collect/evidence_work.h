#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "collect/input_norms.h"
#include "evidence/evidence.h"
#include "moescope/measure.h"
#include "moescope/model.h"
#include "rows/collect_rows.h"

namespace moe {

/// What of the inputs stands in data/evidence, gathered while the matrices are measured: what the
/// calibration's files say of them, and what is guessed from the weights.
///
/// Memory: some hundred bytes a matrix; sums by hidden value for experts of which not all matrices
///         came yet.
class EvidenceWork {
 public:
  /// `evidence`: null without files. Both must outlive it.
  EvidenceWork(const Model& model, const Evidence* evidence)
      : model_(model), evidence_(evidence), norms_(model), matrices_(model.matrices()) {}

  /// What has to stay while a matrix is measured.
  struct Inputs {
    ColumnEvidence known;
    SquareSums sums;
  };
  /// What to measure beside, of matrix `number`. Threads: any at once.
  Inputs InputsOf(uint64_t number) const;
  /// Of number `number` of Model::dense(): its inputs, if calibration tells of them, and the norm
  /// before it where InputNorms knows one.
  Inputs InputsOfDense(uint64_t number) const;
  static void Put(const Inputs& inputs, MeasureInput& input);
  /// DenseQuantSimRow's guessed_energy.
  static std::optional<double> GuessOfDense(const MatrixMeasurement& measured);

  /// What was measured of matrix `number`, in their order.
  void Add(uint64_t number, const MatrixMeasurement& measured);
  /// The same where the energies are those of an earlier run.
  void AddKnown(uint64_t number, const MatrixMeasurement& measured, std::optional<double> energy,
                std::optional<double> guess);

  /// A row for each matrix and scheme, in the order of the matrices.
  Result<void> Write(std::span<const QuantScheme> schemes, RowSink& sink) const;

 private:
  struct Numbers {
    bool measured = false;
    std::optional<double> energy, guess;
    std::vector<std::optional<double>> errors;  ///< by scheme
  };
  /// Sums of squares of one expert's matrices: of gate and up by row, of down by column.
  struct Expert {
    std::vector<double> gate, up, down;
    std::optional<uint64_t> down_number;
  };
  using ExpertKey = std::tuple<std::string, int64_t, int64_t, bool>;

  void Remember(uint64_t number, const MatrixMeasurement& measured);
  void Guess(uint64_t number, const std::vector<double>& sums);
  bool HasGate(const MatrixKey& down) const;

  const Model& model_;
  const Evidence* evidence_;
  const InputNorms norms_;
  std::vector<Numbers> matrices_;
  std::map<ExpertKey, Expert> open_;
};

}  // namespace moe

#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/open_checkpoint.h"
#include "moescope/measure.h"
#include "rows/collect_rows.h"

namespace moe {

/// A matrix among the worst of its scheme.
struct WorstMatrix {
  std::string scheme, proj, derived_tensor;
  int64_t layer = -1, expert_id = -1;
  double w_rel_fro = 0;
  std::optional<double> sqnr_db;
};

/// A scheme that could not be applied to some matrices, or to none.
struct SchemeFailure {
  std::string scheme;
  uint64_t matrices = 0;       ///< that it failed on
  std::string error, derived;  ///< of the first of them: why, and which
};

struct MatrixWorkSummary {
  uint64_t matrix_rows = 0, quant_rows = 0;
  uint64_t dense_weights = 0;      ///< measured, outside the experts; not in the numbers below
  uint64_t refused_tensors = 0;    ///< could not be decoded, or (keep_going) not be read
  uint64_t unread_parameters = 0;  ///< of refused matrices
  uint64_t nonfinite_matrices = 0;
  uint64_t failed_schemes = 0;          ///< schemes that could not be applied to a single matrix
  std::vector<SchemeFailure> failures;  ///< in config order
  std::vector<TensorWarning> warnings;
  std::vector<WorstMatrix> worst;  ///< by scheme in config order, worst first, a few each
};

/// What the measurements come to. It is told each result once, in the order of the rows.
class WorkResults {
 public:
  explicit WorkResults(const std::vector<QuantScheme>& schemes);

  void AddMatrix(uint64_t tensor, const MatrixIdentity& id, const MatrixStats& stats);
  /// One matrix under scheme number `scheme`. `bank` is any number that its bank alone has.
  void AddQuant(size_t scheme, uint64_t tensor, uint64_t bank, const MatrixIdentity& id,
                const QuantError& error);
  /// A weight outside the experts, and it under scheme number `scheme`.
  void AddDense(uint64_t tensor, const DenseIdentity& id, const MatrixStats& stats);
  void AddDenseQuant(size_t scheme, uint64_t tensor, const DenseIdentity& id,
                     const QuantError& error);
  /// Matrices of a tensor that can't be read; whether it is the first of them.
  bool AddUnread(uint64_t tensor, const std::string& name, uint64_t parameters, const Error& why);

  /// A scheme that failed on every matrix gets one warning instead of those of its banks.
  MatrixWorkSummary Take();

 private:
  struct OfScheme {
    SchemeFailure failure;
    std::vector<TensorWarning> warnings;  // one a bank
    std::optional<uint64_t> failed_bank;  // the last one
    std::vector<WorstMatrix> worst;
  };
  static void AddFailure(OfScheme& scheme, uint64_t tensor, uint64_t bank, const MatrixIdentity& id,
                         const std::string& error);
  static void AddWorst(OfScheme& scheme, const MatrixIdentity& id, const QuantError& error);

  /// Weights outside the experts that some scheme could not be applied to.
  struct DenseFailures {
    uint64_t weights = 0, first = 0, last = 0;  ///< how many; their tensors' numbers
    std::string error;                          ///< of the first
    std::set<size_t> schemes;
  };
  void TellDenseFailures();

  MatrixWorkSummary summary_;
  DenseFailures dense_failures_;
  std::vector<OfScheme> schemes_;
  std::optional<uint64_t> unread_tensor_;
};

}  // namespace moe

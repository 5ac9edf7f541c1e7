#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "pairs/pair_rows.h"
#include "pairs/pair_work.h"
#include "verify/file_findings.h"

namespace moe {

/// A row of verify.parquet.
struct VerifyRow {
  PairIdentity id;     ///< a: the original
  std::string status;  ///< "attested", "copy", "within", "differs" or "unread"
  std::optional<std::string> finding, detail, origin, method, encoder, reason;
  std::optional<double> error, expected, allowed, cosine, norm_ratio, zero_share, clip_share;
  std::optional<int64_t> codes_differ, scales_differ, biases_differ, nonfinite, dead_rows;
};
const Table<VerifyRow>& VerifyTable();

/// How many weights of a role are what.
struct VerifyCounts {
  uint64_t weights = 0, attested = 0, copies = 0, within = 0, differs = 0, unread = 0;
};

/// Whether a quantized checkpoint holds what it should of an original.
struct Verification {
  ModelPairs pairs;  ///< a: the original; without what mlx-lm drops
  Encodings encodings;
  std::vector<VerifyRow> rows;  ///< one for each pair, and each pair of different shapes
  std::vector<FileFinding> others;
  std::map<std::string, VerifyCounts> roles;

  bool differs() const;   ///< there is a fault
  bool complete() const;  ///< every matrix of both was compared
  VerifyCounts all() const;
  /// Faults first, then by how far the error is above the expected one.
  std::vector<const VerifyRow*> Worst(size_t most) const;
  std::string_view verdict() const;  ///< "attested", "within", "incomplete" or "differs"
};

/// Reads both, each weight once, in tiles, and suspects again. Memory: two tiles and their codes a
/// thread, and a KiB a matrix. Fails when one can't be read; kInterrupted.
Result<Verification> VerifyModels(const Model& original, const Model& quantized,
                                  const VerifyOptions& options);

/// The object that verify.json holds (docs/verify.md).
Json VerificationJson(const Verification& verification, const Model& original,
                      const Model& quantized, double tolerance);

}  // namespace moe

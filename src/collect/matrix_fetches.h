#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "moescope/weight.h"

namespace moe {

/// Bytes [begin, end) of a file.
struct FileRange {
  const TensorFile* file = nullptr;
  uint64_t begin = 0, end = 0;
};

/// What of the files the matrices need, one after the other. What a matrix of the same weight has
/// asked for before is left out: projections that lie in one tensor fetch it once.
///
/// Threads: one at a time.
class MatrixFetches {
 public:
  /// Ranges less than a page apart are one. None of what does not lie in its file as it is.
  std::vector<FileRange> Next(const Weight& weight, const MatrixView& view);

 private:
  using Intervals = std::map<uint64_t, uint64_t>;  // begin -> end, apart from each other
  static void AddNew(FileRange range, Intervals& known, std::vector<FileRange>& fresh);

  const Weight* weight_ = nullptr;
  std::map<const TensorFile*, Intervals> asked_;  // of weight_
};

}  // namespace moe

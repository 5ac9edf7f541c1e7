#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "evidence/imatrix_file.h"
#include "evidence/model_inputs.h"
#include "moescope/error.h"

namespace moe {

/// What one file holds of an input.
struct InputPart {
  const ImatrixFile* file = nullptr;
  const ImatrixEntry* entry = nullptr;

  bool has_columns(uint64_t columns) const {
    return file->older ? entry->sums.size() % columns == 0 : entry->columns == columns;
  }
  uint64_t matrices(uint64_t columns) const { return entry->sums.size() / columns; }
  StoredFloats sums(uint64_t columns, uint64_t matrix) const {
    return entry->sums.Part(matrix * columns, columns);
  }
};

/// Where the sums of a weight lie: in each file one matrix, or all of them together.
struct InputSource {
  const std::vector<InputPart>* parts = nullptr;
  uint64_t columns = 0;
  std::optional<uint64_t> matrix;  ///< nullopt: all
};

/// What sums are divided by: tokens, or calls in the older form.
struct Divisor {
  double total = 0;
  double tokens = 0;      ///< of one matrix, where they are all together: the mean
  bool stand_in = false;  ///< ones of the older form were met, and left out
};

Divisor Weigh(const InputSource& source);

/// Sums of the squares of each column, file by file and matrix by matrix, over `divisor` (above 0).
std::vector<double> MeanSquares(const InputSource& source, double divisor);

/// kBadArgument: the entry has other columns or experts than the model's weights of that key.
Result<void> CheckFits(const InputPart& part, const InputKey& key, const ModelInputs::Facts& model);

}  // namespace moe

#include "evidence/input_sums.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace moe {
namespace {

/// The weight of one matrix; nullopt: ones of the older form, which no token made.
std::optional<double> WeightOf(const InputPart& part, uint64_t columns, uint64_t matrix) {
  const ImatrixEntry& entry = *part.entry;
  if (!part.file->older) return entry.counts[entry.counts.size() == 1 ? 0 : matrix];
  const double one = static_cast<float>(entry.calls);  // times 1
  const auto sums = part.sums(columns, matrix);
  bool ones = entry.calls > 0 && entry.sums.size() > columns;  // a lone matrix has always seen some
  for (uint64_t c = 0; ones && c < columns; ++c) ones = sums[c] == one;
  if (ones) return std::nullopt;
  return std::max(entry.calls, 1U);
}

/// Calls `visit(part, matrix, weight)` for each matrix of the source, file by file.
template <class Visit>
void ForEachMatrix(const InputSource& source, const Visit& visit) {
  for (const InputPart& part : *source.parts) {
    const uint64_t begin = source.matrix.value_or(0);
    const uint64_t end = source.matrix ? begin + 1 : part.matrices(source.columns);
    for (uint64_t m = begin; m < end; ++m) visit(part, m, WeightOf(part, source.columns, m));
  }
}

}  // namespace

Divisor Weigh(const InputSource& source) {
  Divisor divisor;
  ForEachMatrix(source, [&](const InputPart& part, uint64_t, const std::optional<double>& one) {
    const uint64_t together = source.matrix ? 1 : part.matrices(source.columns);
    divisor.total += one.value_or(0);
    divisor.tokens += one.value_or(0) / static_cast<double>(together);
    divisor.stand_in |= !one;
  });
  return divisor;
}

std::vector<double> MeanSquares(const InputSource& source, double divisor) {
  std::vector<double> squares(source.columns);
  ForEachMatrix(source, [&](const InputPart& part, uint64_t m, const std::optional<double>& one) {
    if (!one) return;
    const auto sums = part.sums(source.columns, m);
    for (uint64_t c = 0; c < source.columns; ++c) squares[c] += sums[c];
  });
  for (double& square : squares) square /= divisor;
  return squares;
}

Result<void> CheckFits(const InputPart& part, const InputKey& key,
                       const ModelInputs::Facts& model) {
  const ImatrixEntry& entry = *part.entry;
  const uint64_t experts = key.expert >= 0 ? 1 : model.experts;  // 0: any number
  const bool columns = part.has_columns(model.columns);
  const bool numbered = model.experts == 0 || key.expert < static_cast<int64_t>(model.experts);
  const bool counted = part.file->older || experts <= 1 || entry.counts.size() == experts;
  const bool whole = experts == 0 || part.matrices(model.columns) == experts;
  if (columns && numbered && counted && whole) return {};
  const std::string found =
      part.file->older ? fmt::format("{} values", entry.sums.size())
                       : fmt::format("{} x {} values and {} counts", part.matrices(entry.columns),
                                     entry.columns, entry.counts.size());
  const std::string wanted =
      experts == 0 ? fmt::format("{} columns", model.columns)
                   : fmt::format("{} experts of {} columns", model.experts, model.columns);
  return Fail(ErrorCode::kBadArgument, part.file->path.string(),
              fmt::format("'{}' has {}, the model's {} {}: an imatrix of another model?",
                          entry.name, found, key.OfAll().Text(), wanted));
}

}  // namespace moe

#include "measure/square_sums.h"

#include <algorithm>

#include "measure/kernels.h"

namespace moe {

SquareSummer::SquareSummer(const SquareSums& wanted, uint64_t cols) : of_(wanted.of), cols_(cols) {
  if (of_ == SquareSums::Of::kColumns) sums_.resize(static_cast<size_t>(cols));
  if (of_ != SquareSums::Of::kRows) return;
  weights_.assign(wanted.weights.begin(), wanted.weights.end());
  weights_.resize(static_cast<size_t>(cols), 1.0);  // none were given: all of them
}

void SquareSummer::Add(uint64_t begin, std::span<const float> x) {
  if (of_ == SquareSums::Of::kNothing) return;
  for (uint64_t col = begin % cols_; !x.empty(); col = 0) {
    const auto piece = x.first(static_cast<size_t>(std::min<uint64_t>(cols_ - col, x.size())));
    if (of_ == SquareSums::Of::kRows) {
      AddToRow(col, piece);
    } else {
      AddSquares(piece.data(), piece.size(), &sums_[col]);
    }
    x = x.subspan(piece.size());
  }
}

void SquareSummer::AddToRow(uint64_t col, std::span<const float> piece) {
  if (col == 0) sums_.push_back(0);
  sums_.back() += SumWeightedSquares(piece.data(), &weights_[col], piece.size());
}

void SquareSummer::Merge(const SquareSummer& next) {
  if (of_ == SquareSums::Of::kRows) {
    sums_.insert(sums_.end(), next.sums_.begin(), next.sums_.end());
    return;
  }
  for (size_t c = 0; c < sums_.size(); ++c) sums_[c] += next.sums_[c];
}

}  // namespace moe

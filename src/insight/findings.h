#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "insight/run_matrices.h"

namespace moe {

enum class FindingKind {
  kNonFinite,      ///< NaN or infinite weights
  kDead,           ///< all zero, or a thousandth of its neighbours' size
  kDuplicate,      ///< experts with the same statistics
  kOutlierExpert,  ///< far from the other experts of its layer and projection
  kHeavyTail,      ///< a few weights that dwarf the rest
  kLayerTrend,     ///< a layer unlike the layers around it
  kVanishing,      ///< a scheme that turns most weights of a matrix to zero
  kFewHuge,        ///< a few huge weights hold most of the sum of squares
};
std::string_view FindingKindName(FindingKind kind);  ///< "outlier_expert"

// Fewer have no median that says something.
inline constexpr size_t kLeastExperts = 6;  ///< of a layer and projection, for kOutlierExpert
inline constexpr size_t kLeastLayers = 6;   ///< of a stack, for kLayerTrend
/// So many robust standard deviations from the others is far.
inline constexpr double kFarZ = 6;

/// Something odd about a run, as a sentence, and the view of the page that shows it: indices into
/// RunMatrices, nullopt where the finding is not about one.
struct Finding {
  FindingKind kind = FindingKind::kNonFinite;
  std::string text;
  std::optional<uint32_t> proj, layer, slot, scheme;
  std::string metric;
};

struct Findings {
  std::vector<Finding> list;  ///< by kind, the most striking first
  std::map<FindingKind, uint64_t> left_out;
};

/// A matrix with so much of the sum of squares in its largest thousandth of weights looks better
/// than it is: relative errors tell of those few, however the others fare.
inline constexpr double kFewHugeShare = 0.5;

/// By matrix at least how much of the sum of its squares lies in the largest thousandth of its
/// weights; NaN where that is not known. With q(u) the size that the share u of the weights does
/// not exceed, the others hold the integral of q(u)^2 up to 0.999. Where larger weights are rarer
/// than smaller ones q is convex, so straight lines between its known values (0, p50_abs, p99_abs,
/// p999_abs) are above it: from a at u to b at v they hold (v - u) (a^2 + a b + b^2) / 3. All over
/// rms^2, from 1, and never below 0.
std::vector<double> FewHugeShares(const RunMatrices& matrices);

/// What stands out, at most `most` of each kind.
///
/// "Far from" is a robust z-score: the distance of a logarithm from the median of its group, over
/// 1.4826 times the median of such distances (Iglewicz and Hoaglin, How to Detect and Handle
/// Outliers, 1993), together with a ratio that matters in practice: 1.25.
Findings FindOddities(const RunMatrices& matrices, size_t most);

}  // namespace moe

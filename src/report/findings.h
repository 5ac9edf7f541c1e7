#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/run_matrices.h"

namespace moe {

enum class FindingKind {
  kNonFinite,      ///< NaN or infinite weights
  kDead,           ///< all zero, or a thousandth of its neighbours' size
  kDuplicate,      ///< experts with the same statistics
  kOutlierExpert,  ///< far from the other experts of its layer and projection
  kHeavyTail,      ///< a few weights that dwarf the rest
  kLayerTrend,     ///< a layer unlike the layers around it
  kVanishing,      ///< a scheme that turns most weights of a matrix to zero
};
std::string_view FindingKindName(FindingKind kind);  ///< "outlier_expert"

// Fewer have no median that says something.
inline constexpr size_t kLeastExperts = 6;  ///< of a layer and projection, for kOutlierExpert
inline constexpr size_t kLeastLayers = 6;   ///< of a stack, for kLayerTrend

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

/// What stands out, at most `most` of each kind.
///
/// "Far from" is a robust z-score: the distance of a logarithm from the median of its group, over
/// 1.4826 times the median of such distances (Iglewicz and Hoaglin, How to Detect and Handle
/// Outliers, 1993), together with a ratio that matters in practice: 1.25.
Findings FindOddities(const RunMatrices& matrices, size_t most);

}  // namespace moe

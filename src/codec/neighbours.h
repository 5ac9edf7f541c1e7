#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "codec/weight.h"

namespace moe {

/// Quantized weights whose payloads have the same dtype and shape, and names that differ in their
/// last number alone, of two or more ("layers.0.experts.1.up_proj"): the experts of a layer. One
/// library wrote them in one way, so an odd one is damaged: scales cut to one, a lost g_idx.
class Neighbours {
 public:
  struct Oddity {
    std::string reason;     ///< what its neighbours have and what it has
    std::string neighbour;  ///< the payload of one of them
  };

  void Add(const Weight& weight);

  /// When more than half of all neighbours are alike, and `weight` is not.
  std::optional<Oddity> OddityOf(const Weight& weight) const;

 private:
  struct Kind {
    uint64_t count = 0;
    std::string example;
  };
  using Kinds = std::map<std::string, Kind>;  // by what the companions are

  std::unordered_map<std::string, Kinds> groups_;
};

}  // namespace moe

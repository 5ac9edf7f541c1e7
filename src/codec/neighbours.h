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
/// library wrote them in one way, so an odd one is damaged: scales cut to one, a lost g_idx, codes
/// that were cast to floats without their scales.
class Neighbours {
 public:
  struct Oddity {
    std::string reason;     ///< what its neighbours have and what it has
    std::string neighbour;  ///< the payload of one of them
  };

  void Add(const Weight& weight);

  /// When more than half of all neighbours are alike, and `weight` is not. Plain weights are odd
  /// among quantized ones alone.
  std::optional<Oddity> OddityOf(const Weight& weight) const;

 private:
  struct Kind {
    uint64_t count = 0;
    std::string example;
  };
  using Kinds = std::map<std::string, Kind>;  // by what the companions are
  struct Storage {
    uint64_t count = 0;
    Kind quantized;
  };

  std::optional<Oddity> OddityOfPlain(const Weight& weight) const;

  std::unordered_map<std::string, Kinds> groups_;
  std::unordered_map<std::string, Storage> decoded_;  // by what they are to the model
};

}  // namespace moe

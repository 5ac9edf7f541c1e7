#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "experts/model_facts.h"
#include "moescope/experts.h"

namespace moe {

/// The matrices of one kind: stack, shared or routed, projection.
struct ExpertGroup {
  std::string stack;  ///< "" none
  bool shared = false;
  std::string proj;
  std::set<std::pair<uint64_t, uint64_t>> shapes;  ///< rows, columns
  std::map<std::string, double> storage;           ///< scheme -> bits per weight
  uint64_t matrices = 0;
  std::set<int64_t> layers;
  uint64_t experts_min = 0, experts_max = 0;  ///< of a layer
  std::optional<uint64_t> experts_in_config;  ///< nullopt: shared ones, or it doesn't say
};

/// One object for each: stack, shared, proj, shapes, storage, matrices, layers (how many),
/// layer_ranges, experts_per_layer_min and _max, experts_in_config.
Json ExpertGroupsJson(const std::vector<ExpertGroup>& groups);

/// Which experts were found, layer by layer, against what the model's config says; which of them
/// are missing, ExpertPromise tells.
class ExpertCensus {
 public:
  void Add(const ExpertBank& bank, const std::string& storage, double bits_per_weight);

  /// The family whose rule read a tensor (Extraction::preset).
  void AddPreset(const std::string& preset) { presets_.insert(preset); }

  /// "[experts] ...": numbers and shapes that contradict the config (both sides are shown).
  /// `family`: the one that the config or a name gave; "": unknown.
  std::vector<std::string> Warnings(const ModelFacts& facts, std::string_view family) const;

  /// Whether matrices have columns that the config contradicts (it is of another model, or was not
  /// updated), or other rows than those that have the shape which it says. (Rows may have been cut
  /// off all of them for a test.) Or whether one of its numbers can't be read.
  bool ContradictsConfig(const ModelFacts& facts) const;

  std::vector<ExpertGroup> Groups(const ModelFacts& facts) const;

 private:
  using LayerExperts = std::map<int64_t, std::set<int64_t>>;  // layer -> expert ids
  struct Group {
    LayerExperts layers;
    std::set<std::pair<uint64_t, uint64_t>> shapes;
    std::map<std::string, double> storage;  // scheme -> bits per weight
    uint64_t matrices = 0;
  };
  /// stack ("" none), shared, projection.
  using Key = std::tuple<std::string, bool, std::string>;

  /// Where gate_proj or up_proj of one shape [I, H] is no match for down_proj [H, I].
  std::optional<std::string> Misfit(const Key& key, const Group& group) const;

  std::map<Key, Group> groups_;
  std::set<std::string> presets_;
};

}  // namespace moe

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "experts/model_facts.h"
#include "moescope/experts.h"

namespace moe {

/// Matrices that a model promises and that are not there, alike but for their layers.
struct MissingExperts {
  std::string stack;  ///< "" none
  bool is_shared_expert = false;
  std::string proj;
  std::set<int64_t> layers;
  std::string experts;      ///< ids as ranges, "0-3, 7"; "" for shared experts
  uint64_t matrices = 0;    ///< over all layers
  double parameters = 0;    ///< their weights, by the size of those that are there, else the config
  std::string promised_by;  ///< for people: who says that they exist
};

/// Which experts ought to be there, against those that are.
///
/// How many: config.json's count for the layer, or the rows of the layer's router if those are more
/// than its one count for all; else the most that any layer has. In which layers: those of the
/// config (all of them, where it has no key about that and the family has experts in all, or no
/// layer without was seen; else those of which no tensor at all is there), of routers, of the
/// index, and where any expert is.
/// Which projections: those found anywhere in the stack; up_proj and down_proj always where the
/// config tells of experts, gate_proj where the family has one. Shared experts: where any layer has
/// them, or the config says so. A tensor that is there but can't be read is not missing.
class ExpertPromise {
 public:
  /// A tensor of the checkpoint and what was decided about it.
  void Add(const WeightShape& weight, const Extraction& extraction);

  /// What a tensor holds that is there and is not read.
  void AddUnread(const std::vector<ExpertClaim>& claims);

  /// What a tensor would hold that the index lists and that is not there.
  void AddListed(const std::vector<ExpertClaim>& claims);

  std::vector<MissingExperts> Missing(const ModelFacts& facts) const;

  /// Experts that were read, and that the config's count or the layer's router leaves no room for:
  /// one "[experts] layer 1: ..." line each.
  std::vector<std::string> Surplus(const ModelFacts& facts) const;

  /// Whether the config says how many experts are in which layers, so that with nothing missing the
  /// model is whole: without a key about layers, each of them was seen.
  bool ConfigTellsAll(const ModelFacts& facts) const;

 private:
  /// Experts by number, or a whole layer of them.
  struct Ids {
    std::set<int64_t> ids;
    bool all = false;
    void Add(const ExpertClaim& claim);
  };
  using Projections = std::map<std::string, Ids>;
  /// One layer of a stack.
  struct Block {
    Projections routed, listed;
    std::set<int64_t> read;  ///< routed experts that have a bank, of any projection
    std::set<std::string> shared, shared_listed;
    std::map<bool, std::pair<uint64_t, uint64_t>> routers;  ///< shapes; true: ERNIE-VL's second
  };
  struct Stack {
    std::map<int64_t, Block> blocks;
    std::set<std::string> modules;                  ///< "model.layers.", where its layers stand
    std::set<uint64_t> inputs;                      ///< what its experts take: sizes
    double routed_weights = 0, shared_weights = 0;  ///< of one matrix
  };
  class Account;
  std::set<int64_t> SeenLayers(const Stack& stack) const;

  std::map<std::string, Stack> stacks_;
  std::map<std::string, std::set<int64_t>> seen_layers_;  ///< of each module that has layers
};

/// Matrices of those that the index lists.
uint64_t ListedMatrices(const std::vector<MissingExperts>& missing);

/// Weights of all of them.
uint64_t MissingParameters(const std::vector<MissingExperts>& missing);

/// One "[experts] layer 3: down_proj of experts 7 is missing (...)" line each, the first dozen.
std::vector<std::string> MissingWarnings(const std::vector<MissingExperts>& missing);

/// [{stack, shared, proj, layers, experts, matrices, promised_by}], layers and experts as ranges.
Json MissingJson(const std::vector<MissingExperts>& missing);

/// "0-2, 5, 7-9".
std::string Ranges(const std::set<int64_t>& numbers);

}  // namespace moe

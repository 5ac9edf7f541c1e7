#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "experts/model_facts.h"
#include "moescope/experts.h"

namespace moe {

/// Finds the expert tensors that contradict what else is known: gate_proj and up_proj [I, H] and
/// down_proj [H, I] of one expert must agree on H and I, and a payload whose shape its codec worked
/// out must agree with config.json. Where they don't, the config decides who is wrong, then the
/// rows of packed weights (which no wrong number of bits can change), then the sizes of the stack's
/// other experts, then the majority; if none can, all of them are.
///
/// Tensors that agree with each other against the config are refused where at least half of the
/// stack's experts have the sizes that it says, or where it says that their axes are turned round;
/// else they are not (the config is of another model, or was not updated when the model was pruned:
/// the census says so). So are matrices of GGUF files for tests (blocks take 256 columns) that all
/// end after the same share of their rows. A matrix that differs from the same projection of nearly
/// all other experts of its layer (a stack: in its hidden size from those of other layers) is
/// refused, unless the config says its very shape, or lists widths.
///
/// An expert beyond the config's count is refused when it is an identity expert (LongCat) or lacks
/// a projection.
class ShapeJudge {
 public:
  explicit ShapeJudge(const ModelFacts& facts) : facts_(facts) {}

  /// `number`: the tensor's, as Refusals() gives it. `packed`: its shape was worked out by a codec.
  void Add(size_t number, const WeightShape& weight, bool packed, const Extraction& extraction);

  /// Tensor -> why it is refused: what was expected and what was found.
  std::map<size_t, std::string> Refusals() const;

 private:
  enum class Proj { kGate, kUp, kDown };
  struct Member {
    size_t tensor;
    Proj proj;
    uint64_t experts, rows, cols;
    bool packed;
    uint64_t hidden() const { return proj == Proj::kDown ? rows : cols; }
    uint64_t width() const { return proj == Proj::kDown ? cols : rows; }
    bool rows_are(bool hidden_side) const { return (proj == Proj::kDown) == hidden_side; }
  };
  using Members = std::vector<Member>;
  struct Side;  ///< the H or the I of one expert
  bool CutOff(const Members& members, const Side& hidden, const Side& width) const;
  /// Stack ("" none), layer, module of a shared expert ("" routed), expert (-1: a whole stack).
  using Key = std::tuple<std::string, int64_t, std::string, int64_t>;

  using Sizes = std::pair<uint64_t, uint64_t>;  // H and I
  /// Of the routed experts of one stack that agree with themselves.
  struct StackSizes {
    std::map<uint64_t, uint64_t> hidden, width;  ///< size -> how many experts have it
    uint64_t all = 0, as_config = 0;
    std::optional<Sizes> of_config;  ///< what the config says, where at least half have it
  };
  std::map<std::string, StackSizes> CountSizes() const;

  /// What H and I of an expert are; nullopt: nobody can tell.
  struct Verdict {
    std::optional<uint64_t> hidden, width;
    bool turned;  ///< the config says that the axes are turned round

    std::string Against(const Member& m, const Members& members, const std::string& config) const;
  };
  static Verdict VerdictOn(const Side& hidden, const Side& width,
                           const std::optional<Sizes>& of_config);
  void JudgeShapes(const Key& key, const Members& members, const StackSizes& others,
                   std::map<size_t, std::string>& refusals) const;
  void JudgeCount(const Key& key, const Members& members, const std::set<Proj>& usual,
                  std::map<size_t, std::string>& refusals) const;
  std::set<Proj> UsualProjections() const;

  using Shape = std::pair<uint64_t, uint64_t>;  // rows and columns; or a hidden size and 0
  using Votes = std::map<Shape, size_t>;        // how many have it
  /// Stack, layer (kAnyLayer: of hidden sizes), projection.
  using Peers = std::tuple<std::string, int64_t, Proj>;
  static constexpr int64_t kAnyLayer = INT64_MIN;
  std::map<Peers, Votes> VotesOfPeers() const;
  static std::optional<Shape> UsualShape(const Votes& votes);
  void JudgeNeighbours(std::map<size_t, std::string>& refusals) const;
  bool ConfigSays(const Member& m, const std::string& stack) const;

  const ModelFacts& facts_;
  std::map<Key, Members> experts_;
};

}  // namespace moe

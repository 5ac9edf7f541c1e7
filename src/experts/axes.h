#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "experts/layout.h"
#include "experts/presets.h"

namespace moe {

/// What is known about a stack [experts, a, b] whose name stands for both orders of the axes
/// (checkpoints.md 10.1).
struct StackShapes {
  using Shape = std::optional<std::vector<uint64_t>>;

  bool is_fused = false, is_down = false;  ///< what `own` is: gate_up_proj, down_proj; else up_proj
  std::vector<uint64_t> own;
  Shape fused, down;               ///< of the same module, `own` included; nullopt: not there
  std::optional<uint64_t> hidden;  ///< what experts take and give
  std::optional<uint64_t> width;   ///< of an expert
};

/// True: [E, out, in]; false: [E, in, out]. gate_up [E, A, B] and down [E, C, D] are out x in when
/// A = 2D and B = C, in x out when B = 2C and A = D; both at once is impossible. Where they fit
/// each other in neither way, or one is not there, the sizes of the config decide for each alone. A
/// question left open is refused, not guessed.
Checked<bool> OutputsFirst(const StackShapes& shapes);

/// How the weights lie whose names presets' rules matched, told by the rule, or by the shapes of
/// the weights and routers beside them and what the config says.
class Axes {
 public:
  /// `weights`: all of the checkpoint; none: each weight is on its own. `family`: nullptr unknown.
  Axes(std::span<const WeightShape> weights, const FamilyTable& table, const Family* family,
       const ModelFacts& model);

  /// The error is why a weight whose order only shapes could tell is refused.
  Checked<RuleLayout> LayoutOf(const PresetMatch& match) const;

  /// Where the matrices lie. Fails where LayoutOf() does, and where the number of experts along the
  /// rows is unknown or doesn't divide them.
  Checked<BankShape> ShapeOf(const PresetMatch& match) const;

  /// How many routed experts a stack has that ends in the shared one; nullopt: it doesn't.
  std::optional<uint64_t> RoutedBeforeShared(const PresetMatch& match) const;

 private:
  using Shape = std::vector<uint64_t>;

  const Shape* ShapeNamed(const std::string& name) const;  // nullptr: none is known
  std::optional<uint64_t> ExpertsOf(const PresetMatch& match) const;
  StackShapes ShapesAround(const PresetMatch& match) const;

  std::unordered_map<std::string, Shape> shapes_;              // stacks and routers, by name
  std::optional<uint64_t> experts_, hidden_, latent_, width_;  // of the config
  bool may_hold_shared_;
};

}  // namespace moe

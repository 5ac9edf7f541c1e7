#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// One of the ways to store a unit.
struct KnapsackOption {
  uint64_t bytes = 0;
  double cost = 0;  ///< 0 to Knapsack::kMaxCost; in any unit
};

/// An option for each unit.
struct KnapsackChoice {
  std::vector<uint32_t> options;  ///< by unit: an index into its options
  uint64_t bytes = 0;
  double cost = 0;  ///< added up in the order of the units
  /// 0: no choice is better. Else the search met more equals than it may remember: a better choice
  /// costs at most this share less (FewestBytes: has at most this share fewer bytes).
  double gap = 0;
};

/// Multiple-choice knapsack: of each unit one option, exactly.
///
/// Options that another one beats are dropped; Lagrange's multiplier gives a bound and a first
/// choice; then all sums (bytes, cost) of the first units that no other sum beats and whose bound
/// is not above the best known choice go on to the next unit. Nothing is rounded. Of equal choices
/// the one of fewer bytes is taken, then the one that has the earlier option in the first unit
/// where they differ.
///
/// Cost: 200 units of 12 options take milliseconds. At worst (costs that are proportional to the
/// bytes, no two of which agree) it is bounded by kMaxStates sums a unit, some 8 bytes each, and
/// seconds; the choice then says how far it may be from the best.
///
/// Threads: const members may be called from any thread at once.
class Knapsack {
 public:
  using Unit = std::vector<KnapsackOption>;
  static constexpr double kMaxCost = 1e200;
  static constexpr size_t kMaxStates = 1 << 15;

  /// kBadArgument names the unit that has no option or a cost out of bounds; or says that the bytes
  /// add up to more than 2^63.
  static Result<Knapsack> Create(std::vector<Unit> units);

  /// The fewest bytes, and of those the least cost: the nearest to a budget that is too small.
  const KnapsackChoice& smallest() const { return smallest_; }
  /// The least cost, and of those the fewest bytes: the nearest to a limit that is too low.
  const KnapsackChoice& best() const { return best_; }

  /// The least cost in at most `budget` bytes. kBadArgument names smallest().bytes.
  Result<KnapsackChoice> LeastCost(uint64_t budget) const;

  /// The fewest bytes that cost at most `limit`. kBadArgument names best().cost.
  Result<KnapsackChoice> FewestBytes(double limit) const;

  /// The choices that no other beats in bytes and cost, from smallest() to best(); of those nearer
  /// than the `points`-th part of the way not all (a front may have as many as there are bytes).
  std::vector<KnapsackChoice> Front(uint64_t points) const;

 private:
  /// From one option of a unit to the next of its lower hull.
  struct Step {
    uint32_t unit, option;
    double slope;  ///< cost that a byte more saves
  };
  /// What is chosen after so many steps, those that save most for a byte first: no choice of as
  /// many bytes costs less.
  struct Corner {
    uint64_t bytes;
    double cost;
  };

  explicit Knapsack(std::vector<Unit> units);
  void AddSteps(uint32_t unit);
  KnapsackChoice ChoiceAt(size_t corner) const;

  std::vector<Unit> units_;
  std::vector<std::vector<uint32_t>> front_;  ///< by unit: options that no other beats, by bytes
  std::vector<Step> steps_;
  std::vector<Corner> corners_;  ///< one more than steps
  KnapsackChoice smallest_, best_;
};

}  // namespace moe

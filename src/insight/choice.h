#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "insight/run_matrices.h"

namespace moe {

// What is quantized in one way is a unit; a choice takes a scheme for each. Bits are those per
// weight, scales and biases too; the error of a matrix is w_rel_fro, and where several are added up
// each weighs as much as it has weights.

/// How a unit is judged: by the error that this share of its matrices does not exceed.
inline constexpr std::array<double, 3> kJudges = {0.5, 0.9, 1};

/// What a scheme makes of a unit. NaN where it has no numbers.
struct Option {
  double bits = std::numeric_limits<double>::quiet_NaN();
  double square = std::numeric_limits<double>::quiet_NaN();  ///< mean of the squared errors
  std::array<double, kJudges.size()> errors = {};            ///< by judge
  uint64_t matrices = 0;                                     ///< that have an error
  /// Has bits, and an error wherever another scheme has one: a failure would hide in its errors.
  bool fits = false;
};

struct Unit {
  uint32_t proj = 0, layer = 0;  ///< indices into the lists of RunMatrices
  bool shared = false;
  double weights = 0;           ///< how many
  double stored_bits = 0;       ///< as stored now; NaN: unknown
  std::vector<Option> options;  ///< by scheme
};

/// The routed experts of a layer and projection are a unit, the shared ones another, in the order
/// of the matrices. Options are those of RunMatrices::schemes.
std::vector<Unit> UnitsOf(const RunMatrices& matrices);

/// The schemes that no other beats in bits and in error as this judge takes it (an index into
/// kJudges), the fewest bits first. The first whose error is under a limit is the cheapest that is.
std::vector<uint32_t> Frontier(const Unit& unit, size_t judge);

/// No scheme fits: the unit stays as it is stored.
inline constexpr uint32_t kAsStored = std::numeric_limits<uint32_t>::max();

/// A scheme for each unit, or kAsStored, and what that makes.
struct Choice {
  std::vector<uint32_t> schemes;
  double bytes = 0;  ///< NaN if that of what stays as stored is not known
  double error = 0;  ///< root of the mean square, where a scheme is taken
};

/// The best choice.
struct Pick {
  Choice choice;
  std::optional<uint32_t> base;  ///< the scheme that it was weighed against, Uniform(); or none is
  double saves = 0;  ///< share of base's bytes, or of its error, that the best mixture saves
};
/// The pick for budgets from `bytes` on.
struct BudgetPick {
  double bytes = 0;
  Pick pick;
};

/// What makes a mixture worth its trouble: this share less of the bytes, or of the error.
struct Worth {
  double Choice::* what;
  double share;
};
inline constexpr Worth kRealSaving = {&Choice::bytes, 0.005}, kRealGain = {&Choice::error, 0.01};

/// How many sizes of mixtures ByBudget() tells, about.
inline constexpr uint64_t kBudgets = 400;

/// Chooses a scheme for each unit.
///
/// Mixtures are those of an exact solver (recipe/knapsack.h). Where one gains nothing real over one
/// scheme for all, in whole or by one of its schemes, that is left.
class Chooser {
 public:
  /// All units have as many options.
  explicit Chooser(std::vector<Unit> units);

  const std::vector<Unit>& units() const { return units_; }

  /// Schemes that fit at least half of the weights that any fits; all that have bits if none does.
  std::vector<uint32_t> Usable() const;
  /// One scheme for all; where it does not fit, the one that is nearest in bits.
  Choice Uniform(uint32_t scheme) const;
  /// The mean bits of a scheme in its median unit; NaN if it has none.
  double UsualBits(uint32_t scheme) const;

  /// The fewest bytes whose error is at most that of Uniform(reference).
  Pick AsGoodAs(uint32_t reference) const;
  /// The least error in budgets from so many bytes on: the first is for all that even the fewest
  /// bits do not fit. No budget between two of them is looked at, nor any where sizes are not
  /// known.
  std::vector<BudgetPick> ByBudget() const;

 private:
  class Mixtures;
  /// A scheme, and Uniform() of it.
  struct Uniformly {
    uint32_t scheme;
    Choice choice;
  };

  Choice ChoiceOf(std::vector<uint32_t> schemes) const;
  double SumOfSquares(const std::vector<uint32_t>& schemes) const;
  Pick Within(Choice mixture, double bytes) const;
  Pick Better(Choice mixture, const Uniformly& base, const Worth& worth,
              const std::function<bool(const Choice&)>& is_allowed) const;

  std::vector<Unit> units_;
  uint32_t schemes_ = 0;
  std::vector<Uniformly> uniform_;  ///< of Usable()
};

/// What choices are compared with: affine, 4 bits in groups of 64; without it the affine 4-bit
/// scheme nearest to that, else the scheme nearest to as many bits; as MLX encodes it, if that was
/// measured. nullopt where no scheme has bits.
std::optional<uint32_t> ReferenceScheme(const Chooser& chooser,
                                        std::span<const SimulatedScheme> schemes);

}  // namespace moe

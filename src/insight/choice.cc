#include "insight/choice.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <tuple>
#include <utility>

#include "moescope/quantize.h"
#include "recipe/knapsack.h"
#include "tables/aggregate.h"

namespace moe {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// A mean in which each value weighs as much as it has weights; NaN of none. What is no number does
/// not count.
class WeightedMean {
 public:
  void Add(double value, double weight) {
    if (!std::isfinite(value)) return;
    sum_ += value * weight;
    weights_ += weight;
  }
  double Value() const { return sum_ / weights_; }

 private:
  double sum_ = 0, weights_ = 0;
};

/// Ranges of matrices that are a unit: [begin, end).
std::vector<std::pair<size_t, size_t>> RangesOf(const RunMatrices& matrices) {
  const auto key = [&](size_t i) {
    const RunMatrices::Place& place = matrices.places[i];
    return std::tuple(place.proj, place.layer, matrices.slots[place.slot].shared);
  };
  std::vector<std::pair<size_t, size_t>> ranges;
  for (size_t i = 0; i < matrices.size(); ++i) {
    if (i > 0 && key(i) == key(i - 1)) {
      ++ranges.back().second;
    } else {
      ranges.emplace_back(i, i + 1);
    }
  }
  return ranges;
}

std::span<const double> RangeOf(const MatrixMetric* metric, size_t scheme,
                                const std::pair<size_t, size_t>& range) {
  if (metric == nullptr) return {};
  return std::span(metric->values[scheme]).subspan(range.first, range.second - range.first);
}

/// NaN where there is no value.
double MeanOf(std::span<const double> values, std::span<const double> weights) {
  WeightedMean mean;
  for (size_t i = 0; i < values.size(); ++i) mean.Add(values[i], weights[i]);
  return mean.Value();
}

Option OptionOf(std::span<const double> bits, std::span<const double> errors,
                std::span<const double> weights) {
  std::vector<double> squares, known;
  for (const double error : errors) {
    squares.push_back(error * error);
    if (std::isfinite(error)) known.push_back(error);
  }
  Option option{MeanOf(bits, weights), MeanOf(squares, weights), {}, known.size(), false};
  for (size_t judge = 0; judge < kJudges.size(); ++judge) {
    option.errors[judge] = known.empty() ? kNone : Quantile(known, kJudges[judge]);
  }
  return option;
}

/// Marks the options that fit.
void MarkFitting(std::vector<Option>& options) {
  uint64_t most = 0;
  for (const Option& option : options) most = std::max(most, option.matrices);
  for (Option& option : options) {
    option.fits = most > 0 && option.matrices == most && !std::isnan(option.bits);
  }
}

std::vector<uint32_t> Fitting(const Unit& unit) {
  std::vector<uint32_t> fitting;
  for (uint32_t s = 0; s < unit.options.size(); ++s) {
    if (unit.options[s].fits) fitting.push_back(s);
  }
  return fitting;
}

/// Of a unit the schemes that fit, by `key`.
template <class Key>
std::vector<uint32_t> FittingBy(const Unit& unit, const Key& key) {
  std::vector<uint32_t> fitting = Fitting(unit);
  std::ranges::stable_sort(fitting, {}, [&](uint32_t s) { return key(unit.options[s]); });
  return fitting;
}

/// Of a unit the schemes that no other beats in bits and in `error`, the fewest bits first.
template <class ErrorOf>
std::vector<uint32_t> FrontBy(const Unit& unit, const ErrorOf& error) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<uint32_t> front;
  const auto bits_first = [&](const Option& o) { return std::pair(o.bits, error(o)); };
  for (const uint32_t s : FittingBy(unit, bits_first)) {
    const double mine = error(unit.options[s]);
    if (mine < least) front.push_back(s);
    least = std::min(least, mine);
  }
  return front;
}

}  // namespace

std::vector<Unit> UnitsOf(const RunMatrices& matrices) {
  const MatrixMetric *bits = matrices.Find("bits_per_weight"), *errors = matrices.Find("w_rel_fro");
  std::vector<Unit> units;
  for (const auto& range : RangesOf(matrices)) {
    const RunMatrices::Place& first = matrices.places[range.first];
    Unit unit{first.proj, first.layer, matrices.slots[first.slot].shared, 0, 0, {}};
    std::vector<double> weights;
    WeightedMean stored;
    for (size_t i = range.first; i < range.second; ++i) {
      const auto [rows, cols] = matrices.shapes[matrices.places[i].shape];
      weights.push_back(static_cast<double>(rows) * static_cast<double>(cols));
      unit.weights += weights.back();
      stored.Add(matrices.storages[matrices.places[i].storage].bits.value_or(kNone),
                 weights.back());
    }
    unit.stored_bits = stored.Value();
    for (size_t s = 0; s < matrices.schemes.size(); ++s) {
      unit.options.push_back(OptionOf(RangeOf(bits, s, range), RangeOf(errors, s, range), weights));
    }
    MarkFitting(unit.options);
    units.push_back(std::move(unit));
  }
  return units;
}

std::vector<uint32_t> Frontier(const Unit& unit, size_t judge) {
  return FrontBy(unit, [judge](const Option& option) { return option.errors[judge]; });
}

/// The choices of all units that the solver knows: bits and sums of squared errors.
class Chooser::Mixtures {
 public:
  explicit Mixtures(const Chooser& chooser) : chooser_(chooser) {
    std::vector<Knapsack::Unit> items;
    for (const Unit& unit : chooser.units_) {
      schemes_.push_back(Fitting(unit));
      items.emplace_back();
      for (const uint32_t s : schemes_.back()) {
        const Option& option = unit.options[s];
        const auto bits = static_cast<uint64_t>(std::llround(option.bits * unit.weights));
        items.back().push_back({bits, std::min(option.square * unit.weights, Knapsack::kMaxCost)});
      }
      if (!schemes_.back().empty()) continue;
      schemes_.back() = {kAsStored};
      items.back() = {{0, 0}};
    }
    if (auto made = Knapsack::Create(std::move(items))) knapsack_ = std::move(*made);
  }

  /// The fewest bits whose sum of squares is at most this; nullopt: there are none.
  std::optional<Choice> FewestBits(double square) const {
    if (!knapsack_) return std::nullopt;
    const auto found = knapsack_->FewestBytes(square);
    return found ? std::optional(ChoiceOf(*found)) : std::nullopt;
  }

  /// The least error in so many bits, from the fewest on.
  std::vector<Choice> Front(uint64_t points) const {
    std::vector<Choice> front;
    if (!knapsack_) return front;
    for (const KnapsackChoice& choice : knapsack_->Front(points)) front.push_back(ChoiceOf(choice));
    return front;
  }

 private:
  Choice ChoiceOf(const KnapsackChoice& choice) const {
    std::vector<uint32_t> taken;
    for (size_t u = 0; u < schemes_.size(); ++u) taken.push_back(schemes_[u][choice.options[u]]);
    return chooser_.ChoiceOf(std::move(taken));
  }

  const Chooser& chooser_;
  std::vector<std::vector<uint32_t>> schemes_;  ///< by unit and option
  std::optional<Knapsack> knapsack_;
};

Chooser::Chooser(std::vector<Unit> units) : units_(std::move(units)) {
  if (!units_.empty()) schemes_ = static_cast<uint32_t>(units_.front().options.size());
  for (const uint32_t scheme : Usable()) uniform_.push_back({scheme, Uniform(scheme)});
}

std::vector<uint32_t> Chooser::Usable() const {
  std::vector<uint32_t> known, usable;
  double measured = 0;
  for (const Unit& unit : units_) {
    const auto& options = unit.options;
    if (std::ranges::any_of(options, [](const Option& o) { return o.matrices > 0; })) {
      measured += unit.weights;
    }
  }
  for (uint32_t s = 0; s < schemes_; ++s) {
    double fitting = 0;
    bool has_bits = false;
    for (const Unit& unit : units_) {
      has_bits = has_bits || !std::isnan(unit.options[s].bits);
      if (unit.options[s].fits) fitting += unit.weights;
    }
    if (has_bits) known.push_back(s);
    if (has_bits && fitting >= measured / 2) usable.push_back(s);
  }
  return usable.empty() ? known : usable;
}

double Chooser::UsualBits(uint32_t scheme) const {
  std::vector<double> bits;
  for (const Unit& unit : units_) {
    if (!std::isnan(unit.options[scheme].bits)) bits.push_back(unit.options[scheme].bits);
  }
  return bits.empty() ? kNone : Quantile(bits, 0.5);
}

Choice Chooser::Uniform(uint32_t scheme) const {
  const double usual = UsualBits(scheme);
  std::vector<uint32_t> taken;
  for (const Unit& unit : units_) {
    if (unit.options[scheme].fits) {
      taken.push_back(scheme);
      continue;
    }
    const auto nearest = FittingBy(unit, [&](const Option& option) {
      return std::pair(std::fabs(option.bits - usual), option.square);
    });
    taken.push_back(nearest.empty() ? kAsStored : nearest.front());
  }
  return ChoiceOf(std::move(taken));
}

double Chooser::SumOfSquares(const std::vector<uint32_t>& schemes) const {
  double sum = 0;
  for (size_t u = 0; u < units_.size(); ++u) {
    if (schemes[u] == kAsStored) continue;
    sum += units_[u].options[schemes[u]].square * units_[u].weights;
  }
  return sum;
}

Choice Chooser::ChoiceOf(std::vector<uint32_t> schemes) const {
  double bits = 0, weights = 0;
  for (size_t u = 0; u < units_.size(); ++u) {
    const Unit& unit = units_[u];
    const bool is_stored = schemes[u] == kAsStored;
    bits += unit.weights * (is_stored ? unit.stored_bits : unit.options[schemes[u]].bits);
    if (!is_stored) weights += unit.weights;
  }
  const double error = std::sqrt(SumOfSquares(schemes) / weights);
  return {std::move(schemes), bits / 8, error};
}

/// `mixture` without what gains nothing real over `base`: scheme by scheme, as far as that is
/// allowed; `base` itself if nothing is left.
Pick Chooser::Better(Choice mixture, const Uniformly& base, const Worth& worth,
                     const std::function<bool(const Choice&)>& is_allowed) const {
  const auto is_idle = [&](const Choice& one, const Choice& other) {
    return one.*worth.what > other.*worth.what * (1 - worth.share);
  };
  for (uint32_t s = 0; s < schemes_; ++s) {
    std::vector<uint32_t> schemes = mixture.schemes;
    for (size_t u = 0; u < schemes.size(); ++u) {
      if (schemes[u] == s) schemes[u] = base.choice.schemes[u];
    }
    if (schemes == mixture.schemes) continue;
    Choice without = ChoiceOf(std::move(schemes));
    if (is_allowed(without) && is_idle(mixture, without)) mixture = std::move(without);
  }
  const double saves = 1 - mixture.*worth.what / base.choice.*worth.what;
  if (is_idle(mixture, base.choice)) mixture = base.choice;
  return {std::move(mixture), base.scheme, saves};
}

Pick Chooser::AsGoodAs(uint32_t reference) const {
  constexpr double kRounding = 1e-9;
  const Uniformly base = {reference, Uniform(reference)};
  const auto mixture =
      Mixtures(*this).FewestBits(SumOfSquares(base.choice.schemes) * (1 + kRounding));
  return Better(mixture.value_or(base.choice), base, kRealSaving, [&](const Choice& one) {
    return one.error <= base.choice.error * (1 + kRounding);
  });
}

Pick Chooser::Within(Choice mixture, double bytes) const {
  const auto order = [](const Choice& choice) { return std::pair(choice.error, choice.bytes); };
  const Uniformly* base = nullptr;
  for (const Uniformly& one : uniform_) {
    if (!(one.choice.bytes <= bytes)) continue;
    if (base == nullptr || order(one.choice) < order(base->choice)) base = &one;
  }
  if (base == nullptr) return {std::move(mixture), std::nullopt, 0};
  return Better(std::move(mixture), *base, kRealGain,
                [&](const Choice& one) { return one.bytes <= bytes; });
}

std::vector<BudgetPick> Chooser::ByBudget() const {
  const std::vector<Choice> front = Mixtures(*this).Front(kBudgets);
  std::vector<double> sizes;
  for (const Choice& choice : front) sizes.push_back(choice.bytes);
  for (const Uniformly& one : uniform_) sizes.push_back(one.choice.bytes);
  std::erase_if(sizes, [](double size) { return !std::isfinite(size); });
  std::ranges::sort(sizes);
  sizes.erase(std::ranges::unique(sizes).begin(), sizes.end());

  std::vector<BudgetPick> picks;
  if (!front.empty()) picks.push_back({0, {front.front(), std::nullopt, 0}});
  for (const double bytes : sizes) {
    const auto above = std::ranges::upper_bound(front, bytes, {}, &Choice::bytes);
    if (above != front.begin()) picks.push_back({bytes, Within(*std::prev(above), bytes)});
  }
  return picks;
}

std::optional<uint32_t> ReferenceScheme(const Chooser& chooser,
                                        std::span<const SimulatedScheme> schemes) {
  constexpr double kUsualBits = 4.5;
  std::optional<uint32_t> found;
  std::tuple<bool, bool, double> least;
  for (const uint32_t s : chooser.Usable()) {
    const SimulatedScheme& scheme = schemes[s];
    const bool is_four = scheme.mode == "affine" && scheme.bits == 4;
    const double away = is_four ? std::fabs(static_cast<double>(scheme.group_size) - 64)
                                : std::fabs(chooser.UsualBits(s) - kUsualBits);
    const std::tuple order(!is_four, scheme.name.ends_with(QuantScheme::kSearchEnding), away);
    if (found && order >= least) continue;
    found = s;
    least = order;
  }
  return found;
}

}  // namespace moe

#include "recipe/knapsack.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace moe {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 63;
/// The first passes find good choices, which leave the last one little to do.
constexpr std::array<size_t, 3> kWidths = {1 << 8, 1 << 11, Knapsack::kMaxStates};
/// Of a sum of some hundred terms; bounds that are rounded must not drop the best choice.
constexpr double kRounding = 1e-11;

/// What a choice of options for the first units comes to.
struct State {
  uint64_t bytes;
  double cost;
  uint32_t before;  ///< the node of the choice without the last unit
  uint32_t option;  ///< of the last unit

  auto Order() const { return std::tie(bytes, cost, before, option); }
};

/// How a state was come to. Nodes of a unit stand in the order of their options, from the first
/// unit on: so the lower of two equal states is that with the earlier options.
struct Node {
  uint32_t before, option;
};

/// What the units from one on add.
struct Rest {
  KnapsackOption least;  ///< each for itself
  KnapsackOption usual;  ///< by the options of the least cost + slope * bytes
  double both = 0;       ///< that
};

KnapsackChoice ChoiceOf(const std::vector<Knapsack::Unit>& units, std::vector<uint32_t> options) {
  KnapsackChoice choice;
  for (size_t u = 0; u < units.size(); ++u) {
    choice.bytes += units[u][options[u]].bytes;
    choice.cost += units[u][options[u]].cost;
  }
  choice.options = std::move(options);
  return choice;
}

enum class Goal { kLeastCost, kFewestBytes };

/// Looks for the best choice of at most so many bytes and so much cost, unit by unit.
class Search {
 public:
  using Units = std::vector<Knapsack::Unit>;
  using Fronts = std::vector<std::vector<uint32_t>>;

  Search(const Units& units, const Fronts& fronts, double slope, Goal goal)
      : units_(units), fronts_(fronts), slope_(slope), goal_(goal), rest_(units.size() + 1) {
    for (size_t u = units.size(); u-- > 0;) {
      const auto both = [&](uint32_t o) { return Both(units[u][o]); };
      const KnapsackOption& usual = units[u][*std::ranges::min_element(fronts[u], {}, both)];
      const Rest& rest = rest_[u + 1];
      rest_[u] = {{rest.least.bytes + units[u][fronts[u].front()].bytes,
                   rest.least.cost + units[u][fronts[u].back()].cost},
                  {rest.usual.bytes + usual.bytes, rest.usual.cost + usual.cost},
                  rest.both + Both(usual)};
    }
  }

  /// The best choice within `box`, of which `known` is one.
  KnapsackChoice Best(KnapsackChoice known, KnapsackOption box) {
    for (const size_t width : kWidths) {
      box = AtMost({known.bytes, known.cost}, box);
      if (const State* found = Run(box, width)) known = ChoiceOf(units_, OptionsOf(*found));
      known.gap = GapOf(known, box);
      if (known.gap == 0) break;
    }
    return known;
  }

 private:
  /// The best of those within `box`, remembering at most `width` states of each unit; nullptr: none
  /// is among them.
  const State* Run(KnapsackOption box, size_t width) {
    box_ = box;
    states_ = {{0, 0, 0, 0}};
    nodes_.clear();
    left_out_ = std::numeric_limits<double>::infinity();
    for (size_t u = 0; u < units_.size(); ++u) {
      Extend(u);
      if (states_.size() > width) Thin(width, rest_[u + 1].both);
      AddNodes();
      Tighten(rest_[u + 1].usual);
    }
    std::erase_if(states_, [&](const State& state) { return state.cost > box.cost; });
    if (states_.empty()) return nullptr;
    return goal_ == Goal::kLeastCost ? &states_.back() : &states_.front();
  }

  std::vector<uint32_t> OptionsOf(const State& state) const {
    std::vector<uint32_t> options(units_.size());
    uint32_t at = state.before;
    for (size_t u = units_.size(); u-- > 0; at = nodes_[at].before) options[u] = nodes_[at].option;
    return options;
  }

  /// `box`, less what is worse than `choice`.
  KnapsackOption AtMost(const KnapsackOption& choice, KnapsackOption box) const {
    if (goal_ == Goal::kLeastCost) box.cost = choice.cost;
    if (goal_ == Goal::kFewestBytes) box.bytes = choice.bytes;
    return box;
  }

  double GapOf(const KnapsackChoice& known, const KnapsackOption& box) const {
    const double best = Both(AtMost({known.bytes, known.cost}, box));
    const double missing = best - left_out_;  // less than nothing if nothing was left out
    const double of =
        goal_ == Goal::kLeastCost ? known.cost : slope_ * static_cast<double>(known.bytes);
    return missing <= kRounding * best || of == 0 ? 0 : std::min(1.0, missing / of);
  }

  template <class T>
  double Both(const T& sum) const {
    return sum.cost + slope_ * static_cast<double>(sum.bytes);
  }

  bool IsWithin(const State& sum, const Rest& rest) const {
    const double both = Both(box_), rounding = kRounding * both;
    return sum.cost + rest.least.cost <= box_.cost + rounding &&
           Both(sum) + rest.both <= both + rounding;
  }

  /// From states of the units before `u` to those of `u` too.
  void Extend(size_t u) {
    const Rest& rest = rest_[u + 1];
    std::vector<State> next, more, both;
    const double before = rest_[0].both - rest_[u].both;  // of any state, at least
    for (const uint32_t o : fronts_[u]) {
      const KnapsackOption& option = units_[u][o];
      if (before + Both(option) + rest.both > Both(box_) * (1 + kRounding)) continue;
      more.clear();
      for (const State& state : states_) {
        const State sum = {state.bytes + option.bytes, state.cost + option.cost, state.before, o};
        if (sum.bytes + rest.least.bytes > box_.bytes) break;  // states come by bytes
        if (IsWithin(sum, rest)) more.push_back(sum);
      }
      both.clear();
      std::ranges::merge(next, more, std::back_inserter(both), {}, &State::Order, &State::Order);
      KeepUnbeaten(both);
      next.swap(both);
    }
    states_.swap(next);
  }

  /// Of states in their order.
  static void KeepUnbeaten(std::vector<State>& states) {
    double least = std::numeric_limits<double>::infinity();
    std::erase_if(states, [&](const State& state) {
      if (!(state.cost < least)) return true;
      least = state.cost;
      return false;
    });
  }

  /// A state and the usual options of the rest are a choice: no worse one is looked for.
  void Tighten(const KnapsackOption& usual) {
    for (const State& state : states_) {
      const uint64_t bytes = state.bytes + usual.bytes;
      const double cost = (state.cost + usual.cost) * (1 + kRounding);
      if (bytes <= box_.bytes && cost <= box_.cost) box_ = AtMost({bytes, cost}, box_);
    }
  }

  /// Of neighbours in bytes the one of the least bound stays.
  void Thin(size_t width, double rest) {
    std::vector<State> kept;
    for (size_t i = 0; i < width; ++i) {
      const auto begin = states_.begin() + static_cast<ptrdiff_t>(states_.size() * i / width);
      const auto end = states_.begin() + static_cast<ptrdiff_t>(states_.size() * (i + 1) / width);
      const auto bound = [&](const State& state) { return Both(state); };
      const auto least = std::ranges::min_element(begin, end, {}, bound);
      for (auto it = begin; it != end; ++it) {
        if (it != least) left_out_ = std::min(left_out_, Both(*it) + rest);
      }
      kept.push_back(*least);
    }
    states_ = std::move(kept);
  }

  void AddNodes() {
    std::vector<State*> order(states_.size());
    std::ranges::transform(states_, order.begin(), [](State& state) { return &state; });
    std::ranges::sort(order, {}, [](const State* s) { return std::tie(s->before, s->option); });
    for (State* state : order) {
      nodes_.push_back({state->before, state->option});
      state->before = static_cast<uint32_t>(nodes_.size() - 1);
    }
  }

  const Units& units_;
  const Fronts& fronts_;
  double slope_;
  Goal goal_;
  KnapsackOption box_;
  std::vector<Rest> rest_;  ///< by unit, and one past the last
  std::vector<State> states_;
  std::vector<Node> nodes_;
  double left_out_ = 0;
};

/// Options that no other of the unit beats: more bytes, less cost.
std::vector<uint32_t> Unbeaten(const Knapsack::Unit& unit) {
  std::vector<uint32_t> order(unit.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {},
                    [&](uint32_t o) { return std::tuple(unit[o].bytes, unit[o].cost, o); });
  double least = std::numeric_limits<double>::infinity();
  std::erase_if(order, [&](uint32_t o) {
    if (!(unit[o].cost < least)) return true;
    least = unit[o].cost;
    return false;
  });
  return order;
}

double SlopeOf(const KnapsackOption& from, const KnapsackOption& to) {
  return (from.cost - to.cost) / static_cast<double>(to.bytes - from.bytes);
}

}  // namespace

Result<Knapsack> Knapsack::Create(std::vector<Unit> units) {
  uint64_t bytes = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    const std::string where = fmt::format("unit {}", u);
    if (units[u].empty()) return Fail(ErrorCode::kBadArgument, where, "has no option");
    uint64_t most = 0;
    for (const KnapsackOption& option : units[u]) {
      if (!(option.cost >= 0 && option.cost <= kMaxCost)) {
        return Fail(ErrorCode::kBadArgument, where,
                    fmt::format("a cost of {} is not between 0 and {}", option.cost, kMaxCost));
      }
      most = std::max(most, option.bytes);
    }
    if (most > kMaxBytes - bytes) {
      return Fail(ErrorCode::kBadArgument, where, "the bytes add up to more than 2^63");
    }
    bytes += most;
  }
  return Knapsack(std::move(units));
}

Knapsack::Knapsack(std::vector<Unit> units) : units_(std::move(units)) {
  std::vector<uint32_t> first, last;
  for (uint32_t u = 0; u < units_.size(); ++u) {
    front_.push_back(Unbeaten(units_[u]));
    first.push_back(front_[u].front());
    last.push_back(front_[u].back());
    AddSteps(u);
  }
  smallest_ = ChoiceOf(units_, std::move(first));
  best_ = ChoiceOf(units_, std::move(last));
  std::ranges::sort(steps_, {}, [&](const Step& step) {
    return std::tuple(-step.slope, step.unit, units_[step.unit][step.option].bytes);
  });
  for (size_t i = 0; i <= steps_.size(); ++i) {
    const KnapsackChoice choice = ChoiceAt(i);
    corners_.push_back({choice.bytes, choice.cost});
  }
}

void Knapsack::AddSteps(uint32_t unit) {
  const Unit& options = units_[unit];
  const std::vector<uint32_t>& front = front_[unit];
  double before = std::numeric_limits<double>::infinity();
  for (size_t at = 0; at + 1 < front.size();) {
    size_t next = at + 1;
    double slope = SlopeOf(options[front[at]], options[front[next]]);
    for (size_t i = next + 1; i < front.size(); ++i) {
      const double other = SlopeOf(options[front[at]], options[front[i]]);
      if (other >= slope) std::tie(next, slope) = std::tuple(i, other);
    }
    before = std::min(before, slope);  // rounding must not turn steps round
    steps_.push_back({unit, front[next], before});
    at = next;
  }
}

KnapsackChoice Knapsack::ChoiceAt(size_t corner) const {
  std::vector<uint32_t> options = smallest_.options;
  for (size_t i = 0; i < corner; ++i) options[steps_[i].unit] = steps_[i].option;
  return ChoiceOf(units_, std::move(options));
}

Result<KnapsackChoice> Knapsack::LeastCost(uint64_t budget) const {
  if (budget < smallest_.bytes) {
    return Fail(ErrorCode::kBadArgument, "budget",
                fmt::format("nothing fits {} bytes; the fewest are {}", budget, smallest_.bytes));
  }
  const auto above = std::ranges::upper_bound(corners_, budget, {}, &Corner::bytes);
  if (above == corners_.end()) return best_;
  const auto at = static_cast<size_t>(above - corners_.begin()) - 1;
  Search search(units_, front_, steps_[at].slope, Goal::kLeastCost);
  return search.Best(ChoiceAt(at), {budget, 0});
}

Result<KnapsackChoice> Knapsack::FewestBytes(double limit) const {
  if (!(limit >= best_.cost)) {
    return Fail(ErrorCode::kBadArgument, "limit",
                fmt::format("nothing costs at most {}; the least is {}", limit, best_.cost));
  }
  const auto within =
      std::ranges::lower_bound(corners_, limit, std::ranges::greater(), &Corner::cost);
  const auto at = static_cast<size_t>(within - corners_.begin());
  if (at == 0) return smallest_;
  Search search(units_, front_, steps_[at - 1].slope, Goal::kFewestBytes);
  return search.Best(ChoiceAt(at), {0, limit});
}

std::vector<KnapsackChoice> Knapsack::Front(uint64_t points) const {
  const uint64_t way = best_.bytes - smallest_.bytes;
  const uint64_t step = std::max<uint64_t>(1, way / std::max<uint64_t>(1, points));
  std::vector<KnapsackChoice> front = {best_};
  while (front.back().bytes > smallest_.bytes) {
    const uint64_t left = front.back().bytes - smallest_.bytes;
    front.push_back(*LeastCost(smallest_.bytes + left - std::min(step, left)));
  }
  std::ranges::reverse(front);
  return front;
}

}  // namespace moe

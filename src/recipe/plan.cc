#include "recipe/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/pattern.h"
#include "recipe/mixed_rules.h"

namespace moe {
namespace {

using Options = std::vector<RecipeOption>;

constexpr const char* kEnergy = "energy";  // the cost term that can be added up

struct CompiledPin {
  const Recipe::Pin& pin;
  Pattern pattern;
  bool used = false;
};

Result<std::vector<CompiledPin>> Compiled(const std::vector<Recipe::Pin>& pins) {
  std::vector<CompiledPin> compiled;
  for (const Recipe::Pin& pin : pins) {
    auto pattern = Pattern::Compile(pin.pattern, fmt::format("pin '{}'", pin.pattern));
    if (!pattern) return tl::make_unexpected(pattern.error());
    compiled.push_back({pin, std::move(*pattern)});
  }
  return compiled;
}

Result<bool> Matches(const Pattern& pattern, const RecipeUnit& unit) {
  for (const RecipeModule& module : unit.modules) {
    for (const std::string& name : {module.mlx, module.hf}) {
      const auto match = pattern.Search(name);
      if (!match) return tl::make_unexpected(match.error());
      if (*match) return true;
    }
  }
  return false;
}

/// The pin of a unit; nullptr: it has none.
Result<const Recipe::Pin*> PinOf(const RecipeUnit& unit, std::vector<CompiledPin>& pins) {
  const Recipe::Pin* found = nullptr;
  for (CompiledPin& candidate : pins) {
    const auto matches = Matches(candidate.pattern, unit);
    if (!matches) return tl::make_unexpected(matches.error());
    if (!*matches) continue;
    candidate.used = true;
    if (found != nullptr && !AreSame(found->scheme, candidate.pin.scheme)) {
      return Fail(
          ErrorCode::kBadArgument, fmt::format("pin '{}'", candidate.pin.pattern),
          fmt::format("contradicts the pin '{}' of {}", found->pattern, unit.modules.front().mlx));
    }
    found = &candidate.pin;
  }
  return found;
}

/// `scheme` alone, which `who` demands.
Result<Options> OnlyOption(const RecipeUnit& unit, const StoredForm& scheme, unsigned float_bits,
                           const std::string& who) {
  if (const RecipeOption* option = FindOption(unit.alternatives, scheme)) return Options{*option};
  const auto bytes = StoredBytes(unit, scheme, float_bits);
  if (!bytes) {
    return Fail(ErrorCode::kBadArgument, who,
                fmt::format("{} does not fit {}", SchemeText(scheme), unit.modules.front().mlx));
  }
  return Options{{scheme, *bytes, scheme ? std::nullopt : std::optional(0.0)}};
}

/// Candidates with a cost and no fewer bits than the floors of the unit's role; the float that it
/// is, where none is left.
Result<Options> FreeOptions(RecipeUnit& unit, const std::vector<Recipe::Floor>& floors,
                            unsigned float_bits) {
  Options options = unit.alternatives;
  std::erase_if(options, [](const RecipeOption& option) { return !option.cost; });
  if (options.empty()) return Options{unit.chosen};
  for (const Recipe::Floor& floor : floors) {
    if (floor.role != unit.role) continue;
    const auto is_below = [&](const RecipeOption& option) {
      return option.scheme && (!floor.scheme || option.scheme->bits < floor.scheme->bits);
    };
    if (std::erase_if(options, is_below) > 0) unit.chosen_by = "floor";
  }
  if (!options.empty()) return options;
  return OnlyOption(unit, std::nullopt, float_bits, fmt::format("floor of {}", unit.role));
}

/// What a unit may become; says in chosen_by why it is not all of its candidates.
Result<Options> OptionsOf(RecipeUnit& unit, const PlanRules& rules, std::vector<CompiledPin>& pins,
                          unsigned float_bits) {
  const auto pin = PinOf(unit, pins);
  if (!pin) return tl::make_unexpected(pin.error());
  unit.chosen_by = "budget";
  if (*pin != nullptr) {
    unit.chosen_by = "pin";
    return OnlyOption(unit, (*pin)->scheme, float_bits, fmt::format("pin '{}'", (*pin)->pattern));
  }
  if (std::ranges::count(rules.keep, unit.role) > 0) {
    unit.chosen_by = "keep";
    return Options{unit.chosen};
  }
  return FreeOptions(unit, rules.floors, float_bits);
}

/// Those that both have, of both.
Options Common(const Options& a, const Options& b) {
  Options common;
  for (const RecipeOption& option : a) {
    const RecipeOption* other = FindOption(b, option.scheme);
    if (other == nullptr) continue;
    common.push_back({option.scheme, option.bytes + other->bytes, std::nullopt});
    if (option.cost && other->cost) common.back().cost = *option.cost + *other->cost;
  }
  return common;
}

/// Energies of both are added up; of the others those stay that are the same in both.
void JoinTerms(std::map<std::string, double>& terms, const std::map<std::string, double>& others) {
  std::erase_if(terms, [&](const auto& term) {
    const auto other = others.find(term.first);
    return term.first != kEnergy && (other == others.end() || other->second != term.second);
  });
  const auto energy = others.find(kEnergy);
  if (energy != others.end()) terms[kEnergy] += energy->second;
}

struct Part {
  RecipeUnit unit;
  Options options;
};

void Join(Part& whole, Part part) {
  RecipeUnit& unit = whole.unit;
  if (unit.layer != part.unit.layer) unit.layer = std::nullopt;
  if (unit.proj != part.unit.proj) unit.proj = "*";
  std::ranges::move(part.unit.modules, std::back_inserter(unit.modules));
  JoinTerms(unit.cost_terms, part.unit.cost_terms);
  unit.alternatives = Common(unit.alternatives, part.unit.alternatives);
  if (part.unit.chosen_by == "floor") unit.chosen_by = "floor";
  whole.options = Common(whole.options, part.options);
}

/// Puts units of one role that may choose together.
Result<std::vector<Part>> Joined(std::vector<Part> parts, std::string_view by) {
  const bool over_layers = by == "proj" || by == "model",
             over_projs = by == "layer" || by == "model";
  if (!over_layers && !over_projs) return parts;
  std::map<std::tuple<std::string, int64_t, std::string>, size_t> place;
  std::vector<Part> joined;
  for (Part& part : parts) {
    const RecipeUnit& unit = part.unit;
    const auto key = std::tuple(unit.role, over_layers ? -1 : unit.layer.value_or(-1),
                                over_projs ? std::string() : unit.proj);
    const bool is_free = part.options.size() > 1;
    const auto [at, is_new] =
        is_free ? place.try_emplace(key, joined.size()) : std::pair(place.end(), true);
    if (is_new) {
      joined.push_back(std::move(part));
      continue;
    }
    Join(joined[at->second], std::move(part));
    if (joined[at->second].options.empty()) {
      return Fail(ErrorCode::kBadArgument, fmt::format("unit {}", by),
                  fmt::format("no candidate fits all of {}", joined[at->second].unit.role));
    }
  }
  return joined;
}

/// Rounded up to `digits` behind the point, to be given as a budget.
std::string RoundedUp(double value, int digits) {
  const double scale = std::pow(10, digits);
  return fmt::format("{:.{}f}", std::ceil(value * scale) / scale, digits);
}

}  // namespace

Result<Plan> Plan::Create(Recipe recipe, const PlanRules& rules) {
  auto pins = Compiled(rules.pins);
  if (!pins) return tl::make_unexpected(pins.error());
  std::vector<Part> parts;
  for (RecipeUnit& unit : recipe.units) {
    auto options = OptionsOf(unit, rules, *pins, recipe.float_bits());
    if (!options) return tl::make_unexpected(options.error());
    parts.push_back({std::move(unit), std::move(*options)});
  }
  for (const CompiledPin& pin : *pins) {
    if (pin.used) continue;
    return Fail(ErrorCode::kBadArgument, fmt::format("pin '{}'", pin.pin.pattern),
                "matches the name of no module");
  }
  auto joined = Joined(std::move(parts), rules.unit);
  if (!joined) return tl::make_unexpected(joined.error());

  recipe.units.clear();
  std::vector<Options> options;
  for (Part& part : *joined) {
    recipe.units.push_back(std::move(part.unit));
    options.push_back(std::move(part.options));
  }
  recipe.unit = rules.unit;
  recipe.pins = rules.pins;
  recipe.floors = rules.floors;
  recipe.keep = rules.keep;
  return Made(std::move(recipe), std::move(options));
}

Result<Plan> Plan::Of(Recipe recipe) {
  std::vector<Options> options;
  for (RecipeUnit& unit : recipe.units) {
    if (unit.chosen_by == "pin" || unit.chosen_by == "keep") {
      options.push_back({unit.chosen});
      continue;
    }
    unit.alternatives.push_back(unit.chosen);
    auto free = FreeOptions(unit, recipe.floors, recipe.float_bits());
    if (!free) return tl::make_unexpected(free.error());
    options.push_back(std::move(*free));
  }
  return Made(std::move(recipe), std::move(options));
}

Result<Plan> Plan::Made(Recipe recipe, std::vector<Options> options) {
  std::vector<Knapsack::Unit> items;
  for (const Options& of_unit : options) {
    items.emplace_back();
    for (const RecipeOption& option : of_unit) {
      items.back().push_back({option.bytes, option.cost.value_or(0)});
    }
  }
  return Knapsack::Create(std::move(items)).map([&](Knapsack knapsack) {
    return Plan(std::move(recipe), std::move(options), std::move(knapsack));
  });
}

Plan::Plan(Recipe recipe, std::vector<Options> options, Knapsack knapsack)
    : recipe_(std::move(recipe)), options_(std::move(options)), knapsack_(std::move(knapsack)) {
  for (size_t u = 0; u < options_.size(); ++u) {
    const RecipeOption& first = options_[u].front();
    if (first.scheme) {
      quantized_weights_ += WeightsOf(recipe_.units[u]);
    } else {
      float_bytes_ += first.bytes;
    }
  }
}

Recipe Plan::RecipeOf(const std::vector<uint32_t>& options) const {
  Recipe recipe = recipe_;
  recipe.objective.value = 0;
  for (size_t u = 0; u < options.size(); ++u) {
    RecipeUnit& unit = recipe.units[u];
    unit.chosen = options_[u][options[u]];
    recipe.objective.value += unit.chosen.cost.value_or(0);
    std::erase_if(unit.alternatives, [&](const RecipeOption& option) {
      return AreSame(option.scheme, unit.chosen.scheme);
    });
  }
  return recipe;
}

Recipe Plan::RecipeOf(const KnapsackChoice& choice) const {
  Recipe recipe = RecipeOf(choice.options);
  if (choice.gap > 0) {
    recipe.not_known.push_back(fmt::format(
        "whether another choice is better: the search ended early; none is by more than {:.2g} %",
        100 * choice.gap));
  }
  return recipe;
}

double Plan::BitsIn(uint64_t units_bytes) const {
  if (quantized_weights_ == 0) return 0;
  return 8 * static_cast<double>(units_bytes - float_bytes_) /
         static_cast<double>(quantized_weights_);
}

uint64_t Plan::BytesIn(double bits) const {
  const uint64_t most = knapsack_.best().bytes;
  if (bits >= BitsIn(most)) return most;
  uint64_t bytes =
      float_bytes_ + static_cast<uint64_t>(bits * static_cast<double>(quantized_weights_) / 8);
  while (BitsIn(bytes) > bits) --bytes;  // what rounding did to the product
  while (BitsIn(bytes + 1) <= bits) ++bytes;
  return bytes;
}

Result<Recipe> Plan::AtBits(double bits) const {
  const double least = BitsIn(knapsack_.smallest().bytes);
  if (!(bits >= least)) {
    return Fail(ErrorCode::kBadArgument, fmt::format("{} bits", bits),
                fmt::format("no choice of these schemes is so small; the fewest bits are {}",
                            RoundedUp(least, 4)));
  }
  const uint64_t budget = BytesIn(bits);
  return knapsack_.LeastCost(budget).map([&](const KnapsackChoice& choice) {
    Recipe recipe = RecipeOf(choice);
    recipe.budget = {"bits", fmt::format("{}", bits), budget, std::nullopt};
    return recipe;
  });
}

Result<Recipe> Plan::AtSize(uint64_t bytes) const {
  const uint64_t untouched = recipe_.coverage.untouched_bytes;
  const uint64_t least = untouched + knapsack_.smallest().bytes;
  if (bytes < least) {
    return Fail(ErrorCode::kBadArgument, fmt::format("{} bytes", bytes),
                fmt::format("no choice of these schemes is so small; the fewest are {}", least));
  }
  return knapsack_.LeastCost(bytes - untouched).map([&](const KnapsackChoice& choice) {
    Recipe recipe = RecipeOf(choice);
    recipe.budget = {"size", fmt::format("{}", bytes), bytes - untouched, std::nullopt};
    return recipe;
  });
}

Result<Recipe> Plan::AsGoodAs(const QuantScheme& scheme, double share) const {
  const auto uniform = PlanOf(scheme, RecipeOf(knapsack_.smallest().options));
  if (!uniform) {
    return Fail(ErrorCode::kBadArgument, SchemeText(scheme), "no unit has numbers of this scheme",
                "'moescope analyze MODEL --schemes LIST' measures more");
  }
  const double cost = share * uniform->cost, least = knapsack_.best().cost;
  if (!(cost >= least)) {
    return Fail(ErrorCode::kBadArgument,
                fmt::format("{} times the objective of {} for all", share, SchemeText(scheme)),
                fmt::format("no choice of these schemes is so good; the least is {} times",
                            RoundedUp(least / uniform->cost, 4)));
  }
  return knapsack_.FewestBytes(cost).map([&](const KnapsackChoice& choice) {
    Recipe recipe = RecipeOf(choice);
    recipe.budget = {"as_good_as", SchemeText(scheme), std::nullopt, cost};
    return recipe;
  });
}

std::vector<Plan::Point> Plan::Front(uint64_t points) const {
  std::vector<Point> front;
  for (KnapsackChoice& choice : knapsack_.Front(points)) {
    front.push_back(
        {choice.bytes + recipe_.coverage.untouched_bytes, BitsIn(choice.bytes), choice.cost, {}});
    for (size_t u = 0; u < options_.size(); ++u) {
      front.back().schemes.push_back(options_[u][choice.options[u]].scheme);
    }
  }
  return front;
}

}  // namespace moe

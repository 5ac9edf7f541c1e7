#include "experts/weight_names.h"

#include <fmt/format.h>

#include "experts/config_numbers.h"
#include "experts/roles.h"

namespace moe {

bool EndsAsWeight(const ProjNames& names, std::string_view lower) {
  auto parts = NameComponents(lower.substr(0, lower.find_last_not_of('\n') + 1));
  if (IsW13(lower) || names.Infer(parts.back())) return true;
  constexpr std::string_view kOwnWeight = "_weight";
  if (parts.back().ends_with(kOwnWeight)) {
    parts.back().remove_suffix(kOwnWeight.size());
  } else if (parts.back() == "weight") {
    parts.pop_back();
  } else {
    return false;
  }
  while (parts.size() > 1 && IntegerIn(parts.back())) parts.pop_back();
  return !parts.empty() && names.Infer(fmt::format(".{}.", parts.back())).has_value();
}

bool IsW13(std::string_view lower) {
  return lower.ends_with(".w13_weight") || lower.ends_with(".w13.weight");
}

bool IsOfAdapter(std::string_view lower) { return lower.find(".lora_") != std::string_view::npos; }

}  // namespace moe

#include "report/choice_data.h"

#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "base/json_text.h"
#include "insight/choice.h"

namespace moe {
namespace {

/// More exact than what is shown, in few bytes.
double Rounded(double value) { return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr); }

Json SchemeJson(uint32_t scheme) { return scheme == kAsStored ? Json(-1) : Json(scheme); }

/// A list of `of` each.
template <class List, class Of>
Json ListOf(const List& list, const Of& of) {
  Json json = Json::Array();
  for (const auto& item : list) json.push_back(of(item));
  return json;
}

Json BudgetsJson(const Chooser& chooser) {
  std::vector<uint32_t> before(chooser.units().size(), kAsStored);
  Json list = Json::Array();
  for (const auto& [bytes, pick] : chooser.ByBudget()) {
    Json changes = Json::Array();
    for (size_t u = 0; u < before.size(); ++u) {
      const uint32_t scheme = pick.choice.schemes[u];
      if (scheme == before[u]) continue;
      changes.push_back(u);
      changes.push_back(SchemeJson(scheme));
      before[u] = scheme;
    }
    list.push_back({{"from", bytes},
                    {"base", OrNull(pick.base)},
                    {"saves", Rounded(pick.saves)},
                    {"changes", std::move(changes)}});
  }
  return list;
}

}  // namespace

std::string ChoiceJson(const RunMatrices& matrices) {
  const Chooser chooser(UnitsOf(matrices));
  const std::vector<Unit>& units = chooser.units();
  Json json;
  for (const char* list : {"fits", "fronts"}) json[list] = Json::Array();
  for (size_t s = 0; s < matrices.schemes.size(); ++s) {
    json["fits"].push_back(
        ListOf(units, [s](const Unit& unit) { return unit.options[s].fits ? 1 : 0; }));
  }
  for (size_t judge = 0; judge < kJudges.size(); ++judge) {
    json["fronts"].push_back(ListOf(units, [&](const Unit& u) { return Frontier(u, judge); }));
  }
  Json::List uniform(matrices.schemes.size());
  for (const uint32_t scheme : chooser.Usable()) {
    uniform[scheme] = ListOf(chooser.Uniform(scheme).schemes, SchemeJson);
  }
  json["uniform"] = Json::Array(std::move(uniform));
  const auto reference = ReferenceScheme(chooser, matrices.schemes);
  json["reference"] = OrNull(reference);
  json["real_saving"] = kRealSaving.share;
  json["good"] = nullptr;
  if (reference) {
    const Pick pick = chooser.AsGoodAs(*reference);
    json["good"] = {{"scheme", ListOf(pick.choice.schemes, SchemeJson)},
                    {"base", OrNull(pick.base)},
                    {"saves", Rounded(pick.saves)}};
  }
  json["budgets"] = BudgetsJson(chooser);
  return json.Text();
}

}  // namespace moe

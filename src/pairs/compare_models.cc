#include "pairs/compare_models.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

namespace moe {
namespace {

constexpr size_t kWorstInJson = 50;

CompareRow RowOf(const WeightPair& pair, const Result<PairNumbers>& numbers) {
  CompareRow row{IdentityOf(pair.a, pair.b), "unread", {}, {}};
  if (!numbers) {
    row.reason = numbers.error().message;
    return row;
  }
  row.numbers = *numbers;
  const bool broken = numbers->nonfinite_a != numbers->nonfinite_b || numbers->broken > 0;
  row.status = numbers->identical() ? "identical" : broken ? "nonfinite" : "changed";
  return row;
}

void Count(const CompareRow& row, RoleCounts& counts) {
  ++counts.matrices;
  if (row.status == "unread") {
    ++counts.unread;
    return;
  }
  ++(row.status == "identical" ? counts.identical : counts.changed);
  counts.sum_dd += row.numbers.sum_dd;
  counts.sum_aa += row.numbers.sum_aa;
  counts.largest = std::max(counts.largest, row.numbers.rel_distance().value_or(0));
}

double Distance(const CompareRow& row) {
  if (row.status == "nonfinite") return std::numeric_limits<double>::infinity();
  const double none = row.numbers.sum_dd > 0 ? std::numeric_limits<double>::max() : 0;
  return row.numbers.rel_distance().value_or(none);
}

void CountExperts(const std::vector<WeightPair>& pairs, ModelComparison& comparison) {
  std::set<std::pair<int64_t, int64_t>> all, changed;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const WeightKey& key = pairs[i].a.key;
    const bool is_bias = key.kind == WeightKey::Kind::kOther && key.number >= 0;
    if ((key.kind != WeightKey::Kind::kRouted && !is_bias) || !key.stack.empty()) continue;
    all.emplace(key.layer, key.number);
    if (comparison.rows[i].status != "identical") changed.emplace(key.layer, key.number);
  }
  comparison.experts = all.size();
  for (const auto& [layer, expert] : changed) comparison.changed_experts[layer].push_back(expert);
}

Json WorstJson(const ModelComparison& comparison) {
  Json json = Json::Array();
  for (const CompareRow* row : comparison.Worst(kWorstInJson)) {
    json.push_back({{"weight", row->id.text},
                    {"tensor_a", row->id.tensor_a},
                    {"tensor_b", row->id.tensor_b},
                    {"status", row->status},
                    {"rel_distance", OrNull(row->numbers.rel_distance())},
                    {"cosine", OrNull(row->numbers.cosine())}});
  }
  return json;
}

}  // namespace

uint64_t ModelComparison::Count(uint64_t RoleCounts::* what) const {
  uint64_t sum = 0;
  for (const auto& [role, counts] : roles) sum += counts.*what;
  return sum;
}

bool ModelComparison::equal() const {
  const uint64_t all = Count(&RoleCounts::matrices);
  return Count(&RoleCounts::identical) + Count(&RoleCounts::unread) == all;
}

std::vector<const CompareRow*> ModelComparison::Worst(size_t most) const {
  std::vector<const CompareRow*> worst;
  for (const CompareRow& row : rows) {
    if (row.status == "changed" || row.status == "nonfinite") worst.push_back(&row);
  }
  std::ranges::stable_sort(
      worst, [](const auto* x, const auto* y) { return Distance(*x) > Distance(*y); });
  if (worst.size() > most) worst.resize(most);
  return worst;
}

Result<ModelComparison> CompareModels(const Model& a, const Model& b,
                                      const PairWorkOptions& options) {
  ModelComparison comparison;
  comparison.pairs = PairModels(a, b);
  const auto make = [](const WeightPair&, OpenPair opened) -> Result<PairNumbers> {
    PairSums sums(opened.a->cols());
    auto read = ForTilesOf(*opened.a, *opened.b,
                           [&](const Tile& tile, auto x, auto y) { sums.Add(tile, x, y); });
    if (!read) return tl::make_unexpected(read.error());
    return sums.numbers();
  };
  const auto take = [&](const WeightPair& pair,
                        const Result<PairNumbers>& numbers) -> Result<void> {
    comparison.rows.push_back(RowOf(pair, numbers));
    Count(comparison.rows.back(), comparison.roles[comparison.rows.back().id.role]);
    return {};
  };
  auto done = ForPairs(comparison.pairs.pairs, options, make, take);
  if (!done) return tl::make_unexpected(done.error());
  CountExperts(comparison.pairs.pairs, comparison);
  return comparison;
}

Json ComparisonJson(const ModelComparison& comparison, const Model& a, const Model& b) {
  Json roles = Json::Object();
  for (const auto& [role, counts] : comparison.roles) {
    const bool any = counts.sum_aa > 0;
    roles[role] = {{"weights", counts.matrices},
                   {"identical", counts.identical},
                   {"changed", counts.changed},
                   {"unread", counts.unread},
                   {"rel_distance", any ? Json(std::sqrt(counts.sum_dd / counts.sum_aa)) : Json()},
                   {"largest_rel_distance", counts.largest}};
  }
  Json misshapen = Json::Array();
  for (const auto& [x, y] : comparison.pairs.misshapen) {
    misshapen.push_back({{"weight", x.key.Text()},
                         {"tensor_a", x.tensor->info().name},
                         {"tensor_b", y.tensor->info().name},
                         {"shape_a", Json::Array({x.view.rows, x.view.cols})},
                         {"shape_b", Json::Array({y.view.rows, y.view.cols})}});
  }
  Json experts = Json::Array();
  for (const auto& [layer, list] : comparison.changed_experts) {
    experts.push_back({{"layer", layer}, {"experts", Json(list)}});
  }
  const char* verdict = !comparison.equal()     ? "differs"
                        : comparison.complete() ? "equal"
                                                : "incomplete";
  return {{"schema_version", 1},
          {"a", a.path().string()},
          {"b", b.path().string()},
          {"verdict", verdict},
          {"complete", comparison.complete()},
          {"roles", std::move(roles)},
          {"routed_experts", comparison.experts},
          {"changed_experts", std::move(experts)},
          {"worst", WorstJson(comparison)},
          {"misshapen", std::move(misshapen)},
          {"only_a", UnpairedJson(comparison.pairs.only_a)},
          {"only_b", UnpairedJson(comparison.pairs.only_b)},
          {"unread_a", UnpairedJson(comparison.pairs.unread_a)},
          {"unread_b", UnpairedJson(comparison.pairs.unread_b)}};
}

}  // namespace moe

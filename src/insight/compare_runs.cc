#include "insight/compare_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "rows/fields.h"
#include "tables/aggregate.h"

namespace moe {
namespace {

using Key = std::tuple<StackLayer, Slot, std::string>;

Key KeyOf(const RunMatrices& run, size_t matrix) {
  const auto& place = run.places[matrix];
  return {run.layers[place.layer], run.slots[place.slot], run.projs[place.proj]};
}

class Joining {
 public:
  Joining(const RunMatrices& a, const RunMatrices& b, RowSink& sink) : a_(a), b_(b), sink_(sink) {}

  Result<RunComparison> Run() {
    Join();
    auto done = AddMetrics(false, 0, 0, "");
    const auto schemes = [](const RunMatrices& run) {
      std::vector<std::string> names;
      for (const SimulatedScheme& scheme : run.schemes) names.push_back(scheme.name);
      return names;
    };
    const auto of_a = schemes(a_), of_b = schemes(b_);
    for (size_t i = 0; done && i < of_a.size(); ++i) {
      const auto other = std::ranges::find(of_b, of_a[i]);
      if (other == of_b.end()) {
        out_.schemes_a.push_back(of_a[i]);
      } else {
        done = AddMetrics(true, i, static_cast<size_t>(other - of_b.begin()), of_a[i]);
      }
    }
    if (!done) return tl::make_unexpected(done.error());
    for (const std::string& name : of_b) {
      if (std::ranges::count(of_a, name) == 0) out_.schemes_b.push_back(name);
    }
    return std::move(out_);
  }

 private:
  void Join() {
    std::map<Key, size_t> in_b;
    for (size_t i = 0; i < b_.size(); ++i) in_b.emplace(KeyOf(b_, i), i);
    for (size_t i = 0; i < a_.size(); ++i) {
      const auto found = in_b.find(KeyOf(a_, i));
      if (found == in_b.end()) {
        ++out_.only_a;
      } else {
        pairs_.emplace_back(i, found->second);
      }
    }
    out_.joined = pairs_.size();
    out_.only_b = b_.size() - pairs_.size();
  }

  /// All metrics of the weights, or of a scheme, that both have.
  Result<void> AddMetrics(bool of_quant, size_t scheme_a, size_t scheme_b,
                          const std::string& scheme) {
    for (const MatrixMetric& metric : a_.metrics) {
      const MatrixMetric* other = b_.Find(metric.column.name);
      if (metric.of_quant != of_quant || other == nullptr || other->of_quant != of_quant) continue;
      MetricPair pair;
      pair.scheme = scheme;
      pair.metric = metric.column.name;
      auto done = Add(metric.values[scheme_a], other->values[scheme_b], pair);
      if (!done) return done;
      out_.metrics.push_back(std::move(pair));
    }
    return {};
  }

  Result<void> Add(const std::vector<double>& of_a, const std::vector<double>& of_b,
                   MetricPair& pair) {
    std::vector<double> all_a, all_b;
    for (const auto& [i, j] : pairs_) {
      const double x = of_a[i], y = of_b[j];
      pair.only_a += !std::isnan(x) && std::isnan(y) ? 1 : 0;
      pair.only_b += std::isnan(x) && !std::isnan(y) ? 1 : 0;
      if (std::isnan(x) || std::isnan(y)) continue;
      all_a.push_back(x), all_b.push_back(y);
      pair.equal += x == y ? 1 : 0;
      pair.less_in_b += y < x ? 1 : 0;
      if (std::abs(y - x) > std::abs(pair.furthest)) {
        pair.furthest = y - x;
        pair.furthest_at = a_.ExpertText(i) + ", " + a_.projs[a_.places[i].proj];
      }
      if (auto done = sink_.Append(RunPairTable().RowOf(RowOf(i, pair, x, y))); !done) return done;
    }
    pair.joined = all_a.size();
    if (all_a.empty()) return {};
    pair.worst_a = *std::ranges::max_element(all_a);
    pair.worst_b = *std::ranges::max_element(all_b);
    pair.median_a = Quantile(all_a, 0.5);
    pair.median_b = Quantile(all_b, 0.5);
    return {};
  }

  RunPairRow RowOf(size_t matrix, const MetricPair& pair, double x, double y) const {
    const auto& place = a_.places[matrix];
    const StackLayer& layer = a_.layers[place.layer];
    return {layer.stack,
            layer.layer,
            a_.slots[place.slot].Label(),
            a_.projs[place.proj],
            pair.scheme,
            pair.metric,
            x,
            y};
  }

  const RunMatrices& a_;
  const RunMatrices& b_;
  RowSink& sink_;
  std::vector<std::pair<size_t, size_t>> pairs_;
  RunComparison out_;
};

}  // namespace

bool RunComparison::equal() const {
  return std::ranges::all_of(metrics, [](const auto& pair) { return pair.equal == pair.joined; });
}

bool RunComparison::complete() const {
  return joined > 0 && only_a == 0 && only_b == 0 && schemes_a.empty() && schemes_b.empty() &&
         std::ranges::all_of(metrics,
                             [](const auto& pair) { return pair.only_a + pair.only_b == 0; });
}

const Table<RunPairRow>& RunPairTable() {
  using R = RunPairRow;
  const auto number = [](const char* name, const char* doc, auto get) {
    return Table<R>::Field({.name = name, .doc = doc},
                           [get](const R& row) { return Value(get(row)); });
  };
  static const Table<R> table{
      "compare_runs",
      {Cell(Text("stack", "part of the model (mtp, vision, ...); empty: the text model"),
            &R::stack),
       Cell(Integer("layer", "", "layer number; -1: unknown"), &R::layer),
       Cell(Text("expert", "number of the expert, or which of the shared ones"), &R::expert),
       Cell(Text("proj", "projection"), &R::proj),
       Cell(Text("scheme", "of quant_sim; empty: a number of matrix_stats"), &R::scheme),
       Cell(Text("metric", "column of that table"), &R::metric),
       number("a", "its value in the first run", [](const R& row) { return row.a; }),
       number("b", "its value in the second run", [](const R& row) { return row.b; }),
       number("difference", "b - a", [](const R& row) { return row.b - row.a; })}};
  return table;
}

Result<RunComparison> CompareRuns(const RunMatrices& a, const RunMatrices& b, RowSink& sink) {
  return Joining(a, b, sink).Run();
}

Json RunComparisonJson(const RunComparison& comparison) {
  Json metrics = Json::Array();
  for (const MetricPair& pair : comparison.metrics) {
    metrics.push_back(
        {{"scheme", pair.scheme.empty() ? Json() : Json(pair.scheme)},
         {"metric", pair.metric},
         {"matrices", pair.joined},
         {"equal", pair.equal},
         {"less_in_b", pair.less_in_b},
         {"only_a", pair.only_a},
         {"only_b", pair.only_b},
         {"median_a", pair.median_a},
         {"median_b", pair.median_b},
         {"largest_a", pair.worst_a},
         {"largest_b", pair.worst_b},
         {"furthest", pair.furthest},
         {"furthest_at", pair.furthest_at.empty() ? Json() : Json(pair.furthest_at)}});
  }
  const char* verdict = !comparison.equal()     ? "differs"
                        : comparison.complete() ? "equal"
                                                : "incomplete";
  return {{"schema_version", 1},
          {"verdict", verdict},
          {"complete", comparison.complete()},
          {"matrices", comparison.joined},
          {"only_a", comparison.only_a},
          {"only_b", comparison.only_b},
          {"schemes_only_a", Json(comparison.schemes_a)},
          {"schemes_only_b", Json(comparison.schemes_b)},
          {"metrics", std::move(metrics)}};
}

}  // namespace moe

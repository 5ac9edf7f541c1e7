#include "insight/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <ranges>
#include <set>
#include <utility>

#include "tables/aggregate.h"

namespace moe {
namespace {

using Place = RunMatrices::Place;

constexpr double kEndlessZ = 1e6;   // all others are equal
constexpr double kFarRatio = 1.25;  // a smaller difference hardly matters to anyone
constexpr double kDeadRatio = 1e-3;
// 99.9 % of the weights over the median: 4.88 for normal weights, 9.97 for Laplace's.
constexpr double kHeavyTail = 10;
constexpr double kVanished = 0.5;
constexpr size_t kMostCopies = 4;  // named in one sentence
constexpr size_t kNeighbours = 4;  // layers nearest to one: their median bears one that is odd

/// A finding with how striking it is.
struct Scored {
  double score = 0;
  Finding finding;
};

/// Matrices [begin, end): one projection of one layer.
struct Group {
  uint32_t proj, layer;
  size_t begin, end;
};

std::vector<Group> GroupsOf(const RunMatrices& matrices) {
  std::vector<Group> groups;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const Place& at = matrices.places[i];
    if (groups.empty() || groups.back().proj != at.proj || groups.back().layer != at.layer) {
      groups.push_back({at.proj, at.layer, i, i});
    }
    groups.back().end = i + 1;
  }
  return groups;
}

double MedianOf(std::vector<double> values) { return Quantile(values, 0.5); }

/// Median and spread of logarithms.
struct Spread {
  double median, deviation;
  double Z(double value) const {
    const double off = value - median;
    return off == 0 ? 0 : off / std::max(deviation, 1e-12);
  }
};

Spread SpreadOf(const std::vector<double>& values) {
  const double median = MedianOf(values);
  std::vector<double> distances;
  for (const double value : values) distances.push_back(std::fabs(value - median));
  return {median, 1.4826 * MedianOf(distances)};
}

bool IsFar(double z, double log_ratio) {
  return std::fabs(z) >= kFarZ && std::fabs(log_ratio) >= std::log(kFarRatio);
}

/// Three digits, or all of a larger number.
std::string Short(double value) {
  const bool whole = std::fabs(value) >= 1000 && std::fabs(value) < 1e6;
  return whole ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

/// "a", "a and b", "a, b and c".
std::string Listed(const std::vector<std::string>& words) {
  if (words.size() < 2) return words.empty() ? "" : words.front();
  const std::vector<std::string> head(words.begin(), words.end() - 1);
  return fmt::format("{} and {}", fmt::join(head, ", "), words.back());
}

/// What a metric is called in a sentence.
std::string_view Named(std::string_view metric) {
  if (metric == "w_rel_fro") return "relative error";
  if (metric == "outlier_max_over_mean") return "ratio of largest to mean weight";
  return metric;
}

class Finder {
 public:
  explicit Finder(const RunMatrices& matrices)
      : m_(matrices), groups_(GroupsOf(matrices)), few_huge_(FewHugeShares(matrices)) {}

  std::vector<Scored> All() {
    FindNonFinite();
    FindDead();
    FindDuplicates();
    FindOutlierExperts();
    FindHeavyTails();
    FindLayerTrends();
    FindVanishing();
    FindFewHuge();
    return std::move(found_);
  }

 private:
  const std::vector<double>* Stats(std::string_view metric) const {
    const MatrixMetric* found = m_.Find(metric);
    return found == nullptr || found->of_quant ? nullptr : &found->values.front();
  }

  const std::string& ProjOf(size_t matrix) const { return m_.projs[m_.places[matrix].proj]; }
  /// What else `projs` has than the projection of `matrix`: "; gate and up too".
  std::string Also(std::vector<std::string> projs, size_t matrix) const {
    std::erase(projs, ProjOf(matrix));
    return projs.empty() ? "" : fmt::format("; {} too", Listed(projs));
  }
  std::string Under(std::optional<uint32_t> scheme) const {
    return scheme ? " under " + m_.schemes[*scheme].name : "";
  }

  void Add(FindingKind kind, double score, const Place& at, std::string metric, std::string text) {
    found_.push_back(
        {score, {kind, std::move(text), at.proj, at.layer, at.slot, {}, std::move(metric)}});
  }

  /// One matrix of an expert that is odd, against what is typical of its group.
  struct OddMatrix {
    size_t matrix;
    double score, typical = 0, z = 0;
    std::optional<uint32_t> scheme = std::nullopt;
  };

  /// The same oddity of several matrices of one expert is one finding, about the worst of them:
  /// text(worst, names of the projections, each once).
  template <class Text>
  void AddByExpert(FindingKind kind, const std::string& metric, std::vector<OddMatrix> odd,
                   const Text& text) {
    const auto expert = [this](const OddMatrix& one) {
      const Place& at = m_.places[one.matrix];
      return std::pair(at.layer, at.slot);
    };
    std::ranges::stable_sort(odd, {}, expert);
    for (size_t i = 0; i < odd.size();) {
      OddMatrix worst = odd[i];
      std::set<std::string> projs;
      const auto of = expert(odd[i]);
      for (; i < odd.size() && expert(odd[i]) == of; ++i) {
        projs.insert(ProjOf(odd[i].matrix));
        if (odd[i].score > worst.score) worst = odd[i];
      }
      Add(kind, worst.score, m_.places[worst.matrix], metric,
          text(worst, std::vector<std::string>(projs.begin(), projs.end())));
      found_.back().finding.scheme = worst.scheme;
    }
  }

  void FindNonFinite() {
    const auto* counts = Stats("nonfinite_count");
    if (counts == nullptr) return;
    for (size_t i = 0; i < m_.size(); ++i) {
      const double count = (*counts)[i];
      if (!(count > 0)) continue;
      Add(FindingKind::kNonFinite, count, m_.places[i], "nonfinite_count",
          fmt::format("{}: {} holds {} NaN or infinite weight{}, so nothing else is known of it.",
                      m_.ExpertText(i), ProjOf(i), count, count == 1 ? "" : "s"));
    }
  }

  void FindDead() {
    const auto* rms = Stats("rms");
    if (rms == nullptr) return;
    std::vector<OddMatrix> zero, small;
    for (const Group& group : groups_) {
      std::vector<double> values;
      for (size_t i = group.begin; i < group.end; ++i) {
        if (!std::isnan((*rms)[i])) values.push_back((*rms)[i]);
      }
      if (values.empty()) continue;
      const double median = MedianOf(values);
      for (size_t i = group.begin; i < group.end; ++i) {
        const double value = (*rms)[i];
        if (value == 0) zero.push_back({i, 1});
        if (value > 0 && value < kDeadRatio * median) small.push_back({i, median / value, median});
      }
    }
    for (const OddMatrix& odd : small) tiny_.insert(odd.matrix);
    AddByExpert(FindingKind::kDead, "rms", zero, [&](const OddMatrix& odd, const auto& projs) {
      return fmt::format("{}: all weights of {} are zero.", m_.ExpertText(odd.matrix),
                         Listed(projs));
    });
    AddByExpert(FindingKind::kDead, "rms", small, [&](const OddMatrix& odd, const auto& projs) {
      return fmt::format("{}: the weights of {} are tiny: rms {}, its layer's median {}{}.",
                         m_.ExpertText(odd.matrix), ProjOf(odd.matrix), Short((*rms)[odd.matrix]),
                         Short(odd.typical), Also(projs, odd.matrix));
    });
  }

  void FindDuplicates() {
    std::vector<const std::vector<double>*> stats;
    for (const char* metric : {"rms", "mean", "std", "mean_abs", "max_abs"}) {
      if (const auto* values = Stats(metric)) stats.push_back(values);
    }
    if (stats.size() < 5) return;
    const auto key = [&](size_t i) {
      std::vector<double> values = {static_cast<double>(m_.places[i].shape)};
      for (const auto* of : stats) values.push_back((*of)[i]);
      return values;
    };
    std::map<std::vector<double>, std::vector<size_t>> same;
    for (size_t i = 0; i < m_.size(); ++i) {
      if ((*stats.front())[i] > 0) same[key(i)].push_back(i);  // zeroes are dead, not copies
    }
    std::map<std::vector<Expert>, Copies> by_experts;
    for (const auto& [values, matrices] : same) {
      if (matrices.size() < 2) continue;
      std::vector<Expert> experts;
      for (const size_t i : matrices) experts.emplace_back(m_.places[i].layer, m_.places[i].slot);
      Copies& copies = by_experts[experts];
      copies.first = std::min(copies.first, matrices.front());
      for (const size_t i : matrices) copies.projs.insert(ProjOf(i));
    }
    for (const auto& [experts, copies] : by_experts) AddCopies(experts, copies);
  }

  using Expert = std::pair<uint32_t, uint32_t>;  ///< layer, slot

  /// The matrices that some experts have in common.
  struct Copies {
    size_t first = std::numeric_limits<size_t>::max();
    std::set<std::string> projs;
  };

  void AddCopies(const std::vector<Expert>& experts, const Copies& copies) {
    std::vector<std::string> names;
    for (const auto& [layer, slot] : experts | std::views::take(kMostCopies)) {
      names.push_back(fmt::format("layer {} {}{}", m_.layers[layer].Label(),
                                  m_.slots[slot].shared ? "" : "expert ", m_.slots[slot].Label()));
    }
    if (experts.size() > kMostCopies) {
      names.push_back(fmt::format("{} more", experts.size() - kMostCopies));
    }
    Add(FindingKind::kDuplicate, static_cast<double>(experts.size()), m_.places[copies.first],
        "rms",
        fmt::format("Equal in mean, deviation, size and largest weight, as copies are: {} of {}.",
                    Listed({copies.projs.begin(), copies.projs.end()}), Listed(names)));
  }

  /// Routed experts of `group` with a positive value, but for the tiny ones, of which is told.
  std::vector<size_t> Comparable(const Group& group, const std::vector<double>& values) const {
    std::vector<size_t> matrices;
    for (size_t i = group.begin; i < group.end; ++i) {
      const bool told = tiny_.contains(i);
      if (!told && !m_.slots[m_.places[i].slot].shared && values[i] > 0) matrices.push_back(i);
    }
    return matrices;
  }

  void FindOutlierExperts() {
    for (const char* metric : {"rms", "outlier_max_over_mean"}) {
      if (const auto* values = Stats(metric)) AddOutliers(metric, OutliersOf(*values, {}));
    }
    const MatrixMetric* error = m_.Find("w_rel_fro");
    if (error == nullptr) return;
    std::vector<OddMatrix> odd;
    for (uint32_t scheme = 0; scheme < m_.schemes.size(); ++scheme) {
      const auto of_scheme = OutliersOf(error->values[scheme], scheme);
      odd.insert(odd.end(), of_scheme.begin(), of_scheme.end());
    }
    AddOutliers("w_rel_fro", odd);
  }

  std::vector<OddMatrix> OutliersOf(const std::vector<double>& values,
                                    std::optional<uint32_t> scheme) const {
    std::vector<OddMatrix> odd;
    for (const Group& group : groups_) {
      const std::vector<size_t> experts = Comparable(group, values);
      if (experts.size() < kLeastExperts) continue;
      std::vector<double> logs;
      for (const size_t i : experts) logs.push_back(std::log(values[i]));
      const Spread spread = SpreadOf(logs);
      for (size_t e = 0; e < experts.size(); ++e) {
        const double off = logs[e] - spread.median, z = spread.Z(logs[e]);
        if (!IsFar(z, off)) continue;
        odd.push_back({experts[e], std::fabs(off), std::exp(spread.median), std::fabs(z), scheme});
      }
    }
    return odd;
  }

  void AddOutliers(const std::string& metric, const std::vector<OddMatrix>& odd) {
    const MatrixMetric& of = *m_.Find(metric);
    const auto text = [&](const OddMatrix& worst, const auto& projs) {
      const double value = of.values[worst.scheme.value_or(0)][worst.matrix];
      const bool flattered = metric == "w_rel_fro" && value < worst.typical &&
                             few_huge_[worst.matrix] >= kFewHugeShare;
      return fmt::format(
          "{}: the {} of {}{} is {}, {} times the median of its layer's experts ({}){}{}{}.",
          m_.ExpertText(worst.matrix), Named(metric), ProjOf(worst.matrix), Under(worst.scheme),
          Short(value), Short(value / worst.typical), Short(worst.typical),
          worst.z < kEndlessZ ? fmt::format(", {:.0f} robust deviations off", worst.z) : "",
          flattered ? ", which a few huge weights make look better than it is" : "",
          Also(projs, worst.matrix));
    };
    AddByExpert(FindingKind::kOutlierExpert, metric, odd, text);
  }

  void FindHeavyTails() {
    const auto *high = Stats("p999_abs"), *median = Stats("p50_abs"), *largest = Stats("max_abs");
    if (high == nullptr || median == nullptr || largest == nullptr) return;
    std::vector<OddMatrix> odd;
    for (size_t i = 0; i < m_.size(); ++i) {
      const double ratio = (*high)[i] / (*median)[i];
      if ((*median)[i] > 0 && ratio >= kHeavyTail) odd.push_back({i, ratio, (*median)[i]});
    }
    AddByExpert(FindingKind::kHeavyTail, "outlier_p999_over_median", odd,
                [&](const OddMatrix& worst, const auto& projs) {
                  return fmt::format(
                      "{}: one weight in a thousand of {} is over {} times the median weight "
                      "(normal weights: 4.9), the largest {} times{}.",
                      m_.ExpertText(worst.matrix), ProjOf(worst.matrix), Short(worst.score),
                      Short((*largest)[worst.matrix] / worst.typical), Also(projs, worst.matrix));
                });
  }

  /// The most striking break of each projection and layer.
  using Breaks = std::map<std::pair<uint32_t, uint32_t>, Scored>;

  void FindLayerTrends() {
    if (const auto* rms = Stats("rms")) AddBreaks(FindBreaks("rms", *rms, {}, {}));
    const MatrixMetric* error = m_.Find("w_rel_fro");
    Breaks breaks;
    for (uint32_t scheme = 0; error != nullptr && scheme < m_.schemes.size(); ++scheme) {
      breaks = FindBreaks("w_rel_fro", error->values[scheme], scheme, std::move(breaks));
    }
    AddBreaks(std::move(breaks));
  }

  void AddBreaks(Breaks breaks) {
    for (auto& [place, one] : breaks) found_.push_back(std::move(one));
  }

  /// Logarithms of the medians of the layers of one projection and stack, in order.
  struct Trend {
    std::vector<uint32_t> layers;
    std::vector<double> logs;
  };

  /// Adds to `breaks` what is more striking in these values.
  Breaks FindBreaks(const std::string& metric, const std::vector<double>& values,
                    std::optional<uint32_t> scheme, Breaks breaks) const {
    std::map<std::pair<uint32_t, std::string>, Trend> trends;
    for (const Group& group : groups_) {
      if (m_.layers[group.layer].layer < 0) continue;
      std::vector<double> routed;
      for (const size_t i : Comparable(group, values)) routed.push_back(values[i]);
      if (routed.empty()) continue;
      Trend& trend = trends[{group.proj, m_.layers[group.layer].stack}];
      trend.layers.push_back(group.layer);
      trend.logs.push_back(std::log(MedianOf(routed)));
    }
    for (const auto& [key, trend] : trends) {
      if (trend.layers.size() >= kLeastLayers)
        FindBreaksOf(metric, scheme, key.first, trend, breaks);
    }
    return breaks;
  }

  void FindBreaksOf(const std::string& metric, std::optional<uint32_t> scheme, uint32_t proj,
                    const Trend& trend, Breaks& breaks) const {
    std::vector<double> around, off;
    const size_t last = trend.logs.size() - kNeighbours - 1;  // where the last window begins
    for (size_t i = 0; i < trend.logs.size(); ++i) {
      const size_t begin = std::min(i - std::min(i, kNeighbours / 2), last);
      std::vector<double> neighbours;
      for (size_t j = begin; j <= begin + kNeighbours; ++j) {
        if (j != i) neighbours.push_back(trend.logs[j]);
      }
      around.push_back(MedianOf(neighbours));
      off.push_back(trend.logs[i] - around.back());
    }
    const Spread spread = SpreadOf(off);
    for (size_t i = 0; i < off.size(); ++i) {
      if (!IsFar(spread.Z(off[i]), off[i])) continue;
      Scored& most = breaks[{proj, trend.layers[i]}];
      if (most.score >= std::fabs(off[i])) continue;
      const double value = std::exp(trend.logs[i]), typical = std::exp(around[i]);
      most.score = std::fabs(off[i]);
      most.finding = {FindingKind::kLayerTrend, "", proj, trend.layers[i], {}, scheme, metric};
      most.finding.text = fmt::format(
          "{}: the median {} of {}{} is {}, {} times that of the layers around it ({}).",
          m_.LayerText(trend.layers[i]), Named(metric), m_.projs[proj], Under(scheme), Short(value),
          Short(value / typical), Short(typical));
    }
  }

  void FindVanishing() {
    const MatrixMetric* zeroed = m_.Find("zero_share");
    for (uint32_t scheme = 0; zeroed != nullptr && scheme < m_.schemes.size(); ++scheme) {
      std::map<uint32_t, std::vector<size_t>> by_proj;
      for (size_t i = 0; i < m_.size(); ++i) {
        if (zeroed->values[scheme][i] > kVanished) by_proj[m_.places[i].proj].push_back(i);
      }
      for (const auto& [proj, matrices] : by_proj) {
        const size_t worst = *std::ranges::max_element(
            matrices, {}, [&](size_t i) { return zeroed->values[scheme][i]; });
        const double share = zeroed->values[scheme][worst];
        Add(FindingKind::kVanishing, share * static_cast<double>(matrices.size()), m_.places[worst],
            "zero_share",
            fmt::format("{} turns more than half of the weights to zero in {} {} of {}; in the "
                        "worst, {}, {:.3g} %.",
                        m_.schemes[scheme].name, matrices.size(),
                        matrices.size() == 1 ? "matrix" : "matrices", m_.projs[proj],
                        LowerFirst(m_.ExpertText(worst)), 100 * share));
        found_.back().finding.scheme = scheme;
      }
    }
  }

  void FindFewHuge() {
    std::vector<OddMatrix> odd;
    for (size_t i = 0; i < m_.size(); ++i) {
      if (few_huge_[i] >= kFewHugeShare) odd.push_back({i, few_huge_[i]});
    }
    AddByExpert(FindingKind::kFewHuge, "max_abs", odd,
                [&](const OddMatrix& worst, const auto& projs) {
                  return fmt::format(
                      "{}: one weight in a thousand of {} holds over {:.3g} % of the sum of "
                      "squares, so its "
                      "relative errors look better than they are{}.",
                      m_.ExpertText(worst.matrix), ProjOf(worst.matrix), 100 * worst.score,
                      Also(projs, worst.matrix));
                });
  }

  static std::string LowerFirst(std::string text) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
  }

  const RunMatrices& m_;
  std::vector<Group> groups_;
  std::vector<double> few_huge_;  ///< FewHugeShares()
  std::set<size_t> tiny_;         ///< matrices found to be nearly dead
  std::vector<Scored> found_;
};

}  // namespace

std::string_view FindingKindName(FindingKind kind) {
  constexpr std::array<std::string_view, 8> kNames = {"nonfinite",      "dead",       "duplicate",
                                                      "outlier_expert", "heavy_tail", "layer_trend",
                                                      "vanishing",      "few_huge"};
  return kNames[static_cast<size_t>(kind)];
}

std::vector<double> FewHugeShares(const RunMatrices& matrices) {
  const MatrixMetric *rms = matrices.Find("rms"), *most = matrices.Find("p999_abs");
  std::vector<double> shares(matrices.size(), std::nan(""));
  if (rms == nullptr || most == nullptr) return shares;
  struct Known {
    double u;
    const MatrixMetric* metric;
  };
  std::vector<Known> known;
  for (const auto& [u, name] : {std::pair(0.5, "p50_abs"), std::pair(0.99, "p99_abs")}) {
    if (const MatrixMetric* metric = matrices.Find(name)) known.push_back({u, metric});
  }
  known.push_back({0.999, most});
  for (size_t i = 0; i < matrices.size(); ++i) {
    double others = 0, u = 0, a = 0;
    for (const Known& next : known) {
      const double b = next.metric->values[0][i];
      others += (next.u - u) * (a * a + a * b + b * b) / 3;
      u = next.u;
      a = b;
    }
    const double size = rms->values[0][i];
    if (size > 0 && !std::isnan(others)) shares[i] = std::max(0.0, 1 - others / (size * size));
  }
  return shares;
}

Findings FindOddities(const RunMatrices& matrices, size_t most) {
  std::vector<Scored> all = Finder(matrices).All();
  std::ranges::stable_sort(
      all, {}, [](const Scored& one) { return std::pair(one.finding.kind, -one.score); });
  Findings findings;
  std::map<FindingKind, uint64_t> taken;
  for (Scored& one : all) {
    if (taken[one.finding.kind]++ < most) {
      findings.list.push_back(std::move(one.finding));
    } else {
      ++findings.left_out[one.finding.kind];
    }
  }
  return findings;
}

}  // namespace moe

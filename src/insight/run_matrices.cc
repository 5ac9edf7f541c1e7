#include "insight/run_matrices.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <tuple>
#include <unordered_map>

#include "insight/numbering.h"
#include "insight/run.h"
#include "measure/quant_modes.h"
#include "rows/collect_rows.h"
#include "tables/aggregate.h"
#include "tables/table_reader.h"

namespace moe {
namespace {

using enum ColumnType;

const std::vector<WantedColumn> kStatsIdentity = {{"file", kString},
                                                  {"derived_tensor", kString},
                                                  {"layer", kInt64},
                                                  {"proj", kString},
                                                  {"expert_id", kInt64},
                                                  {"is_shared_expert", kBool},
                                                  {"rows", kInt64},
                                                  {"cols", kInt64},
                                                  {"dtype", kString},
                                                  {"storage", kString},
                                                  {"storage_bits_per_weight", kDouble},
                                                  {"stack", kString}};
const std::vector<WantedColumn> kQuantIdentity = {
    {"file", kString},          {"derived_tensor", kString},
    {"layer", kInt64},          {"expert_id", kInt64},
    {"stack", kString},         {"scheme", kString},
    {"mode", kString},          {"bits", kInt64},
    {"group_size", kInt64},     {"error", kString},
    {"compute_dtype", kString}, {"backend", kString},
    {"profile", kString},       {"requantized", kBool}};
/// Numbers that tell which matrix it is, not how it is.
constexpr std::array<std::string_view, 3> kNoMetrics = {"block4", "rows", "cols"};
constexpr std::string_view kBits = "bits_per_weight";

int64_t IntOr(const FrameColumn& column, size_t row, int64_t absent) {
  return column.valid[row] != 0 ? column.ints[row] : absent;
}

/// The numeric columns of a table that are no identity.
std::vector<WantedColumn> MetricColumns(const TableReader& reader,
                                        const std::vector<WantedColumn>& identity) {
  std::vector<WantedColumn> wanted;
  for (const WantedColumn& column : reader.Columns()) {
    if (column.type != kDouble && column.type != kInt64) continue;
    const bool known =
        std::ranges::find(identity, column.name, &WantedColumn::name) != identity.end();
    const bool placed = std::ranges::find(kNoMetrics, column.name) != kNoMetrics.end();
    if (!known && !placed) wanted.push_back({column.name, kDouble});
  }
  return wanted;
}

Column DeclaredColumn(const std::string& name, const TableSchema& schema) {
  const auto found = std::ranges::find(schema.columns, name, &Column::name);
  return found == schema.columns.end() ? FindMetric(name).value_or(Column{.name = name}) : *found;
}

std::vector<WantedColumn> Joined(const std::vector<WantedColumn>& identity,
                                 const std::vector<WantedColumn>& metrics) {
  std::vector<WantedColumn> all = identity;
  all.insert(all.end(), metrics.begin(), metrics.end());
  return all;
}

/// Texts of many batches under one number each.
class TextNumbers {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  uint32_t Add(const std::string& text) {
    return numbers_.try_emplace(text, static_cast<uint32_t>(numbers_.size())).first->second;
  }
  /// For each entry of the column's dictionary its number, or kNone.
  std::vector<uint32_t> Translate(const FrameColumn& column) const {
    std::vector<uint32_t> numbers;
    for (const std::string& text : column.dictionary) {
      const auto found = numbers_.find(text);
      numbers.push_back(found == numbers_.end() ? kNone : found->second);
    }
    return numbers;
  }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
};

uint32_t Translated(const std::vector<uint32_t>& numbers, const FrameColumn& column, size_t row) {
  const uint32_t code = column.codes[row];
  return code == FrameColumn::kNullCode ? TextNumbers::kNone : numbers[code];
}

/// Which matrix the rows of quant_sim are about.
class MatrixFinder {
 public:
  /// file, derived_tensor, stack, layer, expert.
  using Key = std::tuple<uint32_t, uint32_t, uint32_t, int64_t, int64_t>;

  /// `position`: of each row of matrix_stats among the matrices.
  MatrixFinder(const Frame& stats, const std::vector<uint32_t>& position) {
    for (const char* name : kTexts) {
      for (const std::string& text : stats.at(name).dictionary) texts_.Add(text);
    }
    const Reader keys(texts_, stats);
    for (size_t row = 0; row < stats.rows; ++row) by_key_.emplace_back(keys[row], position[row]);
    std::sort(by_key_.begin(), by_key_.end());
  }

  /// The keys of a table's rows.
  class Reader {
   public:
    Reader(const TextNumbers& texts, const Frame& frame) : frame_(frame) {
      for (size_t i = 0; i < kTexts.size(); ++i) {
        columns_[i] = &frame.at(kTexts[i]);
        numbers_[i] = texts.Translate(*columns_[i]);
      }
    }
    Key operator[](size_t row) const {
      const auto text = [&](size_t i) { return Translated(numbers_[i], *columns_[i], row); };
      return {text(0), text(1), text(2), IntOr(layer_, row, -1), IntOr(expert_, row, -1)};
    }

   private:
    const Frame& frame_;
    const FrameColumn& layer_ = frame_.at("layer");
    const FrameColumn& expert_ = frame_.at("expert_id");
    std::array<const FrameColumn*, 3> columns_;
    std::array<std::vector<uint32_t>, 3> numbers_;
  };

  Reader KeysOf(const Frame& quant) const { return {texts_, quant}; }

  std::optional<uint32_t> Find(const Key& key) const {
    const auto found = std::lower_bound(by_key_.begin(), by_key_.end(), std::pair(key, 0u));
    if (found == by_key_.end() || found->first != key) return std::nullopt;
    return found->second;
  }

 private:
  static constexpr std::array<const char*, 3> kTexts = {"file", "derived_tensor", "stack"};
  TextNumbers texts_;
  std::vector<std::pair<Key, uint32_t>> by_key_;
};

// ---- matrix_stats ----

/// Fills what tells the matrices apart, and says where each row of `stats` went.
std::vector<uint32_t> PlaceMatrices(const Frame& stats, RunMatrices& out) {
  struct Identity {
    std::string proj;
    StackLayer layer;
    Slot slot;
  };
  const size_t count = stats.rows;
  const FrameColumn &proj = stats.at("proj"), &stack = stats.at("stack"),
                    &layer = stats.at("layer"), &expert = stats.at("expert_id"),
                    &shared = stats.at("is_shared_expert");
  std::vector<Identity> identities;
  std::map<std::tuple<std::string, StackLayer, bool, int64_t>, uint32_t> seen;
  for (size_t row = 0; row < count; ++row) {
    Identity id{TextOr(proj, row, ""), {TextOr(stack, row, ""), IntOr(layer, row, -1)}, {}};
    id.slot.shared = IntOr(shared, row, 0) != 0;
    if (!id.slot.shared) id.slot.expert = IntOr(expert, row, 0);
    id.slot.number = seen[{id.proj, id.layer, id.slot.shared, id.slot.expert}]++;
    out.projs.push_back(id.proj);
    out.layers.push_back(id.layer);
    out.slots.push_back(id.slot);
    identities.push_back(std::move(id));
  }
  SortUnique(out.projs);
  SortUnique(out.layers);
  SortUnique(out.slots);

  std::vector<RunMatrices::Place> places;
  for (size_t row = 0; row < count; ++row) {
    const Identity& id = identities[row];
    const std::pair shape(IntOr(stats.at("rows"), row, 0), IntOr(stats.at("cols"), row, 0));
    RunMatrices::Storage storage{
        TextOr(stats.at("storage"), row, TextOr(stats.at("dtype"), row, "?")), std::nullopt};
    const double bits = stats.at("storage_bits_per_weight").doubles[row];
    if (!std::isnan(bits)) storage.bits = bits;
    places.push_back({IndexOf(out.projs, id.proj), IndexOf(out.layers, id.layer),
                      IndexOf(out.slots, id.slot), IndexOrAdd(out.shapes, shape),
                      IndexOrAdd(out.storages, storage),
                      IndexOrAdd(out.files, TextOr(stats.at("file"), row, ""))});
  }

  std::vector<uint32_t> rows(count), position(count);
  std::iota(rows.begin(), rows.end(), 0u);
  std::ranges::sort(rows, {}, [&](uint32_t row) {
    return std::tuple(places[row].proj, places[row].layer, places[row].slot);
  });
  for (size_t i = 0; i < count; ++i) {
    position[rows[i]] = static_cast<uint32_t>(i);
    out.places.push_back(places[rows[i]]);
    out.names.push_back(TextOr(stats.at("derived_tensor"), rows[i], ""));
  }
  return position;
}

std::vector<double> InOrder(const FrameColumn& column, const std::vector<uint32_t>& position) {
  std::vector<double> values(position.size());
  for (size_t row = 0; row < position.size(); ++row) values[position[row]] = column.doubles[row];
  return values;
}

// ---- quant_sim ----

/// Adds `text` to a list "a, b" that does not hold it yet.
void AddText(std::string& list, const std::string& text) {
  if (list.empty()) {
    list = text;
  } else if (!text.empty() && (", " + list + ", ").find(", " + text + ", ") == std::string::npos) {
    list += ", " + text;
  }
}

class QuantRows {
 public:
  QuantRows(const MatrixFinder& finder, std::vector<MatrixMetric>& metrics, RunMatrices& out)
      : finder_(finder), metrics_(metrics), out_(out) {}

  Result<bool> Take(const Frame& batch) {
    const auto keys = finder_.KeysOf(batch);
    const FrameColumn& scheme = batch.at("scheme");
    std::vector<uint32_t> schemes(scheme.dictionary.size(), TextNumbers::kNone);
    std::vector<const FrameColumn*> columns;
    for (const MatrixMetric& metric : metrics_) columns.push_back(&batch.at(metric.column.name));
    for (size_t row = 0; row < batch.rows; ++row) {
      if (scheme.codes[row] == FrameColumn::kNullCode) continue;
      uint32_t& number = schemes[scheme.codes[row]];
      if (number == TextNumbers::kNone) number = SchemeNumber(batch, row);
      const auto matrix = finder_.Find(keys[row]);
      if (!matrix) {
        ++out_.orphans;
        continue;
      }
      if (auto added = Add(batch, row, number, *matrix, columns); !added) {
        return tl::make_unexpected(added.error());
      }
    }
    return true;
  }

  void Finish() {
    for (const auto& [failure, count] : failures_) {
      out_.failures.push_back({failure.first, failure.second, count});
    }
  }

 private:
  uint32_t SchemeNumber(const Frame& batch, size_t row) {
    const std::string name = TextOr(batch.at("scheme"), row, "");
    const auto found = std::ranges::find(out_.schemes, name, &SimulatedScheme::name);
    if (found != out_.schemes.end()) {
      return static_cast<uint32_t>(found - out_.schemes.begin());
    }
    SimulatedScheme scheme;
    scheme.name = name;
    scheme.mode = TextOr(batch.at("mode"), row, "");
    scheme.bits = IntOr(batch.at("bits"), row, 0);
    scheme.group_size = IntOr(batch.at("group_size"), row, 0);
    out_.schemes.push_back(scheme);
    for (MatrixMetric& metric : metrics_) {
      metric.values.emplace_back(out_.size(), std::nan(""));
    }
    seen_.emplace_back(out_.size(), false);
    return static_cast<uint32_t>(out_.schemes.size() - 1);
  }

  Result<void> Add(const Frame& batch, size_t row, uint32_t number, uint32_t matrix,
                   const std::vector<const FrameColumn*>& columns) {
    SimulatedScheme& scheme = out_.schemes[number];
    if (seen_[number][matrix]) {
      return Malformed("data/quant_sim", "two rows of scheme '" + scheme.name + "' for matrix '" +
                                             out_.names[matrix] + "'");
    }
    seen_[number][matrix] = true;
    AddText(scheme.compute_dtype, TextOr(batch.at("compute_dtype"), row, ""));
    AddText(scheme.backend, TextOr(batch.at("backend"), row, ""));
    AddText(scheme.profile, TextOr(batch.at("profile"), row, ""));
    scheme.requantized = scheme.requantized || IntOr(batch.at("requantized"), row, 0) != 0;
    const std::string error = TextOr(batch.at("error"), row, "");
    if (!error.empty()) ++failures_[{number, error}];
    for (size_t i = 0; i < columns.size(); ++i) {
      metrics_[i].values[number][matrix] = columns[i]->doubles[row];
    }
    return {};
  }

  const MatrixFinder& finder_;
  std::vector<MatrixMetric>& metrics_;
  RunMatrices& out_;
  std::vector<std::vector<bool>> seen_;  // [scheme][matrix]
  std::map<std::pair<uint32_t, std::string>, uint64_t> failures_;
};

/// Older tables do not tell bits_per_weight.
void AddNominalBits(const Column& column, RunMatrices& out) {
  const MatrixMetric* error = out.Find("w_rel_fro");
  if (out.Find(kBits) != nullptr || error == nullptr) return;
  MatrixMetric bits{column, true, error->values};
  for (size_t s = 0; s < out.schemes.size(); ++s) {
    const SimulatedScheme& scheme = out.schemes[s];
    const QuantMode* mode = FindQuantMode(scheme.mode);
    const double each =
        mode == nullptr ? std::nan("") : BitsPerWeight(*mode, scheme.bits, scheme.group_size, 16);
    for (double& value : bits.values[s]) {
      if (!std::isnan(value)) value = each;
    }
  }
  out.metrics.push_back(std::move(bits));
}

/// A table of data/.
Result<const TableReader*> OpenTable(Run& run, const std::string& name) {
  return LocateDataTable(run.dir(), name).and_then([&](const auto& path) {
    return run.Open(path);
  });
}

Result<void> ReadQuant(Run& run, const MatrixFinder& finder, RunMatrices& out) {
  const auto reader = OpenTable(run, "quant_sim");
  if (!reader) return tl::make_unexpected(reader.error());
  const auto wanted = MetricColumns(**reader, kQuantIdentity);
  const TableSchema schema = QuantSimTable().Schema();
  std::vector<MatrixMetric> metrics;
  for (const WantedColumn& column : wanted) {
    metrics.push_back({DeclaredColumn(column.name, schema), true, {}});
  }
  QuantRows rows(finder, metrics, out);
  auto read =
      (*reader)->ReadBatches(Joined(kQuantIdentity, wanted),
                             [&](uint64_t, const Frame& batch) { return rows.Take(batch); });
  if (!read) return read;
  rows.Finish();
  if (!out.schemes.empty()) {
    std::move(metrics.begin(), metrics.end(), std::back_inserter(out.metrics));
    AddNominalBits(DeclaredColumn(std::string(kBits), schema), out);
  }
  return {};
}

/// matrix_stats as it is, and the matrices that it makes: row r is matrix position[r].
struct WeightsRead {
  Frame stats;
  std::vector<uint32_t> position;
  RunMatrices matrices;
};

Result<WeightsRead> ReadWeights(Run& run) {
  const auto reader = OpenTable(run, "matrix_stats");
  if (!reader) return tl::make_unexpected(reader.error());
  const auto wanted = MetricColumns(**reader, kStatsIdentity);
  auto stats = (*reader)->Read(Joined(kStatsIdentity, wanted));
  if (!stats) return tl::make_unexpected(stats.error());
  WeightsRead read{std::move(*stats), {}, {}};
  read.position = PlaceMatrices(read.stats, read.matrices);
  const TableSchema schema = MatrixStatsTable(run.UsedConfig().measure).Schema();
  for (const WantedColumn& column : wanted) {
    read.matrices.metrics.push_back({DeclaredColumn(column.name, schema),
                                     false,
                                     {InOrder(read.stats.at(column.name), read.position)}});
  }
  return read;
}

}  // namespace

std::string StackLayer::Label() const {
  const std::string number = layer < 0 ? "?" : std::to_string(layer);
  return stack.empty() ? number : stack + " " + number;
}

std::string Slot::Label() const {
  const std::string more = number == 0 ? "" : " " + std::to_string(number + 1);
  return (shared ? "shared" : std::to_string(expert)) + more;
}

const MatrixMetric* RunMatrices::Find(std::string_view metric) const {
  const auto found = std::ranges::find_if(
      metrics, [metric](const MatrixMetric& m) { return m.column.name == metric; });
  return found == metrics.end() ? nullptr : &*found;
}

std::string RunMatrices::LayerText(uint32_t layer) const {
  return layers[layer].layer < 0 ? "An unknown layer" : "Layer " + layers[layer].Label();
}

std::string RunMatrices::ExpertText(size_t matrix) const {
  const Slot& slot = slots[places[matrix].slot];
  return fmt::format("{}, {}{}", LayerText(places[matrix].layer), slot.shared ? "" : "expert ",
                     slot.Label());
}

Result<RunMatrices> ReadRunMatrices(Run& run) {
  auto weights = ReadWeights(run);
  if (!weights) return tl::make_unexpected(weights.error());
  RunMatrices& out = weights->matrices;
  const MatrixFinder finder(weights->stats, weights->position);
  auto quant = ReadQuant(run, finder, out);
  if (!quant) return tl::make_unexpected(quant.error());
  return std::move(out);
}

Result<RunMatrices> ReadRunWeights(Run& run) {
  auto weights = ReadWeights(run);
  if (!weights) return tl::make_unexpected(weights.error());
  return std::move(weights->matrices);
}

}  // namespace moe

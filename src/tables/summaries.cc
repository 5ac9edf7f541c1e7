#include "tables/summaries.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "rows/collect_rows.h"
#include "run/commit_marker.h"
#include "tables/aggregate.h"
#include "tables/table_reader.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;
using enum Aggregate;

// One summary table: rows of its source grouped by `keys`, and the aggregates of every metric.
struct SummarySpec {
  const char* name;
  std::vector<std::string_view> keys;
  std::vector<Aggregate> aggregates;
};

// Contract section 11; the C tables of experts are D16's.
const std::array kWeightSummaries = {
    SummarySpec{"A_weight_layer_summary", {"layer", "proj"}, {kMedian, kMean, kStd, kP90, kP99}},
    SummarySpec{"A_weight_block4_summary", {"block4", "proj"}, {kMedian, kMean, kStd, kP90, kP99}},
    SummarySpec{"A_weight_global_summary", {"proj"}, {kMin, kP01, kMedian, kP99, kMax}},
    SummarySpec{
        "C_weight_global_summary", {"is_shared_expert", "proj"}, {kMin, kP01, kMedian, kP99, kMax}},
};
const std::array kQuantSummaries = {
    SummarySpec{"B_quant_layer_summary", {"layer", "proj", "scheme"}, {kMedian, kMean, kP90, kP99}},
    SummarySpec{
        "B_quant_block4_summary", {"block4", "proj", "scheme"}, {kMedian, kMean, kP90, kP99}},
    SummarySpec{"B_quant_global_summary", {"proj", "scheme"}, {kMin, kP01, kMedian, kP99, kMax}},
    SummarySpec{"C_quant_global_summary",
                {"is_shared_expert", "proj", "scheme"},
                {kMin, kP01, kMedian, kP99, kMax}},
};

const std::array kDenseSummaries = {
    SummarySpec{"C_dense_global_summary", {"role", "scheme"}, {kMin, kP01, kMedian, kP99, kMax}},
};

const std::vector<WantedColumn> kDenseKeys = {{"role", ColumnType::kString},
                                              {"scheme", ColumnType::kString}};
const std::vector<WantedColumn> kWeightKeys = {{"layer", ColumnType::kInt64},
                                               {"block4", ColumnType::kInt64},
                                               {"proj", ColumnType::kString},
                                               {"is_shared_expert", ColumnType::kBool}};
const std::vector<WantedColumn> kQuantKeys = {
    {"layer", ColumnType::kInt64},   {"block4", ColumnType::kInt64},
    {"proj", ColumnType::kString},   {"is_shared_expert", ColumnType::kBool},
    {"scheme", ColumnType::kString},
};
// What B_quant_deltas needs besides.
const std::vector<WantedColumn> kDeltaExtraKeys = {{"derived_tensor", ColumnType::kString},
                                                   {"expert_id", ColumnType::kInt64},
                                                   {"rows", ColumnType::kInt64},
                                                   {"cols", ColumnType::kInt64}};
constexpr std::array<std::string_view, 7> kDeltaKeys = {"derived_tensor", "layer", "block4", "proj",
                                                        "expert_id",      "rows",  "cols"};

const Names kWeightMetrics = {"mean",
                              "std",
                              "mean_abs",
                              "rms",
                              "max_abs",
                              "p50_abs",
                              "p99_abs",
                              "p999_abs",
                              "outlier_max_over_mean",
                              "outlier_p99_over_median",
                              "outlier_p999_over_median"};
const Names kQuantMetrics = {"w_rel_fro", "w_rel_max", "scale_mean",
                             "scale_max", "bias_mean", "bias_max"};

// Metrics of one source: the reference's first, ours behind `n`.
struct Metrics {
  Names reference, further;
};

bool Contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "g32_p95_outlier": g... with _outlier in it.
bool IsGroupMetric(std::string_view name) {
  return name.starts_with("g") && name.find("_outlier") != std::string_view::npos;
}

// "p95_abs": p, digits, _abs.
bool IsPercentile(std::string_view name) {
  if (!name.starts_with("p") || !name.ends_with("_abs") || name.size() <= 5) return false;
  const std::string_view digits = name.substr(1, name.size() - 5);
  return digits.find_first_not_of("0123456789") == std::string_view::npos;
}

// Numeric columns that `schema` declares behind the column `last_of_reference`.
Names NumbersBehind(const TableSchema& schema, std::string_view last_of_reference) {
  Names names;
  bool behind = false;
  for (const Column& column : schema.columns) {
    const bool numeric = column.type == ColumnType::kDouble || column.type == ColumnType::kInt64;
    if (behind && numeric) names.push_back(column.name);
    if (column.name == last_of_reference) behind = true;
  }
  return names;
}

Metrics WeightMetrics(const Names& columns) {
  Metrics metrics{kWeightMetrics, {}};
  const Names ours =
      NumbersBehind(MatrixStatsTable(MeasureOptions{}).Schema(), "outlier_p999_over_median");
  for (const std::string& name : columns) {
    if (Contains(kWeightMetrics, name)) continue;
    if (IsGroupMetric(name)) metrics.reference.push_back(name);
    if (IsPercentile(name) || Contains(ours, name)) metrics.further.push_back(name);
  }
  return metrics;
}

Metrics QuantMetrics(const Names& columns) {
  Metrics metrics;
  const auto present = [&](const std::string& name) { return Contains(columns, name); };
  std::copy_if(kQuantMetrics.begin(), kQuantMetrics.end(), std::back_inserter(metrics.reference),
               present);
  const Names ours = NumbersBehind(QuantSimTable().Schema(), "error");
  std::copy_if(ours.begin(), ours.end(), std::back_inserter(metrics.further), present);
  return metrics;
}

// A source table in memory.
struct Source {
  Frame frame;
  Metrics metrics;
};

// block4 of a table that has none: layer div 4. Nothing where it is not asked for.
void DeriveBlock4(Frame& frame) {
  const auto block4 = std::find_if(frame.columns.begin(), frame.columns.end(),
                                   [](const FrameColumn& c) { return c.name == "block4"; });
  if (block4 == frame.columns.end()) return;
  const FrameColumn& layer = frame.at("layer");
  for (size_t i = 0; i < layer.ints.size(); ++i) {
    if (!layer.valid[i] || layer.ints[i] < 0) continue;
    block4->ints[i] = layer.ints[i] / 4;
    block4->valid[i] = 1;
  }
}

Result<Source> ReadSource(const fs::path& run_dir, const std::string& key,
                          std::vector<WantedColumn> wanted,
                          Metrics (*choose_metrics)(const Names&)) {
  const auto path = LocateDataTable(run_dir, key);
  if (!path) return tl::make_unexpected(path.error());
  const auto reader = TableReader::Open(*path);
  if (!reader) return tl::make_unexpected(reader.error());
  const Names& columns = (*reader)->column_names();
  Source source;
  source.metrics = choose_metrics(columns);
  for (const Names* names : {&source.metrics.reference, &source.metrics.further}) {
    for (const std::string& name : *names) wanted.push_back({name, ColumnType::kDouble});
  }
  auto frame = (*reader)->Read(wanted);
  if (!frame) return tl::make_unexpected(frame.error());
  source.frame = std::move(*frame);
  if (!Contains(columns, "block4")) DeriveBlock4(source.frame);
  return source;
}

void AddMetricColumns(const Names& metrics, const SummarySpec& spec, TableSchema& schema) {
  for (const std::string& metric : metrics) {
    for (const Aggregate aggregate : spec.aggregates) {
      const std::string_view name = AggregateName(aggregate);
      schema.columns.push_back({fmt::format("{}__{}", metric, name), ColumnType::kDouble, true, "",
                                fmt::format("{} of {} over the group", name, metric)});
    }
  }
}

TableSchema SummarySchema(const SummarySpec& spec, const Source& source) {
  TableSchema schema{spec.name, {}};
  for (const std::string_view key : spec.keys) {
    schema.columns.push_back({std::string(key), source.frame.at(key).type, true, "", "group key"});
  }
  AddMetricColumns(source.metrics.reference, spec, schema);
  schema.columns.push_back({"n", ColumnType::kInt64, false, "rows", "rows of the group"});
  AddMetricColumns(source.metrics.further, spec, schema);
  return schema;
}

// Aggregates of `metrics` over the rows of one group; `values` is scratch space.
void AppendMetrics(const Frame& frame, const Names& metrics, const SummarySpec& spec,
                   std::span<const uint32_t> rows, std::vector<double>& values, Row& out) {
  for (const std::string& metric : metrics) {
    const std::vector<double>& column = frame.at(metric).doubles;
    values.clear();
    for (const uint32_t row : rows) {
      if (!std::isnan(column[row])) values.push_back(column[row]);
    }
    AppendAggregates(values, spec.aggregates, out);
  }
}

Result<void> WriteSummary(const SummarySpec& spec, const Source& source, TableWriter& writer) {
  const Groups groups = GroupBy(source.frame, spec.keys);
  std::vector<double> values;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto rows = groups.rows(g);
    Row row;
    for (const std::string_view key : spec.keys) {
      row.emplace_back(CellValue(source.frame.at(key), rows.front()));
    }
    AppendMetrics(source.frame, source.metrics.reference, spec, rows, values, row);
    row.emplace_back(static_cast<int64_t>(rows.size()));
    AppendMetrics(source.frame, source.metrics.further, spec, rows, values, row);
    if (const auto appended = writer.Append(std::move(row)); !appended) return appended;
  }
  return {};
}

std::string CellText(const FrameColumn& column, uint32_t row) {
  const Value value = CellValue(column, row);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  return "nan";
}

// Schemes that some pair names, with the row of each key under that scheme.
using RowsOfScheme = std::map<std::string, std::vector<std::optional<uint32_t>>>;

Result<RowsOfScheme> FindSchemeRows(const Frame& frame, const Groups& keys,
                                    const std::vector<DeltaPair>& pairs) {
  RowsOfScheme rows_of;
  for (const DeltaPair& pair : pairs) {
    for (const std::string& name : {pair.a, pair.b}) rows_of[name].resize(keys.size());
  }
  const FrameColumn& scheme = frame.at("scheme");
  // By code of the scheme; nullptr: no pair names it.
  std::vector<std::vector<std::optional<uint32_t>>*> by_code;
  for (const std::string& name : scheme.dictionary) {
    const auto found = rows_of.find(name);
    by_code.push_back(found == rows_of.end() ? nullptr : &found->second);
  }

  constexpr size_t kExamples = 3;
  Names examples;
  for (size_t g = 0; g < keys.size() && examples.size() < kExamples; ++g) {
    std::map<std::string_view, int> duplicates;  // scheme -> rows beyond the first
    for (const uint32_t row : keys.rows(g)) {
      const uint32_t code = scheme.codes[row];
      if (code == FrameColumn::kNullCode || !by_code[code]) continue;
      std::optional<uint32_t>& first = (*by_code[code])[g];
      if (first) {
        ++duplicates[scheme.dictionary[code]];
      } else {
        first = row;
      }
    }
    const uint32_t row = keys.rows(g).front();
    for (const auto& [name, extra] : duplicates) {
      if (examples.size() == kExamples) break;
      examples.push_back(
          fmt::format("scheme={}, proj={}, layer={}, expert_id={}, derived_tensor={}, count={}",
                      name, CellText(frame.at("proj"), row), CellText(frame.at("layer"), row),
                      CellText(frame.at("expert_id"), row),
                      CellText(frame.at("derived_tensor"), row), extra + 1));
    }
  }
  if (examples.empty()) return rows_of;
  return Malformed("", fmt::format("duplicate quant delta base keys detected; B_quant_deltas needs "
                                   "one row of quant_sim per matrix and scheme. Examples: {}",
                                   fmt::join(examples, "; ")));
}

// metric(a) - metric(b); null if either is.
Value Difference(const Frame& frame, const char* metric, std::optional<uint32_t> a,
                 std::optional<uint32_t> b) {
  const auto has_metric = [&](const FrameColumn& c) { return c.name == metric; };
  if (!a || !b || std::none_of(frame.columns.begin(), frame.columns.end(), has_metric)) return {};
  const std::vector<double>& values = frame.at(metric).doubles;
  const double difference = values[*a] - values[*b];
  return std::isnan(difference) ? Value() : Value(difference);
}

Result<void> WriteDeltas(const Frame& frame, const Groups& keys, const RowsOfScheme& rows_of,
                         const std::vector<DeltaPair>& pairs, TableWriter& writer) {
  for (const DeltaPair& pair : pairs) {
    const auto& rows_a = rows_of.at(pair.a);
    const auto& rows_b = rows_of.at(pair.b);
    for (size_t g = 0; g < keys.size(); ++g) {
      Row row;
      for (const std::string_view key : kDeltaKeys) {
        row.emplace_back(CellValue(frame.at(key), keys.rows(g).front()));
      }
      row.emplace_back(pair.name);
      row.emplace_back(Difference(frame, "w_rel_fro", rows_a[g], rows_b[g]));
      row.emplace_back(Difference(frame, "w_rel_max", rows_a[g], rows_b[g]));
      if (const auto appended = writer.Append(std::move(row)); !appended) return appended;
    }
  }
  return {};
}

/// None where quant_sim has no rows at all: then no pair has deltas, and collect-data said why.
Names AbsentSchemeWarnings(const Frame& frame, const std::vector<DeltaPair>& pairs) {
  Names warnings;
  const Names& present = frame.at("scheme").dictionary;
  if (present.empty()) return warnings;
  for (const DeltaPair& pair : pairs) {
    for (const std::string& name : std::set<std::string>{pair.a, pair.b}) {
      if (Contains(present, name)) continue;
      warnings.push_back(fmt::format(
          "[tables] delta pair '{}' names scheme '{}', which quant_sim does not have: its deltas "
          "are empty",
          pair.name, name));
    }
  }
  return warnings;
}

// The tables of one call: all are finished before the first is renamed into place.
class TableSet {
 public:
  TableSet(fs::path folder, OutputOptions output)
      : folder_(std::move(folder)), output_(std::move(output)) {}

  /// `fill` writes the rows.
  template <class Function>
  Result<void> Add(const TableSchema& schema, Function fill) {
    auto opened = TableWriter::Open(folder_, schema, output_, files_);
    if (!opened) return tl::make_unexpected(opened.error());
    TableWriter& writer = **opened;
    writers_.push_back(std::move(*opened));
    return fill(writer).and_then([&] { return writer.Finish(); });
  }

  /// Removes the table of that name, in Commit().
  void Remove(const std::string& name) {
    for (const char* suffix : {".parquet", ".csv"}) files_.Remove(folder_ / (name + suffix));
  }

  Result<void> Commit() { return files_.Commit(); }

  std::vector<WrittenTable> Written() const {
    std::vector<WrittenTable> written;
    for (const auto& writer : writers_) written.push_back(writer->written());
    return written;
  }

 private:
  fs::path folder_;
  OutputOptions output_;
  FileTransaction files_;
  std::vector<std::unique_ptr<TableWriter>> writers_;
};

Result<void> AddSummaries(std::span<const SummarySpec> specs, const Source& source,
                          TableSet& tables) {
  for (const SummarySpec& spec : specs) {
    const auto added = tables.Add(SummarySchema(spec, source), [&](TableWriter& writer) {
      return WriteSummary(spec, source, writer);
    });
    if (!added) return added;
  }
  return {};
}

/// The summary of the weights outside the experts; that of an earlier run goes where they were not
/// measured.
Result<void> AddDenseSummary(const fs::path& run_dir, TableSet& tables) {
  if (!LocateDataTable(run_dir, "dense_quant_sim")) {
    for (const SummarySpec& spec : kDenseSummaries) tables.Remove(spec.name);
    return {};
  }
  const auto dense = ReadSource(run_dir, "dense_quant_sim", kDenseKeys, QuantMetrics);
  if (!dense) return tl::make_unexpected(dense.error());
  return AddSummaries(kDenseSummaries, *dense, tables);
}

}  // namespace

TableSchema QuantDeltasSchema() {
  const TableSchema quant = QuantSimTable().Schema();
  const auto error = std::ranges::find(quant.columns, "w_rel_fro", &Column::name);
  return {"B_quant_deltas",
          {{"derived_tensor", ColumnType::kString, true, "", "as in quant_sim"},
           {"layer", ColumnType::kInt64, true, "", "as in quant_sim; -1 if unknown"},
           {"block4", ColumnType::kInt64, true, "", "layer div 4; null if the layer is unknown"},
           {"proj", ColumnType::kString, true, "", "as in quant_sim"},
           {"expert_id", ColumnType::kInt64, true, "", "as in quant_sim; -1 for shared experts"},
           {"rows", ColumnType::kInt64, true, "elements", "output features R"},
           {"cols", ColumnType::kInt64, true, "elements", "input features C"},
           {"delta_name", ColumnType::kString, false, "", "name of the pair in delta_pairs"},
           {.name = "delta_w_rel_fro",
            .unit = "ratio",
            .doc = "w_rel_fro under scheme a minus w_rel_fro under scheme b; null if either is "
                   "missing",
            .advice = error->advice},
           {"delta_w_rel_max", ColumnType::kDouble, true, "ratio",
            "w_rel_max under scheme a minus w_rel_max under scheme b; null if either is missing"}}};
}

Result<TablesReport> BuildTables(const fs::path& run_dir, const TablesOptions& options) {
  const auto weights = ReadSource(run_dir, "matrix_stats", kWeightKeys, WeightMetrics);
  if (!weights) return tl::make_unexpected(weights.error());
  const std::vector<DeltaPair>& pairs = options.delta_pairs;
  std::vector<WantedColumn> quant_keys = kQuantKeys;
  if (!pairs.empty()) {
    quant_keys.insert(quant_keys.end(), kDeltaExtraKeys.begin(), kDeltaExtraKeys.end());
  }
  const auto quant = ReadSource(run_dir, "quant_sim", std::move(quant_keys), QuantMetrics);
  if (!quant) return tl::make_unexpected(quant.error());

  TableSet tables(run_dir / "tables", options.output);
  const auto add_summaries = [&] {
    return AddSummaries(kWeightSummaries, *weights, tables)
        .and_then([&] { return AddSummaries(kQuantSummaries, *quant, tables); })
        .and_then([&] { return AddDenseSummary(run_dir, tables); });
  };
  TablesReport report;
  if (pairs.empty()) {
    if (const auto added = add_summaries(); !added) return tl::make_unexpected(added.error());
    tables.Remove(QuantDeltasSchema().name);  // that of an earlier configuration
  } else {
    // Duplicates are found before anything is opened.
    const Groups keys = GroupBy(quant->frame, kDeltaKeys);
    const auto rows_of = FindSchemeRows(quant->frame, keys, pairs);
    if (!rows_of) return tl::make_unexpected(rows_of.error());
    const auto added = add_summaries().and_then([&] {
      return tables.Add(QuantDeltasSchema(), [&](TableWriter& writer) {
        return WriteDeltas(quant->frame, keys, *rows_of, pairs, writer);
      });
    });
    if (!added) return tl::make_unexpected(added.error());
    report.warnings = AbsentSchemeWarnings(quant->frame, pairs);
  }

  if (auto going = options.stop.Check(); !going) return tl::make_unexpected(going.error());
  auto done = CommitMarked(run_dir, kBuildTables, [&] { return tables.Commit(); });
  if (!done) return tl::make_unexpected(done.error());
  report.tables = tables.Written();
  return report;
}

}  // namespace moe

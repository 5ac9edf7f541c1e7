#include "rows/collect_rows.h"

#include <gmock/gmock.h>

#include <set>

#include "base/test_files.h"
#include "rows/schema_markdown.h"

namespace moe {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using Names = std::vector<std::string>;

MeasureOptions ExampleOptions() {
  MeasureOptions options;
  options.percentiles_abs = {50, 99, 99.9, 95};
  options.group_sizes = {32, 64};
  return options;
}

Names ColumnNames(const TableSchema& schema) {
  Names names;
  for (const Column& column : schema.columns) names.push_back(column.name);
  return names;
}

const Column& FindColumn(const TableSchema& schema, const std::string& name) {
  for (const Column& column : schema.columns) {
    if (column.name == name) return column;
  }
  throw std::out_of_range(name);
}

const Value& Cell(const TableSchema& schema, const Row& row, const std::string& name) {
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    if (schema.columns[i].name == name) return row.at(i);
  }
  throw std::out_of_range(name);
}

void ExpectFits(const TableSchema& schema, const Row& row) {
  ASSERT_EQ(row.size(), schema.columns.size());
  for (size_t i = 0; i < row.size(); ++i) {
    const Column& column = schema.columns[i];
    if (row[i].index() == 0) {
      EXPECT_TRUE(column.nullable) << column.name;
      continue;
    }
    const size_t expected = column.type == ColumnType::kString   ? 1
                            : column.type == ColumnType::kInt64  ? 2
                            : column.type == ColumnType::kDouble ? 3
                            : column.type == ColumnType::kBool   ? 4
                                                                 : 5;
    EXPECT_EQ(row[i].index(), expected) << column.name;
  }
}

// Contract D4.
TEST(PercentileColumnName, IsTheDigitsWithoutThePoint) {
  EXPECT_EQ(PercentileColumnName(50), "p50_abs");
  EXPECT_EQ(PercentileColumnName(99), "p99_abs");
  EXPECT_EQ(PercentileColumnName(99.9), "p999_abs");
  EXPECT_EQ(PercentileColumnName(99.99), "p9999_abs");
  EXPECT_EQ(PercentileColumnName(95.5), "p955_abs");
  EXPECT_EQ(PercentileColumnName(0.5), "p05_abs");
  EXPECT_EQ(PercentileColumnName(0), "p0_abs");
  EXPECT_EQ(PercentileColumnName(100), "p100_abs");
}

// Contract section 8.
TEST(GroupColumnNames, TruncateThePercentile) {
  EXPECT_EQ(GroupPercentileColumnName(32, 95.0), "g32_p95_outlier");
  EXPECT_EQ(GroupPercentileColumnName(64, 99.9), "g64_p99_outlier");
  EXPECT_EQ(GroupMaxColumnName(-8), "g-8_max_outlier");
}

TEST(Block4, IsTheLayerDivFourOrNull) {
  EXPECT_EQ(Block4(0), Value(int64_t{0}));
  EXPECT_EQ(Block4(7), Value(int64_t{1}));
  EXPECT_EQ(Block4(-1), Value());
}

// The column orders below are typed from contract sections 8 to 10 and 13, and D5.
TEST(Schemas, TensorInventoryHasTheContractsColumns) {
  EXPECT_THAT(ColumnNames(TensorInventoryTable().Schema()),
              ElementsAreArray({"file", "tensor_name", "dtype", "shape", "ndim", "nbytes",
                                "in_index", "index_shard", "role"}));
}

TEST(Schemas, MatrixStatsHasTheContractsColumns) {
  EXPECT_THAT(ColumnNames(MatrixStatsTable(ExampleOptions()).Schema()),
              ElementsAreArray({"file",
                                "source_tensor",
                                "derived_tensor",
                                "layer",
                                "block4",
                                "proj",
                                "expert_id",
                                "is_routed_expert",
                                "is_shared_expert",
                                "rows",
                                "cols",
                                "dtype",
                                "mean",
                                "std",
                                "mean_abs",
                                "rms",
                                "max_abs",
                                "p50_abs",
                                "p99_abs",
                                "p999_abs",
                                "outlier_max_over_mean",
                                "outlier_p99_over_median",
                                "outlier_p999_over_median",
                                "g32_p95_outlier",
                                "g32_max_outlier",
                                "g64_p95_outlier",
                                "g64_max_outlier",
                                "p95_abs",
                                "nonfinite_count",
                                "storage",
                                "storage_bits_per_weight",
                                "stack"}));
}

TEST(Schemas, QuantSimHasTheContractsColumns) {
  EXPECT_THAT(ColumnNames(QuantSimTable().Schema()), ElementsAreArray({"file",
                                                                       "source_tensor",
                                                                       "derived_tensor",
                                                                       "layer",
                                                                       "block4",
                                                                       "proj",
                                                                       "expert_id",
                                                                       "is_shared_expert",
                                                                       "rows",
                                                                       "cols",
                                                                       "scheme",
                                                                       "mode",
                                                                       "bits",
                                                                       "group_size",
                                                                       "w_rel_fro",
                                                                       "w_rel_max",
                                                                       "scale_mean",
                                                                       "scale_max",
                                                                       "bias_mean",
                                                                       "bias_max",
                                                                       "error",
                                                                       "scale_abs_mean",
                                                                       "scale_abs_max",
                                                                       "sqnr_db",
                                                                       "bits_per_weight",
                                                                       "max_abs_err",
                                                                       "zero_share",
                                                                       "clip_share",
                                                                       "compute_dtype",
                                                                       "backend",
                                                                       "profile",
                                                                       "requantized",
                                                                       "stack"}));
}

TEST(Schemas, TheOthersHaveTheContractsColumns) {
  EXPECT_THAT(ColumnNames(UnmatchedTensorsTable().Schema()),
              ElementsAreArray({"file", "tensor_name", "dtype", "shape", "ndim", "reason"}));
  EXPECT_THAT(ColumnNames(WarningsTable().Schema()), ElementsAreArray({"warning"}));
  EXPECT_THAT(ColumnNames(ProjCanonicalizationReportTable().Schema()),
              ElementsAreArray({"context", "rule_name", "raw_proj", "resolved_proj", "action",
                                "count", "example_file", "example_source_tensor",
                                "example_derived_tensor", "suggested_proj", "suggested_match"}));
}

TEST(Schemas, Block4IsANullableInteger) {
  for (const TableSchema& schema :
       {MatrixStatsTable(ExampleOptions()).Schema(), QuantSimTable().Schema()}) {
    EXPECT_EQ(FindColumn(schema, "block4").type, ColumnType::kInt64);
    EXPECT_TRUE(FindColumn(schema, "block4").nullable);
  }
}

TEST(TensorInventoryRow, FitsItsSchemaWithAndWithoutAnIndex) {
  const TableSchema schema = TensorInventoryTable().Schema();
  TensorInventoryRow row{"/a", "t", "float32", {2, 8}, 64, std::nullopt, std::nullopt, "other"};
  ExpectFits(schema, TensorInventoryTable().RowOf(row));
  EXPECT_EQ(Cell(schema, TensorInventoryTable().RowOf(row), "shape"),
            Value(std::vector<int64_t>{2, 8}));
  EXPECT_EQ(Cell(schema, TensorInventoryTable().RowOf(row), "ndim"), Value(int64_t{2}));
  EXPECT_EQ(Cell(schema, TensorInventoryTable().RowOf(row), "in_index"), Value());
  row.in_index = false;
  ExpectFits(schema, TensorInventoryTable().RowOf(row));
  EXPECT_EQ(Cell(schema, TensorInventoryTable().RowOf(row), "in_index"), Value(false));
}

StoredMatrix ExampleStored() {
  return {.file = "/m/a.safetensors",
          .source_tensor = "experts.gate_up_proj",
          .layer = 5,
          .rows = 768,
          .cols = 2048,
          .dtype = "bfloat16",
          .storage = "bf16",
          .storage_bits_per_weight = 16.5,
          .stack = "decoder"};
}

MatrixIdentity ExampleMatrix() {
  return {ExampleStored(), "experts.gate_up_proj::split[0]::up_proj", "up_proj", 7, true, false};
}

MatrixStatsRow ExampleStats() {
  MatrixStatsRow row{ExampleMatrix(), {}};
  row.stats.mean = 0.5;
  row.stats.std = 0.25;
  row.stats.mean_abs = 0.125;
  row.stats.rms = 0.75;
  row.stats.max_abs = 9;
  row.stats.percentiles = {1, 2, 3, 4};
  row.stats.outlier_max_over_mean = 11;
  row.stats.outlier_p99_over_median = 12;
  row.stats.outlier_p999_over_median = 13;
  row.stats.groups = {{5.0, 6.0}, {std::nullopt, 8.0}};
  return row;
}

QuantSimRow ExampleQuant() {
  const QuantError error = {.w_rel_fro = 1,
                            .w_rel_max = 2,
                            .scale_mean = 3,
                            .scale_max = 4,
                            .bias_mean = 5,
                            .bias_max = std::nullopt,
                            .error = "ValueError: x",
                            .scale_abs_mean = 7,
                            .scale_abs_max = 8,
                            .sqnr_db = 9,
                            .bits_per_weight = 10,
                            .max_abs_err = 11,
                            .zero_share = 12,
                            .clip_share = 13,
                            .act_rel_fro = {}};
  return {ExampleMatrix(), {"q4", "affine", 4, 32}, error, "bf16", "native", "mlx-cpu", true};
}

/// Every cell with its column's name, in order.
std::vector<std::pair<std::string, Value>> Cells(const TableSchema& schema, const Row& row) {
  ExpectFits(schema, row);
  std::vector<std::pair<std::string, Value>> cells;
  for (size_t i = 0; i < row.size(); ++i) cells.emplace_back(schema.columns[i].name, row[i]);
  return cells;
}

TEST(MatrixStatsTable, PutsEachNumberUnderItsName) {
  const auto table = MatrixStatsTable(ExampleOptions());
  EXPECT_THAT(Cells(table.Schema(), table.RowOf(ExampleStats())),
              ElementsAreArray(std::vector<std::pair<std::string, Value>>{
                  {"file", "/m/a.safetensors"},
                  {"source_tensor", "experts.gate_up_proj"},
                  {"derived_tensor", "experts.gate_up_proj::split[0]::up_proj"},
                  {"layer", int64_t{5}},
                  {"block4", int64_t{1}},
                  {"proj", "up_proj"},
                  {"expert_id", int64_t{7}},
                  {"is_routed_expert", true},
                  {"is_shared_expert", false},
                  {"rows", int64_t{768}},
                  {"cols", int64_t{2048}},
                  {"dtype", "bfloat16"},
                  {"mean", 0.5},
                  {"std", 0.25},
                  {"mean_abs", 0.125},
                  {"rms", 0.75},
                  {"max_abs", 9.0},
                  {"p50_abs", 1.0},
                  {"p99_abs", 2.0},
                  {"p999_abs", 3.0},
                  {"outlier_max_over_mean", 11.0},
                  {"outlier_p99_over_median", 12.0},
                  {"outlier_p999_over_median", 13.0},
                  {"g32_p95_outlier", 5.0},
                  {"g32_max_outlier", 6.0},
                  {"g64_p95_outlier", Value()},
                  {"g64_max_outlier", 8.0},
                  {"p95_abs", 4.0},
                  {"nonfinite_count", int64_t{0}},
                  {"storage", "bf16"},
                  {"storage_bits_per_weight", 16.5},
                  {"stack", "decoder"}}));
}

// What stands in them about the numbers is what the experts' tables say, word for word.
TEST(DenseTables, HaveTheNumbersOfTheExpertsTablesBehindTheirModule) {
  const DenseIdentity id{ExampleStored(), "model.layers.5.self_attn.q_proj", "attention"};
  const auto cells_behind = [](const auto& table, const auto& row, const std::string& first) {
    auto cells = Cells(table.Schema(), table.RowOf(row));
    const auto begin = std::ranges::find(cells, first, [](const auto& cell) { return cell.first; });
    return std::vector(begin, cells.end());
  };
  const std::vector<std::pair<std::string, Value>> identity = {
      {"file", "/m/a.safetensors"},
      {"source_tensor", "experts.gate_up_proj"},
      {"module", "model.layers.5.self_attn.q_proj"},
      {"role", "attention"},
      {"layer", int64_t{5}},
      {"rows", int64_t{768}},
      {"cols", int64_t{2048}}};
  const auto stats_table = DenseStatsTable(ExampleOptions());
  EXPECT_EQ(stats_table.name, "dense_stats");
  const DenseStatsRow stats{id, ExampleStats().stats};
  auto cells = Cells(stats_table.Schema(), stats_table.RowOf(stats));
  EXPECT_TRUE(std::equal(identity.begin(), identity.end(), cells.begin()));
  EXPECT_EQ(cells[identity.size()].first, "dtype");
  EXPECT_EQ(cells_behind(stats_table, stats, "dtype"),
            cells_behind(MatrixStatsTable(ExampleOptions()), ExampleStats(), "dtype"));

  EXPECT_EQ(DenseQuantSimTable().name, "dense_quant_sim");
  const QuantSimRow of_expert = ExampleQuant();
  DenseQuantSimRow quant{
      id, of_expert.scheme, of_expert.error, "bf16", "native", "mlx-cpu", true, 0.75, 0.25};
  quant.error.act_rel_fro = 0.5;
  cells = Cells(DenseQuantSimTable().Schema(), DenseQuantSimTable().RowOf(quant));
  EXPECT_TRUE(std::equal(identity.begin(), identity.end(), cells.begin()));
  EXPECT_EQ(cells[identity.size()].first, "scheme");
  auto dense_cells = cells_behind(DenseQuantSimTable(), quant, "scheme");
  const decltype(dense_cells) inputs = {
      {"act_rel_fro", 0.5}, {"energy", 0.75}, {"guessed_energy", 0.25}};
  EXPECT_TRUE(std::equal(inputs.begin(), inputs.end(), dense_cells.end() - 3));
  dense_cells.resize(dense_cells.size() - 3);  // of experts they are in evidence
  EXPECT_EQ(dense_cells, cells_behind(QuantSimTable(), of_expert, "scheme"));
}

// Contract D26; MatrixStats then has empty vectors.
TEST(MatrixStatsTable, NonFiniteWeightsLeaveOnlyTheirCount) {
  const auto table = MatrixStatsTable(ExampleOptions());
  MatrixStatsRow stats{ExampleMatrix(), {}};
  stats.stats.nonfinite_count = 3;
  stats.matrix.stack.reset();
  stats.matrix.layer = -1;
  for (const auto& [name, value] : Cells(table.Schema(), table.RowOf(stats))) {
    const bool is_number = FindColumn(table.Schema(), name).type == ColumnType::kDouble;
    if (name == "nonfinite_count") {
      EXPECT_EQ(value, Value(int64_t{3}));
    } else if (name == "block4" || name == "stack" ||
               (is_number && name != "storage_bits_per_weight")) {
      EXPECT_EQ(value, Value()) << name;
    }
  }
}

TEST(QuantSimTable, PutsEachNumberUnderItsName) {
  const auto& table = QuantSimTable();
  EXPECT_THAT(Cells(table.Schema(), table.RowOf(ExampleQuant())),
              ElementsAreArray(std::vector<std::pair<std::string, Value>>{
                  {"file", "/m/a.safetensors"},
                  {"source_tensor", "experts.gate_up_proj"},
                  {"derived_tensor", "experts.gate_up_proj::split[0]::up_proj"},
                  {"layer", int64_t{5}},
                  {"block4", int64_t{1}},
                  {"proj", "up_proj"},
                  {"expert_id", int64_t{7}},
                  {"is_shared_expert", false},
                  {"rows", int64_t{768}},
                  {"cols", int64_t{2048}},
                  {"scheme", "q4"},
                  {"mode", "affine"},
                  {"bits", int64_t{4}},
                  {"group_size", int64_t{32}},
                  {"w_rel_fro", 1.0},
                  {"w_rel_max", 2.0},
                  {"scale_mean", 3.0},
                  {"scale_max", 4.0},
                  {"bias_mean", 5.0},
                  {"bias_max", Value()},
                  {"error", "ValueError: x"},
                  {"scale_abs_mean", 7.0},
                  {"scale_abs_max", 8.0},
                  {"sqnr_db", 9.0},
                  {"bits_per_weight", 10.0},
                  {"max_abs_err", 11.0},
                  {"zero_share", 12.0},
                  {"clip_share", 13.0},
                  {"compute_dtype", "bf16"},
                  {"backend", "native"},
                  {"profile", "mlx-cpu"},
                  {"requantized", true},
                  {"stack", "decoder"}}));
}

/// `record` with only what is measured, by way of its row.
template <class R>
R MeasuredAgain(const Table<R>& table, const R& record) {
  R again;
  for (const auto& field : table.fields) {
    if (field.put) field.put(again, field.value(record));
  }
  return again;
}

// What an earlier run measured is taken from its tables: no measurement may be lost on the way.
TEST(Tables, GiveBackWhatWasMeasured) {
  const auto stats = MatrixStatsTable(ExampleOptions());
  MatrixStatsRow again = MeasuredAgain(stats, ExampleStats());
  again.matrix = ExampleMatrix();
  EXPECT_EQ(stats.RowOf(again), stats.RowOf(ExampleStats()));
  MatrixStatsRow nonfinite{ExampleMatrix(), {}};
  nonfinite.stats.nonfinite_count = 3;
  again = MeasuredAgain(stats, nonfinite);
  again.matrix = ExampleMatrix();
  EXPECT_EQ(stats.RowOf(again), stats.RowOf(nonfinite));

  QuantSimRow quant = MeasuredAgain(QuantSimTable(), ExampleQuant());
  quant = {ExampleMatrix(), ExampleQuant().scheme, quant.error, "bf16", "native", "mlx-cpu", true};
  EXPECT_EQ(QuantSimTable().RowOf(quant), QuantSimTable().RowOf(ExampleQuant()));
}

// What the page and `show --explain` say of a metric; one that nobody explains is no use.
TEST(Schemas, EveryMetricIsExplained) {
  for (const TableSchema& schema : CollectSchemas(ExampleOptions())) {
    for (const Column& column : schema.columns) {
      if (column.type != ColumnType::kDouble && column.name != "nonfinite_count") continue;
      EXPECT_NE(column.label, "") << column.name;
      EXPECT_NE(column.plain, "") << column.name;
      for (const std::string& other : column.derivation.value_or(Derivation{}).of) {
        EXPECT_EQ(FindColumn(CollectSchemas(
                                 ExampleOptions())[other == "w_rel_fro" || other == "w_rel_max"],
                             other)
                      .type,
                  ColumnType::kDouble);
      }
    }
  }
}

TEST(OptionsWithColumn, MakeTheColumn) {
  for (const char* name : {"g128_p99_outlier", "g128_p95_outlier", "g-8_max_outlier", "p75_abs",
                           "p995_abs", "p50_abs", "p9999_abs"}) {
    EXPECT_THAT(ColumnNames(MatrixStatsTable(OptionsWithColumn(name)).Schema()),
                testing::Contains(name));
  }
  EXPECT_THAT(OptionsWithColumn("g32_outlier").group_sizes, testing::IsEmpty());
}

TEST(OtherRows, FitTheirSchemas) {
  ExpectFits(UnmatchedTensorsTable().Schema(),
             UnmatchedTensorsTable().RowOf({"f", "t", "d", {}, "empty"}));
  ExpectFits(ProjCanonicalizationReportTable().Schema(),
             ProjCanonicalizationReportTable().RowOf({}));
}

TEST(MarkdownColumnTable, EscapesBarsInCells) {
  const TableSchema schema{"t", {{"a", ColumnType::kDouble, true, "ratio", "max |w|"}}};
  EXPECT_THAT(MarkdownColumnTable(schema),
              HasSubstr("| `a` | `double` | ratio | yes | max \\|w\\| |\n"));
}

// docs/outputs.md holds these tables word for word. When this fails, put the text below there.
TEST(OutputsDoc, ShowsEveryColumnAsItIsDeclared) {
  const std::string doc = DocText("outputs.md");
  MeasureOptions template_options;
  template_options.group_sizes = {32, 64};
  for (const TableSchema& schema : CollectSchemas(template_options)) {
    const std::string table = MarkdownColumnTable(schema);
    EXPECT_NE(doc.find(table), std::string::npos) << schema.name << "\n" << table;
  }
}

}  // namespace
}  // namespace moe

#include "rows/collect_rows.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <set>

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
  EXPECT_THAT(ColumnNames(TensorInventorySchema()),
              ElementsAreArray({"file", "tensor_name", "dtype", "shape", "ndim", "nbytes",
                                "in_index", "index_shard", "role"}));
}

TEST(Schemas, MatrixStatsHasTheContractsColumns) {
  EXPECT_THAT(ColumnNames(MatrixStatsSchema(ExampleOptions())),
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
  EXPECT_THAT(ColumnNames(QuantSimSchema()), ElementsAreArray({"file",
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
  EXPECT_THAT(ColumnNames(UnmatchedTensorsSchema()),
              ElementsAreArray({"file", "tensor_name", "dtype", "shape", "ndim", "reason"}));
  EXPECT_THAT(ColumnNames(WarningsSchema()), ElementsAreArray({"warning"}));
  EXPECT_THAT(ColumnNames(ProjCanonicalizationReportSchema()),
              ElementsAreArray({"context", "rule_name", "raw_proj", "resolved_proj", "action",
                                "count", "example_file", "example_source_tensor",
                                "example_derived_tensor", "suggested_proj", "suggested_match"}));
}

TEST(Schemas, Block4IsANullableInteger) {
  for (const TableSchema& schema : {MatrixStatsSchema(ExampleOptions()), QuantSimSchema()}) {
    EXPECT_EQ(FindColumn(schema, "block4").type, ColumnType::kInt64);
    EXPECT_TRUE(FindColumn(schema, "block4").nullable);
  }
}

TEST(TensorInventoryRow, FitsItsSchemaWithAndWithoutAnIndex) {
  const TableSchema schema = TensorInventorySchema();
  TensorInventoryRow row{"/a", "t", "float32", {2, 8}, 64, std::nullopt, std::nullopt, "other"};
  ExpectFits(schema, row.ToRow());
  EXPECT_EQ(Cell(schema, row.ToRow(), "shape"), Value(std::vector<int64_t>{2, 8}));
  EXPECT_EQ(Cell(schema, row.ToRow(), "ndim"), Value(int64_t{2}));
  EXPECT_EQ(Cell(schema, row.ToRow(), "in_index"), Value());
  row.in_index = false;
  ExpectFits(schema, row.ToRow());
  EXPECT_EQ(Cell(schema, row.ToRow(), "in_index"), Value(false));
}

MatrixStatsRow ExampleStats() {
  MatrixStatsRow row;
  row.matrix.layer = 5;
  row.matrix.rows = 768;
  row.stats.mean = 0.5;
  row.stats.percentiles = {1, 2, 3, 4};
  row.stats.groups = {{5.0, 6.0}, {std::nullopt, std::nullopt}};
  return row;
}

TEST(MatrixStatsRow, PutsEachNumberUnderItsName) {
  const TableSchema schema = MatrixStatsSchema(ExampleOptions());
  const Row row = ExampleStats().ToRow(ExampleOptions());
  ExpectFits(schema, row);
  EXPECT_EQ(Cell(schema, row, "block4"), Value(int64_t{1}));
  EXPECT_EQ(Cell(schema, row, "rows"), Value(int64_t{768}));
  EXPECT_EQ(Cell(schema, row, "mean"), Value(0.5));
  EXPECT_EQ(Cell(schema, row, "p999_abs"), Value(3.0));
  EXPECT_EQ(Cell(schema, row, "p95_abs"), Value(4.0));
  EXPECT_EQ(Cell(schema, row, "g32_max_outlier"), Value(6.0));
  EXPECT_EQ(Cell(schema, row, "g64_p95_outlier"), Value());
  EXPECT_EQ(Cell(schema, row, "nonfinite_count"), Value(int64_t{0}));
  EXPECT_EQ(Cell(schema, row, "stack"), Value());
}

// Contract D26; MatrixStats then has empty vectors.
TEST(MatrixStatsRow, NonFiniteWeightsLeaveOnlyTheirCount) {
  const TableSchema schema = MatrixStatsSchema(ExampleOptions());
  MatrixStatsRow stats = ExampleStats();
  stats.stats = {};
  stats.stats.nonfinite_count = 3;
  const Row row = stats.ToRow(ExampleOptions());
  ExpectFits(schema, row);
  EXPECT_EQ(Cell(schema, row, "nonfinite_count"), Value(int64_t{3}));
  for (const char* name :
       {"mean", "p50_abs", "outlier_max_over_mean", "g32_p95_outlier", "p95_abs"}) {
    EXPECT_EQ(Cell(schema, row, name), Value()) << name;
  }
}

TEST(QuantSimRow, PutsEachNumberUnderItsName) {
  const TableSchema schema = QuantSimSchema();
  QuantSimRow quant;
  quant.matrix.layer = -1;
  quant.scheme = {"q4", "affine", 4, 32};
  quant.error.w_rel_fro = 0.25;
  quant.error.clip_share = 0.125;
  quant.error.error = "ValueError: x";
  quant.requantized = true;
  const Row row = quant.ToRow();
  ExpectFits(schema, row);
  EXPECT_EQ(Cell(schema, row, "block4"), Value());
  EXPECT_EQ(Cell(schema, row, "bits"), Value(int64_t{4}));
  EXPECT_EQ(Cell(schema, row, "w_rel_fro"), Value(0.25));
  EXPECT_EQ(Cell(schema, row, "w_rel_max"), Value());
  EXPECT_EQ(Cell(schema, row, "error"), Value(std::string("ValueError: x")));
  EXPECT_EQ(Cell(schema, row, "clip_share"), Value(0.125));
  EXPECT_EQ(Cell(schema, row, "requantized"), Value(true));
}

TEST(OtherRows, FitTheirSchemas) {
  ExpectFits(UnmatchedTensorsSchema(), UnmatchedTensorRow{"f", "t", "d", {}, "empty"}.ToRow());
  ExpectFits(ProjCanonicalizationReportSchema(), ProjCanonicalizationRow().ToRow());
}

TEST(MarkdownColumnTable, EscapesBarsInCells) {
  const TableSchema schema{"t", {{"a", ColumnType::kDouble, true, "ratio", "max |w|"}}};
  EXPECT_THAT(MarkdownColumnTable(schema),
              HasSubstr("| `a` | `double` | ratio | yes | max \\|w\\| |\n"));
}

// docs/outputs.md holds these tables word for word. When this fails, put the text below there.
TEST(OutputsDoc, ShowsEveryColumnAsItIsDeclared) {
  std::ifstream file(MOE_OUTPUTS_DOC);
  const std::string doc{std::istreambuf_iterator<char>(file), {}};
  MeasureOptions template_options;
  template_options.group_sizes = {32, 64};
  for (const TableSchema& schema :
       {TensorInventorySchema(), MatrixStatsSchema(template_options), QuantSimSchema(),
        UnmatchedTensorsSchema(), WarningsSchema(), ProjCanonicalizationReportSchema()}) {
    const std::string table = MarkdownColumnTable(schema);
    EXPECT_NE(doc.find(table), std::string::npos) << schema.name << "\n" << table;
  }
}

}  // namespace
}  // namespace moe

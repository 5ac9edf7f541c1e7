#include "tables/summaries.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/test_files.h"
#include "rows/schema_markdown.h"
#include "tables/table_reader.h"
#include "tables/table_test_tools.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// Made with pandas by make_golden.py.
const fs::path kGolden = TestData() / "tables";

const TablesOptions kGoldenOptions{
    {{"mx_minus_q4", "mx", "q4"}, {"q4_minus_nothing", "q4", "nothing"}}, {TableFormat::kCsv, ""}};

constexpr const char* kTables[] = {
    "A_weight_layer_summary",  "A_weight_block4_summary", "A_weight_global_summary",
    "C_weight_global_summary", "B_quant_layer_summary",   "B_quant_block4_summary",
    "B_quant_global_summary",  "C_quant_global_summary",  "B_quant_deltas"};

bool IsTextColumn(const std::string& name) {
  return name == "proj" || name == "scheme" || name == "derived_tensor" || name == "delta_name";
}

Frame ReadTable(const fs::path& path) {
  const auto reader = TableReader::Open(path);
  if (!reader) {
    ADD_FAILURE() << reader.error().Text();
    return {};
  }
  std::vector<WantedColumn> wanted;
  for (const std::string& name : (*reader)->column_names()) {
    const auto number = name == "is_shared_expert" ? ColumnType::kBool : ColumnType::kDouble;
    wanted.push_back({name, IsTextColumn(name) ? ColumnType::kString : number});
  }
  auto frame = (*reader)->Read(wanted);
  if (!frame) {
    ADD_FAILURE() << frame.error().Text();
    return {};
  }
  return std::move(*frame);
}

void ExpectSameColumn(const FrameColumn& actual, const FrameColumn& expected) {
  SCOPED_TRACE(expected.name);
  EXPECT_EQ(actual.name, expected.name);
  EXPECT_EQ(actual.codes, expected.codes);
  EXPECT_EQ(actual.dictionary, expected.dictionary);
  EXPECT_EQ(actual.ints, expected.ints);
  EXPECT_EQ(actual.valid, expected.valid);
  ASSERT_EQ(actual.doubles.size(), expected.doubles.size());
  for (size_t i = 0; i < expected.doubles.size(); ++i) {
    const double want = expected.doubles[i];
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(actual.doubles[i])) << "row " << i;
    } else {
      EXPECT_NEAR(actual.doubles[i], want, 1e-12 * (1 + std::abs(want))) << "row " << i;
    }
  }
}

void ExpectGoldenTables(const fs::path& run_dir, const std::string& suffix) {
  for (const char* table : kTables) {
    SCOPED_TRACE(table);
    const Frame actual = ReadTable(run_dir / "tables" / (table + suffix));
    const Frame expected = ReadTable(kGolden / "tables" / (std::string(table) + ".csv"));
    EXPECT_EQ(actual.rows, expected.rows);
    ASSERT_EQ(actual.columns.size(), expected.columns.size());
    for (size_t i = 0; i < expected.columns.size(); ++i) {
      ExpectSameColumn(actual.columns[i], expected.columns[i]);
    }
  }
}

TEST(BuildTables, AgreesWithPandas) {
  const TempFolder run;
  fs::copy(kGolden / "data", run.path() / "data");
  const auto report = BuildTables(run.path(), kGoldenOptions);
  ASSERT_TRUE(report) << report.error().Text();
  ASSERT_EQ(report->tables.size(), std::size(kTables));
  for (size_t i = 0; i < std::size(kTables); ++i) {
    EXPECT_EQ(report->tables[i].path.stem(), kTables[i]);
  }
  ExpectGoldenTables(run.path(), ".csv");
}

TEST(BuildTables, TakesParquetFilesThatPandasWrote) {
  const TempFolder run;
  fs::copy(kGolden / "pandas", run.path() / "data");
  TablesOptions options = kGoldenOptions;
  options.output = {TableFormat::kParquet, "zstd"};
  const auto report = BuildTables(run.path(), options);
  ASSERT_TRUE(report) << report.error().Text();
  ExpectGoldenTables(run.path(), ".parquet");
}

TEST(BuildTables, WarnsOfAPairThatNamesAnAbsentScheme) {
  const TempFolder run;
  fs::copy(kGolden / "data", run.path() / "data");
  const auto report = BuildTables(run.path(), kGoldenOptions);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->warnings,
              ElementsAre(testing::AllOf(HasSubstr("q4_minus_nothing"), HasSubstr("'nothing'"))));
}

TEST(BuildTables, KeysAreIntegersAndFlagsInCsv) {
  const TempFolder run;
  fs::copy(kGolden / "data", run.path() / "data");
  ASSERT_TRUE(BuildTables(run.path(), kGoldenOptions));
  const std::string block4 = ReadText(run.path() / "tables/A_weight_block4_summary.csv");
  EXPECT_THAT(block4, HasSubstr("\n0,down_proj,"));
  EXPECT_THAT(block4, HasSubstr("\n,up_proj,"));
  EXPECT_THAT(ReadText(run.path() / "tables/C_weight_global_summary.csv"),
              HasSubstr("\nTrue,up_proj,"));
}

TEST(BuildTables, WithoutPairsThereAreNoDeltas) {
  const TempFolder run;
  fs::copy(kGolden / "data", run.path() / "data");
  const auto report = BuildTables(run.path(), {{}, {TableFormat::kCsv, ""}});
  ASSERT_TRUE(report);
  EXPECT_FALSE(fs::exists(run.path() / "tables/B_quant_deltas.csv"));
}

// A run of two small CSV files.
class SmallRun : public testing::Test {
 protected:
  void SetUp() override {
    Put("matrix_stats", "layer,proj,mean\n0,a,1\n");
    Put("quant_sim", "derived_tensor,layer,proj,expert_id,rows,cols,scheme,w_rel_fro\n");
  }
  void Put(const std::string& name, const std::string& text) {
    WriteText(run_.path() / "data" / (name + ".csv"), text);
  }
  Result<TablesReport> Build() {
    return BuildTables(run_.path(), {{{"d", "x", "y"}}, {TableFormat::kCsv, ""}});
  }
  std::string Table(const std::string& name) {
    return ReadText(run_.path() / "tables" / (name + ".csv"));
  }

  TempFolder run_;
};

TEST_F(SmallRun, TablesOfNoRowsHaveTheirHeaders) {
  ASSERT_TRUE(Build());
  EXPECT_EQ(Table("B_quant_global_summary"),
            "proj,scheme,w_rel_fro__min,w_rel_fro__p01,w_rel_fro__median,w_rel_fro__p99,"
            "w_rel_fro__max,n\n");
  EXPECT_EQ(Table("B_quant_deltas"),
            "derived_tensor,layer,block4,proj,expert_id,rows,cols,delta_name,delta_w_rel_fro,"
            "delta_w_rel_max\n");
}

TEST_F(SmallRun, FilesWithoutAnyColumnAreEmptyTables) {
  Put("matrix_stats", "\n");
  Put("quant_sim", "\n");
  ASSERT_TRUE(Build());
  EXPECT_EQ(Table("B_quant_layer_summary"), "layer,proj,scheme,n\n");
  EXPECT_THAT(Table("A_weight_global_summary"), HasSubstr("proj,mean__min,mean__p01"));
}

TEST_F(SmallRun, WithoutMetricsQuantTablesHaveTheirDistinctKeys) {
  Put("quant_sim", "layer,proj,scheme\n1,b,z\n0,b,w\n1,b,z\n");
  ASSERT_TRUE(Build());
  EXPECT_EQ(Table("B_quant_layer_summary"), "layer,proj,scheme,n\n0,b,w,1\n1,b,z,2\n");
}

TEST_F(SmallRun, AMissingBlock4IsDerivedFromTheLayer) {
  Put("matrix_stats", "layer,proj,mean\n7,a,1\n4,a,3\n-1,a,5\n");
  ASSERT_TRUE(Build());
  const Frame table = ReadTable(run_.path() / "tables/A_weight_block4_summary.csv");
  ASSERT_EQ(table.rows, 2u);
  EXPECT_EQ(table.at("block4").doubles[0], 1);
  EXPECT_TRUE(std::isnan(table.at("block4").doubles[1]));
  EXPECT_EQ(table.at("mean__median").doubles[0], 2);
  // Sample deviation of 1 and 3: sqrt(((1-2)^2 + (3-2)^2) / (2 - 1)).
  EXPECT_DOUBLE_EQ(table.at("mean__std").doubles[0], std::sqrt(2.0));
  EXPECT_TRUE(std::isnan(table.at("mean__std").doubles[1]));
}

TEST_F(SmallRun, InfiniteErrorsStayInfinite) {
  Put("quant_sim", "layer,proj,scheme,w_rel_fro\n0,a,z,inf\n0,a,z,inf\n");
  ASSERT_TRUE(Build());
  EXPECT_THAT(Table("B_quant_global_summary"), HasSubstr("a,z,inf,inf,inf,inf,inf,2\n"));
}

TEST_F(SmallRun, DuplicateKeysAreAnErrorThatTouchesNothing) {
  Put("quant_sim",
      "derived_tensor,layer,proj,expert_id,rows,cols,scheme,w_rel_fro\n"
      "t::a,-1,a,0,1,32,x,1\nt::a,-1,a,0,1,32,x,2\nt::a,-1,a,0,1,32,x,2\n"
      "t::b,3,b,1,1,32,y,1\nt::b,3,b,1,1,32,y,2\n");
  WriteText(run_.path() / "tables/A_weight_layer_summary.csv", "old");
  const auto report = Build();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().TypeName(), "ValueError");
  const std::string text = report.error().Text();
  EXPECT_TRUE(text.starts_with("duplicate quant delta base keys detected")) << text;
  EXPECT_THAT(text,
              HasSubstr("scheme=x, proj=a, layer=-1, expert_id=0, derived_tensor=t::a, count=3"));
  EXPECT_THAT(text,
              HasSubstr("scheme=y, proj=b, layer=3, expert_id=1, derived_tensor=t::b, count=2"));
  EXPECT_THAT(FilesIn(run_.path() / "tables"), ElementsAre("A_weight_layer_summary.csv"));
  EXPECT_EQ(Table("A_weight_layer_summary"), "old");
}

TEST_F(SmallRun, DuplicatesOfASchemeThatNoPairNamesDoNotMatter) {
  Put("quant_sim",
      "derived_tensor,layer,proj,expert_id,rows,cols,scheme,w_rel_fro\n"
      "t::a,0,a,0,1,32,z,1\nt::a,0,a,0,1,32,z,2\n");
  EXPECT_TRUE(Build());
}

TEST_F(SmallRun, AMissingInputIsNamed) {
  fs::remove(run_.path() / "data/quant_sim.csv");
  const auto report = Build();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().TypeName(), "FileNotFoundError");
  EXPECT_THAT(report.error().Text(), HasSubstr("quant_sim"));
  EXPECT_FALSE(fs::exists(run_.path() / "tables"));
}

TEST_F(SmallRun, WhenOneTableFailsNoneIsReplaced) {
  WriteText(run_.path() / "tables/A_weight_layer_summary.csv", "old");
  fs::create_directories(run_.path() / "tables/B_quant_deltas.csv");
  const auto report = Build();
  ASSERT_FALSE(report);
  EXPECT_EQ(Table("A_weight_layer_summary"), "old");
  EXPECT_THAT(FilesIn(run_.path() / "tables"),
              ElementsAre("A_weight_layer_summary.csv", "B_quant_deltas.csv"));
}

// docs/outputs.md holds this table word for word.
TEST(QuantDeltasSchema, IsWhatTheDocsShow) {
  EXPECT_THAT(DocText("outputs.md"), HasSubstr(MarkdownColumnTable(QuantDeltasSchema())));
}

}  // namespace
}  // namespace moe

#include "tables/table_reader.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/test_files.h"
#include "tables/table_test_tools.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

Result<Frame> ReadCsv(const std::string& text, std::vector<WantedColumn> wanted) {
  const TempFolder folder;
  WriteText(folder.path() / "t.csv", text);
  const auto reader = TableReader::Open(folder.path() / "t.csv");
  if (!reader) return tl::make_unexpected(reader.error());
  return (*reader)->Read(wanted);
}

TEST(CsvReader, ReadsQuotesBlankLinesAndEveryLineEnd) {
  const auto frame = ReadCsv("\xEF\xBB\xBF\"s\",n\r\n\"a\"\"b,\nc\",1\n\nplain,2\r\"\",3",
                             {{"s", ColumnType::kString}, {"n", ColumnType::kInt64}});
  ASSERT_TRUE(frame) << frame.error().Text();
  EXPECT_THAT(frame->at("s").dictionary, ElementsAre("a\"b,\nc", "plain"));
  EXPECT_THAT(frame->at("s").codes, ElementsAre(0u, 1u, FrameColumn::kNullCode));
  EXPECT_THAT(frame->at("n").ints, ElementsAre(1, 2, 3));
}

TEST(CsvReader, TakesIntegersThatPandasMadeFloats) {
  const auto frame =
      ReadCsv("block4\n1.0\n\"\"\n-3\n9007199254740993\n", {{"block4", ColumnType::kInt64}});
  ASSERT_TRUE(frame) << frame.error().Text();
  EXPECT_THAT(frame->at("block4").ints, ElementsAre(1, 0, -3, 9007199254740993));
  EXPECT_THAT(frame->at("block4").valid, ElementsAre(1, 0, 1, 1));
}

TEST(CsvReader, ReadsPythonsFloatsAndBools) {
  const auto frame = ReadCsv("x,b\n1e-05,True\n-inf,False\nNaN,\n-0.0,1\n",
                             {{"x", ColumnType::kDouble}, {"b", ColumnType::kBool}});
  ASSERT_TRUE(frame) << frame.error().Text();
  const auto& x = frame->at("x").doubles;
  EXPECT_EQ(x[0], 1e-05);
  EXPECT_EQ(x[1], -INFINITY);
  EXPECT_TRUE(std::isnan(x[2]));
  EXPECT_TRUE(std::signbit(x[3]));
  EXPECT_THAT(frame->at("b").ints, ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(frame->at("b").valid, ElementsAre(1, 1, 0, 1));
}

TEST(CsvReader, AColumnThatIsNotThereIsNull) {
  const auto frame =
      ReadCsv("a\n1\n2\n",
              {{"i", ColumnType::kInt64}, {"d", ColumnType::kDouble}, {"s", ColumnType::kString}});
  ASSERT_TRUE(frame);
  EXPECT_THAT(frame->at("i").valid, ElementsAre(0, 0));
  EXPECT_TRUE(std::isnan(frame->at("d").doubles.at(1)));
  EXPECT_THAT(frame->at("s").codes, ElementsAre(FrameColumn::kNullCode, FrameColumn::kNullCode));
}

TEST(CsvReader, AFileWithoutHeaderIsAnEmptyTable) {
  for (const char* text : {"", "\n", "\r\n"}) {
    const auto frame = ReadCsv(text, {{"a", ColumnType::kInt64}});
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->rows, 0u);
  }
}

struct BadCsv {
  const char* name;
  const char* text;
  const char* expected_part;
};

class CsvReaderBroken : public testing::TestWithParam<BadCsv> {};

TEST_P(CsvReaderBroken, IsRefusedWithRowAndReason) {
  const auto frame = ReadCsv(GetParam().text, {{"n", ColumnType::kInt64}});
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(frame.error().Text(), HasSubstr(GetParam().expected_part));
}

INSTANTIATE_TEST_SUITE_P(
    All, CsvReaderBroken,
    testing::Values(BadCsv{"TooFewCells", "n,m\n1,2\n3\n", "row 2: has 1 cells, the header has 2"},
                    BadCsv{"TooManyCells", "n\n1,2\n", "has 2 cells"},
                    BadCsv{"Word", "n\n1\noops\n", "row 2: column 'n' can't hold 'oops'"},
                    BadCsv{"Fraction", "n\n1.5\n", "can't hold '1.5'"},
                    BadCsv{"Hexadecimal", "n\n0x10\n", "can't hold '0x10'"},
                    BadCsv{"TooLarge", "n\n1e300\n", "can't hold '1e300'"},
                    BadCsv{"OpenQuote", "n,m\n1,\"2\n", "row 1: has a quote that is not closed"},
                    BadCsv{"OpenQuoteAtTheEnd", "n,m\n1,\"", "row 1: has a quote"},
                    BadCsv{"OpenQuoteBehindAQuote", "n,m\n1,\"2\"\"", "row 1: has a quote"}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(ParquetReader, RefusesWhatIsNoParquetFile) {
  const TempFolder folder;
  for (const char* text : {"", "PAR1", "PAR1 and some more that is no footer PAR1"}) {
    WriteText(folder.path() / "t.parquet", text);
    const auto reader = TableReader::Open(folder.path() / "t.parquet");
    ASSERT_FALSE(reader);
    EXPECT_THAT(reader.error().Text(), HasSubstr("t.parquet"));
  }
}

TEST(ParquetReader, ACutFileIsRefused) {
  const TempFolder folder;
  const TableSchema schema{"t", {{"x", ColumnType::kDouble, true, "", ""}}};
  const auto written = WriteTable(folder.path(), schema, {{1.0}, {2.0}}, {});
  ASSERT_TRUE(written);
  const std::string whole = ReadText(written->path);
  for (size_t size = 0; size < whole.size(); size += 7) {
    WriteText(written->path, whole.substr(0, size));
    EXPECT_FALSE(TableReader::Open(written->path)) << size;
  }
}

TEST(ParquetReader, ATextWhereANumberIsWantedIsRefused) {
  const TempFolder folder;
  const TableSchema schema{"t", {{"layer", ColumnType::kString, true, "", ""}}};
  const auto written = WriteTable(folder.path(), schema, {{std::string("oops")}}, {});
  ASSERT_TRUE(written);
  const std::vector<WantedColumn> wanted = {{"layer", ColumnType::kInt64}};
  const auto frame = (*TableReader::Open(written->path))->Read(wanted);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(frame.error().Text(), HasSubstr("column 'layer'"));
}

class LocateDataTableTest : public testing::Test {
 protected:
  void Add(const fs::path& relative, const std::string& text = "x\n") {
    WriteText(run_.path() / relative, text);
  }
  void List(const std::string& path) {
    Add("logs/write_manifest.json", R"({"artifacts":{"quant_sim":{"path":")" + path + R"("}}})");
  }
  std::string Located() {
    const auto path = LocateDataTable(run_.path(), "quant_sim");
    if (!path) return path.error().TypeName();
    return path->lexically_relative(run_.path()).generic_string();
  }

  TempFolder run_;
};

TEST_F(LocateDataTableTest, WithoutManifestParquetComesFirst) {
  EXPECT_EQ(Located(), "FileNotFoundError");
  Add("data/quant_sim.csv");
  EXPECT_EQ(Located(), "data/quant_sim.csv");
  Add("data/quant_sim.parquet");
  EXPECT_EQ(Located(), "data/quant_sim.parquet");
}

TEST_F(LocateDataTableTest, AnEmptyParquetLeftByPythonDoesNotHideTheCsv) {
  Add("data/quant_sim.parquet", "");
  EXPECT_EQ(Located(), "data/quant_sim.parquet");
  Add("data/quant_sim.csv");
  EXPECT_EQ(Located(), "data/quant_sim.csv");
}

TEST_F(LocateDataTableTest, TheManifestDecides) {
  Add("data/quant_sim.parquet");
  Add("data/sub/other.csv");
  List("data/sub/other.csv");
  EXPECT_EQ(Located(), "data/sub/other.csv");
  List(R"(data\\sub\\other.csv)");
  EXPECT_EQ(Located(), "data/sub/other.csv");
}

TEST_F(LocateDataTableTest, AManifestPathThatMayNotBeUsedIsIgnored) {
  const TempFolder elsewhere;
  WriteText(elsewhere.path() / "x.csv", "x\n");
  Add("data/quant_sim.csv");
  Add("tables/x.csv");
  Add("data/x.txt");
  fs::create_symlink(elsewhere.path() / "x.csv", run_.path() / "data/link.csv");
  fs::create_directory(run_.path() / "data/folder.csv");
  for (const std::string path :
       {"tables/x.csv", "data/../tables/x.csv", "data/x.txt", "data/link.csv", "data/folder.csv",
        "data/missing.csv", "../x.csv", "", "/etc/passwd"}) {
    List(path);
    EXPECT_EQ(Located(), "data/quant_sim.csv") << path;
  }
  for (const char* text : {"", "{", "[]", R"({"artifacts":[]})", R"({"artifacts":{"quant_sim":1}})",
                           R"({"artifacts":{"quant_sim":{"path":7}}})"}) {
    Add("logs/write_manifest.json", text);
    EXPECT_EQ(Located(), "data/quant_sim.csv") << text;
  }
}

TEST_F(LocateDataTableTest, SummariesHaveTheirOwnFolderAndManifest) {
  const auto located = [&] { return LocateSummaryTable(run_.path(), "quant_sim"); };
  Add("data/quant_sim.csv");
  List("data/quant_sim.csv");
  ASSERT_FALSE(located());
  EXPECT_THAT(located().error().Text(), HasSubstr("build-tables"));
  Add("tables/quant_sim.csv");
  EXPECT_EQ(located(), run_.path() / "tables/quant_sim.csv");
  Add("tables/other.csv");
  Add("logs/tables_write_manifest.json",
      R"({"artifacts":{"quant_sim":{"path":"tables/other.csv"}}})");
  EXPECT_EQ(located(), run_.path() / "tables/other.csv");
}

// ---- Types and batches ----

std::vector<ColumnType> CsvTypes(const std::string& text) {
  const TempFolder folder;
  WriteText(folder.path() / "t.csv", text);
  std::vector<ColumnType> types;
  for (const WantedColumn& column : (*TableReader::Open(folder.path() / "t.csv"))->Columns()) {
    types.push_back(column.type);
  }
  return types;
}

TEST(ColumnTypes, OfCsvAreTheNarrowestThatFit) {
  using enum ColumnType;
  EXPECT_THAT(CsvTypes("i,d,b,s,n\n1,1,True,x,\n,2.5,,1,\n-3,nan,False,,\n"),
              ElementsAre(kInt64, kDouble, kBool, kString, kString));
  EXPECT_THAT(CsvTypes("a,b,c,d\n1,True,1.5,99999999999999999999\nx,1,x,1\n"),
              ElementsAre(kString, kString, kString, kDouble));
  EXPECT_THAT(CsvTypes(""), ElementsAre());
}

TEST(ColumnTypes, OfCsvAreTheDeclaredOnesWhereTheyFit) {
  using enum ColumnType;
  const char* header = "tensor_name,w_rel_fro,layer,requantized,shape\n";
  EXPECT_THAT(CsvTypes(std::string(header) + "7,1,1,True,7\n"),
              ElementsAre(kString, kDouble, kInt64, kBool, kString));
  EXPECT_THAT(CsvTypes(std::string(header) + ",,,,\n"),
              ElementsAre(kString, kDouble, kInt64, kBool, kString));
  EXPECT_THAT(CsvTypes(std::string(header) + "7,x,1.5,1,7\n"),  // as another tool may write them
              ElementsAre(kString, kString, kDouble, kString, kString));
}

// 70,000 rows: more than a row group of ours and than a batch of CSV.
TEST(Batches, HoldAllRowsInOrderAndOnlyTheWantedOnes) {
  const TableSchema schema{
      "t",
      {{"i", ColumnType::kInt64, false, "", ""}, {"shape", ColumnType::kInt64List, false, "", ""}}};
  std::vector<Row> rows;
  for (int64_t i = 0; i < 70'000; ++i) rows.push_back({i, std::vector<int64_t>{i, 8}});
  for (const TableFormat format : {TableFormat::kParquet, TableFormat::kCsv}) {
    const TempFolder folder;
    const auto reader =
        TableReader::Open(WriteTable(folder.path(), schema, rows, {format, ""})->path);
    const std::vector<WantedColumn> columns = (*reader)->Columns();
    ASSERT_EQ(columns.size(), 2u);
    EXPECT_EQ(columns[0].type, ColumnType::kInt64);
    EXPECT_EQ(columns[1].type, ColumnType::kString);

    uint64_t next = 0;
    const auto all = [&](uint64_t first_row, const Frame& batch) -> Result<bool> {
      EXPECT_EQ(first_row, next);
      EXPECT_LE(batch.rows, 1u << 16);
      for (uint64_t i = 0; i < batch.rows; ++i) {
        EXPECT_EQ(batch.at("i").ints[i], static_cast<int64_t>(next + i));
      }
      const FrameColumn& shape = batch.at("shape");
      EXPECT_EQ(shape.dictionary[shape.codes[0]], "(" + std::to_string(next) + ", 8)");
      next += batch.rows;
      return true;
    };
    ASSERT_TRUE((*reader)->ReadBatches(columns, all));
    EXPECT_EQ(next, 70'000u);

    std::vector<uint64_t> firsts;
    const auto note = [&](uint64_t first_row, const Frame& batch) -> Result<bool> {
      EXPECT_LE(first_row, 69'999u);
      EXPECT_GT(first_row + batch.rows, 69'999u);
      EXPECT_EQ(batch.at("i").ints[69'999 - first_row], 69'999);
      firsts.push_back(first_row);
      return true;
    };
    const auto wants = [](uint64_t begin, uint64_t end) { return begin <= 69'999 && 69'999 < end; };
    ASSERT_TRUE((*reader)->ReadBatches(columns, note, wants));
    EXPECT_EQ(firsts.size(), 1u);

    int batches = 0;
    const auto enough = [&](uint64_t, const Frame&) -> Result<bool> { return ++batches < 1; };
    ASSERT_TRUE((*reader)->ReadBatches(columns, enough));
    EXPECT_EQ(batches, 1);

    const auto fail = [](uint64_t, const Frame&) -> Result<bool> {
      return Malformed("here", "told so");
    };
    const auto failed = (*reader)->ReadBatches({}, fail);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().where, "here");
  }
}

TEST(RunTables, AreThoseOfTheThreeFoldersByStem) {
  const TempFolder run;
  EXPECT_TRUE(ListRunTables(run.path()).empty());
  for (const char* file :
       {"data/quant_sim.csv", "data/.quant_sim.parquet", "data/notes.txt", "data/a.parquet",
        "tables/B.csv", "tables/B.parquet", "logs/warnings.csv", "logs/x.json", "other/c.csv"}) {
    WriteText(run.path() / file, "x\n");
  }
  WriteText(run.path() / "tables" / "C.parquet", "");  // a Python pipeline's empty one
  WriteText(run.path() / "tables" / "C.csv", "x\n");
  fs::create_directory(run.path() / "tables" / "D.csv");
  std::vector<std::string> found;
  for (const RunTable& table : ListRunTables(run.path())) {
    found.push_back(table.name + " " + table.path.lexically_relative(run.path()).generic_string());
  }
  EXPECT_THAT(found,
              ElementsAre("a data/a.parquet", "quant_sim data/quant_sim.csv", "B tables/B.parquet",
                          "C tables/C.csv", "warnings logs/warnings.csv"));
}

}  // namespace
}  // namespace moe

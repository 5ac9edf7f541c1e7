#include "tables/table_reader.h"

#include <gmock/gmock.h>

#include <cmath>

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
                    BadCsv{"OpenQuote", "n,m\n\"1,2\n", "has 1 cells"}),
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

}  // namespace
}  // namespace moe

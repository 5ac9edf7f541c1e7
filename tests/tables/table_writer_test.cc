#include "tables/table_writer.h"

#include <gmock/gmock.h>

#include "base/test_files.h"
#include "tables/table_reader.h"
#include "tables/table_test_tools.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const TableSchema kSchema{"t",
                          {{"name", ColumnType::kString, false, "", ""},
                           {"shape", ColumnType::kInt64List, false, "", ""},
                           {"count", ColumnType::kInt64, true, "", ""},
                           {"error", ColumnType::kDouble, true, "", ""},
                           {"flag", ColumnType::kBool, true, "", ""}}};
const std::vector<WantedColumn> kAllButShape = {{"name", ColumnType::kString},
                                                {"count", ColumnType::kInt64},
                                                {"error", ColumnType::kDouble},
                                                {"flag", ColumnType::kBool}};
const OutputOptions kCsv{TableFormat::kCsv, ""};
const OutputOptions kParquet{TableFormat::kParquet, "zstd"};

Row ExampleRow(int64_t i) {
  if (i % 3 == 0) return {"n" + std::to_string(i), std::vector<int64_t>{}, {}, {}, {}};
  return {"n" + std::to_string(i), std::vector<int64_t>{i, 2}, i, 0.1 * static_cast<double>(i),
          i % 2 == 0};
}

std::vector<Row> ExampleRows(int64_t count) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(ExampleRow(i));
  return rows;
}

Frame ReadAll(const fs::path& path) {
  const auto reader = TableReader::Open(path);
  EXPECT_TRUE(reader) << reader.error().Text();
  auto frame = (*reader)->Read(kAllButShape);
  EXPECT_TRUE(frame) << frame.error().Text();
  return std::move(*frame);
}

class EveryFormat : public testing::TestWithParam<OutputOptions> {};

// 70,000 rows are several row groups and several CSV buffers.
TEST_P(EveryFormat, RowsComeBackAsTheyWere) {
  constexpr int64_t kRows = 70'000;
  const TempFolder folder;
  const auto written = WriteTable(folder.path(), kSchema, ExampleRows(kRows), GetParam());
  ASSERT_TRUE(written) << written.error().Text();
  EXPECT_EQ(written->rows, kRows);
  EXPECT_FALSE(written->fallback);
  const Frame frame = ReadAll(written->path);
  ASSERT_EQ(frame.rows, static_cast<uint64_t>(kRows));
  for (size_t i = 0; i < frame.rows; ++i) {
    const auto& names = frame.columns[0];
    ASSERT_EQ(names.dictionary[names.codes[i]], "n" + std::to_string(i));
    const bool null = i % 3 == 0;
    ASSERT_EQ(frame.columns[1].valid[i], null ? 0 : 1);
    ASSERT_EQ(std::isnan(frame.columns[2].doubles[i]), null);
    ASSERT_EQ(frame.columns[3].valid[i], null ? 0 : 1);
    if (null) continue;
    ASSERT_EQ(frame.columns[1].ints[i], static_cast<int64_t>(i));
    ASSERT_EQ(frame.columns[2].doubles[i], 0.1 * static_cast<double>(i));
    ASSERT_EQ(frame.columns[3].ints[i], i % 2 == 0 ? 1 : 0);
  }
}

TEST_P(EveryFormat, AnEmptyTableHasItsColumns) {
  const TempFolder folder;
  const auto written = WriteTable(folder.path(), kSchema, {}, GetParam());
  ASSERT_TRUE(written);
  const auto reader = TableReader::Open(written->path);
  ASSERT_TRUE(reader);
  EXPECT_THAT((*reader)->column_names(), ElementsAre("name", "shape", "count", "error", "flag"));
  EXPECT_EQ(ReadAll(written->path).rows, 0u);
}

TEST_P(EveryFormat, TheOldFileStaysUntilCommit) {
  const TempFolder folder;
  const auto old = WriteTable(folder.path(), kSchema, ExampleRows(2), GetParam());
  ASSERT_TRUE(old);
  const std::string before = ReadText(old->path);
  FileTransaction files;
  auto writer = TableWriter::Open(folder.path(), kSchema, GetParam(), files);
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->Append(ExampleRow(1)));
  ASSERT_TRUE((*writer)->Finish());
  EXPECT_EQ(ReadText(old->path), before);
  ASSERT_TRUE(files.Commit());
  EXPECT_EQ(ReadAll(old->path).rows, 1u);
}

TEST_P(EveryFormat, AWriterThatIsDroppedLeavesNothing) {
  const TempFolder folder;
  {
    FileTransaction files;
    auto writer = TableWriter::Open(folder.path(), kSchema, GetParam(), files);
    ASSERT_TRUE(writer);
    for (const Row& row : ExampleRows(100)) ASSERT_TRUE((*writer)->Append(row));
  }
  {
    FileTransaction files;
    auto finished = TableWriter::Open(folder.path(), kSchema, GetParam(), files);
    ASSERT_TRUE(finished);
    ASSERT_TRUE((*finished)->Finish());
  }
  EXPECT_TRUE(FilesIn(folder.path()).empty());
}

TEST_P(EveryFormat, CommitRemovesTheTwinOfTheOtherSuffix) {
  const TempFolder folder;
  const bool parquet = GetParam().format == TableFormat::kParquet;
  const char* twin = parquet ? "t.csv" : "t.parquet";
  WriteText(folder.path() / twin, "old");
  ASSERT_TRUE(WriteTable(folder.path(), kSchema, {}, GetParam()));
  EXPECT_THAT(FilesIn(folder.path()), ElementsAre(parquet ? "t.parquet" : "t.csv"));
}

TEST_P(EveryFormat, AFileWhereTheFolderShouldBeIsAnError) {
  const TempFolder folder;
  WriteText(folder.path() / "file", "");
  FileTransaction files;
  const auto writer =
      TableWriter::Open(folder.path() / "file" / "data", kSchema, GetParam(), files);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
}

INSTANTIATE_TEST_SUITE_P(All, EveryFormat,
                         testing::Values(kCsv, kParquet, OutputOptions{TableFormat::kParquet, ""},
                                         OutputOptions{TableFormat::kParquet, "Snappy"},
                                         OutputOptions{TableFormat::kParquet, "gzip"},
                                         OutputOptions{TableFormat::kParquet, "brotli"},
                                         OutputOptions{TableFormat::kParquet, "lz4"}),
                         [](const auto& param_info) {
                           return param_info.param.format == TableFormat::kCsv
                                      ? std::string("csv")
                                      : "parquet" + param_info.param.compression;
                         });

TEST(TableWriter, CsvTextIsTheContracts) {
  const TempFolder folder;
  const auto written = WriteTable(
      folder.path(), kSchema,
      {{std::string("a,b"), std::vector<int64_t>{2, 8}, int64_t{1}, 1e-5, true}, ExampleRow(0)},
      kCsv);
  ASSERT_TRUE(written);
  EXPECT_EQ(ReadText(written->path),
            "name,shape,count,error,flag\n"
            "\"a,b\",\"(2, 8)\",1,1e-05,True\n"
            "n0,(),,,\n");
}

struct BadParquet {
  const char* name;
  const char* codec;
  bool folder_in_the_way;
  const char* error_class;
};

class ParquetFallback : public testing::TestWithParam<BadParquet> {};

TEST_P(ParquetFallback, WritesCsvAndSaysWhy) {
  const TempFolder folder;
  if (GetParam().folder_in_the_way) fs::create_directory(folder.path() / "t.parquet");
  const auto written =
      WriteTable(folder.path(), kSchema, ExampleRows(2), {TableFormat::kParquet, GetParam().codec});
  ASSERT_TRUE(written);
  EXPECT_TRUE(written->fallback);
  EXPECT_EQ(written->format, TableFormat::kCsv);
  EXPECT_EQ(written->path, folder.path() / "t.csv");
  EXPECT_THAT(written->error, HasSubstr(std::string(GetParam().error_class) + ": "));
  EXPECT_EQ(ReadAll(written->path).rows, 2u);
  EXPECT_EQ(FilesIn(folder.path()).size(), GetParam().folder_in_the_way ? 2u : 1u);
}

INSTANTIATE_TEST_SUITE_P(
    All, ParquetFallback,
    testing::Values(BadParquet{"UnknownCodec", "nope", false, "ArrowException"},
                    BadParquet{"NotForParquet", "bz2", false, "ArrowException"},
                    BadParquet{"FolderInTheWay", "zstd", true, "IsADirectoryError"}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(TableWriter, AStaleParquetIsGoneAfterAFallback) {
  const TempFolder folder;
  WriteText(folder.path() / "t.parquet", "old");
  ASSERT_TRUE(WriteTable(folder.path(), kSchema, {}, {TableFormat::kParquet, "nope"}));
  EXPECT_THAT(FilesIn(folder.path()), ElementsAre("t.csv"));
}

}  // namespace
}  // namespace moe

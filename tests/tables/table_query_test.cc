#include "tables/table_query.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tables/table_test_tools.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::monostate kNull;

// `id` is the row's number. `w_rel_fro` is declared a double, so CSV reads it as one.
const TableSchema kSchema = {"t",
                             {{"id", ColumnType::kInt64, false, "", ""},
                              {"name", ColumnType::kString, true, "", ""},
                              {"layer", ColumnType::kInt64, true, "", ""},
                              {"w_rel_fro", ColumnType::kDouble, true, "", ""},
                              {"shared", ColumnType::kBool, true, "", ""}}};
const std::vector<Row> kRows = {
    {int64_t{0}, "b", int64_t{3}, 0.5, true},      {int64_t{1}, "a", kNull, kInf, false},
    {int64_t{2}, kNull, int64_t{40}, kNull, true}, {int64_t{3}, "c, d", int64_t{41}, -1.25, false},
    {int64_t{4}, "b", int64_t{40}, 0.5, kNull},    {int64_t{5}, "B", int64_t{-1}, -kInf, false}};

class RowList : public RowSink {
 public:
  Result<void> Append(Row row) override {
    rows.push_back(std::move(row));
    return {};
  }
  std::vector<int64_t> Ids() const {
    std::vector<int64_t> ids;
    for (const Row& row : rows) ids.push_back(std::get<int64_t>(row.at(0)));
    return ids;
  }
  std::vector<Row> rows;
};

// `rows` as a file of each format.
class TableQueryTest : public testing::TestWithParam<TableFormat> {
 protected:
  void Write(const std::vector<Row>& rows) {
    const auto written = WriteTable(folder_.path(), kSchema, rows, {GetParam(), ""});
    ASSERT_TRUE(written) << written.error().Text();
    auto reader = TableReader::Open(written->path);
    ASSERT_TRUE(reader) << reader.error().Text();
    reader_ = std::move(*reader);
    columns_ = reader_->Columns();
  }

  void SetUp() override { Write(kRows); }

  // Of all columns, with conditions and order as on the command line.
  TableQuery Query(const std::string& where, const std::string& sort = "") {
    TableQuery query;
    query.columns = columns_;
    if (!where.empty()) query.where = ParseConditions(where, columns_).value();
    if (!sort.empty()) query.sort = ParseSortKey(sort, columns_).value();
    return query;
  }

  std::vector<int64_t> Ids(const TableQuery& query) {
    RowList list;
    const auto matched = RunQuery(*reader_, query, list);
    EXPECT_TRUE(matched) << matched.error().Text();
    matched_ = matched.value_or(0);
    return list.Ids();
  }

  TempFolder folder_;
  std::unique_ptr<TableReader> reader_;
  std::vector<WantedColumn> columns_;
  uint64_t matched_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Both, TableQueryTest,
                         testing::Values(TableFormat::kParquet, TableFormat::kCsv),
                         [](const auto& format) {
                           return format.param == TableFormat::kCsv ? "Csv" : "Parquet";
                         });

TEST_P(TableQueryTest, ConditionsChooseRowsByTheColumnsType) {
  const std::vector<std::pair<std::string, std::vector<int64_t>>> cases = {
      {"layer=40", {2, 4}},
      {"layer == 40", {2, 4}},
      {"layer!=40", {0, 3, 5}},  // a null is no other number either
      {"layer<3", {5}},
      {"layer<=3", {0, 5}},
      {"layer>40", {3}},
      {"layer>=40", {2, 3, 4}},
      {"layer=", {1}},
      {"layer!=", {0, 2, 3, 4, 5}},
      {"w_rel_fro=0.5", {0, 4}},
      {"w_rel_fro=5e-1", {0, 4}},
      {"w_rel_fro>=0.5", {0, 1, 4}},
      {"w_rel_fro<0", {3, 5}},
      {"w_rel_fro=inf", {1}},
      {"w_rel_fro>-inf", {0, 1, 3, 4}},
      {"w_rel_fro=", {2}},
      {"shared=true", {0, 2}},
      {"shared=0", {1, 3, 5}},
      {"shared!=True", {1, 3, 5}},
      {"shared=", {4}},
      {"name=b", {0, 4}},
      {"name!=b", {1, 3, 5}},
      {"name<b", {1, 5}},  // by bytes: B before a before b
      {"name='c, d'", {3}},
      {"name=\"c, d\" ,layer=41", {3}},
      {"name=", {2}},
      {"name=''", {}},
      {"name=b,layer>=40", {4}},
      {" name = b , layer < 40 ", {0}},
      {"id>=2,id<=4,layer=40,shared=", {4}},
  };
  for (const auto& [where, expected] : cases) {
    EXPECT_EQ(Ids(Query(where)), expected) << where;
    EXPECT_EQ(matched_, expected.size()) << where;
  }
}

TEST_P(TableQueryTest, TextsThatAColumnDoesNotHoldAreTold) {
  const auto check = [&](const char* where) {
    auto conditions = ParseConditions(where, columns_).value();
    return SettleValues(*reader_, conditions);
  };
  for (const char* where : {"name=b", "name!=a", "name=\"c, d\"", "name=", "name<zzz", "layer=7"}) {
    EXPECT_TRUE(check(where)) << where;
  }
  for (const char* where : {"name=bb", "name!=bb", "layer=3,name=bb"}) {
    const auto checked = check(where);
    ASSERT_FALSE(checked) << where;
    EXPECT_EQ(checked.error().code, ErrorCode::kBadArgument);
    EXPECT_THAT(checked.error().Text(), HasSubstr("there is no name 'bb'"));
    EXPECT_THAT(checked.error().Text(), HasSubstr("values: B, a, b, c, d"));
  }
  std::vector<Row> many = kRows;
  for (int64_t i = 10; i < 30; ++i)
    many.push_back({i, "n" + std::to_string(i), kNull, kNull, kNull});
  Write(many);
  const auto checked = check("name=n9");
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().Text(), HasSubstr("did you mean"));
  EXPECT_THAT(checked.error().Text(), HasSubstr("n17, 12 more"));
}

TEST_P(TableQueryTest, NullsComeLastAndEqualsKeepTheirOrder) {
  const std::vector<std::pair<std::string, std::vector<int64_t>>> cases = {
      {"w_rel_fro", {1, 0, 4, 3, 5, 2}},     {"w_rel_fro:desc", {1, 0, 4, 3, 5, 2}},
      {"w_rel_fro:asc", {5, 3, 0, 4, 1, 2}}, {"layer", {3, 2, 4, 0, 5, 1}},
      {"layer:asc", {5, 0, 2, 4, 3, 1}},     {"name", {5, 1, 0, 4, 3, 2}},
      {"name:desc", {3, 0, 4, 1, 5, 2}},     {"shared", {0, 2, 1, 3, 5, 4}},
  };
  for (const auto& [sort, expected] : cases) {
    TableQuery query = Query("", sort);
    EXPECT_EQ(Ids(query), expected) << sort;
    for (uint64_t top = 1; top <= kRows.size() + 1; ++top) {
      query.top = top;
      const size_t count = std::min<size_t>(top, expected.size());
      EXPECT_EQ(Ids(query), std::vector(expected.begin(), expected.begin() + count)) << sort << top;
      EXPECT_EQ(matched_, kRows.size());
    }
  }
}

TEST_P(TableQueryTest, TopMayCountForEachValueOfAColumn) {
  TableQuery query = Query("id<5", "w_rel_fro");
  query.per = ParseColumnList("shared", columns_)->front();
  EXPECT_THAT(Ids(query), ElementsAre(4, 1, 3, 0, 2));  // null, False, True
  query.top = 1;
  EXPECT_THAT(Ids(query), ElementsAre(4, 1, 0));
  EXPECT_EQ(matched_, 5u);
}

TEST_P(TableQueryTest, RowsKeepTheirValuesWhetherSortedOrNot) {
  for (const char* sort : {"", "id:asc"}) {
    RowList list;
    ASSERT_TRUE(RunQuery(*reader_, Query("", sort), list));
    EXPECT_EQ(list.rows, kRows) << sort;
  }
}

TEST_P(TableQueryTest, OnlyTheChosenColumnsAreGivenInTheirOrder) {
  TableQuery query = Query("layer>=40", "w_rel_fro");
  query.columns = ParseColumnList(" name, id,name", columns_).value();
  query.top = 1;
  RowList list;
  EXPECT_EQ(RunQuery(*reader_, query, list), 3u);
  EXPECT_THAT(list.rows, ElementsAre(Row{"b", int64_t{4}}));
}

// 70,000 rows: two row groups, five batches of CSV. Row i has the key 31 i mod 1000: 70 of each.
TEST_P(TableQueryTest, TopIsTheBeginningOfTheWholeOrderInTablesOfManyBatches) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < 70'000; ++i) {
    rows.push_back({i, "n", i * 31 % 1000, static_cast<double>(i) / 4, false});
  }
  Write(rows);
  std::vector<int64_t> expected(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) expected[i] = static_cast<int64_t>(i);
  std::stable_sort(expected.begin(), expected.end(),
                   [](int64_t a, int64_t b) { return a * 31 % 1000 > b * 31 % 1000; });
  TableQuery query = Query("", "layer");
  EXPECT_EQ(Ids(query), expected);
  query.top = 100;
  EXPECT_EQ(Ids(query), std::vector(expected.begin(), expected.begin() + 100));
  EXPECT_EQ(matched_, 70'000u);

  query = Query("w_rel_fro>=17499");  // of row 69,996
  query.top = 2;
  EXPECT_THAT(Ids(query), ElementsAre(69'996, 69'997));
  EXPECT_EQ(matched_, 4u);
}

TEST_P(TableQueryTest, AnEmptyTableHasNoRows) {
  Write({});
  EXPECT_THAT(Ids(Query("", "id")), ElementsAre());
  EXPECT_THAT(Ids(Query("id=1")), ElementsAre());
  EXPECT_EQ(matched_, 0u);
}

TEST_P(TableQueryTest, StopsWhenTold) {
  const std::atomic<bool> stop = true;
  TableQuery query = Query("");
  query.stop = StopToken(stop);
  RowList list;
  const auto done = RunQuery(*reader_, query, list);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInterrupted);
}

// Notes what is read of a table.
class WatchedReader : public TableReader {
 public:
  explicit WatchedReader(const TableReader& reader) : reader_(reader) {}

  const std::vector<std::string>& column_names() const override { return reader_.column_names(); }
  std::vector<WantedColumn> Columns() const override { return reader_.Columns(); }
  Result<Frame> Read(std::span<const WantedColumn>) const override { return Frame(); }
  Result<void> ReadBatches(std::span<const WantedColumn> wanted, const BatchTaker& take,
                           const BatchFilter& wants) const override {
    std::string names;
    for (const WantedColumn& column : wanted) names += column.name + " ";
    reads.push_back(names);
    return reader_.ReadBatches(wanted, take, wants);
  }

  mutable std::vector<std::string> reads;

 private:
  const TableReader& reader_;
};

TEST_P(TableQueryTest, ReadsNoOtherColumns) {
  const WatchedReader watched(*reader_);
  TableQuery query = Query("layer>3,w_rel_fro>-9,layer<99", "w_rel_fro");
  query.columns = ParseColumnList("id", columns_).value();
  RowList list;
  ASSERT_TRUE(RunQuery(watched, query, list));
  EXPECT_THAT(list.Ids(), ElementsAre(4, 3));
  EXPECT_THAT(watched.reads, ElementsAre("layer w_rel_fro ", "id "));
}

// ---- Expressions that mean nothing ----

const std::vector<WantedColumn> kColumns = {{"layer", ColumnType::kInt64},
                                            {"w_rel_fro", ColumnType::kDouble},
                                            {"is_shared_expert", ColumnType::kBool},
                                            {"name", ColumnType::kString}};

struct BadText {
  const char* name;
  const char* text;
  const char* expected_part;  // of the whole error
};

class BadWhere : public testing::TestWithParam<BadText> {};

TEST_P(BadWhere, IsRefusedWithTheReason) {
  const auto conditions = ParseConditions(GetParam().text, kColumns);
  ASSERT_FALSE(conditions);
  EXPECT_EQ(conditions.error().code, ErrorCode::kBadArgument);
  EXPECT_THAT(conditions.error().Text(), HasSubstr("--where: "));
  EXPECT_THAT(conditions.error().Text(), HasSubstr(GetParam().expected_part));
}

constexpr BadText kBadWheres[] = {
    {"Empty", "", "'' is no condition"},
    {"NoOperator", "layer", "'layer' is no condition (write COLUMN=VALUE"},
    {"LoneBang", "layer!3", "'layer!3' is no condition"},
    {"NoColumn", "=3", "'=3' is no condition"},
    {"TrailingComma", "layer=3,", "'' is no condition"},
    {"DoubledComma", "layer=3,,layer=4", "',layer=4' is no condition"},
    {"ValueWithComma", "name=a, b",
     "'b' is no condition (write COLUMN=VALUE, with = != < <= > or "
     ">=, and quotes around a value with commas)"},
    {"Typo", "laier=3", "there is no column 'laier' (did you mean 'layer'?)"},
    {"Stranger", "temperature=3",
     "there is no column 'temperature' (columns: layer, w_rel_fro, is_shared_expert, name)"},
    {"WordForInteger", "layer=three",
     "'three' is no value of column 'layer' (it holds a whole number)"},
    {"FractionForInteger", "layer>3.5", "'3.5' is no value of column 'layer'"},
    {"PastInt64", "layer<9223372036854775808", "is no value of column 'layer'"},
    {"WordForDouble", "w_rel_fro>much",
     "'much' is no value of column 'w_rel_fro' (it holds a "
     "number)"},
    {"NanForDouble", "w_rel_fro=nan", "'nan' is no value"},
    {"HexForDouble", "w_rel_fro=0x1p3", "'0x1p3' is no value"},
    {"NumberForBool", "is_shared_expert=2",
     "'2' is no value of column 'is_shared_expert' (it holds true or false)"},
    {"NullIsNotLess", "layer<", "'layer<' has no value (only = and != go without one, for null)"},
    {"OpenQuote", "name='a", "the quote in 'a is not closed"},
    {"BehindQuote", "name='a'b", "'b' stands behind the quote"},
};

INSTANTIATE_TEST_SUITE_P(All, BadWhere, testing::ValuesIn(kBadWheres),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(SortKeys, NameADirectionOrHaveTheirTypes) {
  EXPECT_TRUE(ParseSortKey("layer", kColumns)->descending);
  EXPECT_TRUE(ParseSortKey("is_shared_expert", kColumns)->descending);
  EXPECT_FALSE(ParseSortKey("name", kColumns)->descending);
  EXPECT_FALSE(ParseSortKey("layer:asc", kColumns)->descending);
  EXPECT_TRUE(ParseSortKey("name:desc", kColumns)->descending);
  EXPECT_EQ(ParseSortKey("name:desc", kColumns)->column.name, "name");
}

TEST(SortKeys, AndColumnListsRefuseOtherNames) {
  for (const char* text : {"layr", "layr:asc", "layer:up", "", ":asc"}) {
    const auto key = ParseSortKey(text, kColumns);
    ASSERT_FALSE(key) << text;
    EXPECT_THAT(key.error().Text(), HasSubstr("--sort: there is no column"));
  }
  for (const char* text : {"layr", "layer,", "", "layer,,name"}) {
    const auto columns = ParseColumnList(text, kColumns);
    ASSERT_FALSE(columns) << text;
    EXPECT_THAT(columns.error().Text(), HasSubstr("--columns: there is no column"));
  }
}

}  // namespace
}  // namespace moe

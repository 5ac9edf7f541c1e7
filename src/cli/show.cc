#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/run_argument.h"
#include "cli/summary.h"
#include "cli/table_view.h"
#include "collect/collect.h"
#include "insight/findings.h"
#include "insight/run.h"
#include "run/commit_marker.h"
#include "run/logs.h"
#include "tables/explain_column.h"
#include "tables/table_query.h"

namespace moe::cli {
namespace {

constexpr uint64_t kDefaultTop = 20, kWorstMatrices = 3;

struct ShowOptions {
  RunArgument run;
  std::string format = "table";
  std::optional<std::string> table, sort, where, columns, explain;
  std::optional<uint64_t> top;

  bool overview() const { return !table && !sort && !where && !columns; }
};

const std::map<std::string, ShowFormat> kFormats = {{"table", ShowFormat::kTable},
                                                    {"csv", ShowFormat::kCsv},
                                                    {"json", ShowFormat::kJson},
                                                    {"markdown", ShowFormat::kMarkdown}};

std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const auto& [name, format] : kFormats) names.push_back(name);
  return names;
}

ShowFormat FormatOf(const ShowOptions& options, const Reporter& report) {
  return report.json() ? ShowFormat::kJson : kFormats.at(options.format);
}

/// Whether there is something to show.
Result<void> CheckTables(Run& run) {
  const auto readable = run.Check({{kCollectData, kBuildTables}});
  if (!readable || !run.Tables().empty()) return readable;
  return Fail(ErrorCode::kNotFound, run.dir().string(), "holds no tables",
              "run collect-data first");
}

std::vector<std::string> NamesOf(const std::vector<RunTable>& tables) {
  std::vector<std::string> names;
  for (const RunTable& table : tables) names.push_back(Printable(table.name));
  return names;
}

class RowList : public RowSink {
 public:
  Result<void> Append(Row row) override {
    rows.push_back(std::move(row));
    return {};
  }
  std::vector<Row> rows;
};

// ---- Matrices that look better than they are ----

/// Where a row is about one of `few_huge`, a column that says so before derived_tensor.
void AddNotes(const TensorNames& few_huge, std::vector<WantedColumn>& columns,
              std::vector<Row>& rows) {
  const auto tensor = std::ranges::find(columns, "derived_tensor", &WantedColumn::name);
  if (tensor == columns.end()) return;
  const auto at = tensor - columns.begin();
  const auto is_noted = [&](const Row& row) {
    const auto* name = std::get_if<std::string>(&row[static_cast<size_t>(at)]);
    return name != nullptr && few_huge.contains(*name);
  };
  if (std::ranges::none_of(rows, is_noted)) return;
  columns.insert(tensor, {std::string(kNoteColumn), ColumnType::kString});
  for (Row& row : rows) {
    Value note;
    if (is_noted(row)) note = std::string(kFewHugeNote);
    row.insert(row.begin() + at, std::move(note));
  }
}

// ---- One table ----

/// A table, and what of it is wanted.
struct OpenTable {
  const TableReader& reader;
  TableQuery query;
};

Result<OpenTable> Open(Run& run, const RunTable& table) {
  return run.Open(table.path).map([](const TableReader* reader) {
    TableQuery query;
    query.columns = reader->Columns();
    query.stop = Interrupted();
    return OpenTable{*reader, std::move(query)};
  });
}

/// Ends a query whose rows nobody takes any more, as in `moescope show ... | head`.
class OpenOutput : public RowSink {
 public:
  OpenOutput(TableView& view, const Reporter& report) : view_(view), report_(report) {}

  Result<void> Append(Row row) override {
    if (report_.output_failed()) return Fail(ErrorCode::kIo, "standard output", "is closed");
    return view_.Append(std::move(row));
  }

 private:
  TableView& view_;
  const Reporter& report_;
};

/// Takes conditions, order and columns from the command line.
Result<void> Refine(const ShowOptions& options, TableQuery& query) {
  const std::vector<WantedColumn> columns = query.columns;
  if (options.where) {
    auto where = ParseConditions(*options.where, columns);
    if (!where) return tl::make_unexpected(where.error());
    query.where = std::move(*where);
  }
  if (options.sort) {
    auto sort = ParseSortKey(*options.sort, columns);
    if (!sort) return tl::make_unexpected(sort.error());
    query.sort = std::move(*sort);
  }
  if (options.columns) {
    auto chosen = ParseColumnList(*options.columns, columns);
    if (!chosen) return tl::make_unexpected(chosen.error());
    query.columns = std::move(*chosen);
  }
  return {};
}

bool HasTensors(const std::vector<WantedColumn>& columns) {
  return std::ranges::count(columns, "derived_tensor", &WantedColumn::name) > 0;
}

/// The rows of `query`, with notes; names of tensors are read for that, wanted or not.
Result<uint64_t> RunNoted(const TableReader& reader, TableQuery& query, const TensorNames& few_huge,
                          std::vector<Row>& rows) {
  const bool wanted = HasTensors(query.columns);
  if (!wanted) query.columns.push_back({"derived_tensor", ColumnType::kString});
  RowList list;
  auto matched = RunQuery(reader, query, list);
  if (!matched) return matched;
  AddNotes(few_huge, query.columns, list.rows);
  if (!wanted) {
    query.columns.pop_back();
    for (Row& row : list.rows) row.pop_back();
  }
  rows = std::move(list.rows);
  return matched;
}

/// "2026-01-31T12:00:00" of a log's time, which is UTC however its end is written.
std::string MadeAt(Run& run, const char* log) {
  const Json time = run.Log(log)["generated_at"];
  return time.is_string() ? time.get<std::string>().substr(0, 19) : "";
}

/// Where build-tables was not run since the last collect-data.
void NoteOldSummaries(Run& run, Reporter& report) {
  const std::string made = MadeAt(run, "tables_write_manifest.json");
  if (made.empty() || made >= MadeAt(run, "run_health.json")) return;
  report.Note("warning: tables/ was made from an earlier collection; run build-tables");
}

Result<void> ShowTable(Run& run, const ShowOptions& options, Reporter& report) {
  const std::string name = options.table.value_or("quant_sim");
  const RunTable* table = run.Find(name);
  if (table == nullptr) {
    const std::vector<std::string> names = NamesOf(run.Tables());
    const auto closest = ClosestName(name, names);
    return Fail(
        ErrorCode::kBadArgument, "--table", fmt::format("this run has no table '{}'", name),
        fmt::format("{}tables: {}", closest ? fmt::format("did you mean '{}'? ", *closest) : "",
                    fmt::join(names, ", ")));
  }
  auto open = Open(run, *table);
  if (!open) return tl::make_unexpected(open.error());
  if (table->path.parent_path().filename() == "tables") NoteOldSummaries(run, report);
  TableQuery& query = open->query;
  if (auto refined = Refine(options, query); !refined) return refined;
  if (auto known = SettleValues(open->reader, query.where); !known) return known;

  const ShowFormat format = FormatOf(options, report);
  const bool for_people = format == ShowFormat::kTable || format == ShowFormat::kMarkdown;
  query.top = options.top;
  if (for_people && !query.top) query.top = kDefaultTop;
  if (query.top == 0u) query.top.reset();
  TensorNames few_huge;
  if (for_people && HasTensors(open->reader.Columns())) {
    if (const auto weights = ReadRunWeights(run)) few_huge = FewHugeNames(*weights);
  }
  std::vector<Row> noted;
  Result<uint64_t> matched = 0;
  if (!few_huge.empty()) matched = RunNoted(open->reader, query, few_huge, noted);
  if (!matched) return tl::make_unexpected(matched.error());
  ViewOptions how{format, query.columns, std::nullopt, options.columns || report.verbose()};
  if (query.sort) how.bars = query.sort->column.name;
  report.object()["table"] = name;
  if (report.json()) report.Member("rows");
  const auto view = MakeTableView(how, report);
  OpenOutput output(*view, report);
  if (few_huge.empty()) matched = RunQuery(open->reader, query, output);
  for (Row& row : noted) (void)view->Append(std::move(row));
  if (report.output_failed()) return {};          // main() tells it
  if (!matched && report.json()) view->Finish();  // the object goes on
  if (!matched) return tl::make_unexpected(matched.error());
  report.object()["matching_rows"] = *matched;
  if (const size_t left_out = view->Finish(); left_out > 0) {
    report.Note(
        fmt::format("{} columns more; choose with --columns, or see all with -v", left_out));
  }
  if (*matched == 0) {
    const auto ranges = RangesText(open->reader, query.where);
    const std::string held = ranges && !ranges->empty() ? "; " + *ranges : "";
    report.Note(query.where.empty() ? "no rows" : "no row matches" + held);
  }
  if (query.top && *matched > *query.top) {
    report.Note(fmt::format("{} rows more; --top N shows N, --top 0 all", *matched - *query.top));
  }
  return {};
}

// ---- The overview ----

std::string Text(const Json& json) { return json.Text({.ascii = true}); }

struct Part {
  const char* title;
  const char* table;
  std::vector<std::string> columns;
  std::string bars;  ///< the column
  std::string per;   ///< the largest `bars` of each value here; "": all rows as they are
};

const std::vector<Part> kQuantParts = {
    {"Error of each projection under each scheme",
     "B_quant_global_summary",
     {"proj", "scheme", "n", "bits_per_weight__median", "w_rel_fro__median", "w_rel_fro__p99",
      "w_rel_fro__max", "sqnr_db__median"},
     "w_rel_fro__median",
     ""},
    {"Worst matrices of each scheme",
     "quant_sim",
     {"scheme", "layer", "proj", "expert_id", "bits_per_weight", "w_rel_fro", "sqnr_db",
      "derived_tensor"},
     "w_rel_fro",
     "scheme"}};

const std::vector<Part> kRestParts = {
    {"The rest of the model: error of each role under each scheme",
     "C_dense_global_summary",
     {"role", "scheme", "n", "w_rel_fro__median", "w_rel_fro__max", "bits_per_weight__median",
      "w_rel_fro__p99", "sqnr_db__median"},
     "w_rel_fro__median",
     ""}};

// Where nothing was quantized.
const std::vector<Part> kWeightParts = {
    {"Weights of each projection",
     "A_weight_global_summary",
     {"proj", "n", "rms__median", "max_abs__max", "outlier_max_over_mean__median",
      "outlier_max_over_mean__max"},
     "outlier_max_over_mean__median",
     ""},
    {"Most outlying matrices of each projection",
     "matrix_stats",
     {"layer", "proj", "expert_id", "rms", "max_abs", "outlier_max_over_mean", "derived_tensor"},
     "outlier_max_over_mean",
     "proj"}};

/// The columns of `part` that the table has; older tables have fewer.
void Refine(const Part& part, uint64_t top, TableQuery& query) {
  std::vector<WantedColumn> columns;
  for (const std::string& name : part.columns) {
    for (const WantedColumn& column : query.columns) {
      if (column.name != name) continue;
      columns.push_back(column);
      if (!part.per.empty() && name == part.bars) query.sort = SortKey{column, true};
      if (name == part.per) query.per = column;
    }
  }
  query.columns = columns;
  if (top > 0) query.top = top;
}

class Overview {
 public:
  Overview(Run& run, const ShowOptions& options, Reporter& report)
      : run_(run),
        format_(FormatOf(options, report)),
        top_(options.top.value_or(kWorstMatrices)),
        report_(report) {}

  Result<void> Show() {
    if (format_ == ShowFormat::kCsv) {
      return Fail(ErrorCode::kBadArgument, "--format", "csv holds one table",
                  "name it with --table");
    }
    ShowHead();
    NoteOldSummaries(run_, report_);
    const auto& matrices = run_.Matrices();
    const bool missing = !matrices && matrices.error().code == ErrorCode::kNotFound;  // told below
    if (!matrices && !missing) return tl::make_unexpected(matrices.error());
    if (matrices) {
      few_huge_ = FewHugeNames(*matrices);
      ShowSummary(*matrices);
    }
    auto shown = ShowParts(kQuantParts);
    if (shown && !*shown) shown = ShowParts(kWeightParts);
    if (shown && run_.Find("dense_quant_sim") != nullptr) shown = ShowParts(kRestParts);
    if (!shown) return tl::make_unexpected(shown.error());
    if (matrices) ShowFindings(*matrices);
    if (format_ == ShowFormat::kJson) {
      if (!report_.json()) report_.Result("}");
    } else {
      report_.Result(
          fmt::format("\nMore with --table: {}", fmt::join(NamesOf(run_.Tables()), ", ")));
    }
    return {};
  }

 private:
  void ShowHead() {
    Json run = run_.Names();
    const Json& health = run_.Log("run_health.json");
    run["coverage"] = health["expert_coverage"]["share"];
    run["incomplete"] = health["incomplete"];
    run["last_failure"] = run_.Log("run_failure.json")["error"]["message"];
    if (format_ == ShowFormat::kJson) return Put("run", run);
    std::string line = Printable(run_.dir().string());
    for (const char* key : {"model_id", "run_name"}) {
      if (run[key].is_string()) line += ", " + Printable(run[key].get<std::string>());
    }
    report_.Result(line);
    if (run["incomplete"] == true) {
      const Json& share = run["coverage"];
      report_.Result(fmt::format("Incomplete: {}logs/warnings says what is missing.",
                                 share.is_number() ? fmt::format("{} of the expert parameters; ",
                                                                 CoverageText(share.get<double>()))
                                                   : ""));
    }
    if (run["last_failure"].is_string()) {
      report_.Result("The last run failed, and these are the numbers of the one before: " +
                     Printable(run["last_failure"].get<std::string>()));
    }
  }

  /// False if none of them has rows.
  Result<bool> ShowParts(const std::vector<Part>& parts) {
    bool any = false;
    for (const Part& part : parts) {
      const RunTable* table = run_.Find(part.table);
      if (table == nullptr) {
        report_.Note(
            fmt::format("there is no table {}: run collect-data and build-tables", part.table));
        continue;
      }
      const auto shown = ShowPart(part, *table);
      if (!shown) return shown;
      any = any || *shown;
    }
    return any;
  }

  Result<bool> ShowPart(const Part& part, const RunTable& table) {
    auto open = Open(run_, table);
    if (!open) return tl::make_unexpected(open.error());
    Refine(part, part.per.empty() ? 0 : top_, open->query);
    RowList list;
    const auto matched = RunQuery(open->reader, open->query, list);
    if (!matched) return tl::make_unexpected(matched.error());
    if (list.rows.empty()) return false;
    if (!part.per.empty()) AddNotes(few_huge_, open->query.columns, list.rows);
    ShowTitle(part.title, part.table);
    const auto view = MakeTableView({format_, open->query.columns, part.bars, false}, report_);
    for (Row& row : list.rows) (void)view->Append(std::move(row));
    view->Finish();
    return true;
  }

  void ShowSummary(const RunMatrices& matrices) {
    const RunSummary summary = Summarize(matrices);
    if (summary.schemes.empty()) return;
    if (format_ == ShowFormat::kJson) {
      Put("schemes", SchemesJson(matrices, summary));
    } else {
      ShowTitle("Size of the experts, median and worst error under each scheme",
                "all of quant_sim");
      ShowSchemes(matrices, summary, format_, report_);
    }
  }

  void ShowFindings(const RunMatrices& matrices) {
    const Findings odd = FindOddities(matrices, top_ > 0 ? top_ : matrices.size());
    if (format_ == ShowFormat::kJson) {
      Put("findings", FindingsJson(odd));
    } else if (!odd.list.empty()) {
      ShowTitle("What is odd", "from matrix_stats and quant_sim");
      for (const Finding& one : odd.list) report_.Result("- " + Printable(one.text));
    }
    const uint64_t left_out = CountOf(odd) - odd.list.size();
    if (left_out > 0) report_.Note(fmt::format("{} more odd things; --top 0 shows all", left_out));
  }

  void ShowTitle(std::string_view title, std::string_view source) {
    if (format_ == ShowFormat::kJson) {
      report_.Member(source);
    } else {
      const char* mark = format_ == ShowFormat::kMarkdown ? "## " : "";
      report_.Result(fmt::format("\n{}{} ({})\n", mark, title, source));
    }
  }

  /// A member of the JSON.
  void Put(const char* name, const Json& value) {
    if (report_.json()) {
      report_.object()[name] = value;
    } else {
      report_.Member(name);
      report_.Result(Text(value));
    }
  }

  Run& run_;
  ShowFormat format_;
  uint64_t top_;
  TensorNames few_huge_;
  Reporter& report_;
};

ExitCode RunShow(Run& run, const ShowOptions& options, Reporter& report) {
  const auto shown = CheckTables(run).and_then([&] {
    return options.overview() ? Overview(run, options, report).Show()
                              : ShowTable(run, options, report);
  });
  return shown ? ExitCode::kOk : RefuseWith(shown.error(), report);
}

ExitCode Explain(const std::string& name, Reporter& report) {
  const auto column = ExplainColumn(name);
  if (!column) {
    report.Error(column.error());
    return ExitCode::kUsage;
  }
  const std::pair<const char*, std::string> parts[] = {
      {"column", column->name},     {"in", fmt::format("{}", fmt::join(column->tables, ", "))},
      {"unit", column->unit},       {"meaning", column->meaning},
      {"reading", column->reading},
  };
  for (const auto& [part, text] : parts) {
    report.object()[part] = text;
    if (!report.json() && !text.empty()) report.Result(fmt::format("{:<8} {}", part, text));
  }
  return ExitCode::kOk;
}

constexpr const char* kFooter =
    R"(--where joins conditions by commas, all of which must hold: COLUMN=VALUE, or != < <= > >=. A value
with a comma stands in quotes; "error!=" finds what is not null. A null meets no other comparison.
--sort puts the largest numbers and the first texts on top; COLUMN:asc and COLUMN:desc say it.
Nulls come last. Without --table, --where, --sort and --columns speak of quant_sim.
table and markdown round to five digits, csv and json do not.

Examples:
  moescope show runs/m/first
  moescope show runs/m/first --sort w_rel_fro --where 'proj=down_proj,layer>=40'
  moescope show runs/m/first --table matrix_stats --sort rms:asc --top 5
  moescope show runs/m/first --table B_quant_layer_summary --format csv > layers.csv
  moescope show runs/m/first --where 'error!=' --columns derived_tensor,scheme,error
  moescope show --explain w_rel_fro)";

}  // namespace

void AddShow(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<ShowOptions>();
  const Command cmd = program.Add("show", "Show the tables of a run in the terminal");
  AddRunArgument(cmd, opt->run, "Run directory");
  cmd.Option("--table", opt->table, "A table of data/, tables/ or logs/; without one an overview");
  cmd.Option("--where", opt->where, "Only rows that meet these conditions").Repeatable();
  cmd.Option("--sort", opt->sort, "Order by this column, with a bar for each number");
  cmd.Option("--columns", opt->columns, "Only these columns, separated by commas");
  cmd.Option("--explain", opt->explain,
             "What a column means: unit, formula, how to read it; needs no run");
  cmd.Option("--top", opt->top,
             "Only the first N rows, 0 for all; default 20 for table and markdown, all for "
             "csv and json; in the overview for each scheme and kind of oddity, default 3")
      .AtMost(uint64_t{1'000'000'000'000});
  cmd.Option("--format", opt->format, "table, csv, json or markdown")
      .OneOf(FormatNames())
      .ShowDefault();
  cmd.Footer(kFooter);
  cmd.OnRun([opt, &exit, &report] {
    if (opt->explain) {
      exit = Explain(*opt->explain, report);
      return;
    }
    exit = WithRun(opt->run, report, [&](Run& run) { return RunShow(run, *opt, report); });
  });
}

}  // namespace moe::cli

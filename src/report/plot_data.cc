#include "report/plot_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glib.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "base/json_text.h"
#include "base/text.h"
#include "rows/collect_rows.h"
#include "tables/aggregate.h"
#include "tables/column_builder.h"
#include "tables/parse_cell.h"

namespace moe {
namespace {

using enum ColumnType;

/// More than a picture can show, or the engine can draw in some seconds.
constexpr size_t kMostBars = 120, kMostPoints = 20'000, kMostCells = 500'000;

/// The column of the values, whatever the table calls it.
constexpr const char* kValue = "value";

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// ---- rows ----

bool AppendAxisCell(const FrameColumn& column, size_t row, ColumnBuilder& axis) {
  if (column.type == kDouble) return axis.AppendNumber(column.doubles[row]);
  if (column.type == kInt64 && column.valid[row] != 0) return axis.AppendInt(column.ints[row]);
  if (column.type == kString && column.codes[row] != FrameColumn::kNullCode) {
    const std::string text(Trimmed(column.dictionary[column.codes[row]]));
    if (const auto integer = ParseInt(text)) return axis.AppendInt(*integer);
    if (const auto number = ParseDouble(text)) return axis.AppendNumber(*number);
    if (!text.empty()) return false;
  }
  axis.AppendNull();
  return column.type != kBool;
}

/// A cell as Python shows it.
std::string CellText(const FrameColumn& column, size_t row) {
  if (column.type == kString) {
    return fmt::format("'{:.40}'", column.dictionary[column.codes[row]]);
  }
  if (column.type == kBool) return column.ints[row] != 0 ? "True" : "False";
  return fmt::format("{}", column.doubles[row]);
}

Result<FrameColumn> Integers(const FrameColumn& column, size_t rows) {
  ColumnBuilder axis({column.name, kInt64});
  for (size_t row = 0; row < rows; ++row) {
    if (AppendAxisCell(column, row, axis)) continue;
    return Malformed("", fmt::format("Invalid integer token in axis column '{}' at row {}: {}",
                                     column.name, row, CellText(column, row)));
  }
  return axis.Take();
}

FrameColumn Labels(const FrameColumn& column, size_t rows) {
  if (column.type == kString) return column;
  ColumnBuilder labels({column.name, kString});
  for (size_t row = 0; row < rows; ++row) {
    const Value value = CellValue(column, static_cast<uint32_t>(row));
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      labels.AppendText(fmt::to_string(*integer));
    } else if (const auto* number = std::get_if<double>(&value)) {
      labels.AppendText(fmt::to_string(*number));
    } else {
      labels.AppendNull();
    }
  }
  return labels.Take();
}

/// NaN where there is no number.
double NumberAt(const FrameColumn& column, size_t row) {
  if (column.type == kDouble) return column.doubles[row];
  if (column.type != kString) {
    return column.valid[row] != 0 ? static_cast<double>(column.ints[row]) : kNone;
  }
  const uint32_t code = column.codes[row];
  if (code == FrameColumn::kNullCode) return kNone;
  return ParseDouble(std::string(Trimmed(column.dictionary[code]))).value_or(kNone);
}

/// The columns that `spec` names, as the table has them.
Result<Frame> ReadRaw(const TableReader& table, const PlotSpec& spec) {
  std::set<std::string> missing = {spec.column};
  for (const std::string& axis : spec.Axes()) missing.insert(axis);
  std::vector<WantedColumn> wanted;
  for (const WantedColumn& column : table.Columns()) {
    if (missing.erase(column.name) > 0) wanted.push_back(column);
  }
  if (missing.empty()) return table.Read(wanted);
  return Fail(ErrorCode::kBadArgument, "",
              fmt::format("{} is missing required columns for plotting: {}", spec.source,
                          fmt::join(missing, ", ")));
}

/// `column` as kValue.
Result<FrameColumn> Numbers(const FrameColumn& column, size_t rows, const PlotSpec& spec) {
  ColumnBuilder values({kValue, kDouble});
  size_t numbers = 0;
  for (size_t row = 0; row < rows; ++row) {
    const double value = NumberAt(column, row);
    if (!std::isnan(value)) ++numbers;
    values.AppendNumber(value);
  }
  if (numbers > 0 || column.dictionary.empty()) return values.Take();
  return Fail(ErrorCode::kUnsupported, "",
              fmt::format("column '{}' of {} is not numeric", spec.column, spec.source));
}

/// Axes as texts and integers, and kValue.
Result<Frame> ReadRows(const TableReader& table, const PlotSpec& spec) {
  const auto raw = ReadRaw(table, spec);
  if (!raw) return raw;
  Frame frame{raw->rows, {}};
  for (const std::string& axis : spec.Axes()) {
    const bool is_label = axis == "proj" || axis == "scheme";
    auto column = is_label ? Labels(raw->at(axis), raw->rows) : Integers(raw->at(axis), raw->rows);
    if (!column) return tl::make_unexpected(column.error());
    frame.columns.push_back(std::move(*column));
  }
  auto values = Numbers(raw->at(spec.column), raw->rows, spec);
  if (!values) return tl::make_unexpected(values.error());
  frame.columns.push_back(std::move(*values));
  return frame;
}

// ---- values and their places ----

/// A value, NaN if there is none; projection and scheme by their numbers.
struct Cell {
  size_t proj = 0, scheme = 0;
  int64_t layer = 0, expert = 0;
  double value = 0;
};

struct Cells {
  std::vector<std::string> projs, schemes;  ///< sorted; no schemes: {""}
  std::vector<Cell> list;                   ///< by projection, scheme, layer, expert
};

/// Labels, sorted, and the number there of each code.
struct SortedLabels {
  explicit SortedLabels(const FrameColumn& column) : names(column.dictionary) {
    std::sort(names.begin(), names.end());
    for (const std::string& label : column.dictionary) {
      const auto place = std::lower_bound(names.begin(), names.end(), label);
      number_of_code.push_back(static_cast<size_t>(place - names.begin()));
    }
  }
  std::vector<std::string> names;
  std::vector<size_t> number_of_code;
};

bool CellIsNull(const FrameColumn& column, uint32_t row) {
  return std::holds_alternative<std::monostate>(CellValue(column, row));
}

/// Of the finite values; NaN if there is none.
double MedianOf(const std::vector<double>& values, std::span<const uint32_t> rows) {
  std::vector<double> some;
  for (const uint32_t row : rows) {
    if (std::isfinite(values[row])) some.push_back(values[row]);
  }
  return some.empty() ? kNone : Quantile(some, 0.5);
}

Cells CellsOf(const Frame& frame, const PlotSpec& spec) {
  const std::vector<std::string> axes = spec.Axes();
  const SortedLabels projs(frame.at("proj"));
  const SortedLabels schemes(spec.by_scheme ? frame.at("scheme") : FrameColumn{});
  Cells cells{projs.names, spec.by_scheme ? schemes.names : std::vector<std::string>{""}, {}};
  const Groups groups = GroupBy(frame, std::vector<std::string_view>(axes.begin(), axes.end()));
  for (size_t g = 0; g < groups.size(); ++g) {
    const uint32_t row = groups.rows(g).front();
    const auto lacks = [&](const std::string& axis) { return CellIsNull(frame.at(axis), row); };
    if (std::any_of(axes.begin(), axes.end(), lacks)) continue;
    Cell cell;
    cell.value = MedianOf(frame.at(kValue).doubles, groups.rows(g));
    cell.proj = projs.number_of_code[frame.at("proj").codes[row]];
    if (spec.by_scheme) cell.scheme = schemes.number_of_code[frame.at("scheme").codes[row]];
    if (spec.kind != PlotKind::kBars) cell.layer = frame.at("layer").ints[row];
    if (spec.kind == PlotKind::kHeatmap) cell.expert = frame.at("expert_id").ints[row];
    cells.list.push_back(cell);
  }
  return cells;
}

bool HasValue(const Cell& cell) { return !std::isnan(cell.value); }

/// The runs of cells of one projection and scheme that has a value.
std::vector<std::span<const Cell>> RunsOf(const Cells& cells) {
  std::vector<std::span<const Cell>> runs;
  const std::span<const Cell> all = cells.list;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    const auto is_same = [&](const Cell& cell) {
      return cell.proj == all[begin].proj && cell.scheme == all[begin].scheme;
    };
    while (end < all.size() && is_same(all[end])) ++end;
    const auto run = all.subspan(begin, end - begin);
    if (std::any_of(run.begin(), run.end(), HasValue)) runs.push_back(run);
  }
  return runs;
}

// ---- what the charts get to know ----

/// Control characters, marks that reorder or hide text (as printable() of web/format.js), and what
/// XML does not have.
constexpr std::pair<gunichar, gunichar> kUnprintable[] = {
    {0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x200b, 0x200f},
    {0x2028, 0x202e}, {0x2060, 0x2069}, {0xfeff, 0xfeff}, {0xfffe, 0xffff},
};

bool IsPrintable(gunichar letter) {
  return std::none_of(std::begin(kUnprintable), std::end(kUnprintable), [&](const auto& range) {
    return letter >= range.first && letter <= range.second;
  });
}

/// `text` as a picture shows it: one line, not too long, with the page's escapes.
std::string OneLine(std::string_view text) {
  constexpr size_t kMostLetters = 40, kEscapeLetters = 6;
  const std::unique_ptr<gchar, decltype(&g_free)> valid(
      g_utf8_make_valid(text.data(), static_cast<gssize>(text.size())), g_free);
  std::string shown;
  size_t letters = 0;
  for (const gchar *at = valid.get(), *next = nullptr; *at != '\0'; at = next) {
    next = g_utf8_next_char(at);
    const gunichar letter = g_utf8_get_char(at);
    const bool is_printable = IsPrintable(letter);
    letters += is_printable ? 1 : kEscapeLetters;
    if (letters > kMostLetters) return shown + "…";
    shown += is_printable ? std::string(at, next) : fmt::format("\\u{:04x}", letter);
  }
  return shown.empty() ? "unknown" : shown;
}

std::string LabelOf(const Cells& cells, const Cell& cell, bool by_scheme) {
  const std::string proj = OneLine(cells.projs[cell.proj]);
  return by_scheme ? proj + " / " + OneLine(cells.schemes[cell.scheme]) : proj;
}

std::string MetricOf(const PlotSpec& spec) {
  constexpr std::string_view kMedian = "__median";
  std::string metric = spec.column;
  if (metric.ends_with(kMedian)) metric.resize(metric.size() - kMedian.size());
  return OneLine(metric);
}

std::string TextOf(const Json& data) { return data.Text(); }

tl::unexpected<Error> TooMany(const PlotSpec& spec, size_t values, size_t most) {
  return Fail(ErrorCode::kBadArgument, "",
              fmt::format("{} has {} values of '{}' for one picture, which shows at most {}",
                          spec.source, values, spec.column, most));
}

Result<std::string> BarsOf(const Cells& cells, const PlotSpec& spec) {
  Json labels = Json::Array(), values = Json::Array(), colours = Json::Array();
  for (const Cell& cell : cells.list) {
    if (!HasValue(cell)) continue;
    labels.push_back(LabelOf(cells, cell, spec.by_scheme));
    values.push_back(cell.value);
    colours.push_back(spec.by_scheme ? cell.scheme : cell.proj);
  }
  if (values.size() > kMostBars) return TooMany(spec, values.size(), kMostBars);
  const std::string metric = MetricOf(spec);
  return TextOf({{"title", fmt::format("Median of {} by projection{}", metric,
                                       spec.by_scheme ? " and scheme" : "")},
                 {"yName", metric},
                 {"labels", labels},
                 {"values", values},
                 {"colours", colours}});
}

/// Distinct numbers, ascending, and the place of each.
using Places = std::map<int64_t, size_t>;

Places PlacesOf(std::span<const Cell> cells, int64_t Cell::* number) {
  Places places;
  for (const Cell& cell : cells) places[cell.*number] = 0;
  size_t next = 0;
  for (auto& [key, place] : places) place = next++;
  return places;
}

Result<std::string> LinesOf(const Cells& cells, const PlotSpec& spec) {
  const Places layers = PlacesOf(cells.list, &Cell::layer);
  const auto runs = RunsOf(cells);
  const size_t count = runs.size() * layers.size();
  if (count > kMostPoints) return TooMany(spec, count, kMostPoints);
  Json x = Json::Array(), series = Json::Array();
  for (const auto& [layer, place] : layers) x.push_back(layer);
  for (const auto run : runs) {
    std::vector<double> y(layers.size(), kNone);
    for (const Cell& cell : run) y[layers.at(cell.layer)] = cell.value;
    const Cell& first = run.front();
    series.push_back({{"name", LabelOf(cells, first, spec.by_scheme)},
                      {"y", y},  // NaN becomes null
                      {"colour", spec.by_scheme ? first.scheme : first.proj},
                      {"dash", spec.by_scheme ? first.proj : 0}});
  }
  const std::string metric = MetricOf(spec);
  return TextOf({{"title", fmt::format("Median of {} by {}", metric,
                                       spec.by_scheme ? "layer, projection and scheme"
                                                      : "layer and projection")},
                 {"xName", "layer"},
                 {"yName", metric},
                 {"x", x},
                 {"series", series}});
}

/// The values of cells that are to have comparable colours, sorted: if there are many, so many of
/// them, evenly spread, the first and the last too.
std::vector<double> ScaleOf(std::span<const Cell> cells) {
  constexpr size_t kMostValues = 10'000;
  std::vector<double> values;
  for (const Cell& cell : cells) {
    if (HasValue(cell)) values.push_back(cell.value);
  }
  std::sort(values.begin(), values.end());
  if (values.size() <= kMostValues) return values;
  for (size_t i = 0; i < kMostValues; ++i) {
    values[i] = values[i * (values.size() - 1) / (kMostValues - 1)];
  }
  values.resize(kMostValues);
  return values;
}

/// The scale of each scheme.
std::vector<std::vector<double>> ScalesOf(const Cells& cells) {
  std::vector<std::vector<Cell>> by_scheme(cells.schemes.size());
  for (const Cell& cell : cells.list) by_scheme[cell.scheme].push_back(cell);
  std::vector<std::vector<double>> scales;
  for (const auto& of_scheme : by_scheme) scales.push_back(ScaleOf(of_scheme));
  return scales;
}

/// The rows and columns of a heatmap.
struct Grid {
  explicit Grid(std::span<const Cell> cells)
      : layers(PlacesOf(cells, &Cell::layer)), experts(PlacesOf(cells, &Cell::expert)) {}
  size_t size() const { return layers.size() * experts.size(); }
  Places layers, experts;
};

Json TextsOf(const Places& places) {
  Json texts = Json::Array();
  for (const auto& [number, place] : places) texts.push_back(fmt::to_string(number));
  return texts;
}

Result<std::string> HeatmapOf(const Drawing& drawing, std::span<const Cell> run, const Grid& grid,
                              const std::vector<double>& scale, const PlotSpec& spec) {
  if (grid.size() > kMostCells) return TooMany(spec, grid.size(), kMostCells);
  std::vector<double> values(grid.size(), kNone);
  for (const Cell& cell : run) {
    const size_t row = grid.experts.at(cell.expert);
    values[row * grid.layers.size() + grid.layers.at(cell.layer)] = cell.value;
  }
  std::string title = OneLine(drawing.proj);
  if (spec.by_scheme) title += ", " + OneLine(drawing.scheme);
  return TextOf({{"title", title + ": " + MetricOf(spec)},
                 {"xName", "layer"},
                 {"yName", "expert_id"},
                 {"xLabels", TextsOf(grid.layers)},
                 {"yLabels", TextsOf(grid.experts)},
                 {"values", values},  // NaN becomes null
                 {"scale", scale},
                 {"metric", spec.column},
                 {"worse", WorseEndName(FindMetric(spec.column).value_or(Column{}).worse)}});
}

std::vector<Drawing> HeatmapsOf(const Cells& cells, const PlotSpec& spec) {
  const auto scales = ScalesOf(cells);
  const Grid all(cells.list);
  std::vector<Drawing> drawings;
  for (const auto run : RunsOf(cells)) {
    const auto [proj, scheme] = std::pair(run.front().proj, run.front().scheme);
    const Grid grid = all.size() > kMostCells ? Grid(run) : all;
    Drawing drawing{cells.projs[proj], cells.schemes[scheme], "heatmap", {}};
    drawing.data =
        HeatmapOf(drawing, run, grid, spec.by_scheme ? scales[scheme] : ScaleOf(run), spec);
    drawings.push_back(std::move(drawing));
  }
  return drawings;
}

}  // namespace

Result<std::vector<Drawing>> DrawingsOf(const TableReader& table, const PlotSpec& spec) {
  const bool is_bare = table.column_names().empty();  // as pandas writes a frame without rows
  if (is_bare) return std::vector<Drawing>();
  const auto rows = ReadRows(table, spec);
  if (!rows) return tl::make_unexpected(rows.error());
  const Cells cells = CellsOf(*rows, spec);
  if (std::none_of(cells.list.begin(), cells.list.end(), HasValue)) return std::vector<Drawing>();
  if (spec.kind == PlotKind::kHeatmap) return HeatmapsOf(cells, spec);
  const bool is_bars = spec.kind == PlotKind::kBars;
  return std::vector{Drawing{"", "", is_bars ? "bars" : "lines",
                             is_bars ? BarsOf(cells, spec) : LinesOf(cells, spec)}};
}

}  // namespace moe

#include "report/build_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/ordered_work.h"
#include "report/file_names.h"
#include "report/plot_data.h"
#include "report/png.h"
#include "report/write_picture.h"
#include "run/commit_marker.h"
#include "run/logs.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using enum PlotStatus;

/// An entry, and what it is to show unless that is known already.
struct Plot {
  PlotEntry entry;
  std::optional<Drawing> drawing;
};

bool HasColumn(const TableReader& table, const std::string& name) {
  const auto& names = table.column_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// DrawingsOf(), whose errors name the file.
Result<std::vector<Drawing>> DrawingsOfFile(const TableReader& table, const fs::path& path,
                                            const PlotSpec& spec) {
  return DrawingsOf(table, spec).map_error([&](Error error) {
    if (error.where.empty()) error.where = path.string();
    return error;
  });
}

/// Whether the table itself is at fault, not what is asked of it.
bool IsBroken(const Result<std::vector<Drawing>>& drawings) {
  if (drawings) return false;
  const ErrorCode code = drawings.error().code;
  return code != ErrorCode::kBadArgument && code != ErrorCode::kUnsupported;
}

/// Decides what is drawn, and reads it.
class Planner {
 public:
  Planner(Run& run, const PlotsConfig& config) : run_(run), config_(config) {}

  Result<std::vector<Plot>> Plan(const std::vector<std::string>& tables) {
    for (const std::string& table : tables) {
      if (auto done = AddTable(table); !done) return tl::make_unexpected(done.error());
    }
    const bool is_listed = config_.artifact_keys.has_value();
    const DataPlotConfig& heatmaps = config_.expert_layer_heatmaps;
    if (heatmaps.enabled.value_or(!is_listed)) {
      AddData(ExpertLayerHeatmaps(heatmaps), heatmaps.enabled.has_value());
    }
    const DataPlotConfig& lines = config_.quant_error_layer_lines;
    if (lines.enabled.value_or(false)) AddData(QuantErrorLayerLines(lines), true);
    return std::move(plots_);
  }

 private:
  /// Fails only for a table of the default selection.
  Result<void> AddTable(const std::string& name) {
    const bool is_listed = config_.artifact_keys.has_value();
    const auto path = LocateSummaryTable(run_.dir(), name);
    if (!path && !is_listed) return {};
    const auto table = path ? run_.Open(*path)
                            : Fail(ErrorCode::kNotFound, "",
                                   "Selected table artifact not found for plotting: " + name);
    for (const PlotSpec& spec : TablePlots()) {
      if (spec.source != name) continue;
      if (spec.is_optional && !(table && HasColumn(**table, spec.column))) continue;
      const auto drawings =
          table.and_then([&](const auto& reader) { return DrawingsOfFile(*reader, *path, spec); });
      if (IsBroken(drawings) && !is_listed) return tl::make_unexpected(drawings.error());
      Add(spec, drawings);
    }
    return {};
  }

  void AddData(const PlotSpec& spec, bool is_asked_for) {
    const auto path = LocateDataTable(run_.dir(), spec.source);
    if (!path && !is_asked_for) return;
    const auto table =
        path ? run_.Open(*path)
             : Fail(ErrorCode::kNotFound, "",
                    fmt::format("{0} input not found (expected data/{0}.{{parquet|csv}})",
                                spec.source));
    const auto drawings =
        table.and_then([&](const auto& reader) { return DrawingsOfFile(*reader, *path, spec); });
    if (drawings && drawings->empty() && !is_asked_for) return;
    Add(spec, drawings);
  }

  void Add(const PlotSpec& spec, const Result<std::vector<Drawing>>& drawings) {
    PlotEntry entry{spec.Key(), spec.source, kSkipped, "", "", ""};
    if (!drawings) {
      if (drawings.error().code != ErrorCode::kUnsupported) entry.status = kError;
      entry.error = drawings.error().Text();
    }
    if (!drawings || drawings->empty()) {
      plots_.push_back({entry, std::nullopt});
    } else if (spec.kind == PlotKind::kHeatmap) {
      AddHeatmaps(spec, *drawings);
    } else {
      const std::string stem = spec.folder + "/" + FileSafe(spec.Key());
      plots_.push_back({Entry(entry.key, spec, stem), drawings->front()});
    }
  }

  void AddHeatmaps(const PlotSpec& spec, const std::vector<Drawing>& drawings) {
    FileNames projs, schemes, stems;
    for (const Drawing& drawing : drawings) {
      std::string stem = projs.Of(drawing.proj);
      if (spec.by_scheme) stem += "__" + schemes.Of(drawing.scheme);
      stem = stems.Unique(drawing.proj + "\n" + drawing.scheme, stem);
      stem += "__" + FileSafe(spec.column);
      const std::string key = spec.source + "__expert_layer_heatmap__" + stem;
      plots_.push_back({Entry(key, spec, spec.folder + "/" + stem), drawing});
    }
  }

  static PlotEntry Entry(const std::string& key, const PlotSpec& spec, const std::string& stem) {
    return {key, spec.source, kWritten, "plots/" + stem + ".png", "plots/" + stem + ".svg", ""};
  }

  Run& run_;
  const PlotsConfig& config_;
  std::vector<Plot> plots_;
};

PlotEntry Draw(const fs::path& run_dir, const Plot& plot) {
  if (!plot.drawing) return plot.entry;
  const auto done = plot.drawing->data.and_then([&](const std::string& data) {
    return WritePicture(plot.drawing->chart, data, run_dir / plot.entry.path,
                        run_dir / plot.entry.svg_path);
  });
  if (done) return plot.entry;
  return {plot.entry.key, plot.entry.source, kError, "", "", done.error().Text()};
}

std::string_view StatusName(PlotStatus status) {
  switch (status) {
    case kWritten:
      return "written";
    case kSkipped:
      return "skipped";
    case kError:
      return "error";
  }
  return {};
}

Json ManifestOf(const std::vector<std::string>& tables, const std::vector<PlotEntry>& entries) {
  Json artifacts = Json::Object();
  for (const PlotEntry& entry : entries) {
    artifacts[entry.key] = {{"path", entry.path},   {"source_artifact", entry.source},
                            {"format", "png"},      {"status", StatusName(entry.status)},
                            {"error", entry.error}, {"svg_path", entry.svg_path}};
  }
  return {{"requested_artifact_keys", tables}, {"artifacts", artifacts}};
}

}  // namespace

Result<std::vector<PlotEntry>> BuildPlots(Run& run, const PlotsConfig& config,
                                          const PlotsOptions& options) {
  const auto readable = run.Check({{kCollectData, kBuildTables}});
  if (!readable) return tl::make_unexpected(readable.error());
  const auto defaults = DefaultPlotTables();
  const auto tables =
      config.artifact_keys.value_or(std::vector<std::string>(defaults.begin(), defaults.end()));
  const auto plots = Planner(run, config).Plan(tables);
  if (!plots) return tl::make_unexpected(plots.error());

  if (!plots->empty() && !HasFonts() && options.on_warning) {
    options.on_warning("no fonts are installed: text in PNG pictures is boxes, that in SVG is not");
  }
  std::vector<PlotEntry> entries;
  const bool done = RunOrdered(
      plots->size(), ThreadCount(options.threads),
      [&](size_t i) { return Draw(run.dir(), (*plots)[i]); },
      [&](size_t, PlotEntry entry) {
        if (options.on_entry) options.on_entry(entry);
        entries.push_back(std::move(entry));
        return !options.stop.stopped();
      });
  if (!done) return Fail(ErrorCode::kInterrupted, "", "interrupted; pictures that were drawn stay");
  if (entries.empty() && !config.artifact_keys) return entries;
  return WriteLog(run.dir(), "plots_write_manifest.json", ManifestOf(tables, entries),
                  KeyOrder::kOwn)
      .map([&] { return entries; });
}

}  // namespace moe

#include "tables/explain_column.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/pattern.h"
#include "base/text.h"
#include "rows/collect_rows.h"
#include "run/config.h"
#include "tables/aggregate.h"
#include "tables/summaries.h"

namespace moe {
namespace {

struct Reading {
  const char* columns;  // a regular expression
  const char* text;
};

const Reading kReadings[] = {
    {"w_rel_fro|delta_w_rel_fro",
     "0.1: the error is a tenth of the size of the weights. For weights that are close to normal "
     "it depends on the scheme alone (about 0.08 for 4-bit affine in groups of 32, 0.12 for "
     "mxfp4); an expert far above its neighbours is one that the scheme does not suit"},
    {"sqnr_db",
     "more is better: about 6 dB for each bit that is well spent; 20 dB is w_rel_fro 0.1"},
    {"outlier_.*|g.*_outlier",
     "how much a few large weights stretch the scale that their neighbours share; weights close to "
     "normal have 5 to 7 for the largest over the mean of a matrix"},
    {"zero_share",
     "near 1, the scale was too coarse for the matrix; small scales vanish first in nvfp4"},
    {"clip_share", "weights that were moved to the end of the codes' range"},
    {"bits_per_weight",
     "what storing costs: compare errors only between schemes that cost the same"},
    {"storage_bits_per_weight", "what storing costs in the checkpoint as it is"},
    {"max_abs|rms|std|mean_abs",
     "far from the neighbours', or 0: an expert that was never trained, or has a use of its own"},
    {"mean|bias_mean", "close to 0 in nearly all matrices"},
    {"scale_.*|bias_max", "the step between codes: a large one is a coarse one"},
    {"p[0-9]+_abs", "beside max_abs it tells a wide matrix from one with a few large weights"},
    {"nonfinite_count", "anything but 0 is damage, or an overflow when the checkpoint was written"},
    {"error", "not null: the scheme can't be used for this matrix, and the text says why"},
    {"requantized", "true: the error comes on top of what the first quantization lost"},
};

/// The match of one of this file's patterns with all of `name`.
std::optional<PatternMatch> WholeMatch(std::string_view pattern, std::string_view name) {
  auto match = Pattern::Compile(fmt::format("(?:{})\\Z", pattern), "--explain")
                   .and_then([&](const Pattern& compiled) { return compiled.Match(name); });
  return match ? std::move(*match) : std::nullopt;
}

/// Options under which matrix_stats has the column `name`, if it is one of those that vary.
MeasureOptions OptionsFor(const std::string& name) {
  MeasureOptions options;
  options.group_sizes = StatsConfig().group_sizes_lastdim;
  const auto text = [](const std::optional<std::string_view>& group) {
    return std::string(group.value_or(""));
  };
  if (const auto group = WholeMatch("g(-?[0-9]{1,9})_(?:p([0-9]{1,2})|max)_outlier", name)) {
    options.group_sizes = {std::stoll(text(group->groups[1]))};
    if (group->groups[2]) options.group_outlier_percentile = std::stod(text(group->groups[2]));
  } else if (const auto share = WholeMatch("p([0-9]{1,2})([0-9]{0,9})_abs", name)) {
    const double percentile = std::stod(text(share->groups[1]) + "." + text(share->groups[2]));
    const auto& known = options.percentiles_abs;
    if (std::find(known.begin(), known.end(), percentile) == known.end()) {
      options.percentiles_abs.push_back(percentile);
    }
  }
  return options;
}

std::optional<ColumnExplanation> Find(const std::string& name,
                                      const std::vector<TableSchema>& schemas) {
  ColumnExplanation found;
  for (const TableSchema& schema : schemas) {
    for (const Column& column : schema.columns) {
      if (column.name != name) continue;
      found.tables.push_back(schema.name);
      if (found.tables.size() > 1) continue;
      found.name = name;
      found.unit = column.unit;
      found.meaning = column.doc;
    }
  }
  if (found.tables.empty()) return std::nullopt;
  for (const Reading& reading : kReadings) {
    if (found.reading.empty() && WholeMatch(reading.columns, name)) {
      found.reading = reading.text;
    }
  }
  return found;
}

/// The aggregate that a name of a summary's column ends with: "w_rel_fro__p99".
std::optional<std::string_view> AggregateOf(const std::string& name) {
  for (const Aggregate aggregate :
       {Aggregate::kMin, Aggregate::kP01, Aggregate::kMedian, Aggregate::kMean, Aggregate::kStd,
        Aggregate::kP90, Aggregate::kP99, Aggregate::kMax}) {
    if (name.ends_with(fmt::format("__{}", AggregateName(aggregate)))) {
      return AggregateName(aggregate);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<ColumnExplanation> ExplainColumn(const std::string& name) {
  const auto aggregate = AggregateOf(name);
  const std::string metric = aggregate ? name.substr(0, name.size() - aggregate->size() - 2) : name;
  const std::vector<TableSchema> schemas = {MatrixStatsSchema(OptionsFor(metric)),
                                            QuantSimSchema(),
                                            TensorInventorySchema(),
                                            UnmatchedTensorsSchema(),
                                            QuantDeltasSchema(),
                                            WarningsSchema(),
                                            ProjCanonicalizationReportSchema()};
  auto found = Find(metric, schemas);
  if (!found) {
    std::vector<std::string> names;
    for (const TableSchema& schema : schemas) {
      for (const Column& column : schema.columns) {
        if (std::find(names.begin(), names.end(), column.name) == names.end()) {
          names.push_back(column.name);
        }
      }
    }
    const auto closest = ClosestName(metric, names);
    return Fail(ErrorCode::kBadArgument, "--explain", fmt::format("there is no column '{}'", name),
                closest ? fmt::format("did you mean '{}'?", *closest)
                        : fmt::format("columns: {}", fmt::join(names, ", ")));
  }
  if (aggregate) {
    found->name = name;
    found->tables = {found->tables.front() == "matrix_stats" ? "A_* and C_weight_* summaries"
                                                             : "B_* and C_quant_* summaries"};
    found->meaning =
        fmt::format("{} over the matrices of the row's group of: {}", *aggregate, found->meaning);
  }
  return *found;
}

}  // namespace moe

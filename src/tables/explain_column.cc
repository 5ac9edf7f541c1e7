#include "tables/explain_column.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/text.h"
#include "rows/collect_rows.h"
#include "run/config.h"
#include "tables/aggregate.h"
#include "tables/summaries.h"

namespace moe {
namespace {

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
      found.reading = column.advice;
    }
  }
  if (found.tables.empty()) return std::nullopt;
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
  MeasureOptions options = OptionsWithColumn(metric);
  if (options.group_sizes.empty()) options.group_sizes = DefaultConfig().measure.group_sizes;
  std::vector<TableSchema> schemas = CollectSchemas(options);
  schemas.push_back(QuantDeltasSchema());
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
    found->tables = {found->tables.front() == "matrix_stats"
                         ? "A_* and C_weight_* summaries"
                         : "B_*, C_quant_* and C_dense_* summaries"};
    found->meaning =
        fmt::format("{} over the matrices of the row's group of: {}", *aggregate, found->meaning);
  }
  return *found;
}

}  // namespace moe

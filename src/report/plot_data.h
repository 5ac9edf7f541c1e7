#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "report/plot_spec.h"
#include "tables/table_reader.h"

namespace moe {

/// What one picture shows.
struct Drawing {
  std::string proj, scheme;  ///< what a heatmap is about; "" where the picture shows all
  std::string_view chart;    ///< for Pictures::Svg()
  Result<std::string> data;  ///< kBadArgument: more than a picture shows
};

/// The pictures of `spec`, from the rows of its table: none if no row has a value.
///
/// A value is the median of the rows that agree in spec.Axes(). Rows that lack one of those, and
/// values that are no finite number, are left out. Projections and schemes are sorted as text,
/// layers and experts by number. The axes have all layers and experts of the table, so that what
/// has no value is seen; heatmaps fall back to their own if that is more than a picture shows.
/// Heatmaps of one scheme share their scale of colours, those without schemes have each their own.
///
/// kBadArgument: the table lacks columns. kUnsupported: the values are text, none a number. Else
/// what TableReader::Read() fails with, or kMalformed "Invalid integer token in axis column 'layer'
/// at row 3: ...", rows counted from 0.
Result<std::vector<Drawing>> DrawingsOf(const TableReader& table, const PlotSpec& spec);

}  // namespace moe

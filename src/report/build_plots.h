#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "insight/run.h"
#include "moescope/error.h"
#include "moescope/stop_token.h"
#include "run/plots_config.h"

namespace moe {

enum class PlotStatus { kWritten, kSkipped, kError };

/// An entry of logs/plots_write_manifest.json.
struct PlotEntry {
  std::string key, source;
  PlotStatus status = PlotStatus::kSkipped;  ///< skipped: its table has no number to draw
  std::string path, svg_path;                ///< below the run directory; "" unless written
  std::string error;                         ///< why it is no picture; "" if its cells are empty
};

struct PlotsOptions {
  unsigned threads = 0;  ///< 0: one for each core
  StopToken stop = {};   ///< set by Ctrl-C: no manifest is written then
  /// Gets each entry of the manifest in its order, as soon as it and those before it are done.
  std::function<void(const PlotEntry&)> on_entry;
  /// Gets what keeps the pictures from being as they should, before any is drawn.
  std::function<void(std::string_view)> on_warning;
};

/// Draws the tables of a run, those of data/ too, as `config` selects them, to plots/: each picture
/// as PNG and SVG, whole or not at all (contract section 12). What was asked for by name and can't
/// be drawn is an entry with an error, and the others are drawn.
///
/// Writes the manifest, unless there is nothing to draw and nothing was asked for. Other files
/// under plots/ stay. The pictures do not depend on the number of threads. kUnsupported tells what
/// this program was built without. kNotFound, kIo and kMalformed are about a table of the default
/// selection; nothing was written then.
Result<std::vector<PlotEntry>> BuildPlots(Run& run, const PlotsConfig& config,
                                          const PlotsOptions& options);

}  // namespace moe

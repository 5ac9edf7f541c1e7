#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/temp_folder.h"
#include "insight/run.h"

namespace moe {

/// Reads the two tables, given as CSV, of a run.
inline Result<RunMatrices> ReadRun(const std::string& stats, const std::string& quant) {
  const TempFolder folder;
  folder.Write("data/matrix_stats.csv", stats);
  folder.Write("data/quant_sim.csv", quant);
  return Run(folder.path()).Matrices();
}

}  // namespace moe

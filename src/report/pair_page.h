#pragma once

#include <string>

#include "base/json_text.h"
#include "pairs/compare_models.h"
#include "verify/verify_models.h"

namespace moe {

// What the page of two checkpoints gets to know: text for PageWith() (write_report.h), as
// page_data.h has it of a run, with "pair": {"command": "verify" or "compare", "summary": {...}}
// instead of what logs, recipes and findings tell, and without "generated_at", so that the same two
// give the same bytes. The matrices are the experts'; their metrics are
// the columns of verify.parquet or compare.parquet that a heatmap can show. `summary` is the object
// of verify.json or compare.json.

std::string PairPage(const Verification& verification, const Json& summary);
std::string PairPage(const ModelComparison& comparison, const Json& summary);

}  // namespace moe

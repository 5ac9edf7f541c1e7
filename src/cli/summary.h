#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "cli/reporter.h"
#include "cli/table_view.h"
#include "insight/findings.h"
#include "insight/run.h"
#include "insight/run_summary.h"

namespace moe::cli {

/// What is said of a matrix whose relative errors tell of a few huge weights (kFewHugeShare).
inline constexpr std::string_view kFewHugeNote = "few huge weights";
using TensorNames = std::set<std::string>;

/// derived_tensor of the matrices that get the note.
TensorNames FewHugeNames(const RunMatrices& matrices);

/// A line for each scheme: bits per weight, size of the experts, median and worst error.
void ShowSchemes(const RunMatrices& matrices, const RunSummary& summary, ShowFormat format,
                 Reporter& report);

/// The same for programs: a list of objects. Errors are w_rel_fro.
Json SchemesJson(const RunMatrices& matrices, const RunSummary& summary);
Json FindingsJson(const Findings& odd);

/// What --json tells of every run, unless it is told already: run, model, report (null: not
/// written), coverage, schemes.
void AddRunFacts(Run& run, Json& object);

/// How many things are odd: those in the list, and those left out.
uint64_t CountOf(const Findings& odd);

/// What `analyze` ends with: size, schemes, what is odd, and where to look; with --json the same in
/// the reporter's object. `page`: its report.html. Fails if the run's tables can't be read.
Result<void> AnswerWith(Run& run, const std::optional<std::filesystem::path>& page,
                        Reporter& report);

}  // namespace moe::cli

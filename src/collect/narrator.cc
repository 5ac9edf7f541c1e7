#include "collect/narrator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace moe {
namespace {

using Lines = std::vector<std::string>;

void Add(Lines& lines, Lines more) {
  lines.insert(lines.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
}

Lines LinesOfFiles(const Story& story) {
  const ModelFiles& files = *story.model.parts().files;
  Lines lines;
  if (story.config.metadata.enabled) lines = files.metadata.warnings;
  if (const auto unused = UnusedIndexWarning(files.index)) lines.push_back(*unused);
  Add(lines, files.scan.warnings);
  return lines;
}

Lines LinesOfTensors(const Story& story) {
  std::vector<TensorWarning> found = story.model.parts().checkpoint.warnings;
  found.insert(found.end(), story.counts.warnings.begin(), story.counts.warnings.end());
  return MergeByTensor(std::move(found), story.work.warnings);
}

Lines LinesOfCoverage(const Story& story) {
  Lines lines;
  if (story.coverage.promised == story.coverage.missing) {
    lines.push_back("[coverage] no expert parameters were found");
  }
  const auto& share = story.coverage.share;
  if (!share || *share >= 1) return lines;
  lines.push_back(fmt::format(
      "[coverage] {} of the expert parameters were analysed; data/unmatched_tensors says why the "
      "rest was not{}",
      CoverageText(*share),
      story.model.parts().missing.empty() ? ""
                                          : ", missing_experts in run_health what is missing"));
  return lines;
}

Lines LinesOfExperts(const Story& story) {
  Lines lines = story.model.parts().ExpertWarnings();
  if (EffectivelyEmpty(story.config, story.counts, story.work)) {
    lines.push_back(fmt::format(
        "[smoke] effectively empty collect: {} tensor(s) are named like expert weights (e.g. {}), "
        "but nothing was analysed; see parsing and extract_rules in the config",
        story.counts.smoke_candidates, story.counts.smoke_examples.names().front()));
  }
  return lines;
}

}  // namespace

Coverage CoverageOf(const Model& model, const TensorCounts& counts, const MatrixWorkSummary& work) {
  Coverage coverage;
  coverage.missing = MissingParameters(model.parts().missing);
  coverage.promised = counts.ExpertParameters() + coverage.missing;
  coverage.analysed = counts.planned_parameters - work.unread_parameters;
  if (coverage.promised > 0) {
    coverage.share =
        static_cast<double>(coverage.analysed) / static_cast<double>(coverage.promised);
  }
  return coverage;
}

double CoveragePercent(double share) { return std::floor(share * 10'000) / 100; }

std::string CoverageText(double share) { return fmt::format("{:.2f} %", CoveragePercent(share)); }

bool EffectivelyEmpty(const Config& config, const TensorCounts& counts,
                      const MatrixWorkSummary& work) {
  return config.extract.experts_only && counts.smoke_candidates > 0 && work.matrix_rows == 0 &&
         counts.unmatched == 0;
}

std::vector<std::string> WarningLines(const Story& story) {
  Lines lines = LinesOfFiles(story);
  if (story.no_backend) lines.push_back(*story.no_backend);
  Add(lines, LinesOfTensors(story));
  Add(lines, story.samples);
  Add(lines, IndexWarnings(story.model.parts().files->index, story.model.parts().compared));
  Add(lines, story.proj);
  Add(lines, LinesOfCoverage(story));
  Add(lines, LinesOfExperts(story));
  for (const std::string& line : story.evidence) lines.push_back("[evidence] " + line);
  Add(lines, story.config.warnings);
  return lines;
}

bool IsIncomplete(const Story& story) {
  const Model::Parts& parts = story.model.parts();
  const MatrixWorkSummary& work = story.work;
  const auto& limit = story.config.min_expert_coverage;
  return work.matrix_rows == 0 || work.failed_schemes > 0 ||
         story.counts.refused + work.refused_tensors > 0 ||
         !parts.checkpoint.skipped_files.empty() || parts.files->scan.incomplete ||
         parts.census.ContradictsConfig(story.model.facts()) || !parts.surplus.empty() ||
         (limit && (story.coverage.share.value_or(0) < *limit || parts.files->metadata.unreadable ||
                    !parts.compared.missing_tensors.empty()));
}

std::vector<std::string> MergeByTensor(std::vector<TensorWarning> first,
                                       std::vector<TensorWarning> second) {
  first.insert(first.end(), std::make_move_iterator(second.begin()),
               std::make_move_iterator(second.end()));
  std::stable_sort(first.begin(), first.end(), [](const TensorWarning& a, const TensorWarning& b) {
    return a.tensor_number < b.tensor_number;
  });
  std::vector<std::string> lines;
  for (TensorWarning& warning : first) lines.push_back(std::move(warning.text));
  return lines;
}

}  // namespace moe

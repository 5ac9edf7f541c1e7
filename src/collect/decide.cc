#include "collect/decide.h"

#include "experts/shape_judge.h"

namespace moe {

Result<Extraction> Decide(const Checkpoint& checkpoint, const Extractor& extractor, size_t file,
                          size_t tensor) {
  if (!checkpoint.uses[file][tensor].companion) {
    return extractor.Extract(checkpoint.ShapeOf(file, tensor));
  }
  Extraction companion;
  companion.role = Role::kCompanion;
  return companion;
}

Result<std::vector<std::vector<Extraction>>> DecideAll(const Checkpoint& checkpoint,
                                                       const Extractor& extractor,
                                                       const std::function<bool()>& stopped) {
  std::vector<std::vector<Extraction>> decided(checkpoint.files.size());
  std::vector<Extraction*> numbered;
  ShapeJudge judge(extractor.facts());
  for (size_t file = 0; file < decided.size(); ++file) {
    const auto& uses = checkpoint.uses[file];
    decided[file].reserve(uses.size());
    for (size_t tensor = 0; tensor < uses.size(); ++tensor) {
      if (stopped()) return tl::make_unexpected(InterruptedError());
      auto extraction = Decide(checkpoint, extractor, file, tensor);
      if (!extraction) return tl::make_unexpected(std::move(extraction.error()));
      const auto& stored = checkpoint.files[file]->tensors()[tensor].shape;
      const bool packed = uses[tensor].weight && uses[tensor].weight->shape != stored;
      if (!extraction->banks.empty()) {
        judge.Add(numbered.size(), checkpoint.ShapeOf(file, tensor), packed, *extraction);
      }
      decided[file].push_back(std::move(*extraction));
      numbered.push_back(&decided[file].back());
    }
  }
  for (auto& [number, reason] : judge.Refusals()) {
    Extraction& refused = *numbered[number];
    refused.banks.clear();
    refused.unmatched_reason = std::move(reason);
    refused.refused = true;
  }
  return decided;
}

}  // namespace moe

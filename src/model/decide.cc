#include "model/decide.h"

#include <string_view>
#include <unordered_set>

#include "experts/shape_judge.h"
#include "model/double_claims.h"

namespace moe {
namespace {

void Refuse(Extraction& extraction, std::string reason) {
  extraction.banks.clear();
  extraction.unmatched_reason = std::move(reason);
  extraction.refused = true;
}

void RefuseDoubles(const Checkpoint& checkpoint, std::vector<std::vector<Extraction>>& decided) {
  DoubleClaims claims;
  std::vector<Extraction*> numbered;
  for (size_t file = 0; file < decided.size(); ++file) {
    for (size_t tensor = 0; tensor < decided[file].size(); ++tensor) {
      Extraction& extraction = decided[file][tensor];
      claims.Add(numbered.size(), checkpoint.files[file]->tensors()[tensor].name, extraction);
      numbered.push_back(&extraction);
    }
  }
  for (auto& [number, reason] : claims.Refusals()) Refuse(*numbered[number], std::move(reason));
}

/// What the index promises and is not `there`. An index of other files says nothing about these
/// where they name their experts in another way.
Result<void> AddListed(const IndexSummary& index, const Extractor& extractor,
                       const std::unordered_set<std::string_view>& there, ExpertPromise& promise) {
  bool speaks = index.used_for_scan;
  if (!speaks && !index.of_other_files) return {};
  std::vector<ExpertClaim> promised;
  for (const auto& [name, shard] : index.weight_map) {
    const auto listed = extractor.ClaimsOf(name);
    if (!listed) return tl::make_unexpected(listed.error());
    if (there.contains(name)) {
      speaks |= !listed->empty();
    } else {
      promised.insert(promised.end(), listed->begin(), listed->end());
    }
  }
  if (speaks) promise.AddListed(promised);
  return {};
}

}  // namespace

Result<Extraction> Decide(const Checkpoint& checkpoint, const Extractor& extractor, size_t file,
                          size_t tensor) {
  const TensorUse& use = checkpoint.uses[file][tensor];
  Extraction extraction;  // role "other"
  if (use.left_out != TensorUse::LeftOut::kNo) return extraction;
  if (!use.companion) return extractor.Extract(checkpoint.ShapeOf(file, tensor));
  extraction.role = Role::kCompanion;
  return extraction;
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
  for (auto& [number, reason] : judge.Refusals()) Refuse(*numbered[number], std::move(reason));
  RefuseDoubles(checkpoint, decided);
  return decided;
}

Result<ExpertPromise> PromiseOf(const Checkpoint& checkpoint, const IndexSummary& index,
                                const Extractor& extractor,
                                const std::vector<std::vector<Extraction>>& decided) {
  ExpertPromise promise;
  std::unordered_set<std::string_view> there;
  for (size_t file = 0; file < decided.size(); ++file) {
    for (size_t tensor = 0; tensor < decided[file].size(); ++tensor) {
      if (checkpoint.uses[file][tensor].left_out != TensorUse::LeftOut::kNo) continue;
      const std::string& name = checkpoint.files[file]->tensors()[tensor].name;
      const Extraction& extraction = decided[file][tensor];
      there.insert(name);
      if (checkpoint.uses[file][tensor].companion) continue;
      promise.Add(checkpoint.ShapeOf(file, tensor), extraction);
      if (!extraction.unmatched_reason || extraction.unmatched_reason == "empty") continue;
      const auto unread = extractor.ClaimsOf(name);
      if (!unread) return tl::make_unexpected(unread.error());
      promise.AddUnread(*unread);
    }
  }
  if (auto done = AddListed(index, extractor, there, promise); !done) {
    return tl::make_unexpected(done.error());
  }
  return promise;
}

}  // namespace moe

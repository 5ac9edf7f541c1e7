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

void RefuseDoubles(Checkpoint& checkpoint) {
  DoubleClaims claims;
  for (size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    claims.Add(i, checkpoint.tensors[i].info().name, checkpoint.tensors[i].found);
  }
  for (auto& [number, reason] : claims.Refusals()) {
    Refuse(checkpoint.tensors[number].found, std::move(reason));
  }
}

Result<Extraction> Decide(const ModelTensor& tensor, const Extractor& extractor) {
  Extraction extraction;  // role "other"
  if (tensor.left_out != ModelTensor::LeftOut::kNo) return extraction;
  if (!tensor.companion) return extractor.Extract(ShapeOf(tensor));
  extraction.role = Role::kCompanion;
  return extraction;
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

Result<void> DecideAll(Checkpoint& checkpoint, const Extractor& extractor, const StopToken& stop) {
  ShapeJudge judge(extractor.facts());
  for (size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    if (auto done = stop.Check(); !done) return done;
    ModelTensor& tensor = checkpoint.tensors[i];
    auto found = Decide(tensor, extractor);
    if (!found) return tl::make_unexpected(std::move(found.error()));
    tensor.found = std::move(*found);
    if (tensor.found.banks.empty()) continue;
    const bool packed = tensor.weight && tensor.weight->shape != tensor.info().shape;
    judge.Add(i, ShapeOf(tensor), packed, tensor.found);
  }
  for (auto& [number, reason] : judge.Refusals()) {
    Refuse(checkpoint.tensors[number].found, std::move(reason));
  }
  RefuseDoubles(checkpoint);
  return {};
}

Result<ExpertPromise> PromiseOf(const Checkpoint& decided, const IndexSummary& index,
                                const Extractor& extractor) {
  ExpertPromise promise;
  std::unordered_set<std::string_view> there;
  for (const ModelTensor& tensor : decided.tensors) {
    if (tensor.left_out != ModelTensor::LeftOut::kNo) continue;
    const std::string& name = tensor.info().name;
    there.insert(name);
    if (tensor.companion) continue;
    promise.Add(ShapeOf(tensor), tensor.found);
    const auto& reason = tensor.found.unmatched_reason;
    if (!reason || *reason == "empty") continue;
    const auto unread = extractor.ClaimsOf(name);
    if (!unread) return tl::make_unexpected(unread.error());
    promise.AddUnread(*unread);
  }
  if (auto done = AddListed(index, extractor, there, promise); !done) {
    return tl::make_unexpected(done.error());
  }
  return promise;
}

}  // namespace moe

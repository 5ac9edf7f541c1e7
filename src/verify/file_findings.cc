#include "verify/file_findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "codec/companions.h"
#include "codec/config_words.h"
#include "experts/mlx_names.h"
#include "model/model_parts.h"

namespace moe {
namespace {

using Kind = PairFindingKind;

bool IsUsed(const ModelTensor& tensor) { return tensor.left_out == ModelTensor::LeftOut::kNo; }

/// A float router, beside which some families (Inkling) keep a scale of its own: no scales of
/// codes.
bool HasOwnScale(const ModelTensor& tensor) {
  return tensor.found.role == Role::kRouter && IsPlainFloat(tensor.info().dtype);
}

/// What can't be decoded since it is broken.
std::vector<FileFinding> Contradictions(const Model& model) {
  std::vector<FileFinding> found;
  for (const ModelTensor& tensor : model.tensors()) {
    if (!tensor.contradictory || !IsUsed(tensor) || HasOwnScale(tensor)) continue;
    found.push_back({tensor.info().name, {Kind::kContradiction, tensor.refusal, ""}});
  }
  return found;
}

/// What stands before the suffix of scales or zero points that a weight may have; nullopt: the
/// tensor is called otherwise.
std::optional<std::string> ModuleOfScales(const TensorInfo& info) {
  for (const CompanionSuffix& suffix : CompanionSuffixes("x.weight")) {
    const bool may_be_own = suffix.text == ".global_scale";  // a parameter of Inkling's MLPs
    if (may_be_own || info.shape.size() < suffix.least_axes || !info.name.ends_with(suffix.text))
      continue;
    return info.name.substr(0, info.name.size() - suffix.text.size());
  }
  return std::nullopt;
}

/// Scales without codes, or beside a weight that has none. Those of what can't be decoded have
/// their codes.
std::vector<FileFinding> OrphanedScales(const Model& model) {
  std::set<std::string> refused;  // modules
  for (const ModelTensor& tensor : model.tensors()) {
    if (!tensor.refusal.empty()) refused.emplace(ModuleOf(tensor.info().name));
  }
  std::vector<FileFinding> orphans;
  for (const ModelTensor& tensor : model.tensors()) {
    const auto module = ModuleOfScales(tensor.info());
    if (!module || tensor.companion || refused.contains(*module) || !IsUsed(tensor)) continue;
    orphans.push_back(
        {tensor.info().name, {Kind::kOrphanedScales, "belongs to no weight's codes", ""}});
  }
  return orphans;
}

/// mlx_lm.load reads every model*.safetensors, whatever the index says.
bool MlxReads(const std::string& shard) { return shard.starts_with("model"); }

/// What the index says and the files don't have, and the other way round.
std::vector<FileFinding> AgainstIndex(const Model& model) {
  const Model::Parts& parts = model.parts();
  const IndexSummary& index = parts.files->index;
  std::vector<FileFinding> found;
  if (!index.used_for_scan) return found;
  std::map<std::string, uint64_t> lacking;  // tensors, by shard
  for (const std::string& shard : index.missing_shards) lacking.emplace(shard, 0);
  for (const std::string& tensor : parts.compared.missing_tensors) {
    const std::string& shard = index.weight_map.at(tensor);
    if (const auto gone = lacking.find(shard); gone != lacking.end()) {
      ++gone->second;
      continue;
    }
    found.push_back(
        {tensor, {Kind::kMissingTensor, "the index names it, and " + shard + " has it not", ""}});
  }
  for (const auto& [shard, tensors] : lacking) {
    found.push_back(
        {shard,
         {Kind::kMissingShard,
          fmt::format("the index names it for {} tensors, and it is not there", tensors), ""}});
  }
  for (const std::string& tensor : parts.compared.extra_tensors) {
    found.push_back({tensor,
                     {Kind::kUnlistedTensor,
                      "a shard has it, and the index does not name it: it is not read", ""}});
  }
  for (const std::string& shard : index.extra_safetensors_files_on_disk) {
    if (!MlxReads(shard)) continue;
    found.push_back(
        {shard,
         {Kind::kUnlistedShard, "the index does not name it: mlx-lm reads it, others don't", ""}});
  }
  return found;
}

std::vector<FileFinding> UnusedEntries(const Model& model) {
  const QuantConfig config(Json(model.parts().files->metadata.quantization));
  std::vector<std::string> modules;
  for (const ModelTensor& tensor : model.tensors()) {
    modules.emplace_back(ModuleOf(tensor.info().name));
  }
  for (const std::string& missing : model.parts().compared.missing_tensors) {
    modules.emplace_back(ModuleOf(missing));
  }
  std::vector<FileFinding> found;
  for (const std::string& entry : config.EntriesBeside(modules)) {
    found.push_back(
        {entry,
         {Kind::kUnusedEntry, "config.json's quantization names it, and no tensor does", ""}});
  }
  return found;
}

}  // namespace

std::vector<FileFinding> FileFindings(const Model& model) {
  std::vector<FileFinding> found;
  for (const auto& look : {Contradictions, OrphanedScales, AgainstIndex, UnusedEntries}) {
    std::ranges::move(look(model), std::back_inserter(found));
  }
  return found;
}

std::vector<FileFinding> DifferentScales(const std::vector<CheckedPair>& checked) {
  std::map<std::tuple<std::string, int64_t, int64_t>, std::pair<const CheckedPair*, uint64_t>> seen;
  std::vector<FileFinding> found;
  for (const CheckedPair& one : checked) {
    const WeightKey& key = one.pair->a.key;
    const bool fused = key.name == "gate_proj" || key.name == "up_proj";
    if (key.kind != WeightKey::Kind::kRouted || !fused || !one.check.global_scale) continue;
    auto& [first, count] = seen[{key.stack, key.layer, key.number}];
    if (count++ == 0) {
      first = &one;
    } else if (*first->check.global_scale != *one.check.global_scale) {
      found.push_back(
          {one.pair->b.tensor->info().name,
           {Kind::kDifferentScales,
            fmt::format("global scale {:.6g}, {:.6g} of {}; vLLM fuses the two and takes one",
                        *one.check.global_scale, *first->check.global_scale,
                        first->pair->a.key.name),
            ""}});
    }
  }
  return found;
}

std::vector<FileFinding> TakeDropped(const Model& original, const Model& quantized,
                                     std::vector<Unpaired>& missing) {
  std::vector<FileFinding> dropped;
  const auto names =
      MlxNames::Of(original.family(), MlxFactsOf(original.parts().files->metadata.config));
  const bool is_mlx = names && std::ranges::any_of(quantized.tensors(), [&](const auto& tensor) {
                        return !tensor.found.banks.empty() && names->IsMlxForm(tensor.info().name);
                      });
  if (!is_mlx) return dropped;
  std::erase_if(missing, [&](const Unpaired& one) {
    const TensorInfo& info = one.tensor->info();
    const MlxFate fate = names->FateOf(info.name, info.shape, info.dtype, false);
    if (fate.dropped.empty()) return false;
    dropped.push_back({info.name,
                       {Kind::kDropped,
                        "mlx-lm drops it: " + fate.dropped +
                            (fate.is_loss ? " (the model's results change)" : ""),
                        ""}});
    return true;
  });
  return dropped;
}

}  // namespace moe

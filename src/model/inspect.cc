#include "model/inspect.h"

#include <algorithm>

#include "base/ordered_work.h"
#include "base/pattern.h"
#include "base/utf8.h"
#include "model/model_parts.h"
#include "model/nothing_found.h"

namespace moe {
namespace {

/// Weights that one core measures in a second under the template's config (docs/formats.md).
constexpr double kWeightsPerCoreSecond = 180e6;

void AddTo(ModelPart& part, const ModelTensor& tensor) {
  const Weight* weight = tensor.weight.get();
  ++part.tensors;
  part.parameters += tensor.elements();
  part.storage.insert(weight ? weight->storage : tensor.info().dtype_text);
  if (!weight) {
    part.bytes += tensor.info().nbytes;
    return;
  }
  for (const TensorRef& piece : weight->parts) part.bytes += piece.info().nbytes;
}

/// Companions count with their weights.
std::vector<ModelPart> PartsOf(const Model& model) {
  std::array<ModelPart, kRoleCount> by_role;
  for (const ModelTensor& tensor : model.tensors()) {
    if (tensor.left_out != ModelTensor::LeftOut::kNo || tensor.companion) continue;
    AddTo(by_role[static_cast<size_t>(tensor.found.role)], tensor);
  }
  std::vector<ModelPart> parts;
  for (size_t i = 0; i < by_role.size(); ++i) {
    by_role[i].role = static_cast<Role>(i);
    if (by_role[i].tensors > 0) parts.push_back(std::move(by_role[i]));
  }
  return parts;
}

/// Of a token's experts_per_token of each layer's experts; nullopt: the config does not say.
std::optional<uint64_t> ActiveParameters(const Inspection& inspection, const ModelFacts& facts) {
  const auto &all = facts.experts, &chosen = facts.experts_per_token;
  if (!all || !chosen || *all == 0 || *chosen > *all) return std::nullopt;
  uint64_t routed = 0;
  for (const ModelPart& part : inspection.parts) {
    if (part.role == Role::kRoutedExpert) routed = part.parameters;
  }
  return inspection.parameters - routed +
         static_cast<uint64_t>(static_cast<double>(routed) * static_cast<double>(*chosen) /
                               static_cast<double>(*all));
}

Inspection::Work WorkOf(const Model& model) {
  double weights = 0, bytes = 0;
  for (const ModelBank& at : model.parts().banks) {
    const ExpertBank& bank = *at.bank;
    const auto count = static_cast<double>(bank.matrices() * bank.rows * bank.cols);
    weights += count;
    bytes += count * at.tensor->weight->bits_per_weight / 8;
  }
  const unsigned cores = ThreadCount(0);
  return {model.matrices(), static_cast<uint64_t>(bytes), cores,
          weights / (kWeightsPerCoreSecond * cores)};
}

/// There is no expert, and nothing that may be one.
bool HasNothing(const Inspection& inspection) {
  return inspection.experts.empty() && inspection.unmatched.empty() &&
         std::ranges::none_of(inspection.parts, [](const ModelPart& part) {
           return part.role == Role::kRoutedExpert || part.role == Role::kSharedExpert;
         });
}

/// null for "".
Json TextOrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

/// null where all is there.
Json ShardsJson(const MissingShards& missing) {
  if (missing.empty()) return {};
  return {{"text", missing.Text()},
          {"names", missing.names},
          {"expected", missing.expected},
          {"tensors", OrNull(missing.tensors)}};
}

Json PartsJson(const std::vector<ModelPart>& parts) {
  Json json = Json::Object();
  for (const ModelPart& part : parts) {
    json[std::string(RoleName(part.role))] = {{"tensors", part.tensors},
                                              {"bytes", part.bytes},
                                              {"parameters", part.parameters},
                                              {"bits_per_weight", OrNull(part.bits_per_weight())},
                                              {"storage", part.storage}};
  }
  return json;
}

}  // namespace

std::optional<double> ModelPart::bits_per_weight() const {
  if (parameters == 0) return std::nullopt;
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
}

Result<Model> OpenForInspection(const std::string& path) {
  ModelOptions options;
  options.scan.strict_index = true;  // as the template
  options.scan.keep_going = true;
  return Model::Open(path, options);
}

Inspection Inspect(const Model& model) {
  const Model::Parts& parts = model.parts();
  Inspection inspection;
  inspection.model = model.path();
  inspection.missing_shards = parts.files->scan.missing;
  inspection.family = model.family();
  inspection.model_type = model.model_type();
  inspection.files = parts.checkpoint.files.size();
  inspection.tensors = model.tensors().size();
  inspection.experts = parts.census.Groups(model.facts());
  inspection.parts = PartsOf(model);
  for (const ModelPart& part : inspection.parts) inspection.parameters += part.parameters;
  inspection.active_parameters = ActiveParameters(inspection, model.facts());
  inspection.work = WorkOf(model);
  for (const ModelTensor& tensor : model.tensors()) {
    if (tensor.left_out == ModelTensor::LeftOut::kNo) inspection.bytes += tensor.info().nbytes;
    if (const auto& reason = tensor.found.unmatched_reason) {
      inspection.unmatched.push_back({tensor.info().name, *reason});
    }
  }
  inspection.missing_experts = parts.missing;
  inspection.left_out_files = parts.files->scan.left_out;
  inspection.warnings = model.Warnings();
  inspection.complete = model.complete();
  if (HasNothing(inspection)) inspection.nothing = NoExperts(model, true);
  return inspection;
}

Json InspectionJson(const Inspection& inspection) {
  Json unmatched = Json::Array(), left_out = Json::Array();
  for (const auto& [tensor, reason] : inspection.unmatched) {
    unmatched.push_back({{"tensor", tensor}, {"reason", reason}});
  }
  for (const LeftOut& file : inspection.left_out_files) {
    left_out.push_back({{"path", file.path.string()}, {"reason", file.reason}});
  }
  const Inspection::Work& work = inspection.work;
  return {{"model", inspection.model.string()},
          {"missing_shards", ShardsJson(inspection.missing_shards)},
          {"family", TextOrNull(inspection.family)},
          {"model_type", TextOrNull(inspection.model_type)},
          {"files", inspection.files},
          {"tensors", inspection.tensors},
          {"bytes", inspection.bytes},
          {"experts", ExpertGroupsJson(inspection.experts)},
          {"parts", PartsJson(inspection.parts)},
          {"parameters",
           {{"total", inspection.parameters}, {"active", OrNull(inspection.active_parameters)}}},
          {"analyze",
           {{"matrices", work.matrices},
            {"bytes", work.bytes},
            {"estimated_seconds", work.estimated_seconds},
            {"threads", work.threads}}},
          {"unmatched", unmatched},
          {"missing_experts", MissingJson(inspection.missing_experts)},
          {"left_out_files", left_out},
          {"warnings", inspection.warnings}};
}

Result<std::vector<const ModelTensor*>> FindTensors(const Model& model,
                                                    const std::string& pattern) {
  const auto wanted = Pattern::Compile(pattern, "the pattern of --tensors");
  if (!wanted) return tl::make_unexpected(wanted.error());
  std::vector<const ModelTensor*> found;
  for (const ModelTensor& tensor : model.tensors()) {
    const auto hit = wanted->Search(tensor.info().name);
    if (!hit) return tl::make_unexpected(hit.error());
    if (*hit) found.push_back(&tensor);
  }
  return found;
}

Json TensorJson(const ModelTensor& tensor) {
  const TensorInfo& info = tensor.info();
  Json json = {{"name", info.name},        {"file", AsUtf8(tensor.ref.file->path().string())},
               {"dtype", info.dtype_text}, {"shape", info.shape},
               {"bytes", info.nbytes},     {"role", RoleName(tensor.found.role)}};
  json["storage"] = tensor.weight ? Json(tensor.weight->storage) : Json();
  json["bits_per_weight"] = tensor.weight ? Json(tensor.weight->bits_per_weight) : Json();
  return json;
}

std::set<uint64_t> ExpertColumns(const Model& model) {
  std::set<uint64_t> columns;
  for (const ModelTensor& tensor : model.tensors()) {
    for (const ExpertBank& bank : tensor.found.banks) columns.insert(bank.cols);
  }
  return columns;
}

}  // namespace moe

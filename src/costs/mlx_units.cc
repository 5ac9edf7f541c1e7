#include "costs/mlx_units.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/utf8.h"
#include "evidence/module_inputs.h"
#include "experts/families.h"

namespace moe {
namespace {

/// Gate and up are one unit: runtimes want it so, and it costs nothing.
std::string UnitProj(const std::string& proj) {
  return proj == kGateProj || proj == kUpProj ? "gate_proj+up_proj" : proj;
}

std::string LastPart(std::string_view path) {
  return std::string(path.substr(path.rfind('.') + 1));
}

std::string_view RoleOf(const DenseWeight& weight, std::string_view path) {
  if (weight.role() == Role::kRouter) return kRouterRole;
  if (path == "lm_head" || path.ends_with(".lm_head")) return kHeadRole;
  const bool is_called_so = ModuleNameOf(weight.module).name.starts_with("attn_");  // Nemotron-H
  if (weight.role() == Role::kAttention || is_called_so) return kAttentionRole;
  return weight.role() == Role::kEmbedding ? kEmbeddingRole : kDenseRole;
}

/// The module of that path; a new one is called after the matrix's weight.
RecipeModule& ModuleOf(RecipeUnit& unit, const std::string& path, const ExpertMatrix& matrix) {
  const auto found = std::ranges::find(unit.modules, path, &RecipeModule::mlx);
  if (found != unit.modules.end()) return *found;
  const bool of_many = !matrix.bank->is_shared_expert && matrix.bank->experts == 1;
  return unit.modules.emplace_back(
      RecipeModule{path, CheckpointModule(AsUtf8(matrix.weight().name), of_many), {}, ""});
}

class Builder {
 public:
  Builder(const Model& model, const MlxNames& names, const MlxPlan& plan, const MatrixCosts& costs,
          std::string_view dtype)
      : model_(model), names_(names), costs_(costs), dtype_(dtype) {
    for (const MlxPlan::Dropped& dropped : plan.dropped) dropped_.insert(dropped.source);
    for (const MlxPlan::Tensor& tensor : plan.tensors) {
      tensors_[tensor.module()] = &tensor;
      if (tensor.rule == MlxRule::kFloat || tensor.routed_experts) continue;
      std::set<const ModelTensor*> sources;
      for (const MlxPlan::Part& part : tensor.parts) sources.insert(part.source);
      for (const ModelTensor* source : sources) made_of_[source].push_back(&tensor);
    }
  }

  MlxUnits Build() {
    AddExperts();
    AddDense();
    for (Part& part : parts_) {
      Complete(part);
      made_.units.push_back(std::move(part.unit));
    }
    return std::move(made_);
  }

 private:
  struct Part {
    RecipeUnit unit;
    Costs costs;
    StoredForm kept = {};    ///< what it is if nothing is chosen
    bool is_packed = false;  ///< and nothing can be
  };

  Part& PartOf(std::string_view role, int64_t layer, const std::string& proj) {
    const auto [place, is_new] =
        places_.try_emplace({std::string(role), layer, proj}, parts_.size());
    if (is_new) {
      Part& part = parts_.emplace_back();
      part.unit.role = role;
      if (layer >= 0) part.unit.layer = layer;
      part.unit.proj = proj;
      part.costs.assign(costs_.candidates(), 0.0);
    }
    return parts_[place->second];
  }

  void Count(const MatrixId& id) {
    ++made_.matrices;
    made_.measured += costs_.Knows(id) ? 1 : 0;
  }

  void AddExperts() {
    for (uint64_t i = 0; i < model_.matrices(); ++i) {
      const ExpertMatrix matrix = model_.matrix(i);
      const MatrixKey key = matrix.key();
      if (dropped_.contains(matrix.tensor) || !key.stack.empty() || key.layer < 0) {
        ++made_.other_stacks;
        continue;
      }
      key.shared ? AddShared(matrix, key) : AddRouted(matrix, key);
    }
  }

  void AddRouted(const ExpertMatrix& matrix, const MatrixKey& key) {
    Part& part = PartOf(kRoutedRole, key.layer, UnitProj(key.proj));
    RecipeModule& module = ModuleOf(part.unit, names_.Experts(key.layer, key.proj), matrix);
    if (module.shape.empty()) module.shape = {0, matrix.rows(), matrix.cols()};
    ++module.shape[0];
    Count(IdOf(matrix));
    AddTo(part.costs, costs_.OfRouted(matrix));
    AddTerms(part.unit.cost_terms, key);
    const std::string& storage = matrix.weight().storage;
    const auto made = tensors_.find(module.mlx);
    if (made != tensors_.end() && made->second->keeps_mxfp4) {
      part.is_packed = true;
      part.kept = MlxPackedExperts();
    } else if (!matrix.weight().is_plain() && !storage.starts_with("fp8_block")) {
      made_.refused_storage = storage;
    }
  }

  void AddTerms(std::map<std::string, double>& terms, const MatrixKey& key) const {
    const auto energy = costs_.energies().OfExpert(key.layer, key.expert);
    const auto residual = costs_.energies().Residual(key.layer);
    if (energy && key.proj == kDownProj) terms["energy"] += *energy;
    if (residual) terms["residual"] = *residual;
    terms["factor"] = MatrixCosts::FactorOf(key.proj);
  }

  void AddShared(const ExpertMatrix& matrix, const MatrixKey& key) {
    const auto found = made_of_.find(matrix.tensor);
    if (found == made_of_.end()) return;
    Part& part = PartOf(kSharedRole, key.layer, UnitProj(key.proj));
    for (const MlxPlan::Tensor* made : found->second) {
      ModuleOf(part.unit, made->module(), matrix).shape = made->shape;
    }
    Count(IdOf(matrix));
    AddTo(part.costs, costs_.OfShared(matrix));
  }

  void AddDense() {
    for (const DenseWeight& weight : model_.dense()) {
      const auto found = made_of_.find(weight.tensor);
      if (found == made_of_.end()) continue;
      const auto& modules = found->second;
      const std::string_view role = RoleOf(weight, modules.front()->module());
      Part& part = PartOf(role, weight.layer(), LastPart(weight.module));
      for (const MlxPlan::Tensor* made : modules) {
        part.unit.modules.push_back({made->module(), AsUtf8(weight.module), made->shape, ""});
        const bool eight_bits = made->rule == MlxRule::kEightBits;
        if (eight_bits && role == kRouterRole) part.kept = MlxEightBits();
      }
      made_.is_split = made_.is_split || modules.size() > 1;
      Count({AsUtf8(weight.module), -1, -1});
      AddTo(part.costs, costs_.OfDense(weight, role, part.unit.proj));
    }
  }

  /// The bytes of its candidates, and what it is if it is kept.
  void Complete(Part& part) const {
    RecipeUnit& unit = part.unit;
    const unsigned float_bits = FloatBits(dtype_);
    for (RecipeModule& module : unit.modules) {
      const auto own = tensors_.find(module.mlx);
      if (own != tensors_.end() && DTypeName(own->second->dtype) != dtype_) {
        module.dtype = DTypeName(own->second->dtype);
      }
    }
    const auto bytes = StoredBytes(unit, part.kept, float_bits);
    unit.chosen = {bytes ? part.kept : std::nullopt,
                   bytes ? *bytes : *StoredBytes(unit, std::nullopt, float_bits), std::nullopt};
    for (size_t c = 0; !part.is_packed && c < part.costs.size(); ++c) {
      const QuantScheme& scheme = costs_.candidate(c);
      if (const auto size = StoredBytes(unit, scheme, float_bits)) {
        unit.alternatives.push_back({scheme, *size, part.costs[c]});
      }
    }
  }

  const Model& model_;
  const MlxNames& names_;
  const MatrixCosts& costs_;
  const std::string_view dtype_;
  std::set<const ModelTensor*> dropped_;
  std::map<std::string, const MlxPlan::Tensor*> tensors_;  // by module
  // Modules that can be quantized, but for routed experts', by what they are made of.
  std::map<const ModelTensor*, std::vector<const MlxPlan::Tensor*>> made_of_;
  MlxUnits made_;
  std::vector<Part> parts_;
  std::map<std::tuple<std::string, int64_t, std::string>, size_t> places_;  // role, layer, proj
};

}  // namespace

MlxUnits UnitsOf(const Model& model, const MlxNames& names, const MlxPlan& plan,
                 const MatrixCosts& costs, std::string_view dtype) {
  return Builder(model, names, plan, costs, dtype).Build();
}

}  // namespace moe

#include "model/mlx_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/model_parts.h"

namespace moe {
namespace {

/// Of several that become one tensor.
DType Wider(DType a, DType b) { return a == b ? a : DType::kF32; }

/// That its values are meant in; MLX has no float64.
DType DTypeOf(const ModelTensor& tensor) {
  const DType dtype = tensor.weight ? tensor.weight->float_dtype : tensor.info().dtype;
  return dtype == DType::kF64 ? DType::kF32 : dtype;
}

class Planner {
 public:
  Planner(const Model& model, const MlxNames& names) : model_(model), names_(names) {}

  Result<MlxPlan> Plan() {
    is_mlx_ = std::ranges::any_of(model_.tensors(), [&](const ModelTensor& tensor) {
      return HasRouted(tensor) && names_.IsMlxForm(tensor.name());
    });
    for (const ModelTensor& tensor : model_.tensors()) {
      if (tensor.companion || tensor.left_out != ModelTensor::LeftOut::kNo) continue;
      if (auto done = Add(tensor); !done) return tl::make_unexpected(done.error());
    }
    if (auto done = AddStacks(); !done) return tl::make_unexpected(done.error());
    if (auto done = names_.CheckLayers(layers_); !done) return tl::make_unexpected(done.error());
    std::ranges::sort(plan_.tensors, {}, &MlxPlan::Tensor::name);
    return std::move(plan_);
  }

 private:
  /// The matrices of a layer's routed experts, by the experts' numbers.
  struct Stack {
    std::map<int64_t, MlxPlan::Part> experts;
    DType dtype = DType::kOpaque;
  };

  static bool HasRouted(const ModelTensor& tensor) {
    return std::ranges::any_of(tensor.found.banks,
                               [](const ExpertBank& bank) { return !bank.is_shared_expert; });
  }

  static std::string WhyRefused(const ModelTensor& tensor, const std::string& by_name) {
    if (!tensor.refusal.empty()) return tensor.refusal;
    const bool unread = tensor.found.banks.empty() && tensor.found.role == Role::kRoutedExpert;
    return unread ? tensor.found.unmatched_reason.value_or(by_name) : by_name;
  }

  Result<void> Add(const ModelTensor& tensor) {
    const auto& shape = tensor.weight ? tensor.weight->shape : tensor.info().shape;
    MlxFate fate = names_.FateOf(tensor.name(), shape, DTypeOf(tensor), is_mlx_);
    if (!fate.dropped.empty()) {
      plan_.dropped.push_back({&tensor, std::move(fate.dropped), fate.is_loss});
      return {};
    }
    const bool is_routed = HasRouted(tensor);  // whose fate the name alone doesn't tell
    if (const std::string why = WhyRefused(tensor, is_routed ? "" : fate.refused); !why.empty()) {
      return Fail(ErrorCode::kUnsupported, tensor.info().name, why, "its values are needed");
    }
    NoteLoading(tensor);
    if (is_routed) return AddBanks(tensor);
    for (MlxTensor& made : fate.tensors) {
      MlxPlan::Tensor& added =
          plan_.tensors.emplace_back(MlxPlan::Tensor{.name = std::move(made.name),
                                                     .shape = std::move(made.shape),
                                                     .dtype = made.dtype,
                                                     .rule = made.rule,
                                                     .plus_one = made.plus_one});
      for (const MatrixView& view : made.parts) added.parts.push_back({&tensor, view});
    }
    return {};
  }

  void NoteLoading(const ModelTensor& tensor) {
    if (!plan_.why_not_loaded.empty()) return;
    const std::string file = tensor.ref.file->path().filename().string();
    if (!file.starts_with("model") || !file.ends_with(".safetensors")) {
      plan_.why_not_loaded = fmt::format("mlx-lm reads model*.safetensors, and no {}", file);
    } else if (tensor.info().dtype == DType::kF64) {
      plan_.why_not_loaded = fmt::format("mlx-lm reads no float64, which {} is", tensor.name());
    }
    if (is_mlx_ || !tensor.weight || !plan_.why_not_loaded.empty()) return;
    const auto& banks = tensor.found.banks;
    plan_.why_not_loaded =
        names_.WhyNotLoaded(tensor.weight->name, HasRouted(tensor) ? &banks.front() : nullptr,
                            tensor.weight->is_plain() ? "" : tensor.weight->storage);
  }

  Result<void> AddBanks(const ModelTensor& tensor) {
    for (const ExpertBank& bank : tensor.found.banks) {
      if (bank.is_shared_expert || bank.has_layer_axis || bank.stack || bank.LayerAt(0) < 0) {
        return Fail(ErrorCode::kUnsupported, tensor.info().name,
                    "is not of the routed experts of one layer of the model",
                    "mlx-lm has no other stacks");
      }
      if (tensor.elements() == 0) return Malformed(tensor.info().name, "has no elements");
      for (uint64_t e = 0; e < bank.experts; ++e) {
        Stack& stack = stacks_[{bank.LayerAt(0), bank.proj}];
        const MatrixView view = {bank.rows, bank.cols, bank.offset + e * bank.expert_stride,
                                 bank.row_stride, bank.col_stride};
        stack.dtype = stack.experts.empty() ? DTypeOf(tensor) : Wider(stack.dtype, DTypeOf(tensor));
        if (stack.experts.try_emplace(bank.ExpertIdAt(e), &tensor, view).second) continue;
        return Fail(ErrorCode::kUnsupported, tensor.info().name,
                    fmt::format("holds expert {} of {} a second time", bank.ExpertIdAt(e),
                                names_.Experts(bank.LayerAt(0), bank.proj)));
      }
    }
    return {};
  }

  Result<void> AddStacks() {
    for (auto& [key, stack] : stacks_) {
      const auto& [layer, proj] = key;
      const std::string module = names_.Experts(layer, proj);
      const uint64_t count = stack.experts.size();
      const uint64_t promised = model_.facts().experts.value_or(count);
      const MatrixView first = stack.experts.begin()->second.view;
      if (stack.experts.rbegin()->first + 1 != static_cast<int64_t>(count) || promised != count) {
        return Fail(ErrorCode::kUnsupported, module,
                    fmt::format("has {} of {} experts", count, promised), "nothing may be missing");
      }
      MlxPlan::Tensor made = {.name = module + ".weight",
                              .shape = {count, first.rows, first.cols},
                              .dtype = names_.DTypeOf(module, stack.dtype),
                              .rule = names_.RuleFor(module),
                              .routed_experts = true};
      const std::string& storage = stack.experts.begin()->second.source->weight->storage;
      made.keeps_mxfp4 = names_.KeepsMxfp4() && storage.starts_with("mxfp4");
      for (const auto& [number, part] : stack.experts) {
        if (part.view.rows != first.rows || part.view.cols != first.cols) {
          return Fail(ErrorCode::kUnsupported, part.source->info().name,
                      "has another shape than expert 0 of its layer");
        }
        made.parts.push_back(part);
      }
      layers_.insert(layer);
      plan_.tensors.push_back(std::move(made));
    }
    return {};
  }

  const Model& model_;
  const MlxNames& names_;
  MlxPlan plan_;
  std::map<std::pair<int64_t, std::string>, Stack> stacks_;  // by layer and projection
  std::set<int64_t> layers_;                                 // that have routed experts
  bool is_mlx_ = false;
};

}  // namespace

std::string MlxPlan::Tensor::module() const { return MlxModuleOf(name); }

uint64_t MlxPlan::Tensor::elements() const {
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;
  return count;
}

uint64_t MlxPlan::Tensor::float_bytes() const { return elements() * DTypeBits(dtype) / 8; }

Result<MlxPlan> PlanForMlx(const Model& model) {
  const auto names = MlxNames::Of(model.family(), MlxFactsOf(model.parts().files->metadata.config));
  if (!names) return tl::make_unexpected(names.error());
  const bool is_gguf = std::ranges::any_of(model.tensors(), [](const ModelTensor& tensor) {
    return tensor.ref.file->path().extension() == ".gguf";
  });
  if (is_gguf && !names->ReadsGguf()) {
    return Fail(
        ErrorCode::kUnsupported, model.path().string(),
        fmt::format("what llama.cpp makes of the tensors of {} is not known", model.family()),
        "take the checkpoint that the GGUF was made from");
  }
  return Planner(model, *names).Plan();
}

}  // namespace moe

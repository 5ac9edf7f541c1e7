#include "model/dense.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "codec/companions.h"
#include "experts/roles.h"
#include "model/open_checkpoint.h"

namespace moe {
namespace {

constexpr std::string_view kWeight = ".weight";

/// Parts of a model that converters leave as they are (mlx-vlm) or drop (mlx-lm): towers for images
/// and sound, and what leads from them into the text model.
constexpr std::string_view kTowers[] = {
    "audio",          "audio_model",      "audio_tower",    "embed_audio",
    "embed_vision",   "image_newline",    "mm_projector",   "multi_modal_projector",
    "vision_encoder", "vision_embedding", "vision_adapter", "vit_large_projector"};

bool IsOfTower(const ModelTensor& tensor, std::string_view lower) {
  if (tensor.found.stack == "vision") return true;
  const auto parts = NameComponents(lower);
  return std::ranges::find_first_of(parts, kTowers) != parts.end();
}

/// Of a module that no runtime quantizes, though its weight is a matrix.
bool StaysFloat(std::string_view lower) {
  const std::string_view last = lower.substr(lower.rfind('.') + 1);
  return last.find("conv") != std::string_view::npos || last.ends_with("bias");
}

bool MayBeDense(Role role) {
  return role == Role::kRouter || role == Role::kAttention || role == Role::kEmbedding ||
         role == Role::kOther;
}

/// The module of a weight that belongs into Model::dense(); "": it does not.
std::string DenseModule(const ModelTensor& tensor) {
  if (tensor.left_out != ModelTensor::LeftOut::kNo || tensor.companion) return "";
  if (!tensor.found.banks.empty() || !MayBeDense(tensor.found.role)) return "";
  const size_t axes = tensor.weight ? tensor.weight->shape.size() : tensor.info().shape.size();
  if (axes != 2 && axes != 3) return "";
  std::string name = WeightNameOf(tensor.info().name);
  if (!name.ends_with(kWeight)) return "";
  name.resize(name.size() - kWeight.size());
  const std::string lower = LowerAscii(name);
  return IsOfTower(tensor, lower) || StaysFloat(lower) ? "" : name;
}

bool IsHead(std::string_view module) {
  return module == "output" || module.substr(module.rfind('.') + 1) == "lm_head";
}

}  // namespace

std::vector<DenseWeight> DenseWeightsOf(std::span<const ModelTensor> tensors, bool tied_head) {
  std::vector<DenseWeight> dense;
  for (const ModelTensor& tensor : tensors) {
    if (!tensor.weight || tensor.elements() == 0) continue;
    std::string module = DenseModule(tensor);
    if (module.empty() || (tied_head && IsHead(module))) continue;
    const uint64_t cols = tensor.weight->shape.back();
    dense.push_back({&tensor, std::move(module), tensor.elements() / cols, cols});
  }
  return dense;
}

std::optional<std::string> DenseRefusal(const ModelTensor& tensor) {
  if (tensor.weight || tensor.found.role == Role::kRouter || DenseModule(tensor).empty()) {
    return std::nullopt;
  }
  return ShapeOf(tensor).undecoded;
}

}  // namespace moe

#include "checkpoint/adapter.h"

#include <algorithm>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "checkpoint/names.h"
#include "checkpoint/part_names.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReason = "an adapter (LoRA), not a model";

bool IsNamedAsAdapter(const fs::path& path) {
  const std::string name = path.filename().string(), stem = path.stem().string();
  return name.starts_with("adapter_model") || stem == "adapters" || stem.ends_with("_adapters");
}

}  // namespace

std::string AdapterReason(const fs::path& path) {
  if (SuffixOf(path) != ".safetensors" && SuffixOf(path) != ".npz") return "";
  if (IsNamedAsAdapter(path)) return std::string(kReason);
  if (ParsePartName(path.filename().string())) return "";
  const auto file = OpenTensorFile(path);
  if (!file) return "";
  const auto tensors = (*file)->tensors();
  const auto is_adapters = [](const TensorInfo& tensor) { return IsAdapterTensor(tensor.name); };
  const bool some = std::any_of(tensors.begin(), tensors.end(), is_adapters);
  const bool all = std::all_of(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
    const std::string& name = tensor.name;  // Kohya's and DoRA's scales stand beside the matrices
    return is_adapters(tensor) || name.starts_with("base_model.") || name.ends_with(".alpha") ||
           name.ends_with(".dora_scale");
  });
  return std::string(some && all ? kReason : "");
}

bool IsAdapterTensor(std::string_view name) {
  constexpr std::string_view kKinds[] = {"lora_", "hada_", "lokr_"};
  return std::ranges::any_of(kKinds, [&](std::string_view kind) {
    return name.starts_with(kind) || name.find("." + std::string(kind)) != name.npos;
  });
}

std::string AdapterBase(const fs::path& folder) {
  const auto mapping = MappedFile::Open(folder / "adapter_config.json");
  if (!mapping) return "";
  const auto bytes = (*mapping)->bytes();
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  const auto config = Json::Parse({text, bytes.size()}).value_or(Json());
  for (const char* key : {"base_model_name_or_path", "model"}) {
    if (const Json& base = config[key]; base.is_string()) return Printable(base.text());
  }
  return "";
}

}  // namespace moe

#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace moe {

/// Why a safetensors or npz file holds no model but an adapter of one (LoRA, as PEFT and mlx-lm
/// write it): by its name (adapter_model*, adapters.*, *_adapters.*) or its tensors; "" for others
/// and for what can't be read. Of files that are named as parts only the name is looked at.
std::string AdapterReason(const std::filesystem::path& path);

/// A tensor of a LoRA adapter: a component of its name starts with "lora_" (lora_A, lora_B, ...),
/// "hada_" or "lokr_".
bool IsAdapterTensor(std::string_view name);

/// Which model an adapter in `folder` belongs to, as its adapter_config.json says; "": it doesn't.
std::string AdapterBase(const std::filesystem::path& folder);

}  // namespace moe

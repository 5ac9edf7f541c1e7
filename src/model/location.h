#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// Where a model lies, and what to call it.
struct ModelLocation {
  std::filesystem::path path;  ///< absolute, links resolved; it is there
  std::string id;              ///< "Qwen3-30B-A3B"; of the Hugging Face Hub "Qwen/Qwen3-30B-A3B"
};

/// The model that `text` names, which may be
///   the folder of a checkpoint, or a file of it;
///   a folder above the only one that holds weights, if a config.json or an index is with these;
///   its config.json or index (*.index.json), or a run directory: the folder, the run's model;
///   a folder models--ORG--NAME of the Hub's cache: its revision refs/main; if that is not written,
///   the only one;
///   ORG/NAME: looked for in the Hub's cache (HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub,
///   ~/.cache/huggingface/hub) and LM Studio's folders.
/// Bytes of a path that are not UTF-8 may stand as \xNN, as the configuration has them.
/// kNotFound with a hint: the name that was probably meant, or how to download ORG/NAME.
Result<ModelLocation> LocateModel(const std::string& text);

/// Whether `text` names the model at `path`, which LocateModel() gave.
bool NamesModel(const std::string& text, const std::filesystem::path& path);

/// Whether there are weights, or what describes them, where `text` says.
bool IsModel(const std::string& text);

/// Whether `text` has the form ORG/NAME, a slash behind it or not.
bool IsModelId(std::string_view text);

}  // namespace moe

#include "checkpoint/one_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/utf8.h"
#include "checkpoint/part_names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// The file, or the pattern of the set that it is a part of.
fs::path UnitOf(const fs::path& path) {
  const auto part = ParsePartName(path.filename().string());
  return part ? path.parent_path() / (part->before + "*" + part->between + part->after) : path;
}

/// Without the names of modules that whole models are wrapped in.
std::string_view Unwrapped(std::string_view name) {
  constexpr std::string_view kWrappers[] = {
      "model.",      "language_model.", "transformer.", "module.",
      "base_model.", "backbone.",       "text_model.",  "llm."};
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view wrapper : kWrappers) {
      if (!name.starts_with(wrapper)) continue;
      name.remove_prefix(wrapper.size());
      found = true;
    }
  }
  return name;
}

/// "layers.3", "mlp.experts.#" and ".up_proj.weight" of "layers.3.mlp.experts.0.up_proj.weight".
struct ExpertPlace {
  std::string_view layer;
  std::string module;
  std::string_view rest;
};
ExpertPlace ExpertPlaceOf(std::string_view name) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (const std::string_view word : {".experts.", ".switch_mlp."}) {
    const size_t experts = name.find(word);
    if (experts == name.npos) continue;
    const std::string_view before = name.substr(0, experts);
    std::string_view rest = name.substr(experts + word.size());
    const auto digits =
        static_cast<size_t>(std::ranges::find_if_not(rest, is_digit) - rest.begin());
    rest.remove_prefix(digits);
    for (size_t dot = before.find('.'); dot != before.npos; dot = before.find('.', dot + 1)) {
      const size_t end = std::min(before.find('.', dot + 1), before.size());
      const std::string_view number = before.substr(dot + 1, end - dot - 1);
      if (number.empty() || !std::ranges::all_of(number, is_digit)) continue;
      std::string module(before.substr(std::min(end + 1, before.size())));
      return {before.substr(0, end), module + std::string(word) + (digits > 0 ? "#" : ""), rest};
    }
  }
  return {};
}

/// The deepest folder that all of `paths` lie in.
fs::path CommonFolder(const std::set<fs::path>& paths) {
  fs::path folder = paths.begin()->parent_path();
  const auto holds_all = [&] {
    return std::all_of(paths.begin(), paths.end(), [&](const fs::path& path) {
      const fs::path relative = path.lexically_relative(folder);
      return !relative.empty() && *relative.begin() != "..";
    });
  };
  while (folder.has_relative_path() && !holds_all()) folder = folder.parent_path();
  return folder;
}

class ModelCounter {
 public:
  void Add(const TensorFile& file) {
    const fs::path& unit = *units_.insert(UnitOf(file.path())).first;
    AddCount(file.path(), unit);
    const bool vocabulary = file.tensors().empty() && unit == file.path();
    if (!vocabulary && file.metadata().contains("general.architecture"))
      architectures_.insert(unit);
    for (const TensorInfo& tensor : file.tensors()) {
      const std::string_view name = Unwrapped(tensor.name);
      const auto [other, is_new] = tensors_.try_emplace(name, &unit);
      if (!is_new && other->second != &unit) Tell(*other->second, unit, tensor.name);
      const ExpertPlace place = ExpertPlaceOf(name);
      if (place.layer.empty()) continue;
      AddShape(file.path(), place, tensor);
      const auto [seen, first] = modules_.try_emplace(place.layer, Module{place.module, &unit});
      if (!first && seen->second.unit != &unit && seen->second.name != place.module) {
        Tell(*seen->second.unit, unit, "");
      }
    }
  }

  Result<void> Verdict() {
    TellShapes();
    if (architectures_.size() > 1) models_.insert(architectures_.begin(), architectures_.end());
    if (models_.empty()) return {};
    const fs::path folder = CommonFolder(models_);
    std::vector<std::string> names;
    for (const fs::path& model : models_) {
      names.push_back(model.lexically_relative(folder).generic_string());
    }
    std::string message = fmt::format("holds {} models: {}", names.size(), NameList(names));
    if (!twin_.empty()) message += fmt::format(" (tensor '{}' stands in two)", Printable(twin_));
    return Fail(ErrorCode::kUnsupported, folder.string(), std::move(message),
                "give one of them, or take the others away", "SystemExit");
  }

 private:
  struct Module {
    std::string name;
    const fs::path* unit;
  };

  /// Sets of parts that differ in nothing but how many they say they are.
  void AddCount(const fs::path& path, const fs::path& unit) {
    const auto part = ParsePartName(path.filename().string());
    if (!part) return;
    const auto [seen, first] =
        sets_.try_emplace({path.parent_path() / part->before, part->after}, &unit);
    if (!first && seen->second != &unit) Tell(*seen->second, unit, "");
  }

  void AddShape(const fs::path& path, const ExpertPlace& place, const TensorInfo& tensor) {
    const std::string name = path.filename().string();
    const auto number = ParsePartName(name) ? std::nullopt : LastNumber(name);
    const fs::path row =
        number ? path.parent_path() / (number->before + "*" + number->after) : UnitOf(path);
    const std::string stack(place.layer.substr(0, place.layer.rfind('.') + 1));
    const std::string form = stack + place.module + std::string(place.rest) + tensor.dtype_text;
    shapes_[form][row].insert(tensor.shape);
  }

  /// Experts of the same form, and of no size that both have.
  void TellShapes() {
    for (const auto& [form, rows] : shapes_) {
      for (const auto& [row, shapes] : rows) {
        const auto& [first, first_shapes] = *rows.begin();
        const auto is_known = [&](const auto& shape) { return first_shapes.contains(shape); };
        if (std::ranges::none_of(shapes, is_known)) Tell(first, row, "");
      }
    }
  }

  void Tell(const fs::path& one, const fs::path& other, const std::string& tensor) {
    models_.insert({one, other});
    if (twin_.empty()) twin_ = tensor;
  }

  std::set<fs::path> units_, architectures_, models_;
  std::unordered_map<std::string_view, const fs::path*> tensors_;
  std::unordered_map<std::string_view, Module> modules_;
  std::map<std::pair<fs::path, std::string>, const fs::path*> sets_;
  std::map<std::string, std::map<fs::path, std::set<std::vector<uint64_t>>>> shapes_;
  std::string twin_;
};

}  // namespace

Result<void> CheckOneModel(std::span<const std::unique_ptr<TensorFile>> files) {
  ModelCounter counter;
  for (const auto& file : files) {
    if (file) counter.Add(*file);
  }
  return counter.Verdict();
}

}  // namespace moe

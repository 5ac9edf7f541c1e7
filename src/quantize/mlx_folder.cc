#include "quantize/mlx_folder.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <system_error>

namespace moe {
namespace {

namespace fs = std::filesystem;

/// As json.dump(indent=4) of Python.
std::string PythonText(const Json& json) {
  std::string text;
  bool at_start = true;
  for (const char c : json.Text({.indented = true, .ascii = true})) {
    if (at_start && c == ' ') text += ' ';  // ours indents by 2
    at_start = c == '\n' || (at_start && c == ' ');
    text += c;
  }
  return text;
}

/// As transformers tags what JSON has not.
Json WithTaggedFloats(const Json& json) {
  if (json.is_array()) {
    Json list = Json::Array();
    for (const Json& item : json) list.push_back(WithTaggedFloats(item));
    return list;
  }
  if (json.is_object()) {
    Json object = Json::Object();
    for (const auto& [key, value] : json.items()) object[key] = WithTaggedFloats(value);
    return object;
  }
  if (!json.is_number_float() || std::isfinite(json.get<double>())) return json;
  const auto value = json.get<double>();
  return {{"__float__", std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity"}};
}

Json SortedByKey(const Json& object) {
  auto members = object.items();
  std::ranges::sort(members, {}, &Json::Member::key);
  return Json::Object(std::move(members));
}

/// As Python's `if value`.
bool IsTrue(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.text().empty();
  return !value.empty();
}

bool IsKept(const std::string& name) {
  constexpr std::string_view kOfWeights[] = {"config.json",          "hf_quant_config.json",
                                             "quantize_config.json", "quant_config.json",
                                             "moescope.json",        "recipe.json"};
  constexpr std::string_view kSuffixes[] = {".json",  ".jsonl", ".py",      ".txt",
                                            ".jinja", ".model", ".tiktoken"};
  if (std::ranges::find(kOfWeights, name) != std::end(kOfWeights)) return false;
  if (name.ends_with(".index.json") || name.starts_with('.')) return false;
  return std::ranges::any_of(kSuffixes, [&](auto suffix) { return name.ends_with(suffix); });
}

}  // namespace

std::string ConfigText(Json config, const Json& generation_config, const Json& quantization) {
  for (const char* key : {"_name_or_path", "vision_config", "compression_config"}) {
    config.erase(key);
  }
  if (config.contains("text_config")) config["text_config"].erase("quantization_config");
  const Json& end = generation_config["eos_token_id"];
  if (IsTrue(end)) config["eos_token_id"] = end;
  config["quantization"] = quantization;
  config["quantization_config"] = quantization;
  return PythonText(WithTaggedFloats(SortedByKey(config)));
}

std::string IndexText(const OutputPlan& plan, const std::vector<SafetensorsPlan>& files) {
  Json::Members map;
  for (const SafetensorsPlan& file : files) {
    for (size_t i = 0; i < file.positions.size(); ++i) {
      map.push_back({plan.tensors[file.first + i].name, file.name});
    }
  }
  return PythonText(
      {{"metadata", {{"total_size", plan.bytes}, {"total_parameters", plan.parameters}}},
       {"weight_map", SortedByKey(Json::Object(std::move(map)))}});
}

std::vector<fs::path> FilesToCopy(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code unknown;
    if (at->is_regular_file(unknown) && IsKept(at->path().filename().string())) {
      files.push_back(at->path());
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace moe

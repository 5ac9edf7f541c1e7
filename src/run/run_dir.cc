#include "run/run_dir.h"

#include <algorithm>

#include "base/json_text.h"
#include "base/pending_file.h"
#include "base/text.h"
#include "base/utf8.h"
#include "run/config_template.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFolders[] = {
    "logs",          "data",         "tables",       "cache/sampled_indices",
    "plots/summary", "plots/global", "plots/block4", "plots/layer",
};
constexpr int kManifestVersion = 2;

/// `id` as a path below the root: relative, not empty, no `..`.
Result<fs::path> IdPath(const char* flag, const std::string& id, bool nested) {
  const fs::path path(id);
  const bool leaves = path.is_absolute() ||
                      std::find(path.begin(), path.end(), "..") != path.end() ||
                      id.find('\0') != std::string::npos;
  const bool too_deep = !nested && id.find('/') != std::string::npos;
  if (id.empty() || leaves || too_deep || path.lexically_normal() == ".") {
    return Fail(ErrorCode::kBadArgument, flag, "'" + id + "' is no name below the root",
                nested ? "use letters, digits, '-', '_', '.' and '/'" : "use a name without '/'",
                "SystemExit");
  }
  return path;
}

Result<void> WriteManifest(const fs::path& run_dir, const std::string& model_id,
                           const std::string& run_name) {
  const fs::path path = run_dir / "manifest.json";
  const std::string now = UtcNow(TimePrecision::kMicroseconds) + "Z";
  Json manifest = {{"model_id", model_id},
                   {"run_name", run_name},
                   {"created_at", now},
                   {"version", kManifestVersion}};
  if (const auto text = ReadTextFile(path)) {
    auto old = ParseLenientJson(*text, path.string());
    if (old && old->is_object()) {
      manifest = std::move(*old);
      manifest["updated_at"] = now;
    }
  }
  std::string text = JsonText(manifest);
  text.pop_back();  // as Python's json.dump leaves it: no newline at the end
  return WriteFileAtomically(path, text);
}

}  // namespace

Result<fs::path> RunDirOf(const fs::path& root, const std::string& model_id,
                          const std::string& run_name) {
  const auto id = IdPath("--model-id", model_id, true);
  if (!id) return tl::make_unexpected(id.error());
  const auto run = IdPath("--run-name", run_name, false);
  if (!run) return tl::make_unexpected(run.error());
  return ResolvePath((ResolvePath(root.string()) / *id / *run).string());
}

Result<fs::path> InitRun(const fs::path& root, const std::string& model_id,
                         const std::string& run_name, const std::optional<fs::path>& model_path,
                         const std::string& preset) {
  const auto made = RunDirOf(root, model_id, run_name);
  if (!made) return made;
  const fs::path& run_dir = *made;
  for (const char* folder : kFolders) {
    std::error_code failed;
    fs::create_directories(run_dir / folder, failed);
    if (failed) {
      return Fail(ErrorCode::kIo, (run_dir / folder).string(),
                  "can't be made: " + failed.message());
    }
  }
  if (auto done = WriteManifest(run_dir, model_id, run_name); !done) {
    return tl::make_unexpected(done.error());
  }
  const fs::path config = run_dir / "analysis_config.json";
  std::error_code unknown;
  if (!fs::exists(config, unknown)) {
    const std::string model = model_path ? model_path->string() : "";
    if (auto done = WriteFileAtomically(config, ConfigTemplateText(model, preset)); !done) {
      return tl::make_unexpected(done.error());
    }
  }
  return run_dir;
}

namespace {

void PutEvidence(const ConfigChange& change, Json& config) {
  Json& section = config["evidence"];
  if (!section.is_object()) section = Json::Object();
  section["enabled"] = true;
  for (const auto& [key, paths] :
       {std::pair{"imatrix", &change.imatrix}, std::pair{"usage", &change.usage}}) {
    if (paths->empty()) continue;
    section[key] = Json::Array();
    for (const fs::path& path : *paths) section[key].push_back(AsUtf8(path.string()));
  }
}

}  // namespace

Result<Config> ChangeConfig(const fs::path& path, Config config, const ConfigChange& change) {
  const bool evidence = !change.imatrix.empty() || !change.usage.empty();
  if (!change.model_path && !change.schemes && !evidence) return config;
  Json json = std::move(config.raw);
  if (change.model_path) json["model_path"] = AsUtf8(change.model_path->string());
  if (change.schemes) PutSchemes(*change.schemes, json);
  if (evidence) PutEvidence(change, json);
  const std::string text = JsonText(json);
  return WriteFileAtomically(path, text).and_then([&] { return ParseConfig(text, path.string()); });
}

RunManifest ReadRunManifest(const fs::path& run_dir) {
  const fs::path path = run_dir / "manifest.json";
  const auto text = ReadTextFile(path);
  if (!text) return {};
  const auto json = ParseLenientJson(*text, path.string());
  if (!json) return {};
  const auto field = [&](const char* key) {
    const Json& value = (*json)[key];
    return value.is_string() ? std::optional(value.text()) : std::nullopt;
  };
  return {field("model_id"), field("run_name"), field("created_at")};
}

}  // namespace moe

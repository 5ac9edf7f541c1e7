#include "run/logs.h"

namespace moe {

namespace fs = std::filesystem;

Json RunJson(const fs::path& run_dir) {
  const RunManifest manifest = ReadRunManifest(run_dir);
  const auto text = [](const std::optional<std::string>& value) {
    return value ? Json(*value) : Json();
  };
  return {{"run_dir", run_dir.string()},
          {"model_id", text(manifest.model_id)},
          {"run_name", text(manifest.run_name)},
          {"created_at", text(manifest.created_at)}};
}

Json ReadLog(const fs::path& run_dir, const std::string& name) {
  const auto text = ReadTextFile(run_dir / "logs" / name);
  if (!text) return {};
  return ParseLenientJson(*text, name).value_or(Json());
}

Json ErrorJson(const Error& error) {
  return {{"type", error.TypeName()}, {"message", error.Text()}};
}

std::string Traceback(const std::string& command, const Error& error) {
  std::string text = "Traceback (most recent call last):\n  in moescope " + command + "\n";
  if (!error.where.empty()) text += "  at " + error.where + "\n";
  return text + error.TypeName() + ": " + error.Text() + "\n";
}

Result<void> AddLog(FileTransaction& files, const fs::path& run_dir, const std::string& name,
                    const Json& json, KeyOrder order) {
  std::error_code failed;
  fs::create_directories(run_dir / "logs", failed);
  return AddFile(files, run_dir / "logs" / name,
                 order == KeyOrder::kSorted ? SortedJsonText(json) : JsonText(json));
}

Result<void> WriteLog(const fs::path& run_dir, const std::string& name, const Json& json,
                      KeyOrder order) {
  FileTransaction files;
  return AddLog(files, run_dir, name, json, order).and_then([&] { return files.Commit(); });
}

void RemoveLog(const fs::path& run_dir, const std::string& name) {
  std::error_code ignored;
  fs::remove(run_dir / "logs" / name, ignored);
}

}  // namespace moe

#include "run/config.h"

#include <fmt/format.h>

#include "run/config_check.h"
#include "run/config_keys.h"

namespace moe {
namespace {

/// Gives the values of a config whose keys are checked, and the rows' own for absent ones, to the
/// rows.
class Filler {
 public:
  Filler(std::string where, Config& config) : where_(std::move(where)), config_(config) {}

  /// The keys below `pattern`, which `object` has at `pointer`.
  Result<void> FillObject(const Json& object, std::string_view pattern,
                          const std::string& pointer) {
    for (const ConfigKey* key : ConfigKeysBelow(pattern)) {
      if (key->name() == "*") continue;  // any name: read with the object
      if (auto done = FillKey(ValueIn(object, *key), *key, pointer + "/" + key->name()); !done) {
        return done;
      }
    }
    return {};
  }

  Result<void> FillKey(const Json& value, const ConfigKey& key, const std::string& pointer) {
    if (key.type == KeyType::kObjectList) return FillList(value, key, pointer);
    const bool is_switch = key.type == KeyType::kSwitch;
    if (is_switch || key.type == KeyType::kObject) {
      auto done = FillObject(value.is_object() ? value : Json::Object(), key.pointer, pointer);
      if (!done) return done;
    }
    if (key.fill == nullptr || (value.is_null() && !is_switch)) return {};
    return key.fill(value, {where_, pointer}, config_);
  }

 private:
  Result<void> FillList(const Json& list, const ConfigKey& key, const std::string& pointer) {
    const std::string element = std::string(key.pointer) + "/*";
    for (size_t i = 0; i < list.size(); ++i) {
      if (auto done = key.fill(list[i], {where_, pointer}, config_); !done) return done;
      auto done = FillObject(list[i], element, fmt::format("{}/{}", pointer, i));
      if (!done) return done;
    }
    return {};
  }

  const std::string where_;
  Config& config_;
};

}  // namespace

Config DefaultConfig() {
  Config config;
  (void)Filler("", config).FillObject(Json::Object(), "", "");
  return config;
}

Result<Config> ParseConfig(std::string_view text, std::string_view place) {
  const std::string where(place);
  std::vector<std::string> duplicates;
  auto json = ParseLenientJson(text, where, &duplicates);
  if (!json) return tl::make_unexpected(json.error());
  Config config;
  config.raw = std::move(*json);
  const auto done = CheckConfigKeys(config.raw, where, config.warnings).and_then([&] {
    return Filler(where, config).FillObject(config.raw, "", "");
  });
  if (!done) return tl::make_unexpected(done.error());
  for (const std::string& key : duplicates) {
    config.warnings.push_back("[config] key \"" + key + "\" stands twice; the last one counts");
  }
  return config;
}

Result<void> CheckModelPath(const Config& config, std::string_view where) {
  if (!config.model_path.empty()) return {};
  return BadConfigValue(std::string(where), "/model_path", "is empty; it must name a checkpoint");
}

std::optional<BackendChoice> ParseBackend(std::string_view name) {
  if (name == "native") return BackendChoice::kNative;
  if (name == "mlx") return BackendChoice::kMlx;
  if (name == "auto") return BackendChoice::kAuto;
  return std::nullopt;
}

Result<std::string> ReadConfigText(const std::filesystem::path& path) {
  auto text = ReadTextFile(path);
  if (!text && text.error().code == ErrorCode::kNotFound) {
    return Fail(ErrorCode::kNotFound, "", "Missing config: " + path.string(),
                "make a run directory with 'moescope init-run'", "SystemExit");
  }
  return text;
}

Result<Config> LoadConfig(const std::filesystem::path& path) {
  return ReadConfigText(path).and_then(
      [&](const std::string& text) { return ParseConfig(text, path.string()); });
}

Result<PlotsConfig> LoadPlotsConfig(const std::filesystem::path& path,
                                    std::vector<std::string>& warnings) {
  const auto text = ReadConfigText(path);
  if (!text) return tl::make_unexpected(text.error());
  const std::string where = path.string();
  const auto json = ParseLenientJson(*text, where);
  if (!json) return tl::make_unexpected(json.error());
  Config config;
  const auto done = CheckPlotsKeys(*json, where, warnings).and_then([&] {
    const ConfigKey& plots = *FindConfigKey("/plots");
    return Filler(where, config).FillKey(ValueIn(*json, plots), plots, "/plots");
  });
  if (!done) return tl::make_unexpected(done.error());
  return std::move(config.plots);
}

}  // namespace moe

#include "run/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "rows/collect_rows.h"
#include "run/config_keys.h"
#include "run/schemes.h"

namespace moe {
namespace {

/// Reads values that CheckConfigKeys() has accepted; null counts as absent.
class Section {
 public:
  Section(const Json& parent, const char* name) {
    const auto found = parent.find(name);
    if (found != parent.end() && found->is_object()) json_ = &*found;
  }
  explicit Section(const Json& json) : json_(&json) {}

  const Json* Find(const char* key) const {
    if (json_ == nullptr) return nullptr;
    const auto found = json_->find(key);
    return found == json_->end() || found->is_null() ? nullptr : &*found;
  }

  template <class T>
  void Read(const char* key, T& value) const {
    if (const Json* json = Find(key)) value = As<T>(*json);
  }
  template <class T>
  void Read(const char* key, std::optional<T>& value) const {
    if (const Json* json = Find(key)) value = As<T>(*json);
  }

 private:
  template <class T>
  static T As(const Json& json) {
    if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
      T values;
      for (const Json& item : json) values.push_back(As<int64_t>(item));
      return values;
    } else {
      return json.get<T>();
    }
  }

  const Json* json_ = nullptr;
};

/// `stats.quant_compute_dtype`; nullopt is the dtype of the storage (D2).
constexpr std::pair<std::string_view, std::optional<ComputeDType>> kComputeDTypes[] = {
    {"storage", std::nullopt},         {"fp16", ComputeDType::kF16},
    {"float16", ComputeDType::kF16},   {"bf16", ComputeDType::kBF16},
    {"bfloat16", ComputeDType::kBF16}, {"fp32", ComputeDType::kF32},
    {"float32", ComputeDType::kF32},
};

/// An axis of a rule's layout: an integer or null; else the layout can't be used (section 6).
Result<std::optional<int64_t>> AxisOf(const Json& layout, const char* key) {
  const auto found = layout.find(key);
  if (found == layout.end() || found->is_null()) return std::optional<int64_t>();
  if (found->is_number_integer()) return found->get<int64_t>();
  return Fail(ErrorCode::kBadArgument, "",
              fmt::format("layout {} must be an integer, but is {}", key, found->dump()));
}

void ReadLayout(const Json* json, ExtractRule& rule) {
  if (json == nullptr) return;
  if (!json->is_object()) {
    rule.layout_error = "layout must be an object";
    return;
  }
  const std::pair<const char*, std::optional<int64_t>*> axes[] = {
      {"layer_axis", &rule.layout.layer_axis},
      {"expert_axis", &rule.layout.expert_axis},
      {"rows_axis", &rule.layout.rows_axis},
      {"cols_axis", &rule.layout.cols_axis}};
  for (const auto& [key, axis] : axes) {
    auto value = AxisOf(*json, key);
    if (!value) {
      rule.layout_error = value.error().message;
      return;
    }
    *axis = *value;
  }
}

/// What is wrong with a packed_split object, or nullopt after filling `split`.
std::optional<std::string> ReadPackedSplit(const Json& json, PackedSplit& split) {
  if (!json.is_object()) return "packed_split must be an object";
  for (const char* key : {"axis", "splits", "projs"}) {
    if (!json.contains(key)) return fmt::format("packed_split has no '{}'", key);
  }
  if (!json["axis"].is_string()) return "packed_split axis must be a string";
  split.axis = json["axis"].get<std::string>();
  const Json& projs = json["projs"];
  const auto is_string = [](const Json& v) { return v.is_string(); };
  if (!projs.is_array() || !std::all_of(projs.begin(), projs.end(), is_string)) {
    return "packed_split projs must be a list of strings";
  }
  split.projs = projs.get<std::vector<std::string>>();
  const Json& splits = json["splits"];
  const auto is_integer = [](const Json& v) { return v.is_number_integer(); };
  if (splits == "equal") {
    split.equal = true;
  } else if (splits.is_array() && std::all_of(splits.begin(), splits.end(), is_integer)) {
    split.splits = splits.get<std::vector<int64_t>>();
  } else {
    return "packed_split splits must be a list of integers or \"equal\"";
  }
  if (const auto interleave = json.find("interleave"); interleave != json.end()) {
    if (!interleave->is_boolean()) return "packed_split interleave must be true or false";
    split.interleave = interleave->get<bool>();
  }
  return std::nullopt;
}

ExtractRule RuleOf(const Json& json) {
  ExtractRule rule;
  const Section section(json);
  section.Read("name", rule.name);
  section.Read("match", rule.match);
  section.Read("enabled", rule.enabled);
  section.Read("ndim", rule.ndim);
  section.Read("proj_group", rule.proj_group);
  section.Read("expert_group", rule.expert_group);
  ReadLayout(section.Find("layout"), rule);
  if (const Json* json_split = section.Find("packed_split")) {
    rule.packed_split.emplace();
    rule.packed_split_error = ReadPackedSplit(*json_split, *rule.packed_split);
  }
  return rule;
}

class Reader {
 public:
  Reader(Json json, std::string where) : where_(std::move(where)) { config_.raw = std::move(json); }

  Result<Config> Read() {
    if (auto done = CheckConfigKeys(config_.raw, where_, config_.warnings); !done) {
      return tl::make_unexpected(done.error());
    }
    for (auto step :
         {&Reader::ReadScan, &Reader::ReadParsing, &Reader::ReadMlx, &Reader::ReadStats,
          &Reader::ReadPercentiles, &Reader::ReadSchemes, &Reader::ReadRest, &Reader::ReadPlots}) {
      if (auto done = (this->*step)(); !done) return tl::make_unexpected(done.error());
    }
    return std::move(config_);
  }

 private:
  tl::unexpected<Error> Bad(std::string_view pointer, const std::string& message) const {
    return BadConfigValue(where_, pointer, message);
  }

  Result<void> ReadScan() {
    const Json& json = config_.raw;
    json.at("model_path").get_to(config_.model_path);
    const Section scan(json, "scan");
    ScanConfig& out = config_.scan;
    scan.Read("extensions", out.extensions);
    scan.Read("experts_only", config_.extract.experts_only);
    scan.Read("include_shared_expert", config_.extract.include_shared_expert);
    scan.Read("inventory_all_tensors", out.inventory_all_tensors);
    scan.Read("use_safetensors_index_json", out.use_safetensors_index_json);
    scan.Read("strict_index", out.strict_index);
    scan.Read("min_expert_coverage", out.min_expert_coverage);
    scan.Read("max_files", out.max_files);
    if (const Json* recursive = scan.Find("recursive")) {
      if (!recursive->is_boolean() && *recursive != "auto") {
        return Bad("/scan/recursive",
                   "must be true, false or \"auto\", but is " + recursive->dump());
      }
      out.recursive = !recursive->is_boolean() ? ScanRecursive::kAuto
                      : recursive->get<bool>() ? ScanRecursive::kYes
                                               : ScanRecursive::kNo;
    }
    const auto& share = out.min_expert_coverage;
    if (share && !(*share >= 0 && *share <= 1)) {
      return Bad("/scan/min_expert_coverage", fmt::format("must lie in [0, 1], but is {}", *share));
    }
    return {};
  }

  Result<void> ReadParsing() {
    const Section parsing(config_.raw, "parsing");
    ExtractOptions& out = config_.extract;
    parsing.Read("layer_regex", out.layer_regex);
    parsing.Read("expert_regex", out.expert_regex);
    parsing.Read("shared_expert_keywords", out.shared_expert_keywords);
    parsing.Read("strict_packed_split", out.strict_packed_split);
    parsing.Read("proj_group_strict", out.proj_group_strict);
    parsing.Read("presets", out.presets);
    for (const auto& [proj, aliases] : parsing.Find("proj_aliases")->items()) {
      out.proj_aliases.emplace_back(proj, aliases.get<std::vector<std::string>>());
    }
    if (const Json* rules = Section(config_.raw).Find("extract_rules")) {
      for (const Json& rule : *rules) out.rules.push_back(RuleOf(rule));
    }
    return {};
  }

  Result<void> ReadMlx() {
    const Section mlx(config_.raw, "mlx");
    mlx.Read("enabled", config_.mlx.enabled);
    mlx.Read("device", config_.mlx.device);
    std::string backend = "native";
    std::string profile = config_.mlx.device == "gpu" ? "mlx-gpu" : "mlx-cpu";
    if (config_.mlx.device != "cpu" && config_.mlx.device != "gpu") {
      config_.warnings.push_back("[config] /mlx/device \"" + config_.mlx.device +
                                 "\" is neither cpu nor gpu; cpu is taken");
    }
    mlx.Read("backend", backend);
    mlx.Read("profile", profile);
    config_.mlx.backend = *ParseBackend(backend);
    config_.mlx.profile = *ParseProfile(profile);
    return {};
  }

  Result<void> ReadStats() {
    const Section stats(config_.raw, "stats");
    StatsConfig& out = config_.stats;
    stats.Read("eps", out.eps);
    if (!std::isfinite(out.eps) || out.eps < 0) {
      return Bad("/stats/eps", "must be finite and not negative");
    }
    stats.Read("sample_per_matrix", out.sample_per_matrix);
    stats.Read("sample_seed", out.sample_seed);
    if (out.sample_per_matrix < 1) {
      return Bad("/stats/sample_per_matrix", "must be at least 1, but is 0");
    }
    std::string method = "sample";
    stats.Read("percentile_method", method);
    out.exact_percentiles = method == "exact";
    stats.Read("group_sizes_lastdim", out.group_sizes_lastdim);
    return ReadQuantNumbers(stats);
  }

  Result<void> ReadQuantNumbers(const Section& stats) {
    if (const Json* text = stats.Find("quant_compute_dtype")) {
      const std::string name = LowerAscii(Trimmed(text->get_ref<const std::string&>()));
      const auto* known = std::find_if(std::begin(kComputeDTypes), std::end(kComputeDTypes),
                                       [&](const auto& entry) { return entry.first == name; });
      if (known == std::end(kComputeDTypes)) {
        return Bad("/stats/quant_compute_dtype",
                   "must be one of storage, fp16, bf16, fp32, but is " + text->dump());
      }
      config_.stats.compute_dtype = known->second;
    }
    stats.Read("quant_rel_den_floor", config_.stats.rel_den_floor);
    const auto& floor = config_.stats.rel_den_floor;
    if (floor && !std::isfinite(*floor)) return Bad("/stats/quant_rel_den_floor", "must be finite");
    if (floor && *floor <= 0) return Bad("/stats/quant_rel_den_floor", "must be positive");
    for (const char* key : {"quant_spectral_power_iters", "quant_gram_sample_k"}) {
      const Json* value = stats.Find(key);
      if (value == nullptr) continue;
      const std::string pointer = std::string("/stats/") + key;
      if (value->get<int64_t>() <= 0) {
        return Bad(pointer, "must be positive, but is " + value->dump());
      }
      if (!warned_spectral_) {
        config_.warnings.push_back("[config] w_rel_spectral and w_gram_* are not computed; " +
                                   pointer + " has no effect");
        warned_spectral_ = true;
      }
    }
    return {};
  }

  /// 50, 99 and 99.9 first, whatever the list says; the rest in its order (D4).
  Result<void> ReadPercentiles() {
    const Section stats(config_.raw, "stats");
    const auto in_range = [](double p) { return p >= 0 && p <= 100; };
    stats.Read("group_outlier_percentile", config_.stats.group_outlier_percentile);
    if (!in_range(config_.stats.group_outlier_percentile)) {
      return Bad("/stats/group_outlier_percentile", "must lie in [0, 100]");
    }
    std::vector<double> listed;
    stats.Read("percentiles_abs", listed);
    std::vector<double>& out = config_.stats.percentiles_abs;
    std::set<std::string> names;
    for (const double percentile : out) names.insert(PercentileColumnName(percentile));
    for (size_t i = 0; i < listed.size(); ++i) {
      listed[i] += 0.0;  // -0 is 0
      const std::string pointer = fmt::format("/stats/percentiles_abs/{}", i);
      if (!in_range(listed[i])) {
        return Bad(pointer, fmt::format("must lie in [0, 100], but is {}", listed[i]));
      }
      const bool is_standard =
          std::find(out.begin(), out.begin() + 3, listed[i]) != out.begin() + 3;
      const bool is_repeated = std::find(out.begin(), out.end(), listed[i]) != out.end();
      if (is_standard) continue;
      const std::string name = PercentileColumnName(listed[i]);
      if (is_repeated || !names.insert(name).second) {
        return Bad(pointer, fmt::format("{} would be a second column {}", listed[i], name));
      }
      out.push_back(listed[i]);
    }
    std::set<int64_t> groups;
    for (const int64_t group : config_.stats.group_sizes_lastdim) {
      if (!groups.insert(group).second) {
        return Bad("/stats/group_sizes_lastdim", fmt::format("{} stands twice", group));
      }
    }
    return {};
  }

  Result<void> ReadSchemes() {
    const Json* schemes = Section(config_.raw).Find("quant_schemes");
    if (schemes == nullptr) return {};
    std::set<std::string> names;
    for (const Json& json : *schemes) {
      const Section section(json);
      bool enabled = true;
      section.Read("enabled", enabled);
      if (!enabled) continue;
      QuantScheme scheme = SchemeOf(json);
      if (!names.insert(scheme.name).second && config_.mlx.enabled) {
        return Bad("/quant_schemes", "duplicate enabled quant_schemes names: " + scheme.name);
      }
      config_.quant_schemes.push_back(std::move(scheme));
    }
    return {};
  }

  Result<void> ReadRest() {
    const Section metadata(config_.raw, "metadata");
    metadata.Read("enabled", config_.metadata.enabled);
    metadata.Read("config_path", config_.metadata.config_path);
    const Section output(config_.raw, "output");
    output.Read("format", config_.output.format);
    output.Read("compression", config_.output.compression);
    config_.output.parquet = config_.output.format == "parquet";
    const Section debug(config_.raw, "debug");
    debug.Read("dump_unmatched_tensors", config_.debug.dump_unmatched_tensors);
    debug.Read("print_progress_every_files", config_.debug.print_progress_every_files);
    if (const Json* pairs = Section(config_.raw).Find("delta_pairs")) {
      for (const Json& pair : *pairs) {
        config_.delta_pairs.push_back({pair.at("name").get<std::string>(),
                                       pair.at("a").get<std::string>(),
                                       pair.at("b").get<std::string>()});
      }
    }
    return {};
  }

  Result<void> ReadPlots() {
    auto plots = PlotsConfigOf(config_.raw, where_);
    if (!plots) return tl::make_unexpected(plots.error());
    config_.plots = std::move(*plots);
    return {};
  }

  std::string where_;
  Config config_;
  bool warned_spectral_ = false;
};

}  // namespace

Result<Config> ParseConfig(std::string_view text, std::string_view place) {
  const std::string where(place);
  std::vector<std::string> duplicates;
  auto json = ParseLenientJson(text, where, &duplicates);
  if (!json) return tl::make_unexpected(json.error());
  auto config = Reader(std::move(*json), where).Read();
  if (config) {
    for (const std::string& key : duplicates) {
      config->warnings.push_back("[config] key \"" + key + "\" stands twice; the last one counts");
    }
  }
  return config;
}

Result<void> CheckModelPath(const Config& config, std::string_view where) {
  if (!config.model_path.empty()) return {};
  return BadConfigValue(std::string(where), "/model_path", "is empty; it must name a checkpoint");
}

std::optional<QuantBackend> ParseBackend(std::string_view name) {
  if (name == "native") return QuantBackend::kNative;
  if (name == "mlx") return QuantBackend::kMlx;
  if (name == "auto") return QuantBackend::kAuto;
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

}  // namespace moe

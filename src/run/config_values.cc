#include "run/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "rows/collect_rows.h"
#include "run/schemes.h"

namespace moe {
namespace {

/// `stats.quant_compute_dtype`; nullopt is the dtype of the storage (D2).
constexpr std::pair<std::string_view, std::optional<ComputeDType>> kComputeDTypes[] = {
    {"storage", std::nullopt},         {"fp16", ComputeDType::kF16},
    {"float16", ComputeDType::kF16},   {"bf16", ComputeDType::kBF16},
    {"bfloat16", ComputeDType::kBF16}, {"fp32", ComputeDType::kF32},
    {"float32", ComputeDType::kF32},
};

bool IsPercentile(double value) { return value >= 0 && value <= 100; }

/// An axis of a rule's layout: an integer or null; else the layout can't be used (contract section
/// 6).
Result<std::optional<int64_t>> AxisOf(const Json& layout, const char* key) {
  const Json& axis = layout[key];
  if (axis.is_null()) return std::optional<int64_t>();
  if (axis.is_number_integer()) return axis.get<int64_t>();
  return Fail(ErrorCode::kBadArgument, "",
              fmt::format("layout {} must be an integer, but is {}", key, axis.Text()));
}

/// What is wrong with a packed_split object, or nullopt after filling `split`.
std::optional<std::string> ReadSplit(const Json& json, PackedSplit& split) {
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
  if (const Json* interleave = json.Find("interleave")) {
    if (!interleave->is_boolean()) return "packed_split interleave must be true or false";
    split.interleave = interleave->get<bool>();
  }
  return std::nullopt;
}

}  // namespace

Result<void> ReadRecursive(const Json& value, const KeyPlace& place, Config& config) {
  if (!value.is_boolean() && value != "auto") {
    return place.Bad("must be true, false or \"auto\", but is " + value.Text());
  }
  config.scan.recursive = !value.is_boolean() ? Recursive::kAuto
                          : value.get<bool>() ? Recursive::kAlways
                                              : Recursive::kNever;
  return {};
}

Result<void> ReadCoverage(const Json& value, const KeyPlace& place, Config& config) {
  const auto share = value.get<double>();
  if (!(share >= 0 && share <= 1)) {
    return place.Bad(fmt::format("must lie in [0, 1], but is {}", share));
  }
  config.min_expert_coverage = share;
  return {};
}

Result<void> ReadAliases(const Json& value, const KeyPlace&, Config& config) {
  for (const auto& [proj, aliases] : value.items()) {
    config.extract.proj_aliases.emplace_back(proj, aliases.get<std::vector<std::string>>());
  }
  return {};
}

Result<void> ReadLayout(const Json& value, const KeyPlace&, Config& config) {
  ExtractRule& rule = config.extract.rules.back();
  if (!value.is_object()) {
    rule.layout_error = "layout must be an object";
    return {};
  }
  const std::pair<const char*, std::optional<int64_t>*> axes[] = {
      {"layer_axis", &rule.layout.layer_axis},
      {"expert_axis", &rule.layout.expert_axis},
      {"rows_axis", &rule.layout.rows_axis},
      {"cols_axis", &rule.layout.cols_axis}};
  for (const auto& [key, axis] : axes) {
    auto number = AxisOf(value, key);
    if (!number) {
      rule.layout_error = number.error().message;
      return {};
    }
    *axis = *number;
  }
  return {};
}

Result<void> ReadPackedSplit(const Json& value, const KeyPlace&, Config& config) {
  ExtractRule& rule = config.extract.rules.back();
  rule.packed_split_error = ReadSplit(value, rule.packed_split.emplace());
  return {};
}

/// The profile follows the device, until `profile` says another (D7).
Result<void> ReadDevice(const Json& value, const KeyPlace& place, Config& config) {
  const auto device = value.get<std::string>();
  if (device != "cpu" && device != "gpu") {
    config.warnings.push_back(fmt::format("[config] {} \"{}\" is neither cpu nor gpu; cpu is taken",
                                          place.pointer, device));
  }
  config.mlx.device = device;
  config.measure.profile = device == "gpu" ? QuantProfile::kMlxGpu : QuantProfile::kMlxCpu;
  return {};
}

Result<void> ReadBackend(const Json& value, const KeyPlace&, Config& config) {
  config.mlx.backend = *ParseBackend(value.text());
  return {};
}

Result<void> ReadProfile(const Json& value, const KeyPlace&, Config& config) {
  config.measure.profile = *ParseProfile(value.text());
  return {};
}

Result<void> ReadEps(const Json& value, const KeyPlace& place, Config& config) {
  const auto eps = value.get<double>();
  if (!std::isfinite(eps) || eps < 0) return place.Bad("must be finite and not negative");
  config.measure.eps = eps;
  return {};
}

Result<void> ReadSampleSize(const Json& value, const KeyPlace& place, Config& config) {
  config.percentiles.sample_per_matrix = value.get<uint64_t>();
  if (config.percentiles.sample_per_matrix < 1) return place.Bad("must be at least 1, but is 0");
  return {};
}

Result<void> ReadPercentileMethod(const Json& value, const KeyPlace&, Config& config) {
  config.percentiles.exact = value == "exact";
  return {};
}

Result<void> ReadComputeDType(const Json& value, const KeyPlace& place, Config& config) {
  const std::string name = LowerAscii(Trimmed(value.text()));
  for (const auto& [known, dtype] : kComputeDTypes) {
    if (known != name) continue;
    config.measure.compute_dtype = dtype;
    return {};
  }
  return place.Bad("must be one of storage, fp16, bf16, fp32, but is " + value.Text());
}

Result<void> ReadFloor(const Json& value, const KeyPlace& place, Config& config) {
  const auto floor = value.get<double>();
  if (!std::isfinite(floor)) return place.Bad("must be finite");
  if (floor <= 0) return place.Bad("must be positive");
  config.measure.rel_den_floor = floor;
  return {};
}

/// 50, 99 and 99.9 are there already, whatever the list says; the rest in its order (D4).
Result<void> ReadPercentiles(const Json& value, const KeyPlace& place, Config& config) {
  std::vector<double>& out = config.measure.percentiles_abs;
  std::set<std::string> names;
  for (const double percentile : out) names.insert(PercentileColumnName(percentile));
  for (size_t i = 0; i < value.size(); ++i) {
    const double percentile = value[i].get<double>() + 0.0;  // -0 is 0
    const std::string element = fmt::format("/{}", i);
    if (!IsPercentile(percentile)) {
      return place.Bad(fmt::format("must lie in [0, 100], but is {}", percentile), element);
    }
    if (std::find(out.begin(), out.begin() + 3, percentile) != out.begin() + 3) continue;
    const std::string name = PercentileColumnName(percentile);
    if (!names.insert(name).second) {
      return place.Bad(fmt::format("{} would be a second column {}", percentile, name), element);
    }
    out.push_back(percentile);
  }
  return {};
}

Result<void> ReadGroupPercentile(const Json& value, const KeyPlace& place, Config& config) {
  const auto percentile = value.get<double>();
  if (!IsPercentile(percentile)) return place.Bad("must lie in [0, 100]");
  config.measure.group_outlier_percentile = percentile;
  return {};
}

Result<void> ReadGroupSizes(const Json& value, const KeyPlace& place, Config& config) {
  std::vector<int64_t>& sizes = config.measure.group_sizes;
  for (const Json& item : value) {
    const auto size = item.get<int64_t>();
    if (std::ranges::count(sizes, size) > 0) return place.Bad(fmt::format("{} stands twice", size));
    sizes.push_back(size);
  }
  return {};
}

/// Of the spectral norm and the Gram matrix: checked, and warned of once.
Result<void> ReadWithoutEffect(const Json& value, const KeyPlace& place, Config& config) {
  constexpr std::string_view kWarning = "[config] w_rel_spectral and w_gram_* are not computed; ";
  if (value.get<int64_t>() <= 0) return place.Bad("must be positive, but is " + value.Text());
  const auto is_ours = [&](const std::string& text) { return text.starts_with(kWarning); };
  if (std::ranges::none_of(config.warnings, is_ours)) {
    config.warnings.push_back(fmt::format("{}{} has no effect", kWarning, place.pointer));
  }
  return {};
}

/// An entry of quant_schemes; its names are unique, unless there is no simulation.
Result<void> ReadScheme(const Json& value, const KeyPlace& place, Config& config) {
  if (!IsEnabled(value)) return {};
  QuantScheme scheme = SchemeOf(value);
  const bool repeated =
      std::ranges::count(config.quant_schemes, scheme.name, &QuantScheme::name) > 0;
  if (repeated && config.mlx.enabled) {
    return place.Bad("duplicate enabled quant_schemes names: " + scheme.name);
  }
  config.quant_schemes.push_back(std::move(scheme));
  return {};
}

/// Trimmed, each once.
Result<void> ReadArtifactKeys(const Json& value, const KeyPlace&, Config& config) {
  std::vector<std::string>& keys = config.plots.artifact_keys.emplace();
  for (const Json& item : value) {
    const std::string key(Trimmed(item.text()));
    if (std::ranges::count(keys, key) == 0) keys.push_back(key);
  }
  return {};
}

}  // namespace moe

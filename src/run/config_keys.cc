#include "run/config_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "measure/quant_modes.h"
#include "run/config_template.h"

namespace moe {
namespace {

using enum KeyType;

// clang-format off: one key a line, whatever its length
constexpr ConfigKey kKeys[] = {
    {"/model_path", kString, false, true, "", "error", "Checkpoint folder or file. `~` and relative paths are allowed; empty is an error unless `--model-path` is given."},
    {"/scan", kObject, false, true, "", "error", "Which files and tensors are looked at."},
    {"/scan/extensions", kStringList, false, false, "", "[\".safetensors\", \".npz\"]", "File suffixes to scan, case-sensitive."},
    {"/scan/experts_only", kBool, false, false, "", "true", "Only expert-like tensors are analysed. false: every float matrix; dense ones count as routed expert 0."},
    {"/scan/include_shared_expert", kBool, false, false, "", "true", "Shared experts are analysed too (expert_id -1)."},
    {"/scan/inventory_all_tensors", kBool, false, false, "", "true", "One row of data/tensor_inventory for every tensor; false: none."},
    {"/scan/recursive", kAny, false, false, "", "true", "true, false, or \"auto\": subfolders only if the top folder holds no container. Without effect while an index decides.", "[true, false, \"auto\"]"},
    {"/scan/use_safetensors_index_json", kBool, false, false, "", "true", "Let a `*.safetensors.index.json` in the model folder decide which files are read."},
    {"/scan/strict_index", kBool, false, false, "", "false", "Fail when shards are missing, by the index or by the numbers in the files' names, or when there is an index that can't be read."},
    {"/scan/min_expert_coverage", kNumber, true, false, "", "null", "Least share (0 to 1) of the expert parameters that must be analysed; below it the exit code is 3."},
    {"/scan/max_files", kInteger, true, false, "", "null", "Only the first so many files; 0: none; negative: all but the last so many."},
    {"/parsing", kObject, false, true, "", "error", "How names are read."},
    {"/parsing/layer_regex", kString, false, true, "", "error", "Group 1 of the first match in a tensor's name is its layer."},
    {"/parsing/expert_regex", kString, false, true, "", "error", "Group 1 of the first match is the expert id; used by the fallback."},
    {"/parsing/proj_aliases", kObject, false, true, "", "error", "Canonical projection name to its aliases; order decides. Aliases are whole tokens; one that begins and ends with a dot is a substring."},
    {"/parsing/proj_aliases/*", kStringList, false, false, "", "", "The aliases of one projection."},
    {"/parsing/shared_expert_keywords", kStringList, false, false, "", "[\"shared\", \"expert\"]", "A tensor is a shared expert's when its lower-cased name holds all of these; empty: never."},
    {"/parsing/strict_packed_split", kBool, false, false, "", "true", "A packed split that can't be applied ends the run (PackedSplitError); false: warning and fallback."},
    {"/parsing/proj_group_strict", kBool, false, false, "", "false", "Drop tensors whose proj_group token no alias maps, instead of keeping the raw token."},
    {"/parsing/presets", kString, false, false, "", "\"auto\"", "Rules for known architectures: \"auto\" (chosen by model_type, else by names), \"off\", or the name of one."},
    {"/metadata", kObject, true, false, "", "{\"enabled\": false}", "The model's config.json."},
    {"/metadata/enabled", kBool, false, false, "", "false", "Read it and write logs/model_config.raw.json and logs/model_shape_budget.json."},
    {"/metadata/mode", kString, true, false, "", "\"validate\"", "Without effect; kept for compatibility."},
    {"/metadata/config_path", kString, true, false, "", "null", "Where it is, relative to the model folder; null: looked for."},
    {"/extract_rules", kObjectList, true, false, "", "[]", "Rules that find expert matrices, tried in order; the first that succeeds wins."},
    {"/extract_rules/*/name", kString, false, true, "", "error", "For messages."},
    {"/extract_rules/*/match", kString, false, true, "", "error", "Python regular expression, matched from the start of the tensor's name."},
    {"/extract_rules/*/enabled", kBool, false, false, "", "true", "false: the rule is skipped."},
    {"/extract_rules/*/ndim", kInteger, true, false, "", "null", "The rule applies only to tensors of so many dimensions."},
    {"/extract_rules/*/layout", kAny, true, false, "", "{}", "layer_axis, expert_axis, rows_axis, cols_axis: input axes or null; negative ones count from the end."},
    {"/extract_rules/*/proj_group", kInteger, true, false, "", "null", "Group of `match` that names the projection; null: inferred from the whole name."},
    {"/extract_rules/*/expert_group", kInteger, true, false, "", "null", "Group of `match` that is the expert id."},
    {"/extract_rules/*/packed_split", kAny, true, false, "", "null", "axis \"rows\" or \"cols\"; splits: sizes (one may be -1: the rest) or \"equal\"; projs: names; interleave: row i belongs to part i mod n."},
    {"/mlx", kObject, true, false, "", "{}", "Quantization simulation."},
    {"/mlx/enabled", kBool, false, false, "", "true", "false: no simulation, quant_sim has no rows."},
    {"/mlx/device", kString, true, false, "", "\"cpu\"", "\"cpu\" or \"gpu\": the device whose encoder is simulated when `profile` is absent, and the one the real MLX uses. Anything else counts as cpu, with a warning."},
    {"/mlx/backend", kString, false, false, "native|mlx|auto", "\"native\"", "native: moescope's own bit-exact quantizer; mlx: the real library through the plugin; auto: mlx if it opens, else native. MOESCOPE_BACKEND overrides."},
    {"/mlx/profile", kString, true, false, "mlx-cpu|mlx-gpu|mlx-cpu-legacy|mlx-gpu-legacy", "follows mlx.device", "Which MLX encoder is simulated. mlx-gpu is not verified on a Mac."},
    {"/stats", kObject, false, true, "", "error", "Statistics and precision."},
    {"/stats/eps", kNumber, false, true, "", "error", "Added to denominators."},
    {"/stats/sample_per_matrix", kUnsigned, false, false, "", "8192", "Elements that sampled percentiles are taken from; at least 1."},
    {"/stats/sample_seed", kUnsigned, false, false, "", "1337", "Seed of NumPy's generator for them."},
    {"/stats/percentile_method", kString, false, false, "exact|sample", "\"sample\"", "exact: over all elements; sample: over the same elements as the Python pipeline."},
    {"/stats/quant_compute_dtype", kString, false, false, "", "\"storage\"", "The dtype weights are quantized in: storage (their own), fp16, bf16 or fp32.", "[\"storage\", \"fp16\", \"bf16\", \"fp32\", \"float16\", \"bfloat16\", \"float32\"]"},
    {"/stats/quant_rel_den_floor", kNumber, true, false, "", "no floor", "Least denominator of w_rel_fro and w_rel_max; finite and positive."},
    {"/stats/percentiles_abs", kNumberList, false, false, "", "[50, 99, 99.9]", "Percentiles of abs(w); 50, 99 and 99.9 are always there, others add columns (95: p95_abs, 99.99: p9999_abs)."},
    {"/stats/group_outlier_percentile", kNumber, false, false, "", "95", "Percentile of the group columns; its name is truncated to an integer."},
    {"/stats/group_sizes_lastdim", kIntegerList, false, false, "", "[32, 64]", "Group sizes of the outlier columns."},
    {"/stats/quant_spectral_power_iters", kInteger, false, false, "", "12", "Accepted; w_rel_spectral is not computed."},
    {"/stats/quant_gram_sample_k", kInteger, false, false, "", "128", "Accepted; w_gram_* is not computed."},
    {"/quant_schemes", kObjectList, true, false, "", "[]", "Schemes to simulate."},
    {"/quant_schemes/*/name", kString, false, true, "", "error", "Name in the tables; unique among enabled schemes."},
    {"/quant_schemes/*/mode", kString, false, true, "", "error", "affine, mxfp4, mxfp8 or nvfp4; anything else gives rows with `error`, and `config check` refuses it."},
    {"/quant_schemes/*/bits", kInteger, false, false, "", "4; of mxfp8 8", "Bits of a code. affine: 1 to 6 or 8; the other modes take what they have."},
    {"/quant_schemes/*/group_size", kInteger, false, false, "", "32; of nvfp4 16", "Elements of a row that share a scale. affine: 32, 64 or 128; the other modes take what they have."},
    {"/quant_schemes/*/enabled", kBool, false, false, "", "true", "false: the scheme is skipped."},
    {"/delta_pairs", kObjectList, true, false, "", "[]", "Pairs of schemes for tables/B_quant_deltas: a minus b."},
    {"/delta_pairs/*/name", kString, false, true, "", "error", "Text of delta_name."},
    {"/delta_pairs/*/a", kString, false, true, "", "error", "Scheme name."},
    {"/delta_pairs/*/b", kString, false, true, "", "error", "Scheme name."},
    {"/output", kObject, true, false, "", "{}", "How tables are written."},
    {"/output/format", kString, false, false, "", "\"parquet\"", "\"parquet\"; anything else means CSV."},
    {"/output/compression", kString, true, false, "", "none", "Parquet codec: zstd, snappy, gzip, brotli, lz4; unknown ones fall back to CSV."},
    {"/debug", kObject, true, false, "", "{}", "For people who look closer."},
    {"/debug/dump_unmatched_tensors", kBool, false, false, "", "true", "Write data/unmatched_tensors."},
    {"/debug/print_progress_every_files", kInteger, false, false, "", "1", "One line every so many files when no terminal shows progress; 0: none."},
    {"/plots", kObject, true, false, "", "{}", "What build-plots and report --static draw."},
    {"/plots/artifact_keys", kStringList, true, false, "A_weight_global_summary|A_weight_layer_summary|B_quant_global_summary|B_quant_layer_summary", "all but B_quant_layer_summary, as far as they are there", "The tables that are drawn. With this list a missing table is an error, and nothing else is drawn that is not asked for."},
    {"/plots/expert_layer_heatmaps", kSwitch, true, false, "", "true without `artifact_keys`, else false", "Heatmaps of layer and expert, one for each projection (and scheme)."},
    {"/plots/expert_layer_heatmaps/enabled", kBool, true, false, "", "true", "false or null: none."},
    {"/plots/expert_layer_heatmaps/source_artifact", kString, false, false, "matrix_stats|quant_sim", "\"matrix_stats\"", "The table of data/."},
    {"/plots/expert_layer_heatmaps/metric", kString, false, false, "", "\"outlier_p999_over_median\"", "The column."},
    {"/plots/quant_error_layer_lines", kSwitch, true, false, "", "false", "A line over layers for each projection and scheme, from quant_sim."},
    {"/plots/quant_error_layer_lines/enabled", kBool, true, false, "", "true", "false or null: none."},
    {"/plots/quant_error_layer_lines/source_artifact", kString, false, false, "quant_sim", "\"quant_sim\"", "The table of data/."},
    {"/plots/quant_error_layer_lines/metric", kString, false, false, "", "\"w_rel_fro\"", "The column."},
};
// clang-format on

struct TypeText {
  KeyType type;
  std::string_view expected;
};
constexpr TypeText kTypeTexts[] = {
    {kObject, "an object"},
    {kSwitch, "true, false, an object"},
    {kObjectList, "a list of objects"},
    {kString, "a string"},
    {kBool, "true or false"},
    {kInteger, "an integer"},
    {kUnsigned, "an integer that is not negative"},
    {kNumber, "a number"},
    {kStringList, "a list of strings"},
    {kIntegerList, "a list of integers"},
    {kNumberList, "a list of numbers"},
    {kAny, "a value"},
};

std::string Expected(const ConfigKey& key) {
  for (const TypeText& text : kTypeTexts) {
    if (text.type != key.type) continue;
    return fmt::format("{}{}", text.expected, key.nullable ? " or null" : "");
  }
  return "a value";
}

constexpr double kTwoTo63 = 9223372036854775808.0;

bool IsInteger(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() < (uint64_t{1} << 63);
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return number == std::floor(number) && number >= -kTwoTo63 && number < kTwoTo63;
}

bool IsUnsigned(const Json& value) {
  if (value.is_number_unsigned()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return number == std::floor(number) && number >= 0 && number < 2 * kTwoTo63;
}

template <class Predicate>
bool IsListOf(const Json& value, Predicate predicate) {
  return value.is_array() && std::all_of(value.begin(), value.end(), predicate);
}

bool HasType(const Json& value, const ConfigKey& key) {
  if (value.is_null() && key.nullable) return true;
  switch (key.type) {
    case kObject:
      return value.is_object();
    case kSwitch:
      return value.is_boolean() || value.is_object();
    case kObjectList:
      return IsListOf(value, [](const Json& v) { return v.is_object(); });
    case kString:
      return value.is_string();
    case kBool:
      return value.is_boolean();
    case kInteger:
      return IsInteger(value);
    case kUnsigned:
      return IsUnsigned(value);
    case kNumber:
      return value.is_number();
    case kStringList:
      return IsListOf(value, [](const Json& v) { return v.is_string(); });
    case kIntegerList:
      return IsListOf(value, IsInteger);
    case kNumberList:
      return IsListOf(value, [](const Json& v) { return v.is_number(); });
    case kAny:
      return true;
  }
  return false;
}

std::vector<std::string> SplitValues(std::string_view values) {
  std::vector<std::string> list;
  while (!values.empty()) {
    const size_t bar = std::min(values.find('|'), values.size());
    list.emplace_back(values.substr(0, bar));
    values.remove_prefix(std::min(bar + 1, values.size()));
  }
  return list;
}

const ConfigKey* FindKey(std::string_view pattern) {
  const auto* found = std::find_if(std::begin(kKeys), std::end(kKeys),
                                   [&](const ConfigKey& key) { return key.pointer == pattern; });
  return found == std::end(kKeys) ? nullptr : found;
}

/// The keys an object at `pattern` may have, in table order.
std::vector<const ConfigKey*> ChildrenOf(std::string_view pattern) {
  std::vector<const ConfigKey*> children;
  for (const ConfigKey& key : kKeys) {
    const size_t slash = key.pointer.rfind('/');
    if (key.pointer.substr(0, slash) == pattern) children.push_back(&key);
  }
  return children;
}

/// `name` as a part of a JSON pointer (RFC 6901).
std::string Escaped(std::string_view name) {
  std::string part;
  for (const char c : name) {
    if (c == '~') {
      part += "~0";
    } else if (c == '/') {
      part += "~1";
    } else {
      part += c;
    }
  }
  return part;
}

/// `value` as errors show it: JSON text, cut when long.
std::string Shown(const Json& value) {
  constexpr size_t kMaxShown = 80;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() <= kMaxShown) return text;
  return text.substr(0, kMaxShown) + "...";
}

std::string_view LastPart(std::string_view pointer) {
  return pointer.substr(pointer.rfind('/') + 1);
}

class Checker {
 public:
  Checker(const std::string& where, std::vector<std::string>& warnings)
      : where_(where), warnings_(warnings) {}

  Result<void> CheckObject(const Json& object, const std::string& pattern,
                           const std::string& pointer) {
    const auto children = ChildrenOf(pattern);
    for (const ConfigKey* child : children) {
      const std::string name(LastPart(child->pointer));
      if (child->required && name != "*" && !object.contains(name)) {
        return BadConfigValue(where_, pointer + "/" + name,
                              "is missing; it must be " + Expected(*child));
      }
    }
    const bool any_key = children.size() == 1 && LastPart(children.front()->pointer) == "*";
    for (const auto& [name, value] : object.items()) {
      const std::string part = Escaped(name);
      const std::string child_pattern = pattern + "/" + (any_key ? "*" : part);
      const ConfigKey* key = FindKey(child_pattern);
      if (key == nullptr) {
        WarnUnknown(children, pointer, name);
      } else if (auto done = CheckValue(value, *key, child_pattern, pointer + "/" + part); !done) {
        return done;
      }
    }
    return {};
  }

  Result<void> CheckValue(const Json& value, const ConfigKey& key, const std::string& pattern,
                          const std::string& pointer) {
    if (!HasType(value, key)) {
      return BadConfigValue(where_, pointer,
                            fmt::format("must be {}, but is {}", Expected(key), Shown(value)));
    }
    if (auto done = CheckAllowed(value, key, pointer); !done) return done;
    if (value.is_object() && key.type != kAny) return CheckObject(value, pattern, pointer);
    if (key.type != kObjectList || value.is_null()) return {};
    for (size_t i = 0; i < value.size(); ++i) {
      if (auto done = CheckObject(value[i], pattern + "/*", fmt::format("{}/{}", pointer, i));
          !done) {
        return done;
      }
    }
    return {};
  }

 private:
  Result<void> CheckAllowed(const Json& value, const ConfigKey& key, const std::string& pointer) {
    if (key.values.empty()) return {};
    if (value.is_string()) return CheckText(value.get_ref<const std::string&>(), key, pointer);
    for (size_t i = 0; value.is_array() && i < value.size(); ++i) {
      const std::string_view text = Trimmed(value[i].get_ref<const std::string&>());
      auto done = CheckText(text, key, fmt::format("{}/{}", pointer, i));
      if (!done) return done;
    }
    return {};
  }

  Result<void> CheckText(std::string_view text, const ConfigKey& key, const std::string& pointer) {
    const std::vector<std::string> allowed = SplitValues(key.values);
    if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return {};
    const auto closest = ClosestName(text, allowed);
    return BadConfigValue(
        where_, pointer,
        fmt::format("must be one of {}, but is {}{}", fmt::join(allowed, ", "), Shown(text),
                    closest ? "; did you mean \"" + *closest + "\"?" : ""));
  }

  void WarnUnknown(const std::vector<const ConfigKey*>& children, const std::string& pointer,
                   const std::string& name) {
    std::vector<std::string> known;
    for (const ConfigKey* child : children) known.emplace_back(LastPart(child->pointer));
    const auto closest = ClosestName(name, known);
    warnings_.push_back(fmt::format("[config] unknown key {}/{} is ignored{}", pointer,
                                    Escaped(name),
                                    closest ? "; did you mean \"" + *closest + "\"?" : ""));
  }

  const std::string& where_;
  std::vector<std::string>& warnings_;
};

/// The template's value of `key` in the Markdown table; "" for sections and for parts of lists.
std::string TemplateCell(const ConfigKey& key, const Json& defaults) {
  if (key.pointer.find('*') != std::string_view::npos) return "";
  const Json::json_pointer pointer{std::string(key.pointer)};
  if (key.type == kObject || key.type == kObjectList || !defaults.contains(pointer)) return "";
  std::string cell = "`";
  for (const char c : defaults[pointer].dump()) {
    if (c == '|') cell += '\\';  // else it would end the cell
    cell += c;
  }
  return cell + "`";
}

Json SchemaOf(const ConfigKey& key, const std::string& pattern);

Json SchemaOfObject(const std::string& pattern) {
  Json schema = {{"type", "object"}};
  for (const ConfigKey* child : ChildrenOf(pattern)) {
    const std::string name(LastPart(child->pointer));
    const Json child_schema = SchemaOf(*child, std::string(child->pointer));
    if (name == "*") {
      schema["additionalProperties"] = child_schema;
    } else {
      schema["properties"][name] = child_schema;
      if (child->required) schema["required"].push_back(name);
    }
  }
  return schema;
}

/// The modes of an entry of quant_schemes, and what each takes. Not in the table of keys: other
/// values are read too, and give rows with `error`.
void AddModes(Json& entry) {
  for (const QuantMode& mode : QuantModes()) {
    entry["properties"]["mode"]["enum"].push_back(std::string(mode.name));
    const Json takes = {{"bits", {{"enum", mode.bits}}},
                        {"group_size", {{"enum", mode.group_sizes}}}};
    const Json is_mode = {{"properties", {{"mode", {{"const", std::string(mode.name)}}}}}};
    entry["allOf"].push_back({{"if", is_mode}, {"then", {{"properties", takes}}}});
  }
}

Json SchemaOf(const ConfigKey& key, const std::string& pattern) {
  const auto list_of = [](const char* type) {
    return Json{{"type", "array"}, {"items", {{"type", type}}}};
  };
  Json schema = Json::object();
  switch (key.type) {
    case kObject:
      schema = SchemaOfObject(pattern);
      break;
    case kSwitch:
      schema = SchemaOfObject(pattern);
      schema["type"] = {"boolean", "object"};
      break;
    case kObjectList:
      schema = {{"type", "array"}, {"items", SchemaOfObject(pattern + "/*")}};
      break;
    case kString:
      schema["type"] = "string";
      break;
    case kBool:
      schema["type"] = "boolean";
      break;
    case kInteger:
      schema["type"] = "integer";
      break;
    case kUnsigned:
      schema = {{"type", "integer"}, {"minimum", 0}};
      break;
    case kNumber:
      schema["type"] = "number";
      break;
    case kStringList:
      schema = list_of("string");
      break;
    case kIntegerList:
      schema = list_of("integer");
      break;
    case kNumberList:
      schema = list_of("number");
      break;
    case kAny:
      break;
  }
  if (!key.values.empty()) {
    (key.type == kStringList ? schema["items"] : schema)["enum"] = SplitValues(key.values);
  }
  if (key.nullable && schema.contains("type")) {
    if (schema["type"].is_string()) schema["type"] = Json::array({schema["type"]});
    schema["type"].push_back("null");
    if (schema.contains("enum")) schema["enum"].push_back(nullptr);
  }
  if (!key.schema_enum.empty()) schema["enum"] = Json::parse(key.schema_enum);
  if (key.pointer == "/quant_schemes") AddModes(schema["items"]);
  schema["description"] = std::string(key.doc);
  return schema;
}

}  // namespace

std::span<const ConfigKey> ConfigKeys() { return kKeys; }

tl::unexpected<Error> BadConfigValue(const std::string& where, std::string_view pointer,
                                     const std::string& message) {
  return Fail(ErrorCode::kBadArgument, where + " " + std::string(pointer), message,
              "see docs/config.md or 'moescope config schema'", "ValueError");
}

Result<void> CheckConfigKeys(const Json& config, const std::string& where,
                             std::vector<std::string>& warnings) {
  if (!config.is_object()) return BadConfigValue(where, "/", "must be an object");
  return Checker(where, warnings).CheckObject(config, "", "");
}

Result<void> CheckPlotsKeys(const Json& config, const std::string& where,
                            std::vector<std::string>& warnings) {
  if (!config.is_object()) return BadConfigValue(where, "/", "must be an object");
  const auto plots = config.find("plots");
  if (plots == config.end()) return {};
  return Checker(where, warnings).CheckValue(*plots, *FindKey("/plots"), "/plots", "/plots");
}

std::string ConfigSchemaText() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "moescope analysis_config.json"}};
  schema.update(SchemaOfObject(""));
  return JsonText(schema);
}

std::string ConfigKeysMarkdown() {
  const Json defaults = Json::parse(ConfigTemplateText(""));
  std::string text =
      "| key | type | template | absent means | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const ConfigKey& key : kKeys) {
    std::string name(key.pointer.substr(1));
    std::replace(name.begin(), name.end(), '/', '.');
    const std::string values = fmt::format("{}", fmt::join(SplitValues(key.values), ", "));
    text += fmt::format("| `{}` | {}{}{} | {} | {} | {} |\n", name, Expected(key),
                        values.empty() ? "" : ": ", values, TemplateCell(key, defaults),
                        Json::accept(key.absent) ? fmt::format("`{}`", key.absent) : key.absent,
                        key.doc);
  }
  return text;
}

}  // namespace moe

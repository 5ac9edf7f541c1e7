#include "codec/config_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "base/pattern.h"
#include "base/text.h"
#include "checkpoint/names.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

using Json = nlohmann::ordered_json;
using std::string_view;

constexpr const char* kConfig = "quantization config";

// ---- values of keys ----

const Json* Member(const Json& object, string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string TextAt(const Json& object, string_view key) {
  const Json* value = Member(object, key);
  return value && value->is_string() ? LowerAscii(value->get_ref<const std::string&>()) : "";
}

/// true or false; 1 or 0, as Python takes them.
std::optional<bool> FlagOf(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  return std::nullopt;
}

std::optional<bool> FlagAt(const Json& object, string_view key) {
  const Json* value = Member(object, key);
  return value ? FlagOf(*value) : std::nullopt;
}

/// A positive integer, maybe written as 4.0.
std::optional<uint64_t> CountOf(const Json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const bool whole = number >= 1 && number < 1e15 && number == std::floor(number);
    return whole ? std::optional(static_cast<uint64_t>(number)) : std::nullopt;
  }
  return value.is_number_integer() && value > 0 ? std::optional(value.get<uint64_t>())
                                                : std::nullopt;
}

/// Columns of a group; -1, which means all of a row, is 0.
std::optional<uint64_t> GroupOf(const Json& value) {
  return value == -1 ? std::optional<uint64_t>(0) : CountOf(value);
}

/// The first of `keys` that `read` can read.
std::optional<uint64_t> FirstOf(const Json& object, std::initializer_list<string_view> keys,
                                std::optional<uint64_t> (*read)(const Json&)) {
  for (const string_view key : keys) {
    const Json* value = Member(object, key);
    if (const auto number = value ? read(*value) : std::nullopt) return number;
  }
  return std::nullopt;
}

std::optional<uint64_t> CountAt(const Json& object, std::initializer_list<string_view> keys) {
  return FirstOf(object, keys, CountOf);
}

std::optional<uint64_t> GroupAt(const Json& object, std::initializer_list<string_view> keys) {
  return FirstOf(object, keys, GroupOf);
}

/// [rows, columns], or compressed-tensors' "128x128".
std::optional<GridSize> BlockOf(const Json& value) {
  GridSize block;
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const char* const end = text.data() + text.size();
    const auto rows = std::from_chars(text.data(), end, block.rows);
    if (rows.ec != std::errc() || rows.ptr == end || *rows.ptr != 'x') return std::nullopt;
    const auto cols = std::from_chars(rows.ptr + 1, end, block.cols);
    if (cols.ec != std::errc() || cols.ptr != end) return std::nullopt;
  } else if (value.is_array() && value.size() == 2) {
    block = {CountOf(value[0]).value_or(0), CountOf(value[1]).value_or(0)};
  }
  return block.rows > 0 && block.cols > 0 ? std::optional(block) : std::nullopt;
}

void ReadBlock(const Json& object, string_view key, QuantWords& words) {
  const Json* value = Member(object, key);
  const auto block = value ? BlockOf(*value) : std::nullopt;
  if (!block) return;
  if (words.strategy.empty()) words.strategy = "block";
  words.block_rows = block->rows;
  words.block_cols = block->cols;
}

/// The keys that are numbers, flags, blocks and texts: another value is a statement that nobody
/// can compare.
struct KnownKey {
  string_view name;
  bool (*reads)(const Json& value);
};
constexpr auto kIsCount = [](const Json& value) { return CountOf(value).has_value(); };
constexpr auto kIsGroup = [](const Json& value) { return GroupOf(value).has_value(); };
constexpr auto kIsFlag = [](const Json& value) { return FlagOf(value).has_value(); };
constexpr auto kIsBlock = [](const Json& value) { return BlockOf(value).has_value(); };
constexpr auto kIsText = [](const Json& value) { return value.is_string(); };
constexpr KnownKey kKnownKeys[] = {
    {"bits", kIsCount},
    {"w_bit", kIsCount},
    {"num_bits", kIsCount},
    {"group_size", kIsGroup},
    {"q_group_size", kIsGroup},
    {"sym", kIsFlag},
    {"symmetric", kIsFlag},
    {"zero_point", kIsFlag},
    {"desc_act", kIsFlag},
    {"global_scale", kIsFlag},
    {"load_in_4bit", kIsFlag},
    {"load_in_8bit", kIsFlag},
    {"weight_block_size", kIsBlock},
    {"block_structure", kIsBlock},
    {"mode", kIsText},
    {"type", kIsText},
    {"strategy", kIsText},
};

void NoteUnreadable(const Json& object, QuantWords& words) {
  for (const KnownKey& key : kKnownKeys) {
    const Json* value = Member(object, key.name);
    if (!value || value->is_null() || key.reads(*value)) continue;
    // AutoRound's group_size is 0 for a scale by tensor, [rows, columns] for blocks.
    if (key.name == "group_size" && words.method == "auto-round") continue;
    constexpr size_t kShown = 40;
    const std::string text = value->dump(-1, ' ', true, Json::error_handler_t::replace);
    words.demand =
        fmt::format("a readable {}, not {}", key.name, Printable(text.substr(0, kShown)));
  }
}

// ---- names of modules ----

/// Without the wrappers around the text model: "layers.0.mlp" of
/// "model.language_model.layers.0.mlp".
string_view Core(string_view name) {
  constexpr string_view kWrappers[] = {"model",       "language_model", "text_model", "backbone",
                                       "transformer", "thinker",        "llm",        "module"};
  for (;;) {
    const size_t dot = name.find('.');
    if (dot == string_view::npos) return name;
    const string_view head = name.substr(0, dot);
    if (std::find(std::begin(kWrappers), std::end(kWrappers), head) == std::end(kWrappers)) {
      return name;
    }
    name.remove_prefix(dot + 1);
  }
}

/// A pattern of Python's re.match. One that cannot be compiled, or once took too many steps,
/// matches nothing: it may be asked for each of a million names.
class NamePattern {
 public:
  explicit NamePattern(string_view text) {
    auto pattern = Pattern::Compile(text, kConfig);
    if (pattern) pattern_.emplace(std::move(*pattern));
    *useless_ = !pattern;
  }

  /// Whether it takes the name, under any of the wrappers.
  bool Matches(string_view module) const {
    const std::string core(Core(module));
    return MatchesName(std::string(module)) ||
           std::any_of(std::begin(kSpellings), std::end(kSpellings),
                       [&](const char* wrapper) { return MatchesName(wrapper + core); });
  }

 private:
  static constexpr const char* kSpellings[] = {"", "model.", "model.language_model.",
                                               "language_model.model.", "language_model."};

  bool MatchesName(const std::string& name) const {
    if (*useless_) return false;
    const auto found = pattern_->Match(name);
    if (!found) *useless_ = true;
    return found && found->has_value();
  }

  std::optional<Pattern> pattern_;
  std::unique_ptr<std::atomic<bool>> useless_ = std::make_unique<std::atomic<bool>>(false);
};

/// `text` against a shell pattern of '*' and '?'.
bool MatchesGlob(string_view glob, string_view text) {
  size_t g = 0, t = 0, star = string_view::npos, from = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      from = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != string_view::npos) {
      g = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

struct TextHash {
  using is_transparent = void;
  size_t operator()(string_view text) const { return std::hash<string_view>()(text); }
};

/// Modules that the config leaves out: names, parts of names between dots, shell patterns or
/// "re:PATTERN".
class Exclusions {
 public:
  void Add(const Json& list) {
    if (!list.is_array()) return;
    for (const Json& entry : list) {
      if (entry.is_string()) AddName(entry.get_ref<const std::string&>());
    }
  }

  bool Holds(string_view module) const {
    const string_view core = Core(module);
    return HoldsPart(core) ||
           std::any_of(globs_.begin(), globs_.end(),
                       [&](const std::string& glob) {
                         return MatchesGlob(glob, core) || MatchesGlob(glob + ".*", core);
                       }) ||
           std::any_of(patterns_.begin(), patterns_.end(),
                       [&](const NamePattern& pattern) { return pattern.Matches(module); });
  }

 private:
  void AddName(string_view name) {
    if (name.starts_with("re:")) {
      patterns_.emplace_back(name.substr(3));
      return;
    }
    while (name.ends_with('.')) name.remove_suffix(1);
    if (name.empty()) return;
    if (name.find_first_of("*?") != string_view::npos) {
      globs_.emplace_back(Core(name));
    } else {
      names_.emplace(Core(name));
    }
  }

  bool HoldsPart(string_view core) const {
    if (names_.empty()) return false;
    for (size_t begin = 0; begin < core.size();) {
      size_t end = core.find('.', begin);
      for (;; end = core.find('.', end + 1)) {
        end = std::min(end, core.size());
        if (names_.contains(core.substr(begin, end - begin))) return true;
        if (end == core.size()) break;
      }
      begin = std::min(core.find('.', begin), core.size() - 1) + 1;
    }
    return false;
  }

  std::unordered_set<std::string, TextHash, std::equal_to<>> names_;
  std::vector<std::string> globs_;
  std::vector<NamePattern> patterns_;
};

/// Entries of single modules, by name.
class Entries {
 public:
  struct Entry {
    std::string name;
    const Json* value;
  };

  void Add(const std::string& name, const Json& value) {
    by_name_.emplace(name, Entry{name, &value});
    by_core_.emplace(std::string(Core(name)), Entry{name, &value});
  }
  const Entry* Find(string_view module) const {
    if (const auto exact = by_name_.find(module); exact != by_name_.end()) return &exact->second;
    const auto found = by_core_.find(Core(module));
    return found == by_core_.end() ? nullptr : &found->second;
  }

 private:
  using Map = std::unordered_map<std::string, Entry, TextHash, std::equal_to<>>;
  Map by_name_, by_core_;
};

// ---- dialects ----

/// What ModelOpt's quant_algo means (its export/quant_utils).
struct Algorithm {
  string_view name, type;
  uint64_t bits;
  string_view strategy;
  uint64_t size;  // of a group, or of a block's sides
};
constexpr Algorithm kAlgorithms[] = {
    {"fp8", "float", 8, "tensor", 0},
    {"fp8_per_channel_per_token", "float", 8, "channel", 0},
    {"fp8_pc_pt", "float", 8, "channel", 0},
    {"fp8_pb_wo", "float", 8, "block", 128},
    {"fp8_pb_real", "float", 8, "block", 128},
    {"nvfp4", "float", 4, "tensor_group", 16},
    {"nvfp4_awq", "float", 4, "tensor_group", 16},
    {"nvfp4_svd", "float", 4, "tensor_group", 16},
    {"w4a8_nvfp4_fp8", "float", 4, "tensor_group", 16},
    {"w4a16_nvfp4", "float", 4, "tensor_group", 16},
    {"mxfp4", "float", 4, "group", 32},
    {"w4a8_mxfp4_fp8", "float", 4, "group", 32},
    {"mxfp8", "float", 8, "group", 32},
    {"w8a8_sq_per_channel", "int", 8, "channel", 0},
};

/// The row of quant_algo; nullptr: none is named, or another one.
const Algorithm* AlgorithmOf(const Json& object) {
  const std::string name = TextAt(object, "quant_algo");
  const auto row = std::find_if(std::begin(kAlgorithms), std::end(kAlgorithms),
                                [&](const Algorithm& known) { return known.name == name; });
  return row == std::end(kAlgorithms) ? nullptr : row;
}

/// A group of weights beside quant_algo, which is that of all groups.
void CheckAlgorithm(const Json& object, QuantWords& words) {
  const Algorithm* algorithm = AlgorithmOf(object);
  if (!algorithm || words.bits.value_or(algorithm->bits) == algorithm->bits) return;
  words.demand =
      fmt::format("one quant_algo and num_bits, not {} and {}", algorithm->name, *words.bits);
}

void ReadAlgorithm(const Json& object, QuantWords& words) {
  const Algorithm* algorithm = AlgorithmOf(object);
  if (algorithm) {
    const Algorithm& row = *algorithm;
    words.type = row.type;
    words.bits = row.bits;
    words.strategy = row.strategy;
    words.group.reset();
    if (row.strategy == "block") {
      words.block_rows = words.block_cols = row.size;
    } else if (row.size > 0) {
      words.group = GroupAt(object, {"group_size"}).value_or(row.size);
    }
  }
}

/// MLX, GPTQ, AWQ, fp8, ModelOpt: keys of one object.
void ReadFlat(const Json& object, QuantWords& words) {
  const auto read = [](auto& word, auto value) {
    if (value) word = value;
  };
  read(words.bits, CountAt(object, {"bits", "w_bit"}));
  read(words.group, GroupAt(object, {"group_size", "q_group_size"}));
  read(words.symmetric, FlagAt(object, "sym"));
  if (const auto zeros = FlagAt(object, "zero_point")) words.symmetric = !*zeros;  // of AWQ
  read(words.act_order, FlagAt(object, "desc_act"));
  read(words.global_scale, FlagAt(object, "global_scale"));
  if (words.method.empty()) words.mode = TextAt(object, "mode");
  if (FlagAt(object, "act_group_aware") == true) words.act_order.reset();
  ReadBlock(object, "weight_block_size", words);
  NoteUnreadable(object, words);
  if (words.method == "fbgemm_fp8") words.strategy = "channel";
  if (words.method == "mxfp8") {
    words.strategy = "group";
    words.group = 32;
  }
  ReadAlgorithm(object, words);
}

/// compressed-tensors' names of whole groups: {"W4A16": ["Linear"]}.
void ReadPreset(const std::string& name, QuantWords& words) {
  const auto of = [&](string_view type, uint64_t bits, std::optional<uint64_t> group) {
    words.type = type;
    words.bits = bits;
    words.group = group;
  };
  const bool digit = name.size() > 2 && name[1] >= '1' && name[1] <= '9';
  if (name.starts_with("NVFP4")) of("float", 4, 16);
  for (const uint64_t bits : {4, 6, 8}) {
    if (name.starts_with(fmt::format("MXFP{}", bits))) of("float", bits, 32);
  }
  if (name.starts_with("FP8")) of("float", 8, std::nullopt);
  if (name.starts_with("INT8")) of("int", 8, std::nullopt);
  if (name[0] == 'W' && digit && name[2] == 'A') {
    of("int", static_cast<uint64_t>(name[1] - '0'), std::nullopt);
    words.symmetric = !name.ends_with("_ASYM");
  }
}

void ReadWeights(const Json& weights, QuantWords& words) {
  words.bits = CountAt(weights, {"num_bits"});
  words.group = GroupAt(weights, {"group_size"});
  words.type = TextAt(weights, "type");
  words.strategy = TextAt(weights, "strategy");
  words.symmetric = FlagAt(weights, "symmetric");
  const std::string order = TextAt(weights, "actorder");
  words.act_order = FlagAt(weights, "actorder");
  if (order == "group") words.act_order = true;
  if (order == "weight" || order == "static") words.act_order = false;
  ReadBlock(weights, "block_structure", words);
  NoteUnreadable(weights, words);
}

/// One of compressed-tensors' config_groups.
struct Group {
  QuantWords words;
  Entries names;
  std::vector<NamePattern> patterns;
  bool of_class = false;  ///< a class of modules ("Linear"), or no targets

  Group(const std::string& name, const Json& group, QuantWords all) : words(std::move(all)) {
    words.entry = fmt::format("{}, {}", kConfig, Printable(name));
    const Json* targets = group.is_array() ? &group : Member(group, "targets");
    if (const Json* weights = Member(group, "weights")) {
      ReadWeights(*weights, words);
      if (words.object) CheckAlgorithm(*words.object, words);
    } else if (group.is_array()) {
      ReadPreset(name, words);
    }
    if (const std::string format = TextAt(group, "format"); !format.empty()) words.format = format;
    if (words.format == "mixed-precision") words.format.clear();
    if (!targets || !targets->is_array()) {
      of_class = true;
      return;
    }
    for (const Json& target : *targets) {
      if (target.is_string()) AddTarget(target);
    }
  }

  void AddTarget(const Json& text) {
    const std::string& target = text.get_ref<const std::string&>();
    if (target.starts_with("re:")) {
      patterns.emplace_back(target.substr(3));
    } else if (!target.empty() && target[0] >= 'A' && target[0] <= 'Z' &&
               target.find('.') == std::string::npos) {
      of_class = true;
    } else {
      names.Add(target, text);
    }
  }

  /// 3: by name, 2: by pattern, 1: by class, 0: no target.
  int Level(string_view module) const {
    if (names.Find(module)) return 3;
    for (const NamePattern& pattern : patterns) {
      if (pattern.Matches(module)) return 2;
    }
    return of_class ? 1 : 0;
  }
};

/// GPTQModel's `dynamic` and AutoRound's `extra_config` with patterns: the first that matches.
struct Rule {
  std::string name;
  NamePattern pattern;
  bool excludes;
  const Json* value;
};

}  // namespace

// ---- QuantWords ----

std::string QuantWords::Text(std::string_view key) const {
  return object ? TextAt(*object, key) : "";
}

std::optional<bool> QuantWords::Flag(std::string_view key) const {
  return object ? FlagAt(*object, key) : std::nullopt;
}

// ---- QuantConfig ----

struct QuantConfig::Impl {
  Json object;
  QuantWords all;   ///< what is said of every module
  QuantWords none;  ///< nothing but the object
  Exclusions excluded;
  std::vector<Group> groups;
  bool has_groups = false, by_layer = false;
  Entries entries;  ///< of MLX, AutoRound (extra_config), ModelOpt (quantized_layers)
  std::vector<Rule> rules;

  void Read();
  void ReadRules(const Json& table);
  std::optional<QuantWords> Own(string_view module) const;
  QuantWords Merged(const std::string& name, const Json& value) const;
};

void QuantConfig::Impl::Read() {
  // hf_quant_config.json: {"producer": .., "quantization": {..}}
  if (const Json* inner = Member(object, "quantization"); inner && inner->is_object()) {
    object = Json(*inner);
  }
  none.object = all.object = &object;
  if (!object.is_object()) return;
  all.entry = kConfig;
  all.method = QuantMethod(object);
  all.format = TextAt(object, "format");
  if (all.method.empty() && !TextAt(object, "quant_algo").empty()) all.method = "modelopt";
  for (const char* key : {"ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules",
                          "llm_int8_skip_modules"}) {
    if (const Json* list = Member(object, key)) excluded.Add(*list);
  }
  if (const Json* table = Member(object, "config_groups"); table && table->is_object()) {
    has_groups = true;
    for (const auto& [name, group] : table->items()) groups.emplace_back(name, group, all);
    return;
  }
  ReadFlat(object, all);
  if (const Json* layers = Member(object, "quantized_layers"); layers && layers->is_object()) {
    by_layer = true;
    for (const auto& [name, value] : layers->items()) entries.Add(name, value);
  }
  for (const char* key : {"dynamic", "extra_config"}) {
    if (const Json* table = Member(object, key); table && table->is_object()) ReadRules(*table);
  }
  if (!all.method.empty()) return;
  for (const auto& [name, value] : object.items()) {
    if (value.is_object() || value.is_boolean()) entries.Add(name, value);
  }
}

void QuantConfig::Impl::ReadRules(const Json& table) {
  for (const auto& [name, value] : table.items()) {
    entries.Add(name, value);
    const bool marked = name.starts_with("-:") || name.starts_with("+:");
    rules.push_back({name, NamePattern(string_view(name).substr(marked ? 2 : 0)),
                     name.starts_with("-:"), &value});
  }
}

/// MLX takes a module's entry alone, the others fill it up from what is said of all.
QuantWords QuantConfig::Impl::Merged(const std::string& name, const Json& value) const {
  QuantWords words = all;
  if ((all.method.empty() || by_layer) && value != true) words = none;
  words.method = all.method;
  words.entry = fmt::format("{}, {}", kConfig, Printable(name));
  if (all.method.empty() && rules.empty()) words.quantized = value != false;
  ReadFlat(value, words);
  return words;
}

std::optional<QuantWords> QuantConfig::Impl::Own(string_view module) const {
  if (const Entries::Entry* entry = entries.Find(module)) return Merged(entry->name, *entry->value);
  for (const Rule& rule : rules) {
    if (!rule.pattern.Matches(module)) continue;
    return rule.excludes ? none : Merged(rule.name, *rule.value);
  }
  return std::nullopt;
}

QuantConfig::QuantConfig(Json quantization) {
  auto impl = std::make_unique<Impl>();
  impl->object = std::move(quantization);
  impl->Read();
  impl_ = std::move(impl);
}

QuantConfig::~QuantConfig() = default;
QuantConfig::QuantConfig(QuantConfig&&) noexcept = default;
QuantConfig& QuantConfig::operator=(QuantConfig&&) noexcept = default;

std::vector<QuantWords> QuantConfig::Of(std::string_view module) const {
  constexpr size_t kLongestName = 1024;  // of a longer one each part would be looked up
  if (module.size() > kLongestName) return {impl_->none};
  if (impl_->excluded.Holds(module)) return {impl_->none};
  if (!impl_->has_groups) {
    const auto own = impl_->Own(module);
    if (own) return {*own};
    return {impl_->by_layer ? impl_->none : impl_->all};
  }
  int best = 1;
  std::vector<QuantWords> words;
  for (const Group& group : impl_->groups) {
    const int level = group.Level(module);
    if (level < best) continue;
    if (level > best) words.clear();
    best = level;
    words.push_back(group.words);
  }
  if (words.empty()) words.push_back(impl_->none);
  return words;
}

std::string QuantMethod(const Json& quantization) {
  const std::string method = TextAt(quantization, "quant_method");
  if (method == "intel/auto-round") return "auto-round";
  if (method == "gptq_marlin" || method == "awq_marlin") return method.substr(0, method.find('_'));
  return method.starts_with("modelopt") ? "modelopt" : method;
}

std::string_view ModuleOf(std::string_view payload) {
  for (const string_view suffix : {".weight", ".weight_packed", ".qweight", "_blocks", ".blocks"}) {
    if (payload.ends_with(suffix)) return payload.substr(0, payload.size() - suffix.size());
  }
  return payload;
}

// ---- statements ----

namespace {

std::optional<GridSize> GridOfBlocks(const QuantWords& words, uint64_t rows, uint64_t cols) {
  if (words.block_rows == 0) return std::nullopt;
  return GridSize{CeilDiv(rows, words.block_rows), CeilDiv(cols, words.block_cols)};
}

}  // namespace

std::optional<GridSize> GridOf(const QuantWords& words, uint64_t rows, uint64_t cols) {
  if (words.strategy == "tensor") return GridSize{1, 1};
  if (words.strategy == "channel") return GridSize{rows, 1};
  if (words.strategy == "block") return GridOfBlocks(words, rows, cols);
  const bool groups = words.strategy.empty() || words.strategy.ends_with("group");
  if (!groups || !words.group) return std::nullopt;
  return GridSize{rows, *words.group == 0 ? 1 : CeilDiv(cols, *words.group)};
}

Statement Says(std::string_view name, const std::string& said, std::string_view found) {
  return {std::string(name), said, std::string(found), said.empty() || said == found};
}

Statement Says(std::string_view name, const std::optional<uint64_t>& said, uint64_t found) {
  return Says(name, said ? fmt::to_string(*said) : "", fmt::to_string(found));
}

Statement Says(std::string_view name, const std::optional<bool>& said, bool found) {
  return Says(name, said ? fmt::to_string(*said) : "", fmt::to_string(found));
}

namespace {

/// Where the strategy's size is not said: a group still is of one row, and a block of several.
Statement SaysStrategy(const QuantWords& words, uint64_t rows, GridSize found) {
  const bool by_row = found.rows == rows;
  const bool fits = words.strategy == "block"           ? !by_row || rows == 1
                    : words.strategy.ends_with("group") ? by_row
                                                        : true;
  return {"strategy", words.strategy, fmt::format("{} x {} scales", found.rows, found.cols), fits};
}

}  // namespace

Statement SaysGrid(const QuantWords& words, uint64_t rows, uint64_t cols, GridSize found) {
  const auto wanted = GridOf(words, rows, cols);
  if (!wanted) return SaysStrategy(words, rows, found);
  const uint64_t group = words.group.value_or(0);
  std::string how = words.strategy.empty() ? "group" : words.strategy;
  if (how.ends_with("group")) {
    how += fmt::format(" {}", group);
  } else if (group > 0 && *wanted != GridSize{rows, CeilDiv(cols, group)}) {
    return {"group_size", fmt::to_string(group), "strategy " + how, false};
  }
  if (how == "block") {
    how += fmt::format(" {} x {}", words.block_rows, words.block_cols);
  } else if (GridOfBlocks(words, rows, cols).value_or(*wanted) != *wanted) {
    return {"block_structure", fmt::format("{} x {}", words.block_rows, words.block_cols),
            "strategy " + how, false};
  }
  return {"scales", fmt::format("{} x {} for strategy {}", wanted->rows, wanted->cols, how),
          fmt::format("{} x {}", found.rows, found.cols), *wanted == found};
}

Statement SaysZeroPoints(const QuantWords& words, bool found) {
  return {"symmetric", words.symmetric == true ? "true" : "false",
          found ? "with zero points" : "without zero points",
          !words.symmetric || *words.symmetric != found};
}

namespace {

/// `known` is what the codecs know: another text says nothing.
Statement SaysOneOf(std::string_view name, const std::string& said,
                    std::initializer_list<std::string_view> fitting,
                    std::initializer_list<std::string_view> known) {
  const auto holds = [&](const auto& list) {
    return std::find(list.begin(), list.end(), said) != list.end();
  };
  return {std::string(name), said, fitting.size() > 0 ? std::string(*fitting.begin()) : "none",
          holds(fitting) || !holds(known)};
}

}  // namespace

Statement SaysMethod(const QuantWords& words, std::initializer_list<std::string_view> methods) {
  // A mode without a method is MLX's.
  const bool mlx = std::find(methods.begin(), methods.end(), "mlx") != methods.end();
  if (!mlx && !words.mode.empty())
    return {"mode", words.mode, std::string(*methods.begin()), false};
  return SaysOneOf("quant_method", words.method, methods,
                   {"gptq", "awq", "compressed-tensors", "fp8", "fbgemm_fp8", "mxfp8", "mxfp4",
                    "bitsandbytes", "modelopt"});
}

Statement SaysFormat(const QuantWords& words, std::initializer_list<std::string_view> formats) {
  return SaysOneOf(
      "format", words.format, formats,
      {"pack-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp6-pack-quantized",
       "mxfp8-quantized", "float-quantized", "int-quantized", "naive-quantized"});
}

Result<void> CheckStatements(const TensorRef& payload, const std::optional<TensorRef>& companion,
                             const QuantWords& words, const std::vector<Statement>& statements) {
  if (!words.demand.empty()) {
    return WrongCompanion(payload, fmt::format("{} ({})", words.demand, words.entry), companion);
  }
  for (const Statement& statement : statements) {
    if (statement.agrees) continue;
    return WrongCompanion(payload,
                          fmt::format("{} {} ({}), not {}", statement.name,
                                      Printable(statement.said), words.entry, statement.found),
                          companion);
  }
  return {};
}

}  // namespace moe

#include "run/schemes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "measure/quant_modes.h"
#include "run/config_keys.h"
#include "run/config_template.h"

namespace moe {
namespace {

constexpr std::string_view kAffine = "affine";
constexpr int64_t kUsualGroup = 64;  // of affine: what MLX takes when it is not told

struct SchemeSet {
  std::string_view name, members;
};
constexpr SchemeSet kSets[] = {
    {"mlx", "q3,q4,q5,q6,q8,mxfp4,mxfp8,nvfp4,q4g32"},
    {"template", ""},  // as ConfigTemplateText() has it
    {"all", ""},       // KnownSchemes()
};

/// "q4"; "" for a mode whose codes have one width.
std::string BitsText(const QuantMode& mode, int64_t bits) {
  return mode.bits.size() == 1 ? "" : fmt::format("q{}", bits);
}

QuantScheme Named(const QuantMode& mode, int64_t bits, int64_t group) {
  const std::string width = BitsText(mode, bits);
  std::string name = fmt::format("{}{}{}_g{}", mode.name, width.empty() ? "" : "_", width, group);
  return {std::move(name), std::string(mode.name), bits, group};
}

/// The same with searched scales.
QuantScheme Searched(QuantScheme scheme) {
  scheme.name += QuantScheme::kSearchEnding;
  return scheme;
}

/// Every scheme of MLX's that can be simulated, under its one name.
std::vector<QuantScheme> KnownSchemes() {
  std::vector<QuantScheme> schemes;
  for (const QuantMode& mode : QuantModes()) {
    for (const int64_t bits : mode.bits) {
      for (const int64_t group : mode.group_sizes) schemes.push_back(Named(mode, bits, group));
    }
  }
  return schemes;
}

/// "q4", "mxfp4": without the group.
std::string Stem(const QuantMode& mode, const QuantScheme& scheme) {
  const std::string width = BitsText(mode, scheme.bits);
  return mode.name == kAffine ? width : scheme.mode + width;
}

/// "q4g32", "mxfp4g32": with it.
std::string StemWithGroup(const QuantMode& mode, const QuantScheme& scheme) {
  return fmt::format("{}g{}", Stem(mode, scheme), scheme.group_size);
}

/// The template's quant_schemes and delta_pairs.
SchemeChoice TemplateChoice() {
  const auto config = ParseConfig(ConfigTemplateText(""), "template");
  return {config->quant_schemes, config->delta_pairs};
}

tl::unexpected<Error> UnknownScheme(std::string_view word) {
  std::vector<std::string> known;
  for (const SchemeSet& set : kSets) known.emplace_back(set.name);
  for (const QuantScheme& scheme : KnownSchemes()) {
    known.push_back(ShortSchemeName(scheme));
    known.push_back(scheme.name);
  }
  const auto closest = ClosestName(LowerAscii(word), known);
  return Fail(
      ErrorCode::kBadArgument, "--schemes",
      fmt::format("there is no scheme '{}'{}", word,
                  closest ? "; did you mean '" + *closest + "'?" : ""),
      "q4 (affine, 4 bits, groups of 64), q4g32, mxfp4, mxfp8, nvfp4, ..., each of them also "
      "as q4+search, or a set: mlx, template, all");
}

/// The schemes that one word of a list stands for.
Result<std::vector<QuantScheme>> Expand(std::string_view word) {
  const auto* set = std::ranges::find(kSets, LowerAscii(word), &SchemeSet::name);
  if (set == std::end(kSets)) {
    if (auto scheme = ParseScheme(word)) return std::vector{std::move(*scheme)};
    return UnknownScheme(word);
  }
  if (set->name == "template") return TemplateChoice().schemes;
  if (set->name == "all") return KnownSchemes();
  std::vector<QuantScheme> schemes;
  for (const std::string_view member : SplitAtCommas(set->members)) {
    schemes.push_back(*ParseScheme(member));
  }
  return schemes;
}

using Schemes = std::vector<QuantScheme>;

/// The affine scheme nearest below `scheme` in bits, in equal groups.
const QuantScheme* FewerBits(const Schemes& schemes, const QuantScheme& scheme) {
  const QuantScheme* best = nullptr;
  for (const QuantScheme& other : schemes) {
    const bool fits =
        other.mode == kAffine && other.group_size == scheme.group_size && other.bits < scheme.bits;
    if (fits && (best == nullptr || other.bits > best->bits)) best = &other;
  }
  return best;
}

/// The affine scheme of equal bits with the next larger groups.
const QuantScheme* LargerGroups(const Schemes& schemes, const QuantScheme& scheme) {
  const QuantScheme* best = nullptr;
  for (const QuantScheme& other : schemes) {
    const bool fits =
        other.mode == kAffine && other.bits == scheme.bits && other.group_size > scheme.group_size;
    if (fits && (best == nullptr || other.group_size < best->group_size)) best = &other;
  }
  return best;
}

/// Affine of as many bits, in the usual groups if there is one.
const QuantScheme* AffineTwin(const Schemes& schemes, const QuantScheme& scheme) {
  const QuantScheme* best = nullptr;
  for (const QuantScheme& other : schemes) {
    if (other.mode != kAffine || other.bits != scheme.bits) continue;
    if (best == nullptr || other.group_size == kUsualGroup) best = &other;
  }
  return best;
}

/// What MLX makes of the same form.
const QuantScheme* WithoutSearch(const Schemes& schemes, const QuantScheme& scheme) {
  const auto found = std::ranges::find_if(schemes, [&](const QuantScheme& other) {
    return other.mode == scheme.mode && other.bits == scheme.bits &&
           other.group_size == scheme.group_size;
  });
  return found == schemes.end() ? nullptr : &*found;
}

/// What is searched is compared with what is not alone.
std::vector<DeltaPair> PairsOf(const Schemes& all) {
  std::vector<DeltaPair> pairs;
  Schemes schemes = all;
  std::erase_if(schemes, &QuantScheme::search);
  const auto add = [&](const QuantScheme& a, const QuantScheme* b) {
    if (b == nullptr) return;
    pairs.push_back({ShortSchemeName(a) + "_minus_" + ShortSchemeName(*b), a.name, b->name});
  };
  for (const QuantScheme& scheme : all) {
    if (scheme.search()) {
      add(scheme, WithoutSearch(schemes, scheme));
    } else if (scheme.mode == kAffine) {
      add(scheme, FewerBits(schemes, scheme));
      add(scheme, LargerGroups(schemes, scheme));
    } else {
      add(scheme, AffineTwin(schemes, scheme));
    }
  }
  return pairs;
}

/// `scheme`, or the same in the largest groups below that divide some number of `columns`.
std::optional<QuantScheme> Fitting(const QuantScheme& scheme, const std::set<uint64_t>& columns) {
  const QuantMode* mode = FindQuantMode(scheme.mode);
  if (mode == nullptr) return std::nullopt;
  int64_t best = 0;
  for (const int64_t group : mode->group_sizes) {
    const bool divides = std::ranges::any_of(
        columns, [&](uint64_t count) { return count % static_cast<uint64_t>(group) == 0; });
    if (divides && group <= scheme.group_size) best = std::max(best, group);
  }
  if (best == 0) return std::nullopt;
  QuantScheme fitting = Named(*mode, scheme.bits, best);
  return scheme.search() ? Searched(std::move(fitting)) : fitting;
}

/// Adds `scheme` unless it is there.
void AddOnce(QuantScheme scheme, Schemes& schemes) {
  const auto there = std::ranges::find(schemes, scheme.name, &QuantScheme::name);
  if (there == schemes.end()) schemes.push_back(std::move(scheme));
}

/// Whether `value` is one of `allowed`; else the error at `pointer`.
Result<void> CheckOneOf(std::span<const int64_t> allowed, int64_t value, std::string_view mode,
                        const std::string& where, const std::string& pointer) {
  if (std::ranges::find(allowed, value) != allowed.end()) return {};
  const char* one_of = allowed.size() == 1 ? "" : "one of ";
  return BadConfigValue(where, pointer,
                        fmt::format("must be {}{} in mode {}, but is {}", one_of,
                                    fmt::join(allowed, ", "), mode, value));
}

Result<void> CheckScheme(const QuantScheme& scheme, const std::string& where,
                         const std::string& pointer) {
  const QuantMode* mode = FindQuantMode(scheme.mode);
  if (mode == nullptr) {
    std::vector<std::string> known;
    for (const QuantMode& other : QuantModes()) known.emplace_back(other.name);
    const auto closest = ClosestName(LowerAscii(scheme.mode), known);
    return BadConfigValue(
        where, pointer + "/mode",
        fmt::format("must be one of {}, but is \"{}\"{}", fmt::join(known, ", "), scheme.mode,
                    closest ? "; did you mean \"" + *closest + "\"?" : ""));
  }
  return CheckOneOf(mode->bits, scheme.bits, mode->name, where, pointer + "/bits").and_then([&] {
    return CheckOneOf(mode->group_sizes, scheme.group_size, mode->name, where,
                      pointer + "/group_size");
  });
}

/// An integer of a config, which may be written 4.0.
void ReadInteger(const Json& entry, const char* key, int64_t& value) {
  if (const Json* found = entry.Find(key)) value = found->get<int64_t>();
}

}  // namespace

std::string ShortSchemeName(const QuantScheme& scheme) {
  const QuantMode* mode = FindQuantMode(scheme.mode);
  if (mode == nullptr) return "";
  const int64_t usual = mode->name == kAffine ? kUsualGroup : mode->default_group_size;
  const bool leaves_out = mode->group_sizes.size() == 1 || scheme.group_size == usual;
  const std::string stem = leaves_out ? Stem(*mode, scheme) : StemWithGroup(*mode, scheme);
  return scheme.search() ? stem + std::string(QuantScheme::kSearchEnding) : stem;
}

std::optional<QuantScheme> ParseScheme(std::string_view text) {
  std::string word = LowerAscii(Trimmed(text));
  if (word.ends_with(QuantScheme::kSearchEnding)) {
    word.resize(word.size() - QuantScheme::kSearchEnding.size());
    if (word.ends_with(QuantScheme::kSearchEnding)) return std::nullopt;
    auto scheme = ParseScheme(word);
    if (scheme) scheme = Searched(std::move(*scheme));
    return scheme;
  }
  if (word.starts_with("affine_")) word.erase(0, std::string_view("affine_").size());
  std::erase(word, '_');
  for (QuantScheme& scheme : KnownSchemes()) {
    const bool whole = word == StemWithGroup(*FindQuantMode(scheme.mode), scheme);
    if (whole || word == ShortSchemeName(scheme)) return std::move(scheme);
  }
  return std::nullopt;
}

std::vector<std::string_view> SplitAtCommas(std::string_view list) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t comma = list.find(',');
    words.push_back(Trimmed(list.substr(0, comma)));
    if (comma == std::string_view::npos) return words;
    list.remove_prefix(comma + 1);
  }
}

Result<SchemeChoice> ParseSchemes(std::string_view list) {
  const auto words = SplitAtCommas(list);
  if (words.size() == 1 && LowerAscii(words[0]) == "template") return TemplateChoice();
  SchemeChoice choice;
  for (const std::string_view word : words) {
    auto schemes = Expand(word);
    if (!schemes) return tl::make_unexpected(schemes.error());
    for (QuantScheme& scheme : *schemes) AddOnce(std::move(scheme), choice.schemes);
  }
  choice.delta_pairs = PairsOf(choice.schemes);
  return choice;
}

SchemeChoice FittingSchemes(const SchemeChoice& choice, const std::set<uint64_t>& columns) {
  SchemeChoice fitting;
  for (const QuantScheme& scheme : choice.schemes) {
    if (auto fit = Fitting(scheme, columns)) AddOnce(std::move(*fit), fitting.schemes);
  }
  fitting.delta_pairs = PairsOf(fitting.schemes);
  return fitting.schemes.empty() ? choice : fitting;
}

std::vector<std::string> KeepOwnPairs(const Config& config, SchemeChoice& choice) {
  const auto has = [&](const std::string& name) {
    return std::ranges::count(choice.schemes, name, &QuantScheme::name) > 0;
  };
  const auto derived = PairsOf(config.quant_schemes);
  std::vector<DeltaPair> kept;
  std::vector<std::string> dropped;
  for (const DeltaPair& own : config.delta_pairs) {
    if (std::ranges::count(derived, own) > 0) continue;
    if (!has(own.a) || !has(own.b)) {
      dropped.push_back(own.name);
      continue;
    }
    std::erase_if(choice.delta_pairs, [&](const DeltaPair& pair) {
      return pair.name == own.name || (pair.a == own.a && pair.b == own.b);
    });
    kept.push_back(own);
  }
  std::ranges::copy(kept, std::back_inserter(choice.delta_pairs));
  return dropped;
}

bool SameSchemes(const std::vector<QuantScheme>& a, const std::vector<QuantScheme>& b) {
  return std::ranges::equal(a, b, [](const QuantScheme& x, const QuantScheme& y) {
    return x.name == y.name && x.mode == y.mode && x.bits == y.bits && x.group_size == y.group_size;
  });
}

bool IsEnabled(const Json& entry) {
  return ValueIn(entry, *FindConfigKey("/quant_schemes/*/enabled")).get<bool>();
}

QuantScheme SchemeOf(const Json& entry) {
  QuantScheme scheme;
  scheme.name = entry["name"].text();
  scheme.mode = entry["mode"].text();
  if (const QuantMode* mode = FindQuantMode(scheme.mode)) {
    scheme.bits = mode->default_bits;
    scheme.group_size = mode->default_group_size;
  }
  ReadInteger(entry, "bits", scheme.bits);
  ReadInteger(entry, "group_size", scheme.group_size);
  return scheme;
}

Result<std::vector<std::string>> CheckSchemes(const Config& config, std::string_view where) {
  const Json& entries = config.raw["quant_schemes"];
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!IsEnabled(entries[i])) continue;
    auto done =
        CheckScheme(SchemeOf(entries[i]), std::string(where), fmt::format("/quant_schemes/{}", i));
    if (!done) return tl::make_unexpected(done.error());
  }
  std::vector<std::string> warnings;
  for (size_t i = 0; i < config.delta_pairs.size(); ++i) {
    const DeltaPair& pair = config.delta_pairs[i];
    for (const auto& [key, name] : {std::pair{"a", &pair.a}, std::pair{"b", &pair.b}}) {
      const auto& schemes = config.quant_schemes;
      if (std::ranges::find(schemes, *name, &QuantScheme::name) != schemes.end()) continue;
      warnings.push_back(
          fmt::format("[config] /delta_pairs/{}/{}: no enabled scheme is named \"{}\"; the pair "
                      "will have no rows",
                      i, key, *name));
    }
  }
  return warnings;
}

void PutSchemes(const SchemeChoice& choice, Json& config) {
  Json schemes = Json::Array(), pairs = Json::Array();
  for (const QuantScheme& scheme : choice.schemes) {
    schemes.push_back({{"name", scheme.name},
                       {"mode", scheme.mode},
                       {"bits", scheme.bits},
                       {"group_size", scheme.group_size},
                       {"enabled", true}});
  }
  for (const DeltaPair& pair : choice.delta_pairs) {
    pairs.push_back({{"name", pair.name}, {"a", pair.a}, {"b", pair.b}});
  }
  config["quant_schemes"] = std::move(schemes);
  config["delta_pairs"] = std::move(pairs);
}

}  // namespace moe

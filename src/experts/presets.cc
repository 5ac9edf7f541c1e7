#include "experts/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace moe {
namespace {

constexpr std::string_view kAnyModule = "*";
constexpr std::string_view kAnyFamily = "any";

// What any family may be re-saved as, under any module.
constexpr Placement kCommonRouted[] = {
    {"PE-gud", "*"}, {"PE-w123", "*"}, {"ST", "*"},    {"MX-s", "*"}, {"MX-e", "*"},
    {"MX-g", "*"},   {"MX-f", "*"},    {"MX-fc", "*"}, {"w2", "*"},
};
constexpr Placement kCommonShared[] = {
    {"gud", R"((?:[^.]+\.)*share(?:d_experts?|_expert|d_mlp))"},
    {"w123", R"((?:[^.]+\.)*shared_experts?)"},
    {"lin", R"((?:[^.]+\.)*shared_mlp)"},
    {"shared gate_up", R"((?:[^.]+\.)*shared_(?:experts?|mlp))"},
};
constexpr const char* kCommonLayers = R"((?:.*\.)?(?:layers|blocks|h|mtp_block))";
constexpr const char* kGgufLayers = "blk";

const LayoutClass& ClassNamed(std::string_view name) {
  const auto classes = AllLayoutClasses();
  return *std::find_if(classes.begin(), classes.end(),
                       [&](const LayoutClass& row) { return row.name == name; });
}

// A tail as PCRE2: dots are dots, '#' is the expert's number.
std::string TailPattern(std::string_view tail) {
  std::string pattern;
  for (const char c : tail) {
    if (c == '.')
      pattern += R"(\.)";
    else if (c == '#')
      pattern += R"((\d+))";
    else
      pattern += c;
  }
  return pattern;
}

// What follows the last part of a tail that is not plain text.
std::string PlainSuffix(std::string_view tail) {
  const size_t special = tail.find_last_of("#)?");
  return std::string(special == std::string_view::npos ? tail : tail.substr(special + 1));
}

RuleLayout LayoutOf(const LayoutPart& part) {
  const bool in_out = part.order == AxisOrder::kInOut;
  if (part.ndim == 2) return {{}, {}, 0, 1};
  return in_out ? RuleLayout{{}, 0, 2, 1} : RuleLayout{{}, 0, 1, 2};
}

PresetRule MakeRule(std::string_view family, const char* layers, const Placement& placement,
                    const LayoutPart& part, bool shared) {
  PresetRule made;
  const std::string_view module = placement.module;
  const std::string path = module == kAnyModule ? R"((?:\.[^.]+)*)"
                           : module.empty()     ? ""
                                                : fmt::format(R"(\.(?:{}))", module);
  ExtractRule& rule = made.rule;
  rule.name = fmt::format("{}:{}", family, placement.layout);
  rule.match = fmt::format(R"(^{}\.(\d+){}\.{}$)", layers, path, TailPattern(part.tail));
  rule.ndim = part.ndim;
  rule.layout = LayoutOf(part);
  if (std::string_view(part.tail).find('#') != std::string_view::npos) rule.expert_group = 2;
  made.family = family;
  made.suffix = PlainSuffix(part.tail);
  made.shared = shared;
  made.order = part.order;
  made.flat = part.flat;
  made.flat_transposed = part.flat_transposed;
  if (part.projs.size() == 1) {
    made.proj = part.projs.front();
  } else {
    PackedSplit split;
    split.equal = true;
    split.projs.assign(part.projs.begin(), part.projs.end());
    split.interleave = part.interleaved;
    rule.packed_split = std::move(split);
  }
  return made;
}

class RuleList {
 public:
  void Add(std::string_view family, const char* layers, std::span<const Placement> placements,
           bool shared) {
    for (const Placement& placement : placements) {
      for (const LayoutPart& part : ClassNamed(placement.layout).parts) {
        PresetRule rule = MakeRule(family, layers, placement, part, shared);
        if (seen_.insert(fmt::format("{} {}", rule.rule.match, part.ndim)).second) {
          rules_.push_back(std::move(rule));
        }
      }
    }
  }
  void Add(const Family& family) {
    Add(family.name, family.layers, family.routed, false);
    Add(family.name, family.layers, family.shared, true);
  }
  void AddCommon() {
    Add(kAnyFamily, kCommonLayers, kCommonRouted, false);
    Add(kAnyFamily, kCommonLayers, kCommonShared, true);
    constexpr Placement kGguf[] = {{"GGUF", ""}};
    constexpr Placement kGgufShared[] = {{"GGUF shared", ""}};
    Add(kAnyFamily, kGgufLayers, kGguf, false);
    Add(kAnyFamily, kGgufLayers, kGgufShared, true);
  }
  std::vector<PresetRule> Take() { return std::move(rules_); }

 private:
  std::vector<PresetRule> rules_;
  std::set<std::string> seen_;
};

bool HasSign(const Family& family, std::span<const WeightShape> weights) {
  return family.sign != nullptr &&
         std::any_of(weights.begin(), weights.end(),
                     [&](const WeightShape& weight) { return weight.name.ends_with(family.sign); });
}

bool Names(const std::vector<const char*>& list, std::string_view name) {
  return !name.empty() && std::find(list.begin(), list.end(), name) != list.end();
}

std::string Joined(const std::vector<const char*>& names) {
  return names.empty() ? "-" : fmt::format("`{}`", fmt::join(names, "`, `"));
}

std::string PlacementsText(const std::vector<Placement>& placements) {
  if (placements.empty()) return "-";
  std::string text;
  for (const Placement& placement : placements) {
    text += text.empty() ? "" : "; ";
    text += placement.layout;
    if (*placement.module != '\0') text += fmt::format(" under `{}`", placement.module);
  }
  // A vertical bar ends a cell of the table.
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.insert(at, "\\");
  }
  return text;
}

const char* OrderText(const LayoutPart& part) {
  if (part.flat) return part.flat_transposed ? "[E*in, out]" : "[E*out, in]";
  if (part.ndim == 2) return "[out, in]";
  switch (part.order) {
    case AxisOrder::kOutIn:
      return "[E, out, in]";
    case AxisOrder::kInOut:
      return "[E, in, out]";
    case AxisOrder::kByShapes:
      return "[E, out, in] or [E, in, out], by the shapes";
  }
  return "";
}

}  // namespace

const Family* FindFamily(std::string_view model_type, std::string_view gguf_arch,
                         std::span<const WeightShape> weights) {
  const auto families = AllFamilies();
  const auto find = [&](const auto& fits) {
    const auto found = std::find_if(families.begin(), families.end(), fits);
    return found == families.end() ? nullptr : &*found;
  };
  if (const Family* family =
          find([&](const Family& row) { return Names(row.model_types, model_type); })) {
    return family;
  }
  if (const Family* family =
          find([&](const Family& row) { return Names(row.gguf_archs, gguf_arch); })) {
    return family;
  }
  return find([&](const Family& row) { return HasSign(row, weights); });
}

const Family* FamilyNamed(std::string_view name) {
  const auto families = AllFamilies();
  const auto named = std::find_if(families.begin(), families.end(),
                                  [&](const Family& row) { return row.name == name; });
  return named == families.end() ? nullptr : &*named;
}

Result<std::vector<PresetRule>> PresetRules(std::string_view choice, const Family* family,
                                            std::span<const WeightShape> weights) {
  RuleList rules;
  if (choice == "off") return rules.Take();
  if (choice != "auto") {
    const Family* named = FamilyNamed(choice);
    if (named == nullptr) {
      std::string known = "auto, off";
      for (const Family& row : AllFamilies()) known += std::string(", ") + row.name;
      return Fail(ErrorCode::kBadArgument, "/parsing/presets",
                  fmt::format("there is no preset '{}'", choice), "known: " + known);
    }
    rules.Add(*named);
    rules.AddCommon();
    return rules.Take();
  }
  if (family != nullptr) rules.Add(*family);
  rules.AddCommon();
  for (const Family& other : AllFamilies()) {
    if (other.sign == nullptr || HasSign(other, weights)) rules.Add(other);
  }
  return rules.Take();
}

std::string ArchitecturesMarkdown() {
  std::string text =
      "| row | family | preset | model_type | GGUF | routed experts | shared experts | router |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const Family& row : AllFamilies()) {
    text += fmt::format("| {} | {} | `{}` | {} | {} | {} | {} | {} |\n", row.row, row.title,
                        row.name, Joined(row.model_types), Joined(row.gguf_archs),
                        PlacementsText(row.routed), PlacementsText(row.shared), row.router);
  }
  text +=
      "\n| layout class | tensor, below the module | axes | projections |\n"
      "| --- | --- | --- | --- |\n";
  for (const LayoutClass& row : AllLayoutClasses()) {
    for (const LayoutPart& part : row.parts) {
      const char* how = part.interleaved        ? ", alternating"
                        : part.projs.size() > 1 ? ", halves"
                                                : "";
      text += fmt::format("| {} | `{}` | {} | {}{} |\n", row.name, part.tail, OrderText(part),
                          fmt::join(part.projs, ", "), how);
    }
  }
  return text;
}

}  // namespace moe

#include "experts/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace moe {
namespace {

constexpr std::string_view kAnyModule = "*";
constexpr std::string_view kNumber = R"((\d+))";

// A tail as PCRE2: dots are dots, '#' is the expert's number.
std::string TailPattern(std::string_view tail) {
  std::string pattern;
  for (const char c : tail) {
    if (c == '.')
      pattern += R"(\.)";
    else if (c == '#')
      pattern += kNumber;
    else
      pattern += c;
  }
  return pattern;
}

// What follows the last part of a tail that is not plain text.
std::string_view PlainSuffix(std::string_view tail) {
  const size_t special = tail.find_last_of("#)?*+]}|\\");
  return special == std::string_view::npos ? tail : tail.substr(special + 1);
}

bool IsPlain(std::string_view tail) { return PlainSuffix(tail) == tail; }

// Any "(" but "\(", "(?:", "(?!" and "(?=": it would shift the groups of the rule.
bool Captures(std::string_view pattern) {
  for (size_t at = pattern.find('('); at != std::string_view::npos;
       at = pattern.find('(', at + 1)) {
    const bool escaped = at > 0 && pattern[at - 1] == '\\';
    const std::string_view kind = pattern.substr(at + 1, 2);
    if (!escaped && kind != "?:" && kind != "?!" && kind != "?=") return true;
  }
  return false;
}

// What is between the layer's number and the tail.
std::string ModulePattern(std::string_view module) {
  if (module == kAnyModule) return R"((?:\.[^.]+)*)";
  return module.empty() ? "" : fmt::format(R"(\.(?:{}))", module);
}

// The layer with its number, or a module below it.
std::string LayerPattern(const Family& family) {
  return fmt::format(R"((?:{})\.{})", family.layers, kNumber);
}

// Why a tensor of a layout class can't be understood; "": it can.
std::string FaultOf(const LayoutTensor& tensor) {
  const bool by_shapes = tensor.order == AxisOrder::kByShapes;
  if (Captures(tensor.tail)) return "a capturing group";
  if (tensor.projs.empty() || tensor.projs.size() > 2) return "neither one projection nor two";
  if (tensor.ndim != 2 && tensor.ndim != 3) return "neither 2 nor 3 axes";
  if (tensor.is_flat() && tensor.ndim != 2) return "all experts along the rows, but no 2 axes";
  if (by_shapes && tensor.ndim != 3) return "an order by shapes, but no 3 axes";
  if (by_shapes && !IsPlain(tensor.tail)) return "an order by shapes, but a tail that is no text";
  return "";
}

std::string FaultOf(const LayoutClass& layout) {
  for (const LayoutTensor& tensor : layout.tensors) {
    const std::string fault = FaultOf(tensor);
    if (!fault.empty()) {
      return fmt::format("'{}' of layout class '{}': {}", tensor.tail, layout.name, fault);
    }
  }
  return "";
}

std::string FaultOf(const Family& family) {
  const std::string_view router = family.router.matrix;
  if (!router.starts_with("M.") && !router.starts_with("P.")) {
    return "its router's name begins with neither 'M.' nor 'P.'";
  }
  return Captures(family.layers) ? "'layers' has a capturing group" : "";
}

tl::unexpected<Error> Fault(const Family& family, std::string text) {
  return Fail(ErrorCode::kBadArgument, fmt::format("family '{}'", family.name), std::move(text),
              "correct its row in families.cc");
}

RuleLayout LayoutOf(const LayoutTensor& tensor) {
  if (tensor.ndim == 2) return {{}, {}, 0, 1};
  return tensor.order == AxisOrder::kInOut ? RuleLayout{{}, 0, 2, 1} : RuleLayout{{}, 0, 1, 2};
}

// gate_up_proj has down_proj and down_proj has gate_up_proj; up_proj alone has nobody.
std::string_view PartnerTail(const LayoutClass& layout, const LayoutTensor& tensor) {
  if (tensor.order != AxisOrder::kByShapes) return "";
  for (const LayoutTensor& other : layout.tensors) {
    const bool fits =
        (tensor.is_fused() && other.is_down()) || (tensor.is_down() && other.is_fused());
    if (fits && other.order == AxisOrder::kByShapes) return other.tail;
  }
  return "";
}

PresetRule MakeRule(const Family& family, const Placement& placement, const LayoutClass& layout,
                    const LayoutTensor& tensor) {
  PresetRule made;
  made.family = &family;
  made.tensor = &tensor;
  made.suffix = PlainSuffix(tensor.tail);
  made.partner_tail = PartnerTail(layout, tensor);
  ExtractRule& rule = made.rule;
  rule.name = fmt::format("{}:{}", family.name, placement.layout);
  rule.match = fmt::format(R"(^(({}){})\.(?:{})$)", LayerPattern(family),
                           ModulePattern(placement.module), TailPattern(tensor.tail));
  rule.ndim = tensor.ndim;
  rule.layout = LayoutOf(tensor);
  if (std::string_view(tensor.tail).find('#') != std::string_view::npos) {
    rule.expert_group = PresetRule::kExpert;
  }
  if (tensor.is_fused()) {
    PackedSplit& split = rule.packed_split.emplace();
    split.equal = true;
    split.projs.assign(tensor.projs.begin(), tensor.projs.end());
    split.interleave = tensor.interleaved;
  }
  return made;
}

class RuleList {
 public:
  explicit RuleList(const FamilyTable& table) : table_(table) {}

  Result<void> Add(const Family& family) {
    if (std::string fault = FaultOf(family); !fault.empty()) return Fault(family, fault);
    if (auto done = Add(family, family.routed, false); !done) return done;
    for (const Placement& placement : family.routed) AddRouter(family, placement);
    return Add(family, family.shared, true);
  }
  Presets Take() { return std::move(presets_); }

 private:
  Result<void> Add(const Family& family, std::span<const Placement> placements, bool shared) {
    for (const Placement& placement : placements) {
      const LayoutClass* layout = table_.LayoutNamed(placement.layout);
      if (layout == nullptr) {
        return Fault(family, fmt::format("there is no layout class '{}'", placement.layout));
      }
      if (Captures(placement.module)) {
        return Fault(family, fmt::format("module '{}': a capturing group", placement.module));
      }
      if (std::string fault = FaultOf(*layout); !fault.empty()) return Fault(family, fault);
      for (const LayoutTensor& tensor : layout->tensors) {
        PresetRule rule = MakeRule(family, placement, *layout, tensor);
        rule.shared = shared;
        if (seen_.insert(fmt::format("{} {}", rule.rule.match, tensor.ndim)).second) {
          presets_.rules.push_back(std::move(rule));
        }
      }
    }
    return {};
  }

  // One below any module can't be told from other tensors by its name.
  void AddRouter(const Family& family, const Placement& placement) {
    if (placement.module == kAnyModule) return;
    const std::string_view name = family.router.matrix;
    RouterPattern router;
    router.suffix = name.substr(1);
    router.match = fmt::format("^{}{}{}$", LayerPattern(family),
                               name.front() == 'M' ? ModulePattern(placement.module) : "",
                               TailPattern(router.suffix));
    if (seen_.insert(router.match).second) presets_.routers.push_back(std::move(router));
  }

  const FamilyTable& table_;
  Presets presets_;
  std::set<std::string> seen_;
};

tl::unexpected<Error> NoPreset(std::string_view choice, const FamilyTable& table) {
  std::string known = "auto, off";
  for (const Family& row : table.families) known += std::string(", ") + row.name;
  return Fail(ErrorCode::kBadArgument, "/parsing/presets",
              fmt::format("there is no preset '{}'", choice), "known: " + known);
}

}  // namespace

std::string PresetMatch::RouterName() const {
  const std::string_view name = rule.family->router.matrix;
  const int64_t path = name.front() == 'M' ? PresetRule::kModule : PresetRule::kLayerPath;
  return std::string(groups.groups[static_cast<size_t>(path)].value_or("")).append(name.substr(1));
}

std::optional<std::string> PresetMatch::PartnerName() const {
  if (rule.partner_tail.empty()) return std::nullopt;
  const std::string_view own = rule.tensor->tail;
  return weight.name.substr(0, weight.name.size() - own.size()).append(rule.partner_tail);
}

Result<Presets> PresetsOf(std::string_view choice, const Family* family,
                          std::span<const WeightShape> weights, const FamilyTable& table) {
  RuleList rules(table);
  if (choice == "off") return rules.Take();
  const bool by_names = choice == "auto";
  if (!by_names && family == nullptr) return NoPreset(choice, table);
  std::vector<const Family*> chosen;
  if (family != nullptr) chosen.push_back(family);
  for (const Family& row : table.any) chosen.push_back(&row);
  for (const Family& row : table.families) {
    if (by_names && (!row.only_if_known || row.HasSign(weights))) chosen.push_back(&row);
  }
  for (const Family* row : chosen) {
    if (auto done = rules.Add(*row); !done) return tl::make_unexpected(std::move(done.error()));
  }
  return rules.Take();
}

}  // namespace moe

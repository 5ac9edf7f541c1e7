#include "experts/shape_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "experts/families.h"

namespace moe {
namespace {

constexpr std::array<const char*, 3> kProjNames = {kGateProj, kUpProj, kDownProj};

// "P.shared_expert" of "P.shared_expert.up_proj.weight": the module of an expert.
std::string ExpertModuleOf(std::string name) {
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) name.resize(name.size() - kWeight.size());
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

// The config's sizes are those of the text model.
bool ConfigSpeaksOf(const std::string& stack) {
  return stack.empty() || stack == "mtp" || stack == "thinker" || stack == "encoder" ||
         stack == "decoder";
}

// "; config: hidden size 256, expert width 512".
std::string SizesOf(const ModelFacts& facts) {
  std::string text;
  if (facts.hidden) text += fmt::format(", hidden size {}", *facts.hidden);
  if (facts.expert_width) text += fmt::format(", expert width {}", *facts.expert_width);
  return text.empty() ? "" : "; config: " + text.substr(2);
}

}  // namespace

// What the members of one expert say about its H (or I), and what the config says.
struct ShapeJudge::Side {
  bool hidden_side;
  const Members& members;
  std::optional<uint64_t> config;
  const std::map<uint64_t, uint64_t>* usual;  // value -> how many routed experts have it

  uint64_t Of(const Member& m) const { return hidden_side ? m.hidden() : m.width(); }

  std::optional<uint64_t> Unanimous() const {
    const uint64_t first = Of(members.front());
    for (const Member& m : members) {
      if (Of(m) != first) return std::nullopt;
    }
    return first;
  }

  size_t Votes(uint64_t value) const {
    return static_cast<size_t>(std::count_if(members.begin(), members.end(),
                                             [&](const Member& m) { return Of(m) == value; }));
  }

  // What other experts say of the values that the members have; nullopt: nothing, or two things.
  std::optional<uint64_t> Usual() const {
    std::map<uint64_t, std::set<uint64_t>> by_votes;
    for (const Member& m : members) {
      if (const auto found = usual->find(Of(m)); found != usual->end()) {
        by_votes[found->second].insert(found->first);
      }
    }
    if (by_votes.empty() || by_votes.rbegin()->second.size() > 1) return std::nullopt;
    return *by_votes.rbegin()->second.begin();
  }

  // nullopt: nobody can tell.
  std::optional<uint64_t> Truth() const {
    if (const auto all = Unanimous()) return all;
    if (config) return config;
    std::optional<uint64_t> rows;
    for (const Member& m : members) {
      if (!m.packed || !m.rows_are(hidden_side)) continue;
      if (rows && *rows != Of(m)) return std::nullopt;
      rows = Of(m);
    }
    if (rows) return rows;
    if (const auto found = Usual()) return found;
    for (const Member& m : members) {
      if (2 * Votes(Of(m)) > members.size()) return Of(m);
    }
    return std::nullopt;
  }

  // All agree against the config, but only by columns that a codec worked out.
  bool ContradictsConfig() const {
    const auto all = Unanimous();
    return config && all && *all != *config &&
           std::all_of(members.begin(), members.end(),
                       [&](const Member& m) { return m.packed && !m.rows_are(hidden_side); });
  }
};

void ShapeJudge::Add(size_t number, const WeightShape& weight, bool packed,
                     const Extraction& extraction) {
  if (extraction.layout_given) return;
  for (const ExpertBank& bank : extraction.banks) {
    const auto name = std::find(kProjNames.begin(), kProjNames.end(), bank.proj);
    if (name == kProjNames.end()) continue;
    const bool single = !bank.is_shared_expert && bank.experts == 1 && bank.single_expert_id;
    experts_[{bank.stack.value_or(""), bank.first_layer,
              bank.is_shared_expert ? ExpertModuleOf(weight.name) : "",
              single ? *bank.single_expert_id : -1}]
        .push_back({number, static_cast<Proj>(name - kProjNames.begin()), bank.experts, bank.rows,
                    bank.cols, packed});
  }
}

// All after the same share of their rows, of a stack in which no expert is whole.
bool ShapeJudge::CutOff(const Members& members, const Side& hidden, const Side& width) const {
  if (facts_.gguf_arch.empty() || !hidden.config || !width.config || !width.usual->empty()) {
    return false;
  }
  const auto whole = [&](const Member& m) {  // [rows, cols] by the config
    return m.rows_are(true) ? Shape(*hidden.config, *width.config)
                            : Shape(*width.config, *hidden.config);
  };
  const Member& first = members.front();
  return std::all_of(members.begin(), members.end(), [&](const Member& m) {
    const auto [rows, cols] = whole(m);
    return m.cols == cols && m.rows * whole(first).first == first.rows * rows;
  });
}

// Where half of the experts are as the config says, its width is that of experts, whatever the key,
// and the others contradict it.
std::map<std::string, ShapeJudge::StackSizes> ShapeJudge::CountSizes() const {
  std::map<std::string, StackSizes> stacks;
  const auto& hidden = facts_.expert_input ? facts_.expert_input : facts_.hidden;
  for (const auto& [key, members] : experts_) {
    const auto& [stack, layer, module, id] = key;
    const auto h = Side{true, members, {}, nullptr}.Unanimous();
    const auto i = Side{false, members, {}, nullptr}.Unanimous();
    if (!module.empty() || !h || !i) continue;
    StackSizes& sizes = stacks[stack];
    const uint64_t experts = members.front().experts;
    sizes.hidden[*h] += experts;
    sizes.width[*i] += experts;
    sizes.all += experts;
    if (h == hidden && i == facts_.expert_width) sizes.as_config += experts;
  }
  for (auto& [stack, sizes] : stacks) {
    const bool half = sizes.as_config > 0 && 2 * sizes.as_config >= sizes.all;
    if (half && ConfigSpeaksOf(stack)) sizes.of_config = Sizes(*hidden, *facts_.expert_width);
  }
  return stacks;
}

ShapeJudge::Verdict ShapeJudge::VerdictOn(const Side& hidden, const Side& width,
                                          const std::optional<Sizes>& of_config) {
  Verdict verdict{hidden.Truth(), width.Truth(), false};
  auto& [h, i, turned] = verdict;
  turned = hidden.config && h && i && hidden.Unanimous() && width.Unanimous() &&
           *h != *hidden.config && *i == *hidden.config;
  if (turned || hidden.ContradictsConfig()) h = hidden.config;
  if (turned || width.ContradictsConfig()) {
    i = turned && !width.config ? hidden.Truth() : width.config;
  }
  if (of_config) std::tie(h, i) = *of_config;
  return verdict;
}

// "expected 512 x 256, found 512 x 128 (gate_proj 512 x 256, ...; config: ...)".
std::string ShapeJudge::Verdict::Against(const Member& m, const Members& members,
                                         const std::string& config) const {
  std::string all;
  for (const Member& other : members) {
    all += fmt::format("{}{} {} x {}", all.empty() ? "" : ", ",
                       kProjNames[static_cast<size_t>(other.proj)], other.rows, other.cols);
  }
  const bool down = m.proj == Proj::kDown;
  const std::string expected =
      hidden && width
          ? fmt::format("expected {} x {}, found {} x {}", down ? *hidden : *width,
                        down ? *width : *hidden, m.rows, m.cols)
          : fmt::format("found {} x {}, which doesn't fit the other projections", m.rows, m.cols);
  return fmt::format("{}{} ({}{})", expected, turned ? ", the axes turned round" : "", all, config);
}

void ShapeJudge::JudgeShapes(const Key& key, const Members& members, const StackSizes& others,
                             std::map<size_t, std::string>& refusals) const {
  const auto& [stack, layer, module, id] = key;
  std::set<Proj> projs;
  for (const Member& m : members) {
    if (!projs.insert(m.proj).second) return;  // of several experts or layers, told apart by nobody
  }
  const bool spoken_of = ConfigSpeaksOf(stack), routed = module.empty();
  Side hidden{true, members, {}, &others.hidden}, width{false, members, {}, &others.width};
  if (spoken_of) {
    hidden.config = routed && facts_.expert_input ? facts_.expert_input : facts_.hidden;
    if (routed && facts_.width_is_of_experts) width.config = facts_.expert_width;
  }
  if (others.of_config) width.config = others.of_config->second;
  if (CutOff(members, hidden, width)) return;
  const Verdict verdict = VerdictOn(hidden, width, others.of_config);
  for (const Member& m : members) {
    if (m.hidden() == verdict.hidden && m.width() == verdict.width) continue;
    refusals.emplace(m.tensor, verdict.Against(m, members, spoken_of ? SizesOf(facts_) : ""));
  }
}

void ShapeJudge::JudgeCount(const Key& key, const Members& members, const std::set<Proj>& usual,
                            std::map<size_t, std::string>& refusals) const {
  const auto& [stack, layer, module, id] = key;
  if (!facts_.experts || *facts_.experts == 0 || !module.empty() || !ConfigSpeaksOf(stack)) return;
  for (const Member& m : members) {
    const uint64_t last = id < 0 ? m.experts - 1 : static_cast<uint64_t>(id);
    if (last < *facts_.experts) continue;
    std::string lacking;
    for (const Proj proj : usual) {
      const bool there = std::any_of(members.begin(), members.end(),
                                     [&](const Member& other) { return other.proj == proj; });
      if (!there) lacking = kProjNames[static_cast<size_t>(proj)];
    }
    if (facts_.zero_experts == 0 && (id < 0 || lacking.empty())) continue;
    refusals.emplace(
        m.tensor, fmt::format("expected experts 0 to {} (config.json: {} experts{}), found expert "
                              "{}{}",
                              *facts_.experts - 1, *facts_.experts,
                              facts_.zero_experts > 0
                                  ? fmt::format(" and {} identity experts, which have no weights",
                                                facts_.zero_experts)
                                  : "",
                              last, lacking.empty() ? "" : " without " + lacking));
  }
}

// How many experts (or stacks, by their hidden size) have a shape.
std::map<ShapeJudge::Peers, ShapeJudge::Votes> ShapeJudge::VotesOfPeers() const {
  std::map<Peers, Votes> votes;
  for (const auto& [key, members] : experts_) {
    const auto& [stack, layer, module, id] = key;
    if (!module.empty()) continue;
    for (const Member& m : members) {
      if (id >= 0) {
        ++votes[{stack, layer, m.proj}][{m.rows, m.cols}];
      } else {
        ++votes[{stack, kAnyLayer, m.proj}][{m.hidden(), 0}];
      }
    }
  }
  return votes;
}

bool ShapeJudge::ConfigSays(const Member& m, const std::string& stack) const {
  const auto& hidden = facts_.expert_input ? facts_.expert_input : facts_.hidden;
  return ConfigSpeaksOf(stack) && facts_.width_is_of_experts && m.hidden() == hidden &&
         m.width() == facts_.expert_width;
}

// The shape of nearly all; nullopt: there is none.
std::optional<ShapeJudge::Shape> ShapeJudge::UsualShape(const Votes& votes) {
  size_t all = 0;
  std::pair<Shape, size_t> most;
  for (const auto& shape : votes) {
    all += shape.second;
    if (shape.second > most.second) most = shape;
  }
  const size_t others = all - most.second;
  const bool few = others <= std::max<size_t>(1, all / 8) && most.second >= 2 * others;
  return all > 2 && few ? std::optional(most.first) : std::nullopt;
}

void ShapeJudge::JudgeNeighbours(std::map<size_t, std::string>& refusals) const {
  if (facts_.widths_are_listed) return;
  const auto votes = VotesOfPeers();
  for (const auto& [key, members] : experts_) {
    const auto& [stack, layer, module, id] = key;
    for (const Member& m : members) {
      if (!module.empty() || ConfigSays(m, stack)) continue;
      const auto shape = UsualShape(votes.at({stack, id >= 0 ? layer : kAnyLayer, m.proj}));
      if (!shape) continue;
      if (id >= 0 && *shape != Shape(m.rows, m.cols)) {
        refusals.emplace(m.tensor, fmt::format("expected {} x {} as in the layer's other experts, "
                                               "found {} x {}",
                                               shape->first, shape->second, m.rows, m.cols));
      } else if (id < 0 && shape->first != m.hidden()) {
        refusals.emplace(m.tensor, fmt::format("expected the hidden size {} of the other layers, "
                                               "found {} x {}",
                                               shape->first, m.rows, m.cols));
      }
    }
  }
}

std::set<ShapeJudge::Proj> ShapeJudge::UsualProjections() const {
  std::set<Proj> usual;
  for (const auto& [key, members] : experts_) {
    const auto& [stack, layer, module, id] = key;
    const bool counted = !facts_.experts || id < 0 || static_cast<uint64_t>(id) < *facts_.experts;
    if (!module.empty() || !counted) continue;
    for (const Member& m : members) usual.insert(m.proj);
  }
  return usual;
}

std::map<size_t, std::string> ShapeJudge::Refusals() const {
  std::map<size_t, std::string> refusals;
  const std::set<Proj> usual = UsualProjections();
  const auto stacks = CountSizes();
  const StackSizes none;
  for (const auto& [key, members] : experts_) {
    JudgeCount(key, members, usual, refusals);
    const bool routed = std::get<2>(key).empty();
    const auto others = stacks.find(std::get<0>(key));
    JudgeShapes(key, members, routed && others != stacks.end() ? others->second : none, refusals);
  }
  JudgeNeighbours(refusals);
  return refusals;
}

}  // namespace moe

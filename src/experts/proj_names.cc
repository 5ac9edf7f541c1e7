#include "experts/proj_names.h"

#include <algorithm>

#include "base/text.h"

namespace moe {
namespace {

constexpr double kSuggestionCutoff = 0.6;

struct Block {
  size_t a, b, size;
};

// The longest common run; of equal ones the first in `a`, then in `b`.
Block LongestMatch(std::string_view a, std::string_view b) {
  Block best{0, 0, 0};
  std::vector<size_t> previous(b.size() + 1, 0), current(b.size() + 1, 0);
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) {
      current[j + 1] = a[i] == b[j] ? previous[j] + 1 : 0;
      if (current[j + 1] > best.size) {
        best = {i + 1 - current[j + 1], j + 1 - current[j + 1], current[j + 1]};
      }
    }
    std::swap(previous, current);
  }
  return best;
}

size_t CountMatches(std::string_view a, std::string_view b) {
  size_t total = 0;
  std::vector<std::pair<std::string_view, std::string_view>> todo = {{a, b}};
  while (!todo.empty()) {
    const auto [left, right] = todo.back();
    todo.pop_back();
    const Block block = LongestMatch(left, right);
    if (block.size == 0) continue;
    total += block.size;
    todo.emplace_back(left.substr(0, block.a), right.substr(0, block.b));
    todo.emplace_back(left.substr(block.a + block.size), right.substr(block.b + block.size));
  }
  return total;
}

bool IsWordByte(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_'; }

bool HasToken(std::string_view text, std::string_view alias) {
  if (alias.empty()) return false;
  const bool dotted = alias.size() > 1 && alias.front() == '.' && alias.back() == '.';
  for (size_t at = text.find(alias); at != std::string_view::npos; at = text.find(alias, at + 1)) {
    const size_t end = at + alias.size();
    const bool free_before = at == 0 || !IsWordByte(text[at - 1]);
    const bool free_after = end == text.size() || !IsWordByte(text[end]);
    if (dotted || (free_before && free_after)) return true;
  }
  return false;
}

}  // namespace

double SequenceRatio(std::string_view a, std::string_view b) {
  const size_t length = a.size() + b.size();
  if (length == 0) return 1.0;
  return 2.0 * static_cast<double>(CountMatches(a, b)) / static_cast<double>(length);
}

ProjNames::ProjNames(const ProjAliases& aliases) {
  for (const auto& [canonical, list] : aliases) {
    Name name{canonical, LowerAscii(canonical), {}};
    for (const std::string& alias : list) name.aliases.push_back(LowerAscii(alias));
    names_.push_back(std::move(name));
  }
}

std::optional<std::string> ProjNames::Infer(std::string_view text) const {
  const std::string lower = LowerAscii(text);
  for (const Name& name : names_) {
    const auto hit = [&](const std::string& alias) { return HasToken(lower, alias); };
    if (std::any_of(name.aliases.begin(), name.aliases.end(), hit)) return name.canonical;
  }
  return std::nullopt;
}

std::optional<std::string> ProjNames::Canonicalise(std::string_view raw) const {
  const std::string lower = LowerAscii(raw);
  for (const Name& name : names_) {
    if (name.lower == lower) return name.canonical;
  }
  return Infer(raw);
}

ProjNames::Suggestion ProjNames::Suggest(std::string_view raw) const {
  // Names are attacker-sized; nothing this long is a misspelt projection.
  constexpr size_t kLongestToken = 256;
  Suggestion best;
  if (raw.size() > kLongestToken) return best;
  const std::string lower = LowerAscii(raw);
  double best_ratio = 0.0;
  const auto consider = [&](const Name& name, const std::string& text) {
    const double ratio = SequenceRatio(lower, text);
    if (ratio < kSuggestionCutoff || ratio <= best_ratio) return;
    best_ratio = ratio;
    best = {name.canonical, text};
  };
  for (const Name& name : names_) {
    consider(name, name.lower);
    for (const std::string& alias : name.aliases) consider(name, alias);
  }
  return best;
}

void ProjNames::Note(UnmappedProj unmapped, std::vector<UnmappedProj>& notes) const {
  if (empty()) return;
  Suggestion suggestion = Suggest(unmapped.raw_proj);
  unmapped.suggested_proj = std::move(suggestion.proj);
  unmapped.suggested_match = std::move(suggestion.match);
  notes.push_back(std::move(unmapped));
}

}  // namespace moe

#include "checkpoint/part_names.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <tuple>

#include "base/text.h"
#include "base/utf8.h"
#include "checkpoint/download_names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostDigits = 6;
constexpr std::string_view kSeparators = "-_.";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

uint64_t Value(std::string_view digits) {
  uint64_t value = 0;
  for (const char digit : digits) value = value * 10 + static_cast<uint64_t>(digit - '0');
  return value;
}

/// The part name whose "of" is at `of`; nullopt when no numbers stand on both sides.
std::optional<PartName> AroundOf(std::string_view name, size_t of) {
  size_t number_end = of, count_begin = of + 2;
  if (number_end > 0 && kSeparators.find(name[number_end - 1]) != name.npos) --number_end;
  if (count_begin < name.size() && kSeparators.find(name[count_begin]) != name.npos) ++count_begin;
  size_t number_begin = number_end, count_end = count_begin;
  while (number_begin > 0 && IsDigit(name[number_begin - 1])) --number_begin;
  while (count_end < name.size() && IsDigit(name[count_end])) ++count_end;
  const size_t digits[] = {number_end - number_begin, count_end - count_begin};
  for (const size_t size : digits) {
    if (size == 0 || size > kMostDigits) return std::nullopt;
  }
  PartName part;
  part.before = name.substr(0, number_begin);
  part.between = name.substr(number_end, count_end - number_end);
  part.after = name.substr(count_end);
  part.number = Value(name.substr(number_begin, digits[0]));
  part.count = Value(name.substr(count_begin, digits[1]));
  part.width = digits[0];
  return part.count > 0 ? std::optional(part) : std::nullopt;
}

/// "layer-", "w": such a number may be of something else than a part, and be left out on purpose.
bool NamesLayers(const std::string& before) {
  constexpr std::string_view kPartWords[] = {"part", "shard", "tensor", "split", "chunk"};
  const size_t end = before.find_last_not_of(kSeparators) + 1;
  const std::string word = LowerAscii(before.substr(0, end));
  for (const std::string_view part : kPartWords) {
    if (word.ends_with(part)) return false;
  }
  for (const std::string_view layer : {"layer", "layers", "block", "blk", "expert", "experts"}) {
    if (word.ends_with(layer)) return true;
  }
  return end == before.size();
}

/// "00003": only tools that split models fill the count with zeros.
bool CountIsFilled(const PartName& part) {
  return part.between[part.between.find_first_of("0123456789")] == '0';
}

}  // namespace

std::string PartName::NameOf(uint64_t other_number) const {
  return fmt::format("{}{:0{}}{}{}", before, other_number, width, between, after);
}

std::optional<PartName> ParsePartName(std::string_view file_name) {
  const std::string lower = LowerAscii(file_name);
  for (size_t of = lower.rfind("of"); of != lower.npos && of > 0; of = lower.rfind("of", of - 1)) {
    if (auto part = AroundOf(file_name, of)) return part;
  }
  return std::nullopt;
}

bool PartName::IsOfSameSet(const PartName& other) const {
  return std::tie(before, between, after) == std::tie(other.before, other.between, other.after);
}

std::string MissingShards::Text() const {
  const std::string those = expected == 1 ? "the only shard is"
                                          : fmt::format("{} of {} shards {}", names.size(),
                                                        expected, names.size() == 1 ? "is" : "are");
  std::string text = those + " missing: " + NameList(names);
  if (tensors) text += fmt::format(", {} tensor{}", *tensors, *tensors == 1 ? "" : "s");
  if (!unfinished.empty()) text += "; unfinished: " + NameList(unfinished);
  return text;
}

MissingShards FindMissingParts(std::span<const fs::path> files) {
  struct PartSet {
    PartName name;
    std::set<uint64_t> numbers;
  };
  std::map<std::tuple<fs::path, std::string, std::string, std::string>, PartSet> sets;
  for (const fs::path& path : files) {
    const std::string name = path.filename().string();
    const auto part = ParsePartName(OriginalOfCopy(name).value_or(name));
    if (!part) continue;
    PartSet& set = sets[{path.parent_path(), part->before, part->between, part->after}];
    set.name = *part;
    set.numbers.insert(part->number);
  }
  MissingShards missing;
  size_t incomplete = 0;
  for (const auto& [key, set] : sets) {
    const bool is_gguf = LowerAscii(set.name.after).ends_with(".gguf");
    const uint64_t first = !is_gguf && set.numbers.contains(0) ? 0 : 1;
    const size_t known = missing.names.size();
    for (uint64_t number = first; number < first + set.name.count; ++number) {
      if (!set.numbers.contains(number)) missing.names.push_back(set.name.NameOf(number));
    }
    if (missing.names.size() == known) continue;
    missing.expected += set.name.count;
    missing.of_gguf = missing.of_gguf || is_gguf;
    missing.lone =
        ++incomplete == 1 && set.numbers.size() == 1 && !is_gguf && !CountIsFilled(set.name);
  }
  return missing;
}

std::optional<PartName> LastNumber(std::string_view name) {
  const size_t end = name.rfind('.');
  if (end == name.npos) return std::nullopt;
  size_t begin = end;
  while (begin > 0 && IsDigit(name[begin - 1])) --begin;
  if (begin == end || end - begin > kMostDigits) return std::nullopt;
  return PartName{std::string(name.substr(0, begin)),     "", std::string(name.substr(end)),
                  Value(name.substr(begin, end - begin)), 0,  end - begin};
}

NumberGaps FindNumberGaps(std::span<const fs::path> files) {
  struct Series {
    size_t width = kMostDigits;
    std::map<uint64_t, std::string> names;
  };
  std::map<std::tuple<fs::path, std::string, std::string>, Series> all;
  for (const fs::path& path : files) {
    const std::string name = path.filename().string();
    const auto number = ParsePartName(name) ? std::nullopt : LastNumber(name);
    if (!number) continue;
    Series& series = all[{path.parent_path(), number->before, number->after}];
    series.width = std::min(series.width, number->width);
    series.names[number->number] = name;
  }
  NumberGaps gaps;
  for (const auto& [key, series] : all) {
    const uint64_t first = series.names.contains(0) ? 0 : 1, last = series.names.rbegin()->first;
    const uint64_t lost = last + 1 - first - series.names.size();
    if (series.names.size() < 2 || lost == 0 || lost > series.names.size()) continue;
    const PartName name{std::get<1>(key), "", std::get<2>(key), 0, 0, series.width};
    const bool doubtful = NamesLayers(name.before);
    std::vector<std::string>& names = doubtful ? gaps.doubtful : gaps.missing.names;
    for (uint64_t number = first; number < last; ++number) {
      if (!series.names.contains(number)) names.push_back(name.NameOf(number));
    }
    if (!doubtful) gaps.missing.expected += last + 1 - first;
  }
  return gaps;
}

std::string NameList(const std::vector<std::string>& names) {
  constexpr size_t kMostNamed = 10;
  std::string text;
  for (size_t i = 0; i < names.size() && i < kMostNamed; ++i) {
    text += (i == 0 ? "" : ", ") + Printable(names[i]);
  }
  if (names.size() > kMostNamed) text += fmt::format(", ... ({} in all)", names.size());
  return text;
}

}  // namespace moe

#include "codec/neighbours.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "checkpoint/names.h"
#include "codec/companions.h"

namespace moe {
namespace {

bool IsNumber(std::string_view part) {
  return !part.empty() &&
         std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// `name` with '#' for its last number between dots; nullopt: it has less than two.
std::optional<std::string> WithoutLastNumber(std::string_view name) {
  size_t numbers = 0, last = 0, length = 0;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    if (IsNumber(name.substr(begin, end - begin))) {
      ++numbers;
      last = begin;
      length = end - begin;
    }
    begin = end + 1;
  }
  if (numbers < 2) return std::nullopt;
  return fmt::format("{}#{}", name.substr(0, last), name.substr(last + length));
}

std::string ShapeThenDType(const TensorInfo& info) {
  return fmt::format("[{}] {}", fmt::join(info.shape, ", "), info.dtype_text);
}

std::optional<std::string> GroupOf(const Weight& weight) {
  const TensorInfo& payload = weight.parts[0].info();
  const auto name = WithoutLastNumber(payload.name);
  return name ? std::optional(*name + " " + ShapeThenDType(payload)) : std::nullopt;
}

std::optional<std::string> DecodedGroupOf(const Weight& weight) {
  const auto name = WithoutLastNumber(weight.name);
  return name ? std::optional(fmt::format("{} {}", *name, fmt::join(weight.shape, ",")))
              : std::nullopt;
}

/// ".weight_scale [64, 1] float32, .weight_shape [2] int64". The length of bitsandbytes' text says
/// nothing.
std::string CompanionsOf(const Weight& weight) {
  const std::string_view module = ModuleOf(weight.parts[0].info().name);
  std::string text;
  for (size_t i = 1; i < weight.parts.size(); ++i) {
    const TensorInfo& info = weight.parts[i].info();
    const std::string_view name = info.name;
    const std::string_view suffix = name.starts_with(module) ? name.substr(module.size()) : name;
    const bool is_text = suffix.find("quant_state") != std::string_view::npos;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", Printable(suffix),
                        is_text ? info.dtype_text : ShapeThenDType(info));
  }
  return text;
}

}  // namespace

void Neighbours::Add(const Weight& weight) {
  if (const auto decoded = DecodedGroupOf(weight)) {
    Storage& storage = decoded_[*decoded];
    ++storage.count;
    if (!weight.is_plain() && storage.quantized.count++ == 0) {
      storage.quantized.example = weight.parts[0].info().name;
    }
  }
  if (weight.is_plain()) return;
  const auto group = GroupOf(weight);
  if (!group) return;
  Kind& kind = groups_[*group][CompanionsOf(weight)];
  if (kind.count++ == 0) kind.example = weight.parts[0].info().name;
}

std::optional<Neighbours::Oddity> Neighbours::OddityOfPlain(const Weight& weight) const {
  const auto group = DecodedGroupOf(weight);
  const auto found = group ? decoded_.find(*group) : decoded_.end();
  if (found == decoded_.end()) return std::nullopt;
  const auto& [count, quantized] = found->second;
  if (quantized.count * 2 <= count) return std::nullopt;
  return Oddity{fmt::format("its {} needs codes and scales as {} of {} neighbours have them (such "
                            "as {}), found plain floats (cast without scales?)",
                            ShapeThenDType(weight.parts[0].info()), quantized.count, count,
                            Printable(quantized.example)),
                quantized.example};
}

std::optional<Neighbours::Oddity> Neighbours::OddityOf(const Weight& weight) const {
  if (weight.is_plain()) return OddityOfPlain(weight);
  const auto group = GroupOf(weight);
  const auto found = group ? groups_.find(*group) : groups_.end();
  if (found == groups_.end() || found->second.size() < 2) return std::nullopt;
  const Kinds& kinds = found->second;
  uint64_t all = 0;
  for (const auto& [companions, kind] : kinds) all += kind.count;
  const auto most = std::max_element(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) {
    return a.second.count < b.second.count;
  });
  const std::string companions = CompanionsOf(weight);
  if (most->first == companions || most->second.count * 2 <= all) return std::nullopt;
  return Oddity{fmt::format("its {} needs {} as {} of {} neighbours have it (such as {}), found {}",
                            ShapeThenDType(weight.parts[0].info()), most->first, most->second.count,
                            all, Printable(most->second.example), companions),
                most->second.example};
}

}  // namespace moe

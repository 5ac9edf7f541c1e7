#include "tables/parse_cell.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace moe {

std::optional<int64_t> ParseInt(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::optional<double> ParseDouble(const std::string& text) {
  // strtod() takes more than tables hold (hexadecimal, leading blanks), so look first.
  const bool decimal = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
  });
  if (text.empty() || (!decimal && text != "inf" && text != "-inf")) return std::nullopt;
  char* stop = nullptr;
  const double number = std::strtod(text.c_str(), &stop);
  if (stop != text.c_str() + text.size()) return std::nullopt;
  return number;
}

std::optional<bool> ParseBool(const std::string& text) {
  if (text == "True") return true;
  if (text == "False") return false;
  return std::nullopt;
}

}  // namespace moe

#include "cli/flag_values.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace moe::cli {

Result<double> NumberOf(const std::string& flag, std::string_view text, const std::string& hint) {
  double number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_whole = failed == std::errc() && end == text.data() + text.size();
  if (is_whole && number >= 0 && std::isfinite(number)) return number;
  return Fail(ErrorCode::kBadArgument, flag,
              fmt::format("\"{}\" is no number that is not negative", text), hint);
}

}  // namespace moe::cli

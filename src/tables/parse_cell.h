#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace moe {

/// All of `text` as a decimal integer.
std::optional<int64_t> ParseInt(const std::string& text);

/// All of `text` as a decimal number, "inf" or "-inf"; no NaN (a null in tables), no hexadecimal.
std::optional<double> ParseDouble(const std::string& text);

/// Python's "True" or "False".
std::optional<bool> ParseBool(const std::string& text);

}  // namespace moe

#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

/// The candidate nearest to `word` (Levenshtein distance, first of equals), if near enough that it
/// may be a typo: at most a third of the word's length, at least 2.
std::optional<std::string> ClosestName(std::string_view word,
                                       const std::vector<std::string>& candidates);

/// ASCII lower case, as Python's str.lower() for the names that occur.
std::string LowerAscii(std::string_view text);

/// Without ASCII white space at both ends, as Python's str.strip().
std::string_view Trimmed(std::string_view text);

/// `~` and `~/x` expanded from $HOME, made absolute against the working directory, links resolved
/// as far as the path exists.
std::filesystem::path ResolvePath(std::string_view path);

/// The time in UTC: "2026-01-31T12:00:00", or with microseconds "2026-01-31T12:00:00.123456".
enum class TimePrecision { kSeconds, kMicroseconds };
std::string UtcNow(TimePrecision precision);

/// "1.23 GB", "45.6 MB", "789 B": decimal units.
std::string HumanBytes(uint64_t bytes);

}  // namespace moe

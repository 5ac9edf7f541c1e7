#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "moescope/error.h"

namespace moe {

/// A JSON text a person or Python wrote: strict, but for the bare literals NaN, Infinity and
/// -Infinity, which Python's json module writes. Keys keep their order; `duplicates`, if given,
/// receives keys that stand twice in one object (the last one counts).
/// kMalformed with line and column; `where` names the text.
Result<Json> ParseLenientJson(std::string_view text, const std::string& where,
                              std::vector<std::string>* duplicates = nullptr);

/// All of a file; kNotFound or kIo.
Result<std::string> ReadTextFile(const std::filesystem::path& path);

/// With keys sorted at every level, indent 2, non-ASCII kept, non-finite numbers as null.
std::string SortedJsonText(const Json& json);
/// The same in the object's own order.
std::string JsonText(const Json& json);

}  // namespace moe

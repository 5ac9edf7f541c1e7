#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// A pattern in PCRE2's syntax, and where each of its bytes came from.
struct TranslatedRegex {
  std::string pcre2;
  std::vector<size_t> origin;  ///< origin[i]: offset in the Python text of pcre2[i]
};

/// Why a text is no Python pattern, or none that PCRE2 could read in the same way.
struct RegexFault {
  size_t offset;
  std::string message;
};

/// Rewrites a pattern of Python's `re` (3.11) for PCRE2 compiled with UTF, UCP, newline LF and
/// ALT_CIRCUMFLEX. Faults that PCRE2 finds by itself (an open bracket) are left to it.
tl::expected<TranslatedRegex, RegexFault> TranslatePythonRegex(std::string_view text);

}  // namespace moe

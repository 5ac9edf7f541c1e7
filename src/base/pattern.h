#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// A successful match: text of group 0 (the whole match) and of every capturing group; nullopt for
/// a group that took no part. Views into the subject. Positions are bytes.
struct PatternMatch {
  std::vector<std::optional<std::string_view>> groups;
  size_t end = 0;  ///< one past the last byte of the match
};

/// A regular expression in the syntax of Python's `re`, run by PCRE2 under limits on steps, depth
/// and memory, so that no pattern can hang a run.
///
/// What PCRE2 reads in another way than Python is either translated (`\Z`, `\v`, `\10`, `^` under
/// the flag m) or refused (`{,n}`, POSIX classes, `\K`, `\h`, `(?1)`, the flags a, L and x).
/// Bytes of a subject that are not UTF-8 count as '?'.
///
/// Threads: const members may be called from any thread at once.
class Pattern {
 public:
  /// `what` names the pattern in messages: "rule 'x'", "parsing.layer_regex".
  /// kBadArgument gives the fault and its byte offset in `text`.
  static Result<Pattern> Compile(std::string_view text, std::string_view what);

  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// Python's re.match: anchored at the start of `subject`, not at its end.
  /// Fails with kBadArgument when a limit is hit; the message names the pattern and the subject.
  Result<std::optional<PatternMatch>> Match(std::string_view subject) const;

  /// Python's re.search: the first occurrence anywhere.
  Result<std::optional<PatternMatch>> Search(std::string_view subject) const;

 private:
  struct Impl;
  explicit Pattern(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moe

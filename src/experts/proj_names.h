#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/experts.h"

namespace moe {

/// Python's difflib.SequenceMatcher(None, a, b).ratio() for texts under 200 characters (longer ones
/// too, but there Python leaves out popular characters): 2 * matches / total length, the matches
/// found by Ratcliff and Obershelp's rule. 1 for two empty texts. Compares bytes.
double SequenceRatio(std::string_view a, std::string_view b);

/// The names of projections: canonical ones and their aliases, in config order.
class ProjNames {
 public:
  explicit ProjNames(const ProjAliases& aliases);

  bool empty() const { return names_.empty(); }

  /// The canonical name of the first alias found in `text`, ignoring case. An alias that begins and
  /// ends with '.' is a substring; any other must stand between characters that are no letter,
  /// digit or underscore: `w1` is not in `w13`, `up_proj` not in `gate_up_proj`.
  std::optional<std::string> Infer(std::string_view text) const;

  /// The canonical name for a projection token: equal to one ignoring case, else inferred.
  std::optional<std::string> Canonicalise(std::string_view raw) const;

  struct Suggestion {
    std::string proj,
        match;  ///< canonical name, and the text that is like the token; both may be ""
  };
  /// The closest canonical name or alias, if its SequenceRatio is at least 0.6.
  Suggestion Suggest(std::string_view raw) const;

  /// Appends what a rule did with a name that no alias maps, with the closest one as its
  /// suggestion; nothing where there are no names at all.
  void Note(UnmappedProj unmapped, std::vector<UnmappedProj>& notes) const;

 private:
  struct Name {
    std::string canonical, lower;
    std::vector<std::string> aliases;  // lower case
  };
  std::vector<Name> names_;
};

}  // namespace moe

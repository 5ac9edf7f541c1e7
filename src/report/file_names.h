#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace moe {

/// `label` trimmed, each run of other characters than letters, digits and ._- as one `_`, none at
/// its ends; "unknown" if nothing is left.
std::string FileSafe(std::string_view label);

/// Parts of file names, one for each thing that wants one, in the order in which they are asked
/// for.
class FileNames {
 public:
  /// FileSafe(label), cut if it is too long for a file; unique.
  std::string Of(std::string_view label);
  /// The name that `thing` has already; else `name`; else, as another thing has that, `name` with
  /// `__` and eight hex digits of the SHA-1 of `thing`.
  std::string Unique(const std::string& thing, const std::string& name);

 private:
  std::map<std::string, std::string> names_;  // by thing
  std::set<std::string> taken_;
};

}  // namespace moe

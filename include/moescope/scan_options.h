#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moe {

/// Suffixes of the files that a folder is searched for, in the order in which messages list them.
std::vector<std::string> ScannedSuffixes();

/// `scan.recursive`: true, false, or subfolders only if the top folder holds no container.
enum class Recursive { kAlways, kNever, kAuto };

/// What to scan; the fields are named as the config's `scan` keys.
struct ScanOptions {
  std::vector<std::string> extensions = ScannedSuffixes();
  std::optional<int64_t> max_files = {};  ///< as Python's slice [:max_files]
  bool use_safetensors_index_json = true;
  bool strict_index = false;
  Recursive recursive = Recursive::kAuto;
  bool keep_going = false;  ///< not of the config: what is missing or broken ends nothing
};

}  // namespace moe

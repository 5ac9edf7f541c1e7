#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// A `*.safetensors.index.json`: which shard holds which tensor.
struct ShardIndex {
  std::map<std::string, std::string> weight_map;  ///< tensor -> normalised shard name
  std::string metadata_json = "{}";  ///< the `metadata` object, as JSON text in its own key order
};

/// Reads and checks an index. kNotFound, kIo; kMalformed when it is empty, no JSON, no object, has
/// no object `weight_map`, a value that is no string, a tensor twice, or a shard that leaves the
/// index's folder.
Result<ShardIndex> ReadShardIndex(const std::filesystem::path& path);

/// `\` becomes `/`, `./x` and `x//y` become `x` and `x/y`. kMalformed for an absolute or empty
/// name, one with `..`, or one with a NUL.
Result<std::string> NormaliseShardName(std::string_view name);

/// Observed tensor names against the index, both lists sorted.
struct IndexComparison {
  std::vector<std::string> missing_tensors;  ///< in the index, not observed
  std::vector<std::string> extra_tensors;    ///< observed, not in the index
};
IndexComparison CompareWithIndex(const std::map<std::string, std::string>& weight_map,
                                 const std::set<std::string>& observed_tensors);

}  // namespace moe

#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "codec/codecs.h"

namespace moe {

/// The steps of an expected.json `view` on an array of `shape`.
MatrixView ViewOf(const nlohmann::json& steps, std::vector<uint64_t> shape);

/// Decodes every expert of zoo checkpoint `name` whose payload `find` takes; at least one.
/// Matrices that it leaves alone (nullopt) are other codecs' business.
void ExpectZooDecodes(const std::string& name, FindCodec find);

}  // namespace moe

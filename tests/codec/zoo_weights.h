#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/test_json.h"
#include "codec/codecs.h"

namespace moe {

/// A checkpoint of tests/data/zoo: its files, their tensors and the config's quantization.
struct ZooCheckpoint {
  std::vector<std::unique_ptr<TensorFile>> files;
  TensorIndex tensors;
  Json quantization;
  Json expected;

  explicit ZooCheckpoint(const std::string& name);
};

/// The steps of an expected.json `view` on an array of `shape`.
MatrixView ViewOf(const Json& steps, std::vector<uint64_t> shape);

/// Decodes every expert of zoo checkpoint `name` whose payload `find` takes; at least one.
/// Matrices that it leaves alone (nullopt) are other codecs' business.
void ExpectZooDecodes(const std::string& name, FindCodec find);

}  // namespace moe

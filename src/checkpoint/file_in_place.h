#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "moescope/checkpoint.h"

namespace moe {

/// Bytes [begin, begin + size) of `file`, within it: a view where it is mapped, else a copy.
Result<TensorBytes> BytesAt(const std::shared_ptr<const ByteSource>& file, uint64_t begin,
                            uint64_t size);

/// What the header of a file says whose tensors lie in it as they are.
struct TensorsInPlace {
  std::vector<TensorInfo> tensors = {};
  std::vector<uint64_t> begins = {};                 ///< of each tensor, from the start of the file
  std::map<std::string, std::string> metadata = {};  ///< as TensorFile::metadata()
};

std::unique_ptr<TensorFile> MakeFileInPlace(std::shared_ptr<const ByteSource> file,
                                            TensorsInPlace tensors);

}  // namespace moe

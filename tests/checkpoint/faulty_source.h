#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/byte_source.h"

namespace moe {

/// What is wrong with a file that is read.
struct ReadFault {
  enum class Kind { kNone, kEndsEarly, kBrokenByte } kind = Kind::kNone;
  uint64_t offset = 0;  ///< where it ends, or which byte can't be read
};

/// The bytes of a file, which are not mapped and come with a fault.
class FaultySource : public ByteSource {
 public:
  FaultySource(std::filesystem::path path, std::string bytes, ReadFault fault)
      : path_(std::move(path)), bytes_(std::move(bytes)), fault_(fault) {}

  const std::filesystem::path& path() const override { return path_; }
  uint64_t size() const override { return bytes_.size(); }
  std::optional<std::span<const std::byte>> Map() const override { return std::nullopt; }

  Result<void> Read(uint64_t offset, std::span<std::byte> out) const override {
    const uint64_t end = offset + out.size();
    if (end > bytes_.size() || end < offset) {
      ADD_FAILURE() << "asks for bytes " << offset << " to " << end << " of " << bytes_.size();
      return Fail(ErrorCode::kIo, path_.string(), "asked for bytes outside of it");
    }
    const bool ends = fault_.kind == ReadFault::Kind::kEndsEarly && end > fault_.offset;
    if (ends) return Fail(ErrorCode::kIo, path_.string(), "ends early");
    const bool broken = fault_.kind == ReadFault::Kind::kBrokenByte && offset <= fault_.offset &&
                        fault_.offset < end;
    if (broken) return Fail(ErrorCode::kIo, path_.string(), "Input/output error");
    std::ranges::copy(std::as_bytes(std::span(bytes_)).subspan(offset, out.size()), out.begin());
    return {};
  }

 private:
  std::filesystem::path path_;
  std::string bytes_;
  ReadFault fault_;
};

}  // namespace moe

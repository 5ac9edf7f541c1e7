#include "base/byte_source.h"

#include <algorithm>

namespace moe {

std::span<const std::byte> ByteWindow::Buffered(uint64_t offset, uint64_t size) {
  constexpr uint64_t kPieceBytes = uint64_t{1} << 16;
  if (fault_) return {};
  if (offset < begin_ || offset + size > begin_ + buffer_.size()) {
    begin_ = offset / kPieceBytes * kPieceBytes;
    const uint64_t end = std::min(source_.size(), std::max(begin_ + kPieceBytes, offset + size));
    buffer_.resize(end - begin_);
    if (auto read = source_.Read(begin_, buffer_); !read) {
      fault_ = read.error();
      return {};
    }
  }
  return std::span<const std::byte>(buffer_).subspan(offset - begin_, size);
}

}  // namespace moe

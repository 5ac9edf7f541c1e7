#include "checkpoint/inflate.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "checkpoint/zip_directory.h"

namespace moe {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

/// At most kPieceBytes.
uint32_t AddToCrc32(uint32_t crc, std::span<const std::byte> piece) {
  return static_cast<uint32_t>(
      crc32(crc, reinterpret_cast<const Bytef*>(piece.data()), static_cast<uInt>(piece.size())));
}

/// A raw deflate stream, read piece by piece.
class Inflater {
 public:
  Inflater(const DeflateStream& deflated, std::string where)
      : window_(deflated.file),
        at_(deflated.begin),
        rest_(deflated.size),
        where_(std::move(where)) {}
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Result<void> Start() {
    constexpr int kRawDeflate = -MAX_WBITS;
    if (inflateInit2(&stream_, kRawDeflate) == Z_OK) return {};
    return Fail(ErrorCode::kIo, where_, "cannot start zlib: no memory");
  }

  /// Fills `out` (not empty) as far as the stream goes; returns how much that was. Less than
  /// out.size() means that the stream has ended.
  Result<size_t> Read(std::span<std::byte> out) {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out > 0 && !ended_) {
      Feed();
      if (window_.fault()) return tl::make_unexpected(*window_.fault());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      ended_ = status == Z_STREAM_END;
      if (status == Z_OK || ended_) continue;
      return BadZip(where_, status == Z_BUF_ERROR
                                ? "its deflate stream ends too early"
                                : fmt::format("its deflate stream is broken ({})",
                                              stream_.msg != nullptr ? stream_.msg : "zlib"));
    }
    return out.size() - stream_.avail_out;
  }

 private:
  void Feed() {
    if (stream_.avail_in > 0) return;
    const auto piece = window_.At(at_, std::min<uint64_t>(rest_, kPieceBytes));
    at_ += piece.size();
    rest_ -= piece.size();
    // zlib only reads it; its struct is older than const
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
  }

  ByteWindow window_;
  uint64_t at_, rest_;
  std::string where_;
  z_stream stream_ = {};
  bool ended_ = false;
};

}  // namespace

Result<std::vector<std::byte>> InflatePrefix(const DeflateStream& deflated, uint64_t most,
                                             const std::string& where) {
  std::vector<std::byte> prefix(most);
  if (most == 0) return prefix;
  Inflater inflater(deflated, where);
  if (auto started = inflater.Start(); !started) return tl::make_unexpected(started.error());
  const auto bytes = inflater.Read(prefix);
  if (!bytes) return tl::make_unexpected(bytes.error());
  prefix.resize(*bytes);
  return prefix;
}

Result<std::shared_ptr<const MappedFile>> InflateToFile(const DeflateStream& deflated,
                                                        uint64_t bytes, uint32_t crc32,
                                                        const std::string& where,
                                                        const StopToken& stop) {
  Inflater inflater(deflated, where);
  if (auto started = inflater.Start(); !started) return tl::make_unexpected(started.error());
  auto spool = SpoolFile::Create(bytes);
  if (!spool) return tl::make_unexpected(spool.error());
  std::vector<std::byte> piece(kPieceBytes);
  uint64_t total = 0;
  uint32_t crc = 0;
  for (bool ended = false; !ended;) {
    if (auto going = stop.Check(); !going) return tl::make_unexpected(going.error());
    const auto got = inflater.Read(piece);
    if (!got) return tl::make_unexpected(got.error());
    ended = *got < piece.size();
    total += *got;
    if (total > bytes || (ended && total < bytes)) {
      return BadZip(where, fmt::format("inflates to {} than the {} bytes the directory says",
                                       total > bytes ? "more" : "fewer", bytes));
    }
    const auto inflated = std::span<const std::byte>(piece).first(*got);
    crc = AddToCrc32(crc, inflated);
    if (auto written = spool->Append(inflated); !written) {
      return tl::make_unexpected(written.error());
    }
  }
  if (crc != crc32) return BadZip(where, fmt::format("CRC-32 is {:08x}, not {:08x}", crc, crc32));
  return spool->Map();
}

Result<uint32_t> Crc32(std::span<const std::byte> bytes, const StopToken& stop) {
  uint32_t crc = 0;
  while (!bytes.empty()) {
    if (auto going = stop.Check(); !going) return tl::make_unexpected(going.error());
    const auto piece = bytes.first(std::min(bytes.size(), kPieceBytes));
    crc = AddToCrc32(crc, piece);
    bytes = bytes.subspan(piece.size());
  }
  return crc;
}

}  // namespace moe

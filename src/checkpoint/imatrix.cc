#include "checkpoint/imatrix.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "base/little_endian.h"
#include "base/mapped_file.h"

namespace moe {
namespace {

constexpr int64_t kMaxNameBytes = 4096;  // far above the 63 that ggml allows

/// Takes from the front of `bytes`; nullopt when too few are left, or for a negative number.
std::optional<int64_t> TakeCount(std::span<const std::byte>& bytes) {
  if (bytes.size() < 4) return std::nullopt;
  const auto value = static_cast<int32_t>(LoadLittleEndian<uint32_t>(bytes));
  bytes = bytes.subspan(4);
  return value < 0 ? std::nullopt : std::optional<int64_t>(value);
}

bool Skip(std::span<const std::byte>& bytes, int64_t count) {
  if (static_cast<uint64_t>(count) > bytes.size()) return false;
  bytes = bytes.subspan(static_cast<size_t>(count));
  return true;
}

/// Name, number of calls, values.
bool TakeEntry(std::span<const std::byte>& bytes) {
  const auto length = TakeCount(bytes);
  if (!length || *length < 1 || *length > kMaxNameBytes) return false;
  const auto name = bytes.first(std::min(bytes.size(), static_cast<size_t>(*length)));
  const bool is_text = std::all_of(name.begin(), name.end(),
                                   [](std::byte b) { return std::to_integer<int>(b) >= 0x20; });
  if (!is_text || !Skip(bytes, *length) || !TakeCount(bytes)) return false;
  const auto values = TakeCount(bytes);
  return values && *values > 0 && Skip(bytes, *values * 4);
}

}  // namespace

bool LooksLikeLegacyImatrix(const std::filesystem::path& path) {
  const auto mapping = MappedFile::Open(path);
  if (!mapping) return false;
  auto bytes = (*mapping)->bytes();
  const auto entries = TakeCount(bytes);
  if (!entries || *entries == 0) return false;
  for (int64_t i = 0; i < *entries; ++i) {
    if (!TakeEntry(bytes)) return false;
  }
  if (bytes.empty()) return true;
  if (!TakeCount(bytes)) return false;  // the last chunk, from 2024 on
  if (bytes.empty()) return true;
  const auto dataset = TakeCount(bytes);
  return dataset && static_cast<uint64_t>(*dataset) == bytes.size();
}

}  // namespace moe

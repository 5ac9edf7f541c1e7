#include "checkpoint/imatrix.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

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
std::optional<LegacyImatrixEntry> TakeEntry(std::span<const std::byte>& bytes) {
  const auto length = TakeCount(bytes);
  if (!length || *length < 1 || *length > kMaxNameBytes) return std::nullopt;
  const auto name = bytes.first(std::min(bytes.size(), static_cast<size_t>(*length)));
  const bool is_text = std::all_of(name.begin(), name.end(),
                                   [](std::byte b) { return std::to_integer<int>(b) >= 0x20; });
  if (!is_text || !Skip(bytes, *length)) return std::nullopt;
  const auto calls = TakeCount(bytes);
  const auto count = calls ? TakeCount(bytes) : std::nullopt;
  const auto values = bytes;
  if (!count || *count == 0 || !Skip(bytes, *count * 4)) return std::nullopt;
  return LegacyImatrixEntry{{reinterpret_cast<const char*>(name.data()), name.size()},
                            static_cast<uint32_t>(*calls),
                            values.first(static_cast<size_t>(*count) * 4)};
}

/// Nothing, the last chunk (from 2024 on), or that and the data set's name.
bool IsTail(std::span<const std::byte> bytes) {
  if (bytes.empty()) return true;
  if (!TakeCount(bytes)) return false;
  if (bytes.empty()) return true;
  const auto dataset = TakeCount(bytes);
  return dataset && static_cast<uint64_t>(*dataset) == bytes.size();
}

}  // namespace

std::optional<std::vector<LegacyImatrixEntry>> ReadLegacyImatrix(std::span<const std::byte> bytes) {
  const auto count = TakeCount(bytes);
  if (!count || *count == 0) return std::nullopt;
  std::vector<LegacyImatrixEntry> entries;  // grows with what was read, not with what is said
  for (int64_t i = 0; i < *count; ++i) {
    const auto entry = TakeEntry(bytes);
    if (!entry) return std::nullopt;
    entries.push_back(*entry);
  }
  if (!IsTail(bytes)) return std::nullopt;
  return entries;
}

bool LooksLikeLegacyImatrix(const std::filesystem::path& path) {
  const auto mapping = MappedFile::Open(path);
  return mapping && ReadLegacyImatrix((*mapping)->bytes()).has_value();
}

}  // namespace moe

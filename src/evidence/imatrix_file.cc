#include "evidence/imatrix_file.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "base/little_endian.h"
#include "base/mapped_file.h"
#include "checkpoint/gguf.h"
#include "checkpoint/imatrix.h"
#include "checkpoint/names.h"
#include "moescope/weight.h"

namespace moe {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";

/// A tensor of an entry: float32.
Result<StoredFloats> FloatsOf(const TensorRef& tensor) {
  const TensorInfo& info = tensor.info();
  if (info.dtype != DType::kF32) {
    return Malformed(TensorPlace(tensor.file->path(), info.name),
                     fmt::format("is {}, not float32", info.dtype_text));
  }
  const auto bytes = tensor.file->Bytes(tensor.index);
  if (!bytes) return tl::make_unexpected(bytes.error());
  return StoredFloats(bytes->data);
}

/// The sums' shape is [matrices, columns], or [columns] of one matrix.
Result<ImatrixEntry> EntryOf(const TensorRef& sums, const TensorIndex& tensors) {
  const TensorInfo& info = sums.info();
  const std::string place = TensorPlace(sums.file->path(), info.name);
  ImatrixEntry entry;
  entry.name = info.name.substr(0, info.name.size() - kSums.size());
  const auto counts = tensors.Find(entry.name, kCounts);
  if (!counts) return Malformed(place, fmt::format("has no {}{}", entry.name, kCounts));
  auto values = FloatsOf(sums);
  if (!values) return tl::make_unexpected(std::move(values.error()));
  auto tokens = FloatsOf(*counts);
  if (!tokens) return tl::make_unexpected(std::move(tokens.error()));
  if (values->size() == 0) return Malformed(place, "is empty");
  entry.columns = info.shape.empty() ? 1 : info.shape.back();
  entry.sums = *values;
  entry.counts = *tokens;
  const uint64_t matrices = values->size() / entry.columns;
  if (tokens->size() != matrices && tokens->size() != 1) {
    return Malformed(place, fmt::format("has {} matrices, {}{} {} numbers", matrices, entry.name,
                                        kCounts, tokens->size()));
  }
  return entry;
}

Result<void> ReadGguf(ImatrixFile& into) {
  const auto file = OpenGgufImatrix(into.bytes);
  if (!file) return tl::make_unexpected(file.error());
  TensorIndex tensors;
  tensors.Add(**file);
  for (size_t i = 0; i < (*file)->tensors().size(); ++i) {
    if (!(*file)->tensors()[i].name.ends_with(kSums)) continue;
    auto entry = EntryOf({file->get(), i}, tensors);
    if (!entry) return tl::make_unexpected(std::move(entry.error()));
    into.entries.push_back(std::move(*entry));
  }
  return {};
}

Result<void> ReadOlder(ImatrixFile& into, std::span<const std::byte> bytes) {
  const auto entries = ReadLegacyImatrix(bytes);
  if (!entries) {
    return Malformed(into.path.string(),
                     "is no importance matrix: neither GGUF nor llama.cpp's older .dat, or cut off",
                     "llama-imatrix makes one");
  }
  into.older = true;
  std::set<std::string_view> names;
  for (const LegacyImatrixEntry& entry : *entries) {
    if (!names.insert(entry.name).second) {
      return Malformed(TensorPlace(into.path, AsUtf8(entry.name)), "stands twice");
    }
    ImatrixEntry& made = into.entries.emplace_back();
    made.name = AsUtf8(entry.name);
    made.sums = StoredFloats(entry.values);
    made.calls = entry.calls;
  }
  return {};
}

Result<void> CheckNumbers(const StoredFloats& numbers, const std::string& place, const char* what) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double number = numbers[i];
    if (std::isfinite(number) && number >= 0) continue;
    return Malformed(place, fmt::format("its {} number {} is {}: neither NaN, infinite nor "
                                        "negative ones can be",
                                        what, i, number));
  }
  return {};
}

/// Sums without a token contradict each other.
Result<void> CheckSums(const ImatrixEntry& entry, const std::string& place) {
  if (auto done = CheckNumbers(entry.sums, place, "sums'"); !done) return done;
  if (auto done = CheckNumbers(entry.counts, place, "counts'"); !done) return done;
  for (size_t m = 0; m < entry.counts.size(); ++m) {
    if (entry.counts[m] > 0) continue;
    const bool of_all = entry.counts.size() == 1;
    const auto sums = of_all ? entry.sums : entry.sums.Part(m * entry.columns, entry.columns);
    for (size_t c = 0; c < sums.size(); ++c) {
      if (sums[c] > 0) return Malformed(place, fmt::format("matrix {} has sums of 0 tokens", m));
    }
  }
  return {};
}

}  // namespace

double StoredFloats::operator[](size_t i) const {
  return std::bit_cast<float>(LoadLittleEndian<uint32_t>(bytes_, i * 4));
}

Result<ImatrixFile> ImatrixFile::Open(const std::filesystem::path& path) {
  const auto mapping = MappedFile::Open(path);
  if (!mapping) return tl::make_unexpected(mapping.error());
  ImatrixFile file;
  file.path = path;
  file.bytes = *mapping;
  const auto bytes = (*mapping)->bytes();
  constexpr uint32_t kGguf = 0x46554747;  // as a number of entries of the older form: too many
  const bool gguf = bytes.size() >= 4 && LoadLittleEndian<uint32_t>(bytes) == kGguf;
  if (auto done = gguf ? ReadGguf(file) : ReadOlder(file, bytes); !done) {
    return tl::make_unexpected(std::move(done.error()));
  }
  if (file.entries.empty()) {
    return Malformed(path.string(), "has no NAME.in_sum2: an importance matrix of nothing");
  }
  for (const ImatrixEntry& entry : file.entries) {
    if (auto done = CheckSums(entry, TensorPlace(path, entry.name)); !done) {
      return tl::make_unexpected(std::move(done.error()));
    }
  }
  if (auto whole = file.bytes->CheckWhole(); !whole) return tl::make_unexpected(whole.error());
  return file;
}

}  // namespace moe

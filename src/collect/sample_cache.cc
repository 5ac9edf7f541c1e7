#include "collect/sample_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/pending_file.h"
#include "measure/numpy_sample.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// An .npy file, version 1.0, of one int64 axis (numpy.lib.format: data begins at a multiple of
/// 64).
std::string NpyText(const std::vector<int64_t>& values) {
  std::string header =
      fmt::format("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", values.size());
  constexpr size_t kPrefix = 10, kAlign = 64;
  header.append(kAlign - 1 - (kPrefix + header.size()) % kAlign, ' ');
  header.push_back('\n');
  std::string text("\x93NUMPY\x01\x00", 8);
  text.push_back(static_cast<char>(header.size() & 0xff));
  text.push_back(static_cast<char>(header.size() >> 8));
  text += header;
  text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t));
  return text;
}

/// The positions in `path`, ascending, if they are fit for use; else what is wrong.
Result<std::vector<int64_t>> ReadIndices(const fs::path& path, uint64_t elements, uint64_t k) {
  const auto file = OpenTensorFile(path);
  if (!file) return tl::make_unexpected(file.error());
  const TensorInfo& info = (*file)->tensors().front();
  if (info.dtype != DType::kI64 || info.byte_swapped || info.shape != std::vector<uint64_t>{k}) {
    return Malformed(path.string(), fmt::format("is not a one-dimensional int64 array of {}", k));
  }
  const auto bytes = (*file)->Bytes(0);
  if (!bytes) return tl::make_unexpected(bytes.error());
  std::vector<int64_t> values(k);
  std::memcpy(values.data(), bytes->data.data(), k * sizeof(int64_t));
  std::sort(values.begin(), values.end());
  const bool in_range = values.front() >= 0 && static_cast<uint64_t>(values.back()) < elements;
  if (!in_range || std::adjacent_find(values.begin(), values.end()) != values.end()) {
    return Malformed(path.string(), fmt::format("positions repeat or leave [0, {})", elements));
  }
  return values;
}

}  // namespace

Result<SampleCache::Indices> SampleCache::Load(uint64_t elements) {
  const fs::path path = folder_ / fmt::format("idx_N{}_k{}_seed{}.npy", elements, k_, seed_);
  std::error_code ignored;
  if (fs::exists(path, ignored)) {
    auto values = ReadIndices(path, elements, k_);
    if (values) return std::make_shared<const std::vector<int64_t>>(std::move(*values));
    warnings_.push_back("[sample] cached indices made anew: " + values.error().Text());
  }
  auto drawn = SampleIndices(elements, k_, seed_);
  if (!drawn) return tl::make_unexpected(drawn.error());
  std::vector<int64_t> values = std::move(*drawn);
  fs::create_directories(folder_, ignored);
  if (const auto written = WriteFileAtomically(path, NpyText(values)); !written) {
    return tl::make_unexpected(written.error());
  }
  std::sort(values.begin(), values.end());
  return std::make_shared<const std::vector<int64_t>>(std::move(values));
}

Result<SampleCache::Indices> SampleCache::Get(uint64_t elements) {
  if (k_ >= elements) return Indices();
  const std::lock_guard lock(mutex_);
  if (const auto known = by_elements_.find(elements); known != by_elements_.end()) {
    return known->second;
  }
  auto loaded = Load(elements);
  if (loaded) by_elements_[elements] = *loaded;
  return loaded;
}

std::vector<std::string> SampleCache::TakeWarnings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

}  // namespace moe

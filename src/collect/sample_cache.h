#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// The element positions that sampled percentiles are taken from, one set for each matrix size,
/// kept in `folder` as idx_N{N}_k{k}_seed{seed}.npy exactly as the Python pipeline keeps them
/// (contract section 8, D3). A file that is there is used if it holds k distinct positions in [0,
/// N), as one-dimensional int64; else it is made anew and a warning says so.
///
/// Threads: Get() may be called from any thread.
class SampleCache {
 public:
  SampleCache(std::filesystem::path folder, uint64_t k, uint64_t seed)
      : folder_(std::move(folder)), k_(k), seed_(seed) {}

  using Indices = std::shared_ptr<const std::vector<int64_t>>;

  /// Positions for matrices of `elements` elements, ascending; null: take all of them (k >= N).
  Result<Indices> Get(uint64_t elements);

  /// "[sample] ..." lines since the start.
  std::vector<std::string> TakeWarnings();

 private:
  Result<Indices> Load(uint64_t elements);

  std::filesystem::path folder_;
  uint64_t k_, seed_;
  std::mutex mutex_;
  std::map<uint64_t, Indices> by_elements_;
  std::vector<std::string> warnings_;
};

}  // namespace moe

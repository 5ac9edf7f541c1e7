#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

/// Told how a collection goes. All calls come from the thread that called Collect().
class CollectObserver {
 public:
  virtual ~CollectObserver() = default;
  /// The scan was planned: how many files, under which path.
  virtual void OnScan(size_t files, const std::string& where) = 0;
  /// The first matrix of file `index` (from 1) is done, or the file has none.
  virtual void OnFile(size_t index, size_t files, const std::string& path) = 0;
  /// All headers are read: how many matrices and stored bytes will be measured.
  virtual void OnWork(uint64_t matrices, uint64_t bytes) = 0;
  /// So many matrices and bytes are done by now.
  virtual void OnProgress(uint64_t matrices, uint64_t bytes) = 0;
  /// A line for people: a notice of the index, a warning.
  virtual void OnNotice(std::string_view text) = 0;
};

}  // namespace moe

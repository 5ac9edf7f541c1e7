#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/page_cache.h"
#include "collect/matrix_fetches.h"
#include "collect/work_list.h"

namespace moe {

/// Brings the bytes of the work into the page cache in its order, by a thread of its own, a bounded
/// stretch ahead of it.
class ReadAhead {
 public:
  /// `list` outlives this object.
  ReadAhead(const WorkList& list, ReadMode mode);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// Work on the item at `position` begins. From any thread.
  void Reached(uint64_t position);

 private:
  static constexpr uint64_t kWindowBytes = uint64_t{128} << 20;
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  struct Fetched {  // not reached yet
    uint64_t position, bytes;
  };

  void Run();
  bool WaitForRoom(std::deque<Fetched>& ahead, uint64_t& bytes_ahead);
  void Fetch(const FileRange& range);

  const WorkList& list_;
  const ReadMode mode_;
  std::map<const TensorFile*, PageCacheFile> files_;
  std::mutex mutex_;
  std::condition_variable moved_;
  uint64_t reached_ = 0;  // items up to this one have begun
  uint64_t wake_at_ = kNever;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace moe

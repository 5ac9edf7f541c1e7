#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace moe {

/// As many as are asked for; 0: one for each core.
inline unsigned ThreadCount(unsigned asked) {
  return asked > 0 ? asked : std::max(1u, std::thread::hardware_concurrency());
}

/// Runs make(i) for i = 0 … count-1 on `threads` worker threads and hands the results to
/// consume(i, value) on the calling thread, in the order of i, so that what is written does not
/// depend on the number of threads.
///
/// At most 4 * threads results wait at any time. consume returns false to stop early; work that has
/// begun is then finished and dropped. make must not throw.
/// @return false when consume stopped the work before its last result.
template <class Make, class Consume>
bool RunOrdered(size_t count, unsigned threads, Make make, Consume consume) {
  using Made = decltype(make(size_t{0}));
  const size_t window = size_t{4} * threads;
  std::vector<std::optional<Made>> ring(window);
  std::mutex mutex;
  std::condition_variable ready, room;
  size_t next = 0, consumed = 0;
  bool stopped = false;

  const auto work = [&] {
    std::unique_lock lock(mutex);
    while (true) {
      room.wait(lock, [&] { return stopped || next >= count || next < consumed + window; });
      if (stopped || next >= count) return;
      const size_t index = next++;
      lock.unlock();
      Made value = make(index);
      lock.lock();
      ring[index % window] = std::move(value);
      ready.notify_one();
    }
  };
  std::vector<std::thread> pool;
  for (size_t i = 0; i < std::min<size_t>(threads, count); ++i) {
    try {
      pool.emplace_back(work);
    } catch (const std::system_error&) {
      if (pool.empty()) throw;
      break;  // the machine has no more threads to give: go on with those that run
    }
  }

  for (size_t index = 0; index < count && !stopped; ++index) {
    std::unique_lock lock(mutex);
    ready.wait(lock, [&] { return ring[index % window].has_value(); });
    Made value = std::move(*ring[index % window]);
    ring[index % window].reset();
    lock.unlock();
    const bool go_on = consume(index, std::move(value));
    lock.lock();
    consumed = index + 1;
    if (!go_on) stopped = true;
    room.notify_all();
  }
  {
    const std::lock_guard lock(mutex);
    stopped = true;
  }
  room.notify_all();
  for (std::thread& thread : pool) thread.join();
  return !(stopped && consumed < count);
}

}  // namespace moe

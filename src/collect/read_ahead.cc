#include "collect/read_ahead.h"

#include <system_error>

namespace moe {

ReadAhead::ReadAhead(const WorkList& list, ReadMode mode) : list_(list), mode_(mode) {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    // The machine has no thread to give: the bytes come when the mapping is read.
  }
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  moved_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void ReadAhead::Reached(uint64_t position) {
  {
    const std::lock_guard lock(mutex_);
    if (position <= reached_) return;
    reached_ = position;
    if (reached_ < wake_at_) return;
  }
  moved_.notify_one();
}

void ReadAhead::Run() {
  std::deque<Fetched> ahead;
  uint64_t bytes_ahead = 0;
  MatrixFetches fetches;
  for (uint64_t position = 0; position < list_.size(); ++position) {
    const WorkItem item = list_[position];
    if (!WaitForRoom(ahead, bytes_ahead)) return;
    uint64_t bytes = 0;
    for (const FileRange& range : fetches.Next(item.weight(), item.view)) {
      Fetch(range);
      bytes += range.end - range.begin;
    }
    ahead.push_back({position, bytes});
    bytes_ahead += bytes;
  }
}

// A full window is let run half empty, so that the threads do not wake each other for each matrix.
bool ReadAhead::WaitForRoom(std::deque<Fetched>& ahead, uint64_t& bytes_ahead) {
  std::unique_lock lock(mutex_);
  if (bytes_ahead >= kWindowBytes) {
    wake_at_ = ahead[ahead.size() / 2].position;
    moved_.wait(lock, [&] { return stopped_ || reached_ >= wake_at_; });
    wake_at_ = kNever;
  }
  for (; !ahead.empty() && ahead.front().position <= reached_; ahead.pop_front()) {
    bytes_ahead -= ahead.front().bytes;
  }
  return !stopped_;
}

void ReadAhead::Fetch(const FileRange& range) {
  const auto file = files_.try_emplace(range.file, range.file->path()).first;
  file->second.Fetch(range.begin, range.end - range.begin, mode_);
}

}  // namespace moe

#include "collect/read_ahead.h"

#include <algorithm>
#include <system_error>

namespace moe {

ReadAhead::ReadAhead(const CollectPlan& plan, const std::vector<uint64_t>& first_matrix,
                     ReadMode mode)
    : plan_(plan), first_matrix_(first_matrix), mode_(mode) {
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

void ReadAhead::Reached(uint64_t matrix) {
  {
    const std::lock_guard lock(mutex_);
    if (matrix <= reached_) return;
    reached_ = matrix;
    if (reached_ < wake_at_) return;
  }
  moved_.notify_one();
}

void ReadAhead::Run() {
  std::deque<Fetched> ahead;
  uint64_t bytes_ahead = 0;
  for (size_t bank = 0; bank < plan_.banks.size(); ++bank) {
    const PlannedBank& planned = plan_.banks[bank];
    for (uint64_t within = 0; within < planned.matrices(); ++within) {
      const uint64_t matrix = first_matrix_[bank] + within;
      if (!WaitForRoom(ahead, bytes_ahead)) return;
      ahead.push_back({matrix, planned.matrix_bytes()});
      bytes_ahead += planned.matrix_bytes();
      Fetch(planned, within);
    }
  }
}

// A full window is let run half empty, so that the threads do not wake each other for each matrix.
bool ReadAhead::WaitForRoom(std::deque<Fetched>& ahead, uint64_t& bytes_ahead) {
  std::unique_lock lock(mutex_);
  if (bytes_ahead >= kWindowBytes) {
    wake_at_ = ahead[ahead.size() / 2].matrix;
    moved_.wait(lock, [&] { return stopped_ || reached_ >= wake_at_; });
    wake_at_ = kNever;
  }
  for (; !ahead.empty() && ahead.front().matrix <= reached_; ahead.pop_front()) {
    bytes_ahead -= ahead.front().bytes;
  }
  return !stopped_;
}

// Matrices of a bank lie in a tensor one after the other, or nearly so; what is stored beside the
// weights (scales, zero points) follows the same order.
void ReadAhead::Fetch(const PlannedBank& planned, uint64_t within) {
  const uint64_t matrices = planned.matrices();
  for (const TensorRef& part : planned.weight->parts) {
    const auto position = part.file->PositionOf(part.index);
    if (!position) continue;
    const uint64_t bytes = part.file->tensors()[part.index].nbytes;
    const uint64_t begin = bytes / matrices * within;
    const uint64_t end = within + 1 == matrices ? bytes : bytes / matrices * (within + 1);
    const auto file = files_.try_emplace(part.file, part.file->path()).first;
    file->second.Fetch(*position + begin, end - begin, mode_);
  }
}

}  // namespace moe

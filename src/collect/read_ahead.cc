#include "collect/read_ahead.h"

#include <algorithm>
#include <system_error>

namespace moe {

ReadAhead::ReadAhead(const Model& model, ReadMode mode) : model_(model), mode_(mode) {
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
  for (uint64_t number = 0; number < model_.matrices(); ++number) {
    const ExpertMatrix matrix = model_.matrix(number);
    if (!WaitForRoom(ahead, bytes_ahead)) return;
    ahead.push_back({number, matrix.stored_bytes()});
    bytes_ahead += matrix.stored_bytes();
    Fetch(matrix);
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
void ReadAhead::Fetch(const ExpertMatrix& matrix) {
  const uint64_t matrices = matrix.bank->layers * matrix.bank->experts;
  const uint64_t within = matrix.layer_pos * matrix.bank->experts + matrix.expert_pos;
  for (const TensorRef& part : matrix.weight().parts) {
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

#pragma once

#include <atomic>

#include "moescope/error.h"

namespace moe {

/// Asked by long work, several times a second, whether its caller has had enough. All copies ask
/// one flag, which must outlive them; without one the answer is always no.
///
/// Threads: any, at once.
class StopToken {
 public:
  StopToken() = default;
  explicit StopToken(const std::atomic<bool>& flag) : flag_(&flag) {}

  bool stopped() const { return flag_ != nullptr && *flag_; }

  /// kInterrupted once stopped.
  Result<void> Check() const;

 private:
  const std::atomic<bool>* flag_ = nullptr;
};

/// The error of work that was stopped.
Error InterruptedError();

}  // namespace moe

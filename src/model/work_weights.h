#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "model/model_parts.h"

namespace moe {

/// The weights in work. A weight is opened by its first matrix and let go after its last, so that a
/// deflated member is inflated once and its temporary file does not linger.
///
/// Threads: Get() may be called from any thread at once; Expect() and Done() from one.
class WorkWeights {
 public:
  Result<std::shared_ptr<const WeightArray>> Get(const Weight& weight) {
    const std::lock_guard lock(mutex_);
    auto& held = arrays_[&weight];
    if (held) return held;
    auto opened = OpenWeight(weight);
    if (opened) held = *opened;
    return opened;
  }

  /// One more of its matrices will be asked for: told before the work, for those who don't know
  /// which comes last.
  void Expect(const Weight& weight) { ++expected_[&weight]; }
  /// That one is done; with the last that was expected it is let go.
  void Done(const Weight& weight) {
    if (--expected_[&weight] == 0) Release(weight);
  }

  /// No more of its matrices will be asked for.
  void Release(const Weight& weight) {
    const std::lock_guard lock(mutex_);
    arrays_.erase(&weight);
  }

 private:
  std::mutex mutex_;
  std::map<const Weight*, std::shared_ptr<const WeightArray>> arrays_;
  std::map<const Weight*, uint64_t> expected_;
};

}  // namespace moe

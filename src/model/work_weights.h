#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "model/model_parts.h"

namespace moe {

/// The weights in work. A weight is opened by its first matrix and let go after its last, so that a
/// deflated member is inflated once and its temporary file does not linger.
///
/// Threads: Get() may be called from any thread at once.
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

  /// No more of its matrices will be asked for.
  void Release(const Weight& weight) {
    const std::lock_guard lock(mutex_);
    arrays_.erase(&weight);
  }

 private:
  std::mutex mutex_;
  std::map<const Weight*, std::shared_ptr<const WeightArray>> arrays_;
};

}  // namespace moe

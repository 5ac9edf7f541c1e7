// The SIMD targets that kernels are compiled for and this machine has, and the choice of one.
#pragma once

#include "base/simd_targets.h"
// Highway reads that.
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <string>
#include <vector>

namespace moe {

inline std::vector<int64_t> KernelTargets() { return hwy::SupportedAndGeneratedTargets(); }

/// `target` serves from here on; 0: the best one again.
inline void UseTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

/// For the names of parameterised tests.
struct TargetNameOf {
  template <class Info>
  std::string operator()(const Info& info) const {
    return hwy::TargetName(info.param);
  }
};

}  // namespace moe

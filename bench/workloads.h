#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace moe {

/// One piece of the numeric heart on weights in memory, for the benchmarks and for the guard that
/// counts their instructions.
struct Workload {
  std::string name;           ///< "affine4/bf16"
  uint64_t bytes;             ///< stored bytes of the weights that one run goes over
  std::function<void()> run;  ///< may be called again and again
};

/// Behind the kernel in the name of a workload: the same with errors weighted by importance.
inline constexpr char kWeighted[] = "_weighted";

/// Every kernel for every dtype, and the whole measurement under the template config, on a
/// [rows, cols] matrix of pseudo-random weights that are the same everywhere.
std::vector<Workload> MakeWorkloads(uint64_t rows, uint64_t cols);

}  // namespace moe

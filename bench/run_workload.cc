// run_workload NAME TIMES: runs one workload on a small matrix, on the AVX2 kernels, once and then
// TIMES times in RunCounted(), for a tool that counts its instructions (bench/instructions.py).
// Without arguments: the names, and how many elements each has.
#include <hwy/highway.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "workloads.h"

/// By this name callgrind knows what to count.
extern "C" [[gnu::noinline]] void RunCounted(const moe::Workload& work, int times) {
  for (int i = 0; i < times; ++i) work.run();
}

int main(int argc, char** argv) {
  hwy::SetSupportedTargetsForTest(HWY_AVX2);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  constexpr uint64_t kRows = 64, kCols = 2048;
  const auto all = moe::MakeWorkloads(kRows, kCols);
  if (argc != 3) {
    for (const auto& work : all) std::cout << work.name << ' ' << kRows * kCols << '\n';
    return argc == 1 ? 0 : 2;
  }
  for (const auto& work : all) {
    if (work.name != argv[1]) continue;
    work.run();
    RunCounted(work, std::atoi(argv[2]));
    return 0;
  }
  std::cerr << "run_workload: no workload '" << argv[1] << "'\n";
  return 2;
}

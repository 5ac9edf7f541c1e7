// run_workload NAME TIMES: runs one workload on a small matrix, on the AVX2 kernels, for a tool
// that counts its instructions (bench/instructions.py). Without arguments: the names, and how many
// elements each has.
#include <hwy/highway.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "workloads.h"

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
    for (int i = std::atoi(argv[2]); i > 0; --i) work.run();
    return 0;
  }
  std::cerr << "run_workload: no workload '" << argv[1] << "'\n";
  return 2;
}

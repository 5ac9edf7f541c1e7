// Speed of the numeric heart, beside that of reading memory. Bytes are those of the stored dtype.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/heap.h"
#include "workloads.h"

namespace {

// What no kernel can beat: adding up 256 MiB, which no cache holds.
void ReadMemory(benchmark::State& state) {
  const std::vector<uint64_t> words((size_t{256} << 20) / sizeof(uint64_t), 1);
  for (auto _ : state) {
    uint64_t sums[4] = {};
    for (size_t i = 0; i < words.size(); i += 4) {
      for (size_t lane = 0; lane < 4; ++lane) sums[lane] += words[i + lane];
    }
    benchmark::DoNotOptimize(sums);
  }
  state.SetBytesProcessed(
      static_cast<int64_t>(state.iterations() * words.size() * sizeof(uint64_t)));
}
BENCHMARK(ReadMemory)->Name("memory_read")->Unit(benchmark::kMillisecond);

// How many times as long a workload takes with weighted errors. Both run in turn, and the fastest
// run of each counts, so that the machine's other work does not.
void CompareWeighted(benchmark::State& state, const moe::Workload& plain,
                     const moe::Workload& weighted) {
  const auto seconds_of = [](const moe::Workload& work) {
    const auto start = std::chrono::steady_clock::now();
    work.run();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double least_plain = 1e9, least_weighted = 1e9;
  for (auto _ : state) {
    least_plain = std::min(least_plain, seconds_of(plain));
    least_weighted = std::min(least_weighted, seconds_of(weighted));
  }
  state.counters["ratio"] = least_weighted / least_plain;
}

void RegisterComparisons(const std::vector<moe::Workload>& all) {
  for (const moe::Workload& weighted : all) {
    std::string name = weighted.name;
    const size_t at = name.find(moe::kWeighted);
    if (at == std::string::npos) continue;
    name.erase(at, std::strlen(moe::kWeighted));
    const auto plain = std::ranges::find(all, name, &moe::Workload::name);
    benchmark::RegisterBenchmark(("weighted_over_plain/" + name).c_str(),
                                 [plain = *plain, weighted](benchmark::State& state) {
                                   CompareWeighted(state, plain, weighted);
                                 })
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace

int main(int argc, char** argv) {
  moe::KeepFreedBuffers();                       // as the program does
  constexpr uint64_t kRows = 768, kCols = 2048;  // an expert of Qwen3-30B-A3B
  const auto all = moe::MakeWorkloads(kRows, kCols);
  for (const moe::Workload& work : all) {
    benchmark::RegisterBenchmark(work.name.c_str(), [work](benchmark::State& state) {
      for (auto _ : state) work.run();
      state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * work.bytes));
    })->Unit(benchmark::kMillisecond);
  }
  RegisterComparisons(all);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

// Speed of the numeric heart, beside that of reading memory. Bytes are those of the stored dtype.
#include <benchmark/benchmark.h>

#include <cstdint>
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

}  // namespace

int main(int argc, char** argv) {
  moe::KeepFreedBuffers();                       // as the program does
  constexpr uint64_t kRows = 768, kCols = 2048;  // an expert of Qwen3-30B-A3B
  for (const moe::Workload& work : moe::MakeWorkloads(kRows, kCols)) {
    benchmark::RegisterBenchmark(work.name.c_str(), [work](benchmark::State& state) {
      for (auto _ : state) work.run();
      state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * work.bytes));
    })->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

// Lists the expert matrices of one checkpoint file, and what 4-bit quantization does to the first.
// Usage: list_experts FILE.safetensors

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "moescope/checkpoint.h"
#include "moescope/experts.h"
#include "moescope/measure.h"
#include "moescope/weight.h"

namespace {

int Fail(const moe::Error& error) {
  std::fprintf(stderr, "list_experts: %s\n", error.Text().c_str());
  return 1;
}

/// The matrix of `bank` at the first layer and expert.
moe::Result<std::unique_ptr<moe::MatrixSource>> OpenFirst(const moe::TensorFile& file, size_t index,
                                                          const moe::ExpertBank& bank) {
  moe::TensorIndex tensors;
  tensors.Add(file);
  const auto weight = moe::FindWeight({&file, index}, tensors);
  if (!weight) return tl::make_unexpected(weight.error());
  const std::string& name = file.tensors()[index].name;
  if (!*weight) return moe::Fail(moe::ErrorCode::kUnsupported, name, "its elements are no weights");
  return moe::OpenMatrix(**weight,
                         {bank.rows, bank.cols, bank.offset, bank.row_stride, bank.col_stride});
}

moe::Result<void> Describe(const moe::MatrixSource& matrix) {
  moe::MeasureOptions options;
  options.schemes = {{"affine_q4_g32", "affine", 4, 32}};
  const auto measured = moe::MeasureMatrix(matrix, options);
  if (!measured) return tl::make_unexpected(measured.error());
  const moe::QuantError& quant = measured->quant.front();
  std::printf("first: rms %.6g, largest weight %.6g\n", measured->stats.rms,
              measured->stats.max_abs);
  if (quant.w_rel_fro) {
    std::printf("first: relative error %.4f in 4 bits\n", *quant.w_rel_fro);
  } else {
    std::printf("first: no 4-bit error: %s\n", quant.error.value_or("").c_str());
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: list_experts FILE.safetensors\n");
    return 2;
  }
  const auto file = moe::OpenTensorFile(argv[1]);
  if (!file) return Fail(file.error());
  const auto extractor = moe::Extractor::Create(moe::DefaultExtractOptions());
  if (!extractor) return Fail(extractor.error());

  bool described = false;
  for (size_t i = 0; i < (*file)->tensors().size(); ++i) {
    const auto found = extractor->Extract((*file)->tensors()[i]);
    if (!found) return Fail(found.error());
    for (const moe::ExpertBank& bank : found->banks) {
      std::printf(
          "layer %lld %s, expert %lld: %llu x %llu\n", static_cast<long long>(bank.LayerAt(0)),
          bank.proj.c_str(), static_cast<long long>(bank.ExpertIdAt(0)),
          static_cast<unsigned long long>(bank.rows), static_cast<unsigned long long>(bank.cols));
      if (std::exchange(described, true)) continue;
      const auto matrix = OpenFirst(**file, i, bank);
      if (!matrix) return Fail(matrix.error());
      if (auto done = Describe(**matrix); !done) return Fail(done.error());
    }
  }
  return 0;
}

// Lists the expert matrices of a checkpoint, and what 4-bit quantization does to each.
// Usage: list_experts PATH   (a folder, an index or a file; any storage)

#include <cstdio>

#include "moescope/moescope.h"

namespace {

int Fail(const moe::Error& error) {
  std::fprintf(stderr, "list_experts: %s\n", error.Text().c_str());
  return 1;
}

/// "layer 3 down_proj, expert 7: 2048 x 768, bfloat16, 4-bit error 0.0912"
void Print(const moe::ExpertMatrix& matrix, const moe::QuantError& error) {
  const moe::MatrixKey key = matrix.key();
  std::printf("%s%slayer %lld %s, %s %lld: %llu x %llu, %s, ", key.stack.c_str(),
              key.stack.empty() ? "" : " ", static_cast<long long>(key.layer), key.proj.c_str(),
              key.shared ? "shared expert" : "expert", static_cast<long long>(key.expert),
              static_cast<unsigned long long>(matrix.rows()),
              static_cast<unsigned long long>(matrix.cols()), matrix.weight().storage.c_str());
  if (error.w_rel_fro) {
    std::printf("4-bit error %.4f\n", *error.w_rel_fro);
  } else {
    std::printf("no 4-bit error: %s\n", error.error.value_or("").c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: list_experts PATH\n");
    return 2;
  }
  const auto model = moe::Model::Open(argv[1]);
  if (!model) return Fail(model.error());
  moe::MeasureOptions options;
  options.schemes = {{"q4", "affine", 4, 32}};
  for (uint64_t i = 0; i < model->matrices(); ++i) {
    const auto weights = model->OpenMatrix(i);
    if (!weights) return Fail(weights.error());
    const auto measured = moe::MeasureMatrix(**weights, options);
    if (!measured) return Fail(measured.error());
    Print(model->matrix(i), measured->quant.front());
  }
  return 0;
}

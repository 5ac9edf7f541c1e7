#include "collect/guessed_inputs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace moe {
namespace {

// ---- E[silu(g)^2] ----

constexpr int kLeastExponent = -40, kMostExponent = 60, kSteps = 32;  // steps of each octave
constexpr size_t kNodes = (kMostExponent - kLeastExponent) * kSteps + 1;

/// e^-x for x >= 0, from multiplications alone: the C library's has other last digits on other
/// CPUs.
double ExpOfMinus(double x) {
  if (x > 700) return 0;
  double term = 1, sum = 1;
  const double reduced = x / 1024;
  for (int k = 1; k < 8; ++k) sum += term *= reduced / k;
  for (int doubled = 0; doubled < 10; ++doubled) sum *= sum;
  return 1 / sum;
}

double Silu(double x) {
  const double e = ExpOfMinus(std::abs(x));
  return x >= 0 ? x / (1 + e) : x * e / (1 + e);
}

/// By the trapezoidal rule, which is exact to rounding for such integrands.
double IntegrateSilu(double variance) {
  constexpr double kStep = 1.0 / 8;
  const double deviation = std::sqrt(variance);
  double sum = 0, weights = 0;
  for (int i = -80; i <= 80; ++i) {
    const double z = i * kStep, weight = ExpOfMinus(z * z / 2);
    const double value = Silu(deviation * z);
    sum += weight * value * value;
    weights += weight;
  }
  return sum / weights;
}

/// E[silu(g)^2] / variance at the nodes, which lie evenly in each octave.
const std::array<double, kNodes>& SiluTable() {
  static const std::array<double, kNodes> kTable = [] {
    std::array<double, kNodes> table{};
    for (size_t i = 0; i < kNodes; ++i) {
      const auto at = static_cast<int>(i);
      const double variance =
          std::ldexp(1 + at % kSteps / double{kSteps}, kLeastExponent + at / kSteps);
      table[i] = IntegrateSilu(variance) / variance;
    }
    return table;
  }();
  return kTable;
}

// ---- norms ----

/// The norm before a layer's experts, after the name of the layer. Of several that there are, the
/// first.
constexpr std::string_view kNorms[] = {
    "pre_feedforward_layernorm_2.weight",  // Gemma 4: of the experts, beside the dense MLP's
    "pre_feedforward_layernorm.weight",
    "pre_mlp_layernorm.weight",
    "pre_ff_layernorm.weight",
    "post_attention_layernorm.weight",
    "ffn_norm.weight",
    "post_attention_norm.weight",
    "mlp_norm.weight",
    "ln_2.weight",
    "norm2.weight",
    "norm.weight"};  // Nemotron-H: one norm a block

/// Families whose norms add 1 to their weight, as transformers writes it; MLX and GGUF store the
/// sum.
constexpr std::string_view kOffsetFamilies[] = {"qwen3_next", "qwen3_5_moe"};

/// "model.layers.3." of "model.layers.3.mlp.experts.0.up_proj.weight"; "" if it has no such layer.
std::string LayerPrefix(std::string_view name, int64_t layer) {
  const std::string number = "." + std::to_string(layer) + ".";
  const size_t at = name.find(number);
  return at == name.npos ? "" : std::string(name.substr(0, at + number.size()));
}

}  // namespace

double MeanSquareOfSilu(double variance) {
  if (!(variance > 0)) return 0;
  int exponent = 0;
  const double mantissa = std::frexp(variance, &exponent) * 2;  // [1, 2)
  const int octave = exponent - 1 - kLeastExponent;
  if (octave < 0) return variance * SiluTable().front();
  if (octave >= kMostExponent - kLeastExponent) return variance * SiluTable().back();
  const double place = (mantissa - 1) * kSteps;
  const auto step = static_cast<size_t>(place);
  const double* node = SiluTable().data() + static_cast<size_t>(octave) * kSteps + step;
  return variance * (node[0] + (node[1] - node[0]) * (place - static_cast<double>(step)));
}

std::vector<double> GuessDownInput(const std::vector<double>& gate, const std::vector<double>& up) {
  std::vector<double> input(up.size());
  for (size_t i = 0; i < up.size(); ++i) {
    input[i] = gate.empty() ? 1.5 * up[i] * up[i] : MeanSquareOfSilu(gate[i]) * up[i];
  }
  return input;
}

ExpertNorms::ExpertNorms(const Model& model) : model_(model) {
  for (const ModelTensor& tensor : model.tensors()) {
    if (tensor.info().name.ends_with(".weight") && tensor.weight) tensors_.Add(tensor.ref);
  }
}

const std::vector<double>& ExpertNorms::Of(const ExpertMatrix& matrix) const {
  static const std::vector<double> kNone;
  const std::string prefix = LayerPrefix(matrix.weight().name, matrix.key().layer);
  if (prefix.empty()) return kNone;
  for (const std::string_view name : kNorms) {
    const auto norm = tensors_.Find(prefix, name);
    if (!norm || norm->info().shape != std::vector<uint64_t>{matrix.cols()}) continue;
    return Squares(*norm);
  }
  return kNone;
}

const std::vector<double>& ExpertNorms::Squares(const TensorRef& norm) const {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = squares_.try_emplace(norm.info().name);
  std::vector<double>& squares = place->second;
  if (!is_new) return squares;
  const auto weight = FindWeight(norm, tensors_);
  if (!weight || !*weight) return squares;
  const uint64_t cols = norm.info().shape[0];
  std::vector<float> values(cols);
  const auto read = OpenMatrix(**weight, MatrixView{1, cols, 0, cols, 1})
                        .and_then([&](const std::unique_ptr<MatrixSource>& row) {
                          return row->Read({0, 0, 1, cols}, values.data());
                        });
  if (!read) return squares;
  std::vector<float> sorted = values;
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<ptrdiff_t>(cols / 2));
  const bool offset =
      std::ranges::count(kOffsetFamilies, model_.family()) > 0 && std::abs(sorted[cols / 2]) < 0.5F;
  for (const float value : values) {
    const double factor = value + (offset ? 1.0 : 0.0);
    if (!std::isfinite(factor)) {
      squares.clear();
      break;
    }
    squares.push_back(factor * factor);
  }
  return squares;
}

}  // namespace moe

#include "costs/energies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "base/json.h"
#include "base/utf8.h"
#include "evidence/hidden_values.h"
#include "evidence/module_inputs.h"
#include "experts/families.h"
#include "model/model_parts.h"

namespace moe {
namespace {

double SumOf(const std::map<int64_t, double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0,
                         [](double sum, const auto& entry) { return sum + entry.second; });
}

// Weights, as ModuleName has them: the head, and what gives a layer's part of the residual stream,
// the last of attention or what stands in its place.
constexpr std::string_view kHead = "output";
constexpr std::string_view kMlpOutput = "ffn_down";
constexpr std::string_view kAttentionOutput = "attn_output";
constexpr std::string_view kAttentionOutputs[] = {kAttentionOutput, "ssm_out", "shortconv.out_proj",
                                                  "linear_attn.out_proj"};
/// Of their energy, what attention's mean over tokens leaves (as the study took it).
constexpr double kLeftByAttention = 0.5;

/// What a model multiplies its embeddings with.
double EmbeddingFactor(const Model& model, double width) {
  const Json& config = model.parts().files->metadata.config;
  if (const Json& factor = config["embedding_multiplier"]; factor.is_number()) {
    return factor.get<double>();  // Granite
  }
  return model.family().starts_with("gemma") ? std::sqrt(width) : 1;
}

/// Mean squared length of an embedding; 0: not known.
double EmbeddingOf(const Model& model, const RunErrors& errors) {
  for (const DenseWeight& weight : model.dense()) {
    if (weight.role() != Role::kEmbedding || weight.layer() >= 0 || weight.stack()) continue;
    if (ModuleNameOf(weight.module).name == kHead) continue;
    const auto found = errors.matrices.find({AsUtf8(weight.module), -1, -1});
    if (found == errors.matrices.end() || !found->second.rms) continue;
    const auto width = static_cast<double>(weight.cols);
    const double length = *found->second.rms * EmbeddingFactor(model, width);
    return length * length * width;
  }
  return 0;
}

}  // namespace

MatrixId IdOf(const ExpertMatrix& matrix) {
  const MatrixKey key = matrix.key();
  return {AsUtf8(matrix.bank->derived_tensor), key.layer, key.shared ? -1 : key.expert};
}

Energies::Energies(const Model& model, const RunErrors& errors)
    : measured_(errors.has_energies), embedding_(EmbeddingOf(model, errors)) {
  per_token_ = static_cast<double>(model.facts().experts_per_token.value_or(1));
  if (!model.facts().experts_per_token) {
    notes_.emplace_back(
        "How many experts a token goes to: config.json does not say, one is taken.");
  }
  if (!(embedding_ > 0)) {
    notes_.emplace_back(
        "How large embeddings are in the residual stream: the run has no numbers of them "
        "(scan.dense_weights).");
  }
  AddExperts(model, errors);
  AddDense(model, errors);
  ReplaceUnseen();
  AddUp();
}

void Energies::AddExperts(const Model& model, const RunErrors& errors) {
  uint64_t without_share = 0;
  std::map<int64_t, double> counts;
  for (uint64_t i = 0; i < model.matrices(); ++i) {
    const MatrixKey key = model.matrix(i).key();
    if (key.proj == kDownProj && key.stack.empty() && !key.shared) ++counts[key.layer];
  }
  for (uint64_t i = 0; i < model.matrices(); ++i) {
    const ExpertMatrix matrix = model.matrix(i);
    const MatrixKey key = matrix.key();
    const auto found = errors.matrices.find(IdOf(matrix));
    if (key.proj != kDownProj || !key.stack.empty() || found == errors.matrices.end()) continue;
    const MatrixNumbers& numbers = found->second;
    const auto energy = measured_ ? numbers.energy : numbers.guessed_energy;
    Layer& layer = layers_[key.layer];
    const double even = 1 / std::max(counts[key.layer], 1.0);
    if (measured_ && !numbers.energy && !key.shared) {
      layer.unseen[key.expert] = numbers.guessed_energy.value_or(0) * even * per_token_;
      continue;
    }
    if (!energy) continue;
    if (key.shared) {
      layer.shared += *energy;
      continue;
    }
    const double share = numbers.token_share.value_or(even);
    without_share += measured_ && !numbers.token_share ? 1 : 0;
    layer.routed[key.expert] = *energy * share * per_token_;
    layer.seen_energy += *energy * share * per_token_;
    layer.seen_guess += numbers.guessed_energy.value_or(0) * even * per_token_;
  }
  if (without_share > 0) {
    notes_.emplace_back(
        "How often experts are used: the imatrix does not say (the older .dat form); even use is "
        "taken, --usage adds counts.");
  }
}

/// What the weights of a layer outside the experts tell of what it adds, by the means over all
/// rows: of values, and of an MLP's hidden values.
struct Energies::DenseGuess {
  std::optional<double> value, gate, up;  ///< mean squares of what these give
  double output = 0, down = 0;            ///< sums of squared weights

  void Add(std::string_view name, const DenseWeight& weight, const MatrixNumbers& numbers) {
    if (numbers.guessed_energy) {
      std::optional<double>& place = name == "ffn_gate" ? gate : name == "ffn_up" ? up : value;
      place = *numbers.guessed_energy / static_cast<double>(weight.rows);
    }
    const double rms = numbers.rms.value_or(0);
    const double squares = rms * rms * static_cast<double>(weight.rows * weight.cols);
    if (name == kAttentionOutput) output = squares;
    if (name == kMlpOutput) down = squares;
  }
  std::optional<double> Attention() const {
    if (!value || !(output > 0)) return std::nullopt;
    return kLeftByAttention * *value * output;
  }
  std::optional<double> Mlp() const {
    if (!up || !(down > 0)) return std::nullopt;
    const std::vector<double> gates = gate ? std::vector{*gate} : std::vector<double>();
    return GuessDownInput(gates, {*up}).front() * down;
  }
};

/// Attention and dense MLPs: measured, or guessed.
void Energies::AddDense(const Model& model, const RunErrors& errors) {
  std::map<int64_t, DenseGuess> guesses;
  struct Output {
    const DenseWeight* weight;
    bool of_attention;
    std::optional<double> measured;
  };
  std::vector<Output> outputs;
  for (const DenseWeight& weight : model.dense()) {
    const auto found = errors.matrices.find({AsUtf8(weight.module), -1, -1});
    if (weight.stack() || weight.layer() < 0 || found == errors.matrices.end()) continue;
    const std::string name = ModuleNameOf(weight.module).name;
    guesses[weight.layer()].Add(name, weight, found->second);
    const bool attention = std::ranges::count(kAttentionOutputs, name) > 0;
    if (attention || name == kMlpOutput) {
      outputs.push_back({&weight, attention, found->second.energy});
    }
  }
  std::vector<const DenseWeight*> unknown;
  for (const auto& [weight, of_attention, measured] : outputs) {
    const DenseGuess& guess = guesses[weight->layer()];
    const auto energy = measured_ ? measured : of_attention ? guess.Attention() : guess.Mlp();
    Layer& layer = layers_[weight->layer()];
    std::optional<double>& sum = of_attention ? layer.attention : layer.mlp;
    if (energy) {
      sum = sum.value_or(0) + *energy;
    } else {
      unknown.push_back(weight);
    }
  }
  if (unknown.empty()) return;
  notes_.push_back(fmt::format(
      "How much {} of {} weights outside the experts add to the residual stream, as {} ({}): taken "
      "as nothing; what they are made of weighs as much as the experts of its layer.",
      unknown.size(), outputs.size(), AsUtf8(unknown.front()->module),
      measured_ ? "the calibration does not say" : "it can't be guessed from weights"));
}

void Energies::ReplaceUnseen() {
  double seen_energy = 0, seen_guess = 0;
  for (const auto& [number, layer] : layers_) {
    seen_energy += layer.seen_energy;
    seen_guess += layer.seen_guess;
  }
  const double usual = seen_guess > 0 ? seen_energy / seen_guess : 0;
  for (auto& [number, layer] : layers_) {
    const double scale = layer.seen_guess > 0 ? layer.seen_energy / layer.seen_guess : usual;
    for (const auto& [expert, guess] : layer.unseen) {
      if (!(guess * scale > 0)) continue;  // not known
      layer.routed[expert] = guess * scale;
      ++replaced_;
    }
  }
}

void Energies::AddUp() {
  double residual = embedding_, shares = 0;
  uint64_t with_experts = 0;
  for (auto& [number, layer] : layers_) {
    const double routed = SumOf(layer.routed);
    residual += layer.attention.value_or(0) + layer.mlp.value_or(0) + layer.shared +
                routed / (per_token_ * per_token_);
    layer.residual = residual;
    if (!(routed > 0)) continue;
    shares += routed / residual;
    ++with_experts;
  }
  if (with_experts > 0) mean_share_ = shares / static_cast<double>(with_experts);
}

std::optional<double> Energies::OfExpert(int64_t layer, int64_t expert) const {
  const auto found = layers_.find(layer);
  if (found == layers_.end()) return std::nullopt;
  const auto energy = found->second.routed.find(expert);
  return energy == found->second.routed.end() ? std::nullopt : std::optional(energy->second);
}

std::optional<double> Energies::OfShared(int64_t layer) const {
  const auto found = layers_.find(layer);
  if (found == layers_.end() || !(found->second.shared > 0)) return std::nullopt;
  return found->second.shared;
}

std::optional<double> Energies::Residual(int64_t layer) const {
  const auto found = layers_.find(layer);
  if (found == layers_.end() || !(found->second.residual > 0)) return std::nullopt;
  return found->second.residual;
}

std::optional<double> Energies::ShareOfPart(int64_t layer,
                                            std::optional<double> Layer::* part) const {
  const auto found = layers_.find(layer);
  if (found == layers_.end() || !(found->second.*part)) return std::nullopt;
  return *(found->second.*part) / found->second.residual;
}

std::optional<double> Energies::ShareOfAttention(int64_t layer) const {
  return ShareOfPart(layer, &Layer::attention);
}

std::optional<double> Energies::ShareOfMlp(int64_t layer) const {
  return ShareOfPart(layer, &Layer::mlp);
}

double Energies::ShareOf(int64_t layer) const {
  const auto found = layers_.find(layer);
  if (found == layers_.end()) return mean_share_;
  const double routed = SumOf(found->second.routed);
  return routed > 0 ? routed / found->second.residual : mean_share_;
}

}  // namespace moe

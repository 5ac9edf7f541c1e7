#include "costs/run_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/utf8.h"
#include "costs/energies.h"
#include "costs/fingerprint.h"
#include "costs/run_errors.h"
#include "experts/families.h"
#include "experts/mlx_names.h"
#include "model/model_parts.h"
#include "run/schemes.h"

namespace moe {
namespace {

constexpr const char* kRouted = "routed_expert";
constexpr const char* kShared = "shared_expert";
constexpr const char* kRouter = "router";
constexpr std::array<std::string_view, 5> kFloored = {"attention", "embedding", "lm_head", kShared,
                                                      "dense"};

constexpr double kDownFactor = 3;  // fitted on two models: docs/recipes.md

double FactorOf(std::string_view proj) { return proj == kDownProj ? kDownFactor : 1; }

/// Gate and up are one unit: runtimes want it so, and it costs nothing.
std::string UnitProj(const std::string& proj) {
  return proj == kGateProj || proj == kUpProj ? "gate_proj+up_proj" : proj;
}

/// nullopt where one is not known.
std::optional<double> Sum(std::optional<double> a, std::optional<double> b) {
  return a && b ? std::optional(*a + *b) : std::nullopt;
}

std::string LastPart(std::string_view path) {
  return std::string(path.substr(path.rfind('.') + 1));
}

class Builder {
 public:
  Builder(const Model& model, const RunErrors& errors, const MlxNames& names, CostKind kind,
          std::vector<size_t> candidates)
      : model_(model),
        errors_(errors),
        names_(names),
        kind_(kind),
        candidates_(std::move(candidates)),
        energies_(model, errors) {}

  Recipe Build() {
    const Model::Parts& parts = model_.parts();
    recipe_.model = {FingerprintOf(model_), model_.model_type(), std::string(model_.family()),
                     FloatType(parts.files->metadata.config)};
    recipe_.objective.name = NameOfObjective();
    AddExperts();
    AddDense();
    AddUntouched();
    for (const auto& [key, place] : places_) Complete(recipe_.units[place]);
    Tell();
    return std::move(recipe_);
  }

 private:
  using UnitKey = std::tuple<std::string, int64_t, std::string>;  // role, layer, projection

  /// What mlx-lm casts floats to: torch_dtype, or dtype of the text model; without either they stay
  /// what they are, as the experts are.
  std::string FloatType(const Json& config) const {
    std::string declared = config["torch_dtype"].text();
    if (declared.empty()) declared = config["text_config"]["dtype"].text();
    if (declared.starts_with("torch.")) declared.erase(0, 6);
    if (declared.empty() && model_.matrices() > 0) declared = model_.matrix(0).weight().storage;
    return declared == "float16" || declared == "float32" ? declared : "bfloat16";
  }

  std::string NameOfObjective() const {
    if (kind_ == CostKind::kWeight) return "weight: w_rel_fro^2 x weights";
    if (kind_ == CostKind::kActivation) return "activation: sum a_c d^2 of the experts";
    return energies_.measured() ? "w_rel_fro^2 x energy / residual, energies of the calibration"
                                : "w_rel_fro^2 x energy / residual, energies guessed from weights";
  }

  RecipeUnit& UnitOf(const std::string& role, int64_t layer, const std::string& proj) {
    const auto [place, is_new] = places_.try_emplace({role, layer, proj}, recipe_.units.size());
    if (is_new) {
      RecipeUnit& unit = recipe_.units.emplace_back();
      unit.role = role;
      if (layer >= 0) unit.layer = layer;
      unit.proj = proj;
      costs_.emplace_back(candidates_.size(), 0.0);
    }
    return recipe_.units[place->second];
  }

  /// Adds what this matrix costs in each candidate to its unit.
  void AddCosts(const RecipeUnit& unit, const MatrixNumbers* numbers, double weights, double factor,
                std::optional<double> energy_share) {
    auto& costs = costs_[static_cast<size_t>(&unit - recipe_.units.data())];
    for (size_t c = 0; c < candidates_.size(); ++c) {
      costs[c] = Sum(costs[c], CostOf(numbers, candidates_[c], weights, factor, energy_share));
    }
  }

  std::optional<double> CostOf(const MatrixNumbers* numbers, size_t scheme, double weights,
                               double factor, std::optional<double> energy_share) const {
    if (numbers == nullptr || scheme >= numbers->rel.size() || !numbers->rel[scheme]) {
      return std::nullopt;
    }
    const double square = *numbers->rel[scheme] * *numbers->rel[scheme];
    if (kind_ == CostKind::kWeight) return square * weights;
    if (kind_ == CostKind::kActivation) return ActivationCost(*numbers, scheme);
    if (!energy_share) return std::nullopt;
    return factor * square * *energy_share;
  }

  static std::optional<double> ActivationCost(const MatrixNumbers& numbers, size_t scheme) {
    if (numbers.never_routed) return 0.0;
    if (scheme >= numbers.act.size() || !numbers.act[scheme] || !numbers.energy) return {};
    return *numbers.act[scheme] * *numbers.act[scheme] * *numbers.energy *
           numbers.token_share.value_or(1);
  }

  const MatrixNumbers* NumbersOf(const MatrixId& id) {
    ++recipe_.coverage.matrices;
    const auto found = errors_.matrices.find(id);
    if (found == errors_.matrices.end() || found->second.rel.empty()) return nullptr;
    ++recipe_.coverage.measured;
    return &found->second;
  }

  void AddExperts() {
    for (uint64_t i = 0; i < model_.matrices(); ++i) {
      const ExpertMatrix matrix = model_.matrix(i);
      const MatrixKey key = matrix.key();
      covered_.insert(matrix.tensor);
      if (!key.stack.empty() || key.layer < 0) {
        ++other_stacks_;
        continue;
      }
      key.shared ? AddShared(matrix, key) : AddRouted(matrix, key);
    }
  }

  void AddRouted(const ExpertMatrix& matrix, const MatrixKey& key) {
    RecipeUnit& unit = UnitOf(kRouted, key.layer, UnitProj(key.proj));
    RecipeModule& module = ModuleOf(unit, names_.Experts(key.layer, key.proj), matrix);
    if (module.shape.empty()) module.shape = {0, matrix.rows(), matrix.cols()};
    ++module.shape[0];
    const auto energy = energies_.OfExpert(key.layer, key.expert);
    const auto residual = energies_.Residual(key.layer);
    AddCosts(unit, NumbersOf(IdOf(matrix)), WeightsIn(matrix), FactorOf(key.proj),
             energy && residual ? std::optional(*energy / *residual) : std::nullopt);
    if (energy && key.proj == kDownProj) unit.cost_terms["energy"] += *energy;
    if (residual) unit.cost_terms["residual"] = *residual;
    unit.cost_terms["factor"] = FactorOf(key.proj);
    if (IsLeftPacked(matrix)) packed_.insert({kRouted, key.layer, UnitProj(key.proj)});
    const std::string& storage = matrix.weight().storage;
    const bool loads =
        matrix.weight().is_plain() || storage.starts_with("fp8_block") || IsLeftPacked(matrix);
    if (!loads) packed_storage_ = storage;
  }

  void AddShared(const ExpertMatrix& matrix, const MatrixKey& key) {
    const auto modules = names_.Modules(matrix.weight().name, matrix.weight().shape);
    if (modules.empty()) return;
    RecipeUnit& unit = UnitOf(kShared, key.layer, UnitProj(key.proj));
    for (const MlxModule& made : modules) {
      RecipeModule& module = ModuleOf(unit, made.path, matrix);
      module.shape = made.shape;
    }
    const auto energy = energies_.OfShared(key.layer);
    const auto residual = energies_.Residual(key.layer);
    const double scale = energies_.experts_per_token() * energies_.experts_per_token();
    AddCosts(unit, NumbersOf(IdOf(matrix)), WeightsIn(matrix), FactorOf(key.proj),
             energy && residual ? std::optional(*energy * scale / *residual) : std::nullopt);
  }

  /// mlx-lm leaves gpt-oss's own MXFP4 experts as they are, whatever a predicate says.
  bool IsLeftPacked(const ExpertMatrix& matrix) const {
    return model_.family() == "gpt_oss" && matrix.weight().storage.starts_with("mxfp4");
  }

  static double WeightsIn(const ExpertMatrix& matrix) {
    return static_cast<double>(matrix.rows() * matrix.cols());
  }

  /// The module of that path; a new one is called after the matrix's weight.
  static RecipeModule& ModuleOf(RecipeUnit& unit, const std::string& path,
                                const ExpertMatrix& matrix) {
    const auto found = std::ranges::find(unit.modules, path, &RecipeModule::mlx);
    if (found != unit.modules.end()) return *found;
    const bool of_many = !matrix.bank->is_shared_expert && matrix.bank->experts == 1;
    return unit.modules.emplace_back(
        RecipeModule{path, CheckpointModule(AsUtf8(matrix.weight().name), of_many), {}});
  }

  static std::string RoleOf(const DenseWeight& weight, const std::string& path) {
    if (weight.role() == Role::kRouter) return kRouter;
    if (path == "lm_head" || path.ends_with(".lm_head")) return "lm_head";
    if (weight.role() == Role::kAttention) return "attention";
    return weight.role() == Role::kEmbedding ? "embedding" : "dense";
  }

  void AddDense() {
    for (const DenseWeight& weight : model_.dense()) {
      const auto modules = names_.Modules(weight.weight().name, weight.weight().shape);
      if (modules.empty()) continue;
      covered_.insert(weight.tensor);
      const MatrixNumbers* numbers = NumbersOf({AsUtf8(weight.module), -1, -1});
      const std::string role = RoleOf(weight, modules.front().path);
      RecipeUnit& unit = UnitOf(role, weight.layer(), LastPart(weight.module));
      for (const MlxModule& module : modules) {
        unit.modules.push_back({module.path, AsUtf8(weight.module), module.shape});
        if (module.eight_bits) eight_bits_.insert(UnitKey(role, weight.layer(), unit.proj));
      }
      split_ = split_ || modules.size() > 1;
      const auto count = static_cast<double>(weight.rows * weight.cols);
      AddCosts(unit, numbers, count, FactorOf(unit.proj), DenseShare(role, weight.layer()));
    }
  }

  /// What an error of a weight outside the experts is weighed with.
  double DenseShare(const std::string& role, int64_t layer) const {
    const double square = energies_.experts_per_token() * energies_.experts_per_token();
    return role == "lm_head" || role == "embedding" ? square : energies_.ShareOf(layer);
  }

  void AddUntouched() {
    const uint64_t float_bytes = recipe_.float_bits() / 8;
    const auto layers = model_.facts().layers;
    const bool tied = MlxFactsOf(model_.parts().files->metadata.config).tied;
    for (const ModelTensor& tensor : model_.tensors()) {
      recipe_.coverage.source_bytes += tensor.info().nbytes;
      if (covered_.contains(&tensor) || tensor.companion) continue;
      const bool beyond =
          layers && tensor.found.layer.value_or(-1) >= static_cast<int64_t>(*layers);
      if (tensor.left_out != ModelTensor::LeftOut::kNo || beyond || tensor.found.stack) continue;
      if (tied && tensor.info().name.ends_with("lm_head.weight")) continue;  // mlx-lm drops it
      recipe_.coverage.untouched_bytes += tensor.elements() * float_bytes;
    }
  }

  /// The bytes of its candidates, which have their costs; and what it is if it is kept.
  void Complete(RecipeUnit& unit) {
    const auto at = static_cast<size_t>(&unit - recipe_.units.data());
    const unsigned float_bits = recipe_.float_bits();
    const UnitKey key{unit.role, unit.layer.value_or(-1), unit.proj};
    StoredForm kept;
    if (eight_bits_.contains(key)) kept = QuantScheme{"", "affine", 8, 64};
    if (packed_.contains(key)) kept = QuantScheme{"", "mxfp4", 4, 32};
    auto bytes = StoredBytes(unit, kept, float_bits);
    unit.chosen = {bytes ? kept : std::nullopt,
                   bytes ? *bytes : *StoredBytes(unit, std::nullopt, float_bits), std::nullopt};
    if (packed_.contains(key)) return;
    for (size_t c = 0; c < candidates_.size(); ++c) {
      const QuantScheme& scheme = errors_.schemes[candidates_[c]];
      if (const auto size = StoredBytes(unit, scheme, float_bits)) {
        unit.alternatives.push_back({scheme, *size, costs_[at][c]});
      }
    }
  }

  void Tell() {
    auto& lines = recipe_.not_known;
    lines.push_back(
        "The objective ranks plans and is no KL divergence: confirm with a run of both models on "
        "text (docs/recipes.md).");
    if (!errors_.has_dense) {
      lines.push_back(
          "What quantizing anything but the experts costs: the run has no data/dense_quant_sim "
          "(scan.dense_weights), so all of it stays as it is.");
    } else {
      lines.push_back(
          "No study covers the costs of weights outside the routed experts: floors stand in for "
          "it.");
    }
    if (energies_.replaced() > 0) {
      lines.push_back(fmt::format(
          "The calibration says nothing of {} experts (never routed, or no entry); their energies "
          "are guessed from their weights.",
          energies_.replaced()));
    }
    lines.insert(lines.end(), energies_.notes().begin(), energies_.notes().end());
    if (!packed_storage_.empty()) {
      lines.push_back(fmt::format(
          "mlx-lm leaves experts stored as {} as they are, whatever it is asked: convert from the "
          "unquantized checkpoint.",
          packed_storage_));
    }
    const uint64_t unmeasured = recipe_.coverage.matrices - recipe_.coverage.measured;
    if (unmeasured > 0) {
      lines.push_back(fmt::format("The run has no errors of {} of {} matrices.", unmeasured,
                                  recipe_.coverage.matrices));
    }
    TellWithoutCosts();
    if (!energies_.measured() && kind_ == CostKind::kAuto) {
      lines.push_back("The energies are guessed from the weights: no imatrix was given.");
    }
    if (other_stacks_ > 0) {
      lines.push_back(fmt::format(
          "{} matrices are of other stacks (MTP, encoders), which mlx-lm drops.", other_stacks_));
    }
    if (split_) {
      lines.push_back(
          "kv_b_proj becomes embed_q and unembed_out, whose groups run elsewhere: its error is "
          "that "
          "of the checkpoint's own form.");
    }
  }

  /// Units that stay as they are because no candidate has a cost.
  void TellWithoutCosts() {
    std::vector<std::string> names;
    for (const RecipeUnit& unit : recipe_.units) {
      const auto has = [](const RecipeOption& option) { return option.cost.has_value(); };
      if (unit.role == kRouter || std::ranges::any_of(unit.alternatives, has)) continue;
      names.push_back(unit.modules.front().mlx);
    }
    if (names.empty() || (!errors_.has_dense && names.size() == recipe_.units.size())) return;
    recipe_.not_known.push_back(
        fmt::format("What {} of {} units cost in any candidate, as {}: they stay as they are.",
                    names.size(), recipe_.units.size(), names.front()));
  }

  const Model& model_;
  const RunErrors& errors_;
  const MlxNames& names_;
  const CostKind kind_;
  const std::vector<size_t> candidates_;  // numbers of schemes
  const Energies energies_;
  Recipe recipe_;
  std::map<UnitKey, size_t> places_;
  std::vector<std::vector<std::optional<double>>> costs_;  // by unit and candidate
  std::set<UnitKey> eight_bits_, packed_;
  std::set<const ModelTensor*> covered_;
  std::string packed_storage_;  // of experts that mlx-lm doesn't quantize; "": none
  uint64_t other_stacks_ = 0;
  bool split_ = false;
};

/// Numbers of the candidates among the schemes that were measured.
Result<std::vector<size_t>> CandidatesOf(const RunErrors& errors,
                                         const std::vector<QuantScheme>& wanted, Run& run) {
  std::vector<size_t> numbers;
  for (size_t s = 0; wanted.empty() && s < errors.schemes.size(); ++s) numbers.push_back(s);
  for (const QuantScheme& scheme : wanted) {
    const auto same = [&](const QuantScheme& other) { return AreSame(other, scheme); };
    const auto found = std::ranges::find_if(errors.schemes, same);
    if (found == errors.schemes.end()) {
      return Fail(ErrorCode::kBadArgument, run.dir().string(),
                  fmt::format("has no numbers of the scheme {}", scheme.name),
                  "'moescope analyze MODEL --schemes LIST' measures more");
    }
    numbers.push_back(static_cast<size_t>(found - errors.schemes.begin()));
  }
  return numbers;
}

/// Every expert's matrix that the tables tell of is one of the model's, and most of its are there.
Result<void> CheckSameModel(const Model& model, const RunErrors& errors, Run& run) {
  std::set<MatrixId> of_model;
  uint64_t there = 0, foreign = 0;
  for (uint64_t i = 0; i < model.matrices(); ++i) of_model.insert(IdOf(model.matrix(i)));
  for (const MatrixId& id : of_model) there += errors.matrices.contains(id) ? 1 : 0;
  for (const auto& [id, numbers] : errors.matrices) {
    const bool expert = id.layer >= 0 || id.expert >= 0;
    foreign += expert && !of_model.contains(id) ? 1 : 0;
  }
  if (foreign == 0 && 2 * there > of_model.size()) return {};
  return Fail(ErrorCode::kBadArgument, run.dir().string(),
              "its tables are about another model than " + model.path().string(),
              "run 'moescope analyze' on it");
}

/// Names of GGUF's tensors are no modules of mlx-lm, and it does not read them.
Result<void> CheckReadable(const Model& model) {
  if (model.facts().gguf_arch.empty()) return {};
  return Fail(ErrorCode::kUnsupported, model.path().string(),
              "recipes are for mlx-lm, which does not read GGUF",
              "analyze the checkpoint that it was made from");
}

}  // namespace

Result<Recipe> RecipeOfRun(Run& run, const Model& model, const CostOptions& options) {
  if (auto readable = CheckReadable(model); !readable) {
    return tl::make_unexpected(readable.error());
  }
  const auto names = MlxNames::Of(model.family(), MlxFactsOf(model.parts().files->metadata.config));
  if (!names) return tl::make_unexpected(names.error());
  const auto errors = ReadRunErrors(run);
  if (!errors) return tl::make_unexpected(errors.error());
  if (auto done = CheckSameModel(model, *errors, run); !done) {
    return tl::make_unexpected(done.error());
  }
  if (options.kind == CostKind::kActivation && !errors->has_energies) {
    return Fail(ErrorCode::kBadArgument, run.dir().string(), "has no energies of a calibration",
                "'moescope analyze MODEL --imatrix FILE' adds them");
  }
  if (options.kind == CostKind::kAuto && !errors->has_evidence) {
    return Fail(ErrorCode::kBadArgument, run.dir().string(), "has no data/evidence",
                "'moescope analyze MODEL --fresh' writes it, or set evidence.enabled and collect "
                "again");
  }
  auto candidates = CandidatesOf(*errors, options.candidates, run);
  if (!candidates) return tl::make_unexpected(candidates.error());
  Recipe recipe = Builder(model, *errors, *names, options.kind, std::move(*candidates)).Build();
  const auto has_cost = [](const RecipeUnit& unit) {
    return std::ranges::any_of(unit.alternatives, [](const auto& o) { return o.cost.has_value(); });
  };
  if (std::ranges::none_of(recipe.units, has_cost)) {
    return Fail(
        ErrorCode::kUnsupported, run.dir().string(),
        "tells of no unit what quantizing it costs: no scheme fits, or energies are unknown",
        "--objective weight goes by the errors of the weights alone");
  }
  return recipe;
}

std::vector<Recipe::Floor> UsualFloors(const Recipe& recipe) {
  constexpr int64_t kFloorBits = 6;
  std::vector<Recipe::Floor> floors;
  for (const std::string_view role : kFloored) {
    int64_t bits = kFloorBits;
    for (const RecipeUnit& unit : recipe.units) {
      int64_t most = 0;
      for (const RecipeOption& option : unit.alternatives) {
        if (option.cost) most = std::max(most, option.scheme->bits);
      }
      if (unit.role == role && most > 0) bits = std::min(bits, most);
    }
    floors.push_back({std::string(role), QuantScheme{"", "affine", bits, 64}});
  }
  return floors;
}

}  // namespace moe

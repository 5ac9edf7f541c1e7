#include "costs/run_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "costs/energies.h"
#include "costs/matrix_costs.h"
#include "costs/mlx_units.h"
#include "costs/run_errors.h"
#include "experts/mlx_names.h"
#include "model/fingerprint.h"
#include "model/mlx_plan.h"
#include "model/model_parts.h"
#include "run/schemes.h"

namespace moe {
namespace {

constexpr std::array kFloored = {kAttentionRole, kEmbeddingRole, kHeadRole, kSharedRole,
                                 kDenseRole};

/// What floats are in mlx-lm's model, where they are not all the same: those of the experts.
std::string FloatType(const MlxPlan& plan) {
  const auto experts = std::ranges::find(plan.tensors, true, &MlxPlan::Tensor::routed_experts);
  const DType dtype = experts == plan.tensors.end() ? DType::kBF16 : experts->dtype;
  const bool is_other = dtype == DType::kF16 || dtype == DType::kF32;
  return std::string(DTypeName(is_other ? dtype : DType::kBF16));
}

/// Bytes of what no unit holds.
uint64_t UntouchedBytes(const MlxPlan& plan, const std::vector<RecipeUnit>& units) {
  std::set<std::string_view> held;
  for (const RecipeUnit& unit : units) {
    for (const RecipeModule& module : unit.modules) held.insert(module.mlx);
  }
  uint64_t bytes = 0;
  for (const MlxPlan::Tensor& tensor : plan.tensors) {
    const bool is_weight = tensor.rule != MlxRule::kFloat;
    bytes += is_weight && held.contains(tensor.module()) ? 0 : tensor.float_bytes();
  }
  return bytes;
}

bool HasCost(const RecipeUnit& unit) {
  return std::ranges::any_of(unit.alternatives,
                             [](const RecipeOption& option) { return option.cost.has_value(); });
}

/// Units that stay as they are because no candidate has a cost; "": there are none, or all are.
std::string WithoutCosts(const Recipe& recipe, bool has_dense) {
  std::vector<std::string_view> names;
  for (const RecipeUnit& unit : recipe.units) {
    if (unit.role == kRouterRole || HasCost(unit)) continue;
    names.push_back(unit.modules.front().mlx);
  }
  if (names.empty() || (!has_dense && names.size() == recipe.units.size())) return "";
  return fmt::format("What {} of {} units cost in any candidate, as {}: they stay as they are.",
                     names.size(), recipe.units.size(), names.front());
}

/// What the recipe can't tell: lines for people.
std::vector<std::string> NotKnown(const Recipe& recipe, const MlxPlan& plan, const MlxUnits& units,
                                  const RunErrors& errors, const Energies& energies,
                                  CostKind kind) {
  std::vector<std::string> lines;
  const auto tell = [&](bool is_so, std::string line) {
    if (is_so) lines.push_back(std::move(line));
  };
  tell(true,
       "The objective ranks plans and is no KL divergence: confirm with a run of both models on "
       "text (docs/recipes.md).");
  tell(!errors.has_dense,
       "What quantizing anything but the experts costs: the run has no data/dense_quant_sim "
       "(scan.dense_weights), so all of it stays as it is.");
  tell(errors.has_dense,
       "No study covers the costs of weights outside the routed experts: floors stand in for it.");
  tell(energies.replaced() > 0,
       fmt::format("The calibration says nothing of {} experts (never routed, or no entry); their "
                   "energies are guessed from their weights.",
                   energies.replaced()));
  lines.insert(lines.end(), energies.notes().begin(), energies.notes().end());
  tell(!plan.why_not_loaded.empty(),
       fmt::format("mlx-lm can't load this checkpoint ({}); 'moescope quantize' reads it.",
                   AsUtf8(plan.why_not_loaded)));
  for (const MlxPlan::Dropped& dropped : plan.dropped) {
    tell(dropped.is_loss,
         fmt::format("{} is lost: {}.", AsUtf8(dropped.source->info().name), dropped.why));
  }
  tell(!units.refused_storage.empty() && plan.why_not_loaded.empty(),
       fmt::format("mlx-lm leaves experts stored as {} as they are, whatever it is asked: convert "
                   "from the unquantized checkpoint.",
                   units.refused_storage));
  tell(units.measured < units.matrices,
       fmt::format("The run has no errors of {} of {} matrices.", units.matrices - units.measured,
                   units.matrices));
  const std::string without_costs = WithoutCosts(recipe, errors.has_dense);
  tell(!without_costs.empty(), without_costs);
  tell(!energies.measured() && kind == CostKind::kAuto,
       "The energies are guessed from the weights: no imatrix was given.");
  tell(units.other_stacks > 0,
       fmt::format("{} matrices are of other stacks (MTP, encoders), which mlx-lm drops.",
                   units.other_stacks));
  tell(units.is_split,
       "kv_b_proj becomes embed_q and unembed_out, whose groups run elsewhere: its error is that "
       "of the checkpoint's own form.");
  return lines;
}

Recipe RecipeOf(const Model& model, const RunErrors& errors, const MlxNames& names,
                const MlxPlan& plan, const MatrixCosts& costs, CostKind kind) {
  Recipe recipe;
  recipe.model = {FingerprintOf(model), model.model_type(), std::string(model.family()),
                  FloatType(plan)};
  recipe.objective.name = costs.Name();
  MlxUnits units = UnitsOf(model, names, plan, costs, recipe.model.dtype);
  recipe.units = std::move(units.units);
  recipe.coverage.matrices = units.matrices;
  recipe.coverage.measured = units.measured;
  for (const ModelTensor& tensor : model.tensors()) {
    recipe.coverage.source_bytes += tensor.info().nbytes;
  }
  recipe.coverage.untouched_bytes = UntouchedBytes(plan, recipe.units);
  recipe.not_known = NotKnown(recipe, plan, units, errors, costs.energies(), kind);
  return recipe;
}

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

/// Rows and columns of what the tables of a run may tell of.
std::map<MatrixId, std::pair<uint64_t, uint64_t>> SizesOf(const Model& model) {
  std::map<MatrixId, std::pair<uint64_t, uint64_t>> sizes;
  for (uint64_t i = 0; i < model.matrices(); ++i) {
    const ExpertMatrix matrix = model.matrix(i);
    sizes[IdOf(matrix)] = {matrix.rows(), matrix.cols()};
  }
  for (const DenseWeight& weight : model.dense()) {
    sizes[{AsUtf8(weight.module), -1, -1}] = {weight.rows, weight.cols};
  }
  return sizes;
}

/// Every expert's matrix that the tables tell of is one of the model's, and most of its are there;
/// what both have is as large.
Result<void> CheckSameModel(const Model& model, const RunErrors& errors, Run& run) {
  const auto sizes = SizesOf(model);
  uint64_t there = 0;
  std::string foreign;
  for (const auto& [id, numbers] : errors.matrices) {
    const bool is_expert = id.layer >= 0 || id.expert >= 0;
    const auto found = sizes.find(id);
    const std::pair<uint64_t, uint64_t> size(numbers.rows, numbers.cols);
    const bool is_same =
        found == sizes.end() ? !is_expert : numbers.rows == 0 || size == found->second;
    there += is_same && is_expert ? 1 : 0;
    if (!is_same && foreign.empty()) {
      foreign = fmt::format(", as {} ({} x {})", id.tensor, numbers.rows, numbers.cols);
    }
  }
  if (foreign.empty() && 2 * there > model.matrices()) return {};
  return Fail(
      ErrorCode::kBadArgument, run.dir().string(),
      fmt::format("its tables are about another model than {}{}", model.path().string(), foreign),
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
  const auto plan = PlanForMlx(model);
  if (!plan) return tl::make_unexpected(plan.error());
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
  const MatrixCosts costs(model, *errors, options.kind, std::move(*candidates));
  Recipe recipe = RecipeOf(model, *errors, *names, *plan, costs, options.kind);
  if (std::ranges::none_of(recipe.units, HasCost)) {
    return Fail(
        ErrorCode::kUnsupported, run.dir().string(),
        "tells of no unit what quantizing it costs: no scheme fits, or energies are unknown",
        "--objective weight goes by the errors of the weights alone");
  }
  return recipe;
}

std::vector<Recipe::Floor> UsualFloors() {
  std::vector<Recipe::Floor> floors;
  for (const std::string_view role : kFloored) {
    floors.push_back({std::string(role), QuantScheme{"", "affine", 6, 64}});
  }
  return floors;
}

}  // namespace moe

#include "quantize/output_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>
#include <set>
#include <utility>

#include "experts/mlx_names.h"
#include "measure/quantizer.h"
#include "model/fingerprint.h"
#include "model/model_parts.h"
#include "recipe/exporters.h"

namespace moe {
namespace {

// ---- names ----

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// "layers.2" before "layers.10".
bool IsNaturallyLess(std::string_view a, std::string_view b) {
  const auto number_of = [](std::string_view& text) {
    const auto end = std::ranges::find_if_not(text, IsDigit);
    std::string_view digits = text.substr(0, static_cast<size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
    return std::pair(digits.size(), digits);
  };
  while (!a.empty() && !b.empty()) {
    if (IsDigit(a.front()) && IsDigit(b.front())) {
      const auto left = number_of(a), right = number_of(b);
      if (left != right) return left < right;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  return a.size() < b.size();
}

/// As mlx-lm's models have them: the head comes last.
bool ComesBefore(const OutputWeight& a, const OutputWeight& b) {
  const bool head_a = a.name.find("lm_head.") != std::string::npos,
             head_b = b.name.find("lm_head.") != std::string::npos;
  return head_a != head_b ? head_b : IsNaturallyLess(a.name, b.name);
}

std::string OwnerOf(std::string_view name) { return std::string(name.substr(0, name.rfind('.'))); }

// ---- dtypes ----

ComputeDType ComputeTypeOf(DType dtype) {
  return dtype == DType::kF16    ? ComputeDType::kF16
         : dtype == DType::kBF16 ? ComputeDType::kBF16
                                 : ComputeDType::kF32;
}

/// Sentences of many tensors alike: each reason once, with how many and the first.
class Reasons {
 public:
  void Add(const std::string& reason, std::string_view name) {
    auto& [count, first] = found_[reason];
    if (count++ == 0) first = name;
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    for (const auto& [reason, found] : found_) {
      const auto& [count, first] = found;
      lines.push_back(count == 1 ? fmt::format("{}: {}", reason, first)
                                 : fmt::format("{}: {} and {} more", reason, first, count - 1));
    }
    return lines;
  }

 private:
  std::map<std::string, std::pair<size_t, std::string>> found_;
};

QuantScheme EightBits() { return {"", "affine", 8, 64}; }
QuantScheme Mxfp4() { return {"", "mxfp4", 4, 32}; }

class Planner {
 public:
  Planner(const Model& model, const OutputChoice& choice, const MlxNames& names, MlxFacts facts)
      : model_(model), choice_(choice), names_(names), facts_(std::move(facts)) {}

  Result<OutputPlan> Make() {
    auto done = CheckSource()
                    .and_then([&] { return CheckRecipe(); })
                    .and_then([&] { return AddExperts(); })
                    .and_then([&] { return AddOthers(); })
                    .and_then([&] { return CheckLayers(); })
                    .and_then([&] { return ChooseSchemes(); });
    if (!done) return tl::make_unexpected(done.error());
    NameTensors();
    CountParameters();
    for (const auto& [reasons, lines] :
         {std::pair(&notes_, &plan_.notes), std::pair(&losses_, &plan_.losses)}) {
      const auto more = reasons->Lines();
      lines->insert(lines->end(), more.begin(), more.end());
    }
    return std::move(plan_);
  }

 private:
  /// Nothing that mlx-lm's model has may be missing, and names are those of Hugging Face or MLX.
  Result<void> CheckSource() const {
    const std::string where = model_.path().string();
    const Model::Parts& parts = model_.parts();
    for (const ModelTensor& tensor : model_.tensors()) {
      if (!tensor.info().name.starts_with("blk.")) continue;
      return Fail(ErrorCode::kUnsupported, where,
                  "has GGUF's names, which moescope does not map to mlx-lm's",
                  "give the checkpoint that it was made from");
    }
    if (!parts.missing.empty()) {
      return Malformed(where,
                       fmt::format("{} matrices of experts are missing: {} of experts {}",
                                   parts.missing.front().matrices, parts.missing.front().proj,
                                   parts.missing.front().experts),
                       "moescope inspect tells all");
    }
    if (!parts.compared.missing_tensors.empty()) {
      return Malformed(where, fmt::format("{} is in the index and in no file",
                                          parts.compared.missing_tensors.front()));
    }
    return {};
  }

  Result<void> CheckRecipe() const {
    if (!choice_.recipe) return {};
    const std::string fingerprint = FingerprintOf(model_);
    if (choice_.recipe->model.fingerprint == fingerprint) return {};
    return Fail(ErrorCode::kBadArgument, "recipe",
                fmt::format("is for a checkpoint whose tensors have the fingerprint {}, and those "
                            "of {} have {}",
                            choice_.recipe->model.fingerprint, model_.path().string(), fingerprint),
                "make one of this model's run with moescope recipe");
  }

  // ---- routed experts ----

  Result<void> AddExperts() {
    for (uint64_t i = 0; i < model_.matrices(); ++i) {
      const ExpertMatrix matrix = model_.matrix(i);
      const MatrixKey key = matrix.key();
      if (key.shared) continue;  // a tensor as any other
      of_experts_.insert(matrix.tensor);
      is_mlx_ = is_mlx_ || names_.IsMlxForm(matrix.weight().name);
      if (IsDropped(key)) {
        notes_.Add("left out, of layers that mlx-lm's model has not", matrix.weight().name);
        continue;
      }
      with_experts_.insert(key.layer);
      if (auto done = AddExpert(matrix, key); !done) return done;
    }
    for (OutputWeight& weight : plan_.weights) {
      if (auto done = CheckExperts(weight); !done) return done;
    }
    return {};
  }

  bool IsDropped(const MatrixKey& key) const {
    const bool beyond = facts_.layers && static_cast<uint64_t>(key.layer) >= *facts_.layers;
    return !key.stack.empty() || key.layer < 0 || beyond;
  }

  Result<void> AddExpert(const ExpertMatrix& matrix, const MatrixKey& key) {
    const std::string module = names_.Experts(key.layer, key.proj);
    const auto [place, is_new] = stacks_.try_emplace(module, plan_.weights.size());
    if (is_new) {
      OutputWeight weight = {.name = module + ".weight",
                             .shape = {0, matrix.rows(), matrix.cols()}};
      weight.source_dtype = ValueTypeOf(*matrix.tensor);
      weight.dtype = names_.DTypeOf(weight.name, weight.source_dtype);
      rules_.push_back(names_.RuleFor(module));
      plan_.weights.push_back(std::move(weight));
    }
    OutputWeight& weight = plan_.weights[place->second];
    if (key.expert < 0 || matrix.rows() != weight.shape[1] || matrix.cols() != weight.shape[2]) {
      return Malformed(matrix.weight().name,
                       fmt::format("can't be a part of {}, whose experts are {} x {}", weight.name,
                                   weight.shape[1], weight.shape[2]));
    }
    const auto slot = static_cast<size_t>(key.expert);
    if (weight.parts.size() <= slot) weight.parts.resize(slot + 1);
    if (weight.parts[slot].tensor != nullptr) {
      return Malformed(matrix.weight().name, fmt::format("is a second {}", key.Text()));
    }
    weight.parts[slot] = {matrix.tensor, matrix.view()};
    NoteStorage(*matrix.tensor);
    return {};
  }

  Result<void> CheckExperts(OutputWeight& weight) const {
    const auto hole = std::ranges::find(weight.parts, nullptr, &SourceMatrix::tensor);
    weight.shape[0] = weight.parts.size();
    const auto promised = model_.facts().experts;
    const bool short_of = promised && weight.parts.size() < static_cast<uint64_t>(*promised);
    if (hole == weight.parts.end() && !short_of) return {};
    return Malformed(
        weight.name,
        fmt::format("has no expert {}",
                    hole == weight.parts.end() ? weight.parts.size() : hole - weight.parts.begin()),
        "moescope inspect tells what is missing");
  }

  Result<void> CheckLayers() const { return names_.CheckLayers(with_experts_); }

  // ---- all other tensors ----

  Result<void> AddOthers() {
    for (const ModelTensor& tensor : model_.tensors()) {
      if (tensor.companion || of_experts_.contains(&tensor)) continue;
      if (tensor.left_out != ModelTensor::LeftOut::kNo) continue;
      if (auto done = AddOther(tensor); !done) return done;
    }
    return {};
  }

  Result<void> AddOther(const ModelTensor& tensor) {
    const TensorInfo& info = tensor.info();
    const std::string& name = tensor.weight ? tensor.weight->name : info.name;
    const MlxFate fate = names_.FateOf(name, tensor.weight ? tensor.weight->shape : info.shape,
                                       ValueTypeOf(tensor), is_mlx_);
    if (!fate.dropped.empty()) {
      (fate.is_loss ? losses_ : notes_).Add("left out, " + fate.dropped, name);
      return {};
    }
    if (!tensor.weight || tensor.found.refused) return Unreadable(tensor);
    if (tensor.found.role == Role::kRoutedExpert && tensor.found.banks.empty()) {
      return Unreadable(tensor);
    }
    NoteStorage(tensor);
    for (const MlxTensor& made : fate.tensors) {
      OutputWeight weight = {.name = made.name, .shape = made.shape, .dtype = made.dtype};
      weight.source_dtype = ValueTypeOf(tensor);
      weight.plus_one = made.plus_one;
      for (const MatrixView& view : made.parts) weight.parts.push_back({&tensor, view});
      rules_.push_back(made.rule);
      plan_.weights.push_back(std::move(weight));
    }
    return {};
  }

  Result<void> Unreadable(const ModelTensor& tensor) const {
    std::string why = tensor.refusal;
    if (why.empty()) why = tensor.found.unmatched_reason.value_or("");
    if (why.empty()) why = fmt::format("has values of {}", tensor.info().dtype_text);
    return Fail(ErrorCode::kUnsupported, tensor.info().name, "can't be written: " + why, "");
  }

  /// Of codes whose scales don't tell: the model's.
  DType ValueTypeOf(const ModelTensor& tensor) const {
    if (!tensor.weight) return tensor.info().dtype;
    const DType dtype =
        tensor.weight->is_plain() ? tensor.info().dtype : tensor.weight->float_dtype;
    if (dtype == DType::kF64) return DType::kF32;
    return IsPlainFloat(dtype) ? dtype : facts_.dtype.value_or(DType::kBF16);
  }

  void NoteStorage(const ModelTensor& tensor) {
    if (tensor.weight->is_plain()) return;
    notes_.Add(fmt::format("stored as {}, made from decoded values", tensor.weight->storage),
               tensor.weight->name);
  }

  // ---- schemes ----

  Result<void> ChooseSchemes() {
    auto entries = EntriesOfRecipe();
    std::vector<size_t> order(plan_.weights.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(
        order, [&](size_t a, size_t b) { return ComesBefore(plan_.weights[a], plan_.weights[b]); });
    has_packed_ = !choice_.recipe && std::ranges::any_of(plan_.weights, IsPacked);
    StoredForm whole = has_packed_ ? Mxfp4() : choice_.scheme;
    if (choice_.recipe) whole = MlxDefault(*choice_.recipe);
    plan_.quantization = EntryOf(whole);
    std::vector<OutputWeight> ordered;
    for (const size_t i : order) {
      OutputWeight& weight = plan_.weights[i];
      if (rules_[i] != MlxRule::kFloat) {
        const std::string module = MlxModuleOf(weight.name);
        auto done = choice_.recipe ? ChooseByRecipe(weight, module, entries)
                                   : ChooseByRule(weight, module, rules_[i]);
        if (!done) return done;
      }
      ordered.push_back(std::move(weight));
    }
    plan_.weights = std::move(ordered);
    if (entries.empty()) return {};
    return Fail(ErrorCode::kBadArgument, "recipe",
                fmt::format("has the module {}, which this model has not", entries.begin()->first));
  }

  struct Entry {
    StoredForm scheme;
    std::vector<uint64_t> shape;
  };
  using Entries = std::map<std::string, Entry>;

  Entries EntriesOfRecipe() const {
    Entries entries;
    if (!choice_.recipe) return entries;
    for (const RecipeUnit& unit : choice_.recipe->units) {
      for (const RecipeModule& module : unit.modules) {
        entries[module.mlx] = {unit.chosen.scheme, module.shape};
      }
    }
    return entries;
  }

  static Json EntryOf(const StoredForm& scheme) {
    if (!scheme) return false;
    return {{"group_size", scheme->group_size}, {"bits", scheme->bits}, {"mode", scheme->mode}};
  }

  /// Takes the module's entry; writes one for each module, as every version of mlx-lm reads it.
  Result<void> ChooseByRecipe(OutputWeight& weight, const std::string& module, Entries& entries) {
    if (const auto entry = entries.find(module); entry != entries.end()) {
      if (entry->second.shape != weight.shape) {
        return Fail(ErrorCode::kBadArgument, "recipe",
                    fmt::format("has another shape for {} than this model", module));
      }
      weight.scheme = entry->second.scheme;
      entries.erase(entry);
    }
    if (auto fits = CheckFit(weight); !fits) return fits;
    plan_.quantization[module] = EntryOf(weight.scheme);
    return {};
  }

  /// gpt-oss's own MXFP4, which mlx-lm leaves as it is unless a recipe wants it otherwise.
  static bool IsPacked(const OutputWeight& weight) {
    const Weight* source = weight.parts.front().tensor->weight.get();
    return weight.shape.size() == 3 && source != nullptr && source->storage.starts_with("mxfp4") &&
           weight.name.find(".mlp.experts.") != std::string::npos;
  }

  /// As mlx_lm.convert without a predicate: what differs from the scheme has an entry; beside
  /// packed weights each module has.
  Result<void> ChooseByRule(OutputWeight& weight, const std::string& module, MlxRule rule) {
    if (IsPacked(weight)) {
      weight.scheme = Mxfp4();
      weight.profile = QuantProfile::kMlxGpu;
      return {};
    }
    const auto group = static_cast<uint64_t>(choice_.scheme.group_size);
    if (weight.shape.back() % group != 0) {
      notes_.Add(fmt::format("stays float, its rows are no multiple of {}", group), module);
      return {};
    }
    weight.scheme = rule == MlxRule::kEightBits ? EightBits() : choice_.scheme;
    if (rule == MlxRule::kEightBits) {
      plan_.quantization[module] = {{"group_size", 64}, {"bits", 8}};
    } else if (has_packed_) {
      plan_.quantization[module] = EntryOf(weight.scheme);
    }
    return CheckFit(weight);
  }

  Result<void> CheckFit(const OutputWeight& weight) const {
    if (!weight.scheme) return {};
    const auto made =
        MakeQuantizer(*weight.scheme, QuantProfile::kMlxCpu, ComputeTypeOf(weight.dtype),
                      weight.parts.size() * weight.part_rows(), weight.cols());
    if (made) return {};
    return Fail(ErrorCode::kBadArgument, weight.name, made.error().message);
  }

  // ---- what is written ----

  void NameTensors() {
    for (OutputWeight& weight : plan_.weights) {
      weight.first_tensor = plan_.tensors.size();
      if (weight.scheme) {
        AddQuantized(weight);
      } else {
        plan_.tensors.push_back({weight.name, weight.dtype, weight.shape});
      }
      weight.tensors = plan_.tensors.size() - weight.first_tensor;
    }
    for (const PlannedTensor& tensor : plan_.tensors) plan_.bytes += tensor.bytes();
  }

  void AddQuantized(const OutputWeight& weight) {
    const QuantMode& mode = *FindQuantMode(weight.scheme->mode);
    const std::string module = MlxModuleOf(weight.name);
    auto packed = weight.shape, groups = weight.shape;
    packed.back() = packed.back() * static_cast<uint64_t>(weight.scheme->bits) / 32;
    groups.back() /= static_cast<uint64_t>(weight.scheme->group_size);
    const DType scales = mode.scale_bits == 0 ? weight.dtype : DType::kU8;
    plan_.tensors.push_back({weight.name, DType::kU32, packed});
    plan_.tensors.push_back({module + ".scales", scales, groups});
    if (mode.has_bias) plan_.tensors.push_back({module + ".biases", scales, groups});
  }

  /// mlx_lm counts the parameters of modules that hold no others; of quantized ones the weight and
  /// the bias.
  void CountParameters() {
    std::set<std::string> owners;
    for (const OutputWeight& weight : plan_.weights) owners.insert(OwnerOf(weight.name));
    for (const OutputWeight& weight : plan_.weights) {
      const std::string owner = OwnerOf(weight.name) + ".";
      const auto below = owners.lower_bound(owner);
      const bool holds_others = below != owners.end() && below->starts_with(owner);
      if (!holds_others) plan_.parameters += weight.elements();
    }
  }

  const Model& model_;
  const OutputChoice& choice_;
  const MlxNames& names_;
  const MlxFacts facts_;
  OutputPlan plan_;
  std::vector<MlxRule> rules_;               // of plan_.weights, until they are ordered
  std::map<std::string, size_t> stacks_;     // module of routed experts -> number of its weight
  std::set<const ModelTensor*> of_experts_;  // tensors of routed experts
  std::set<int64_t> with_experts_;
  bool is_mlx_ = false, has_packed_ = false;
  Reasons notes_, losses_;
};

}  // namespace

Result<OutputPlan> PlanOutput(const Model& model, const OutputChoice& choice) {
  const Json& config = model.parts().files->metadata.config;
  if (!config.is_object()) {
    return Fail(ErrorCode::kUnsupported, model.path().string(),
                "has no config.json that can be read, and mlx-lm needs one",
                "put that of the original model beside it");
  }
  const MlxFacts facts = MlxFactsOf(config);
  auto names = MlxNames::Of(model.family(), facts);
  if (!names) {
    Error error = std::move(names.error());
    error.hint += "; of others, moescope export --to mlx-lm";
    return tl::make_unexpected(std::move(error));
  }
  return Planner(model, choice, *names, facts).Make();
}

}  // namespace moe

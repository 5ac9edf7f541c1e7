#include "quantize/output_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>
#include <set>
#include <utility>

#include "measure/quant_metrics.h"
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
  const bool head_a = a.name().find("lm_head.") != std::string::npos,
             head_b = b.name().find("lm_head.") != std::string::npos;
  return head_a != head_b ? head_b : IsNaturallyLess(a.name(), b.name());
}

std::string OwnerOf(std::string_view name) { return std::string(name.substr(0, name.rfind('.'))); }

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

class Planner {
 public:
  Planner(const Model& model, const OutputChoice& choice, MlxPlan unquantized)
      : model_(model), choice_(choice), mlx_(std::move(unquantized)) {}

  Result<OutputPlan> Make() {
    plan_.fingerprint = FingerprintOf(model_);
    auto done = CheckRecipe()
                    .and_then([&] { return CheckSource(); })
                    .and_then([&] { return AddWeights(); })
                    .and_then([&] { return ChooseSchemes(); });
    if (!done) return tl::make_unexpected(done.error());
    NameTensors();
    CountParameters();
    NoteStorage();
    plan_.notes = notes_.Lines();
    plan_.losses = losses_.Lines();
    return std::move(plan_);
  }

 private:
  Result<void> CheckRecipe() const {
    if (!choice_.recipe) return {};
    const std::string& fingerprint = plan_.fingerprint;
    if (choice_.recipe->model.fingerprint == fingerprint) return {};
    return Fail(ErrorCode::kBadArgument, "recipe",
                fmt::format("is for a checkpoint whose tensors have the fingerprint {}, and those "
                            "of {} have {}",
                            choice_.recipe->model.fingerprint, model_.path().string(), fingerprint),
                "make one of this model's run with moescope recipe");
  }

  /// Nothing that mlx-lm's model has may be missing or not readable.
  Result<void> CheckSource() {
    const std::string where = model_.path().string();
    const Model::Parts& parts = model_.parts();
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
    std::set<const ModelTensor*> dropped;
    for (const MlxPlan::Dropped& one : mlx_.dropped) {
      dropped.insert(one.source);
      (one.is_loss ? losses_ : notes_).Add("left out, " + one.why, one.source->name());
    }
    for (const ModelTensor& tensor : model_.tensors()) {
      const bool unused = tensor.companion || tensor.left_out != ModelTensor::LeftOut::kNo;
      if (unused || dropped.contains(&tensor)) continue;
      if (auto read = CheckReadable(tensor); !read) return read;
    }
    return {};
  }

  static Result<void> CheckReadable(const ModelTensor& tensor) {
    std::string why = tensor.refusal;
    if (why.empty()) why = tensor.found.unmatched_reason.value_or("");
    if (why.empty() && !tensor.weight) {
      why = fmt::format("its values are {}", tensor.info().dtype_text);
    }
    if (!why.empty()) {
      return Fail(ErrorCode::kUnsupported, tensor.info().name, "can't be written: " + why);
    }
    return {};
  }

  Result<void> AddWeights() {
    const MlxFacts facts = MlxFactsOf(model_.parts().files->metadata.config);
    const DType usual = facts.dtype.value_or(DType::kBF16);  // of codes whose scales don't tell
    for (MlxPlan::Tensor& made : mlx_.tensors) {
      const DType stored = made.parts.front().source->weight->float_dtype;
      OutputWeight weight = {.made = std::move(made)};
      weight.source_dtype = stored == DType::kF64  ? DType::kF32
                            : IsPlainFloat(stored) ? stored
                                                   : usual;
      DType& dtype = weight.made.dtype;
      if (dtype == DType::kF64 || !IsPlainFloat(dtype)) dtype = weight.source_dtype;
      plan_.weights.push_back(std::move(weight));
    }
    std::ranges::sort(plan_.weights, ComesBefore);
    return {};
  }

  // ---- schemes ----

  Result<void> ChooseSchemes() {
    auto entries = EntriesOfRecipe();
    has_packed_ =
        !choice_.recipe && std::ranges::any_of(plan_.weights, [](const OutputWeight& weight) {
          return weight.made.keeps_mxfp4;
        });
    StoredForm whole = has_packed_ ? MlxPackedExperts() : choice_.scheme;
    if (choice_.recipe) whole = MlxDefault(*choice_.recipe);
    plan_.search = choice_.search;
    plan_.quantization = MlxConfigEntry(whole);
    for (OutputWeight& weight : plan_.weights) {
      if (weight.made.rule == MlxRule::kFloat) continue;
      const std::string module = weight.made.module();
      auto done =
          choice_.recipe ? ChooseByRecipe(weight, module, entries) : ChooseByRule(weight, module);
      if (!done) return done;
    }
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

  /// Takes the module's entry; writes one for each module, as every version of mlx-lm reads it.
  Result<void> ChooseByRecipe(OutputWeight& weight, const std::string& module, Entries& entries) {
    if (const auto entry = entries.find(module); entry != entries.end()) {
      if (entry->second.shape != weight.made.shape) {
        return Fail(ErrorCode::kBadArgument, "recipe",
                    fmt::format("has another shape for {} than this model", module));
      }
      weight.scheme = entry->second.scheme;
      entries.erase(entry);
    }
    if (auto fits = CheckFit(weight); !fits) return fits;
    plan_.quantization[module] = MlxConfigEntry(weight.scheme);
    return {};
  }

  /// As mlx_lm.convert without a predicate: what differs from the scheme has an entry; beside
  /// packed weights each module has.
  Result<void> ChooseByRule(OutputWeight& weight, const std::string& module) {
    if (weight.made.keeps_mxfp4) {
      weight.scheme = MlxPackedExperts();
      weight.profile = QuantProfile::kMlxGpu;
      return {};
    }
    const MlxRule rule = weight.made.rule;
    const auto group = static_cast<uint64_t>(choice_.scheme.group_size);
    if (weight.made.shape.back() % group != 0) {
      notes_.Add(fmt::format("stays float, its rows are no multiple of {}", group), module);
      return {};
    }
    weight.scheme = rule == MlxRule::kEightBits ? MlxEightBits() : choice_.scheme;
    if (rule == MlxRule::kEightBits) {
      plan_.quantization[module] = {{"group_size", 64}, {"bits", 8}};
    } else if (has_packed_) {
      plan_.quantization[module] = MlxConfigEntry(weight.scheme);
    }
    return CheckFit(weight);
  }

  Result<void> CheckFit(const OutputWeight& weight) const {
    if (!weight.scheme) return {};
    const auto made = QuantizerOf(weight);
    if (made) return {};
    return Fail(ErrorCode::kBadArgument, weight.name(), made.error().message);
  }

  void NoteStorage() {
    std::set<const Weight*> told;
    for (const OutputWeight& weight : plan_.weights) {
      const bool keeps_codes = weight.profile == QuantProfile::kMlxGpu;
      for (const MlxPlan::Part& part : weight.made.parts) {
        const Weight& source = *part.source->weight;
        if (source.is_plain() || !told.insert(&source).second) continue;
        notes_.Add(fmt::format("stored as {}, {}", source.storage,
                               keeps_codes ? "its codes are kept" : "made from decoded values"),
                   source.name);
      }
    }
  }

  // ---- what is written ----

  void NameTensors() {
    for (OutputWeight& weight : plan_.weights) {
      weight.first_tensor = plan_.tensors.size();
      if (weight.scheme) {
        AddQuantized(weight);
      } else {
        plan_.tensors.push_back({weight.name(), weight.made.dtype, weight.made.shape});
      }
      weight.tensors = plan_.tensors.size() - weight.first_tensor;
    }
    for (const PlannedTensor& tensor : plan_.tensors) plan_.bytes += tensor.bytes();
  }

  void AddQuantized(const OutputWeight& weight) {
    const QuantMode& mode = *FindQuantMode(weight.scheme->mode);
    const std::string module = weight.made.module();
    auto packed = weight.made.shape, groups = weight.made.shape;
    packed.back() = packed.back() * static_cast<uint64_t>(weight.scheme->bits) / 32;
    groups.back() /= static_cast<uint64_t>(weight.scheme->group_size);
    const DType scales = mode.scale_bits == 0 ? weight.made.dtype : DType::kU8;
    plan_.tensors.push_back({weight.name(), DType::kU32, packed});
    plan_.tensors.push_back({module + ".scales", scales, groups});
    if (mode.has_bias) plan_.tensors.push_back({module + ".biases", scales, groups});
  }

  /// mlx_lm counts the parameters of modules that hold no others; of quantized ones the weight and
  /// the bias.
  void CountParameters() {
    std::set<std::string> owners;
    for (const OutputWeight& weight : plan_.weights) owners.insert(OwnerOf(weight.name()));
    for (const OutputWeight& weight : plan_.weights) {
      const std::string owner = OwnerOf(weight.name()) + ".";
      const auto below = owners.lower_bound(owner);
      const bool holds_others = below != owners.end() && below->starts_with(owner);
      if (!holds_others) plan_.parameters += weight.made.elements();
    }
  }

  const Model& model_;
  const OutputChoice& choice_;
  MlxPlan mlx_;
  OutputPlan plan_;
  bool has_packed_ = false;
  Reasons notes_, losses_;
};

}  // namespace

Result<Quantizer> QuantizerOf(const OutputWeight& weight) {
  return MakeQuantizer(*weight.scheme, weight.profile, DefaultComputeDType(weight.made.dtype),
                       weight.rows(), weight.cols());
}

Result<OutputPlan> PlanOutput(const Model& model, const OutputChoice& choice) {
  const Json& config = model.parts().files->metadata.config;
  if (!config.is_object()) {
    return Fail(ErrorCode::kUnsupported, model.path().string(),
                "has no config.json that can be read, and mlx-lm needs one",
                "put that of the original model beside it");
  }
  auto unquantized = PlanForMlx(model);
  if (!unquantized) return tl::make_unexpected(std::move(unquantized.error()));
  return Planner(model, choice, std::move(*unquantized)).Make();
}

}  // namespace moe

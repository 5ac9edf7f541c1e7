#include "experts/mlx_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "experts/config_numbers.h"
#include "experts/families.h"
#include "experts/mlx_families.h"
#include "experts/roles.h"

namespace moe {
namespace {

using What = MlxEdit::What;

constexpr std::string_view kWeight = ".weight";

bool EndsWithModule(std::string_view path, std::string_view module) {
  return path.ends_with(module) &&
         (path.size() == module.size() || path[path.size() - module.size() - 1] == '.');
}

/// Where `part` stands in a name, at its start or behind a dot.
std::optional<size_t> FindPart(std::string_view name, std::string_view part) {
  for (size_t at = name.find(part); at != std::string_view::npos; at = name.find(part, at + 1)) {
    if (at == 0 || name[at - 1] == '.') return at;
  }
  return std::nullopt;
}

bool HasPart(std::string_view name, std::string_view part) {
  return FindPart(name, part).has_value();
}

constexpr std::string_view kBlock = "blk.";  // in llama.cpp's names: a layer

/// What Hugging Face calls a tensor of a GGUF file; nullopt: of a name that is not known.
std::optional<std::string> NameInHf(std::string_view name) {
  std::string layer;
  if (name.starts_with(kBlock)) {
    const size_t end = std::min(name.find('.', kBlock.size()) + 1, name.size());
    layer = fmt::format("model.layers.{}", name.substr(kBlock.size(), end - kBlock.size()));
    name.remove_prefix(end);
  }
  const std::string_view suffix = name.substr(std::min(name.rfind('.'), name.size()));
  const std::string_view module = name.substr(0, name.size() - suffix.size());
  for (const GgufName& known : GgufNames()) {
    if (known.in_layer == layer.empty() || known.gguf != module) continue;
    return fmt::format("{}{}{}", layer, known.hf, suffix);
  }
  return layer.empty() ? std::optional(std::string(name)) : std::nullopt;
}

/// The path in MLX's model of a tensor of the checkpoint, as far as the wrapper goes.
std::string PathOf(std::string_view name, std::string_view wrapper) {
  constexpr std::string_view kTextModel = "model.language_model.";
  if (wrapper.empty() || name.starts_with(wrapper)) return std::string(name);
  if (!name.starts_with(kTextModel)) return fmt::format("{}{}", wrapper, name);
  return fmt::format("{}model.{}", wrapper, name.substr(kTextModel.size()));
}

/// The number behind "layers" in a module's path.
std::optional<int64_t> LayerIn(std::string_view path) {
  const auto parts = NameComponents(path);
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i - 1] == "layers") return IntegerIn(parts[i]);
  }
  return std::nullopt;
}

uint64_t Product(std::span<const uint64_t> sizes) {
  uint64_t product = 1;
  for (const uint64_t size : sizes) product *= size;
  return product;
}

/// All of a tensor as one matrix.
MatrixView WholeOf(std::span<const uint64_t> shape) {
  const uint64_t cols = shape.empty() ? 1 : shape.back();
  const uint64_t rows = shape.empty() ? 1 : Product(shape.first(shape.size() - 1));
  return {rows, cols, 0, cols, 1};
}

/// MLX's, of the same values in the same order. PyTorch has the kernel of a convolution of each
/// channel alone as [channels, 1, width], MLX as [channels, width, 1]; the gate of a shared expert
/// is a vector in GGUF, else a row.
std::vector<uint64_t> ShapeOf(std::string_view path, std::span<const uint64_t> shape) {
  std::vector<uint64_t> made(shape.begin(), shape.end());
  const bool of_channels = HasPart(path, "conv1d.weight") || HasPart(path, "conv.weight");
  if (of_channels && shape.size() == 3 && shape[1] == 1) std::swap(made[1], made[2]);
  if (HasPart(path, "shared_expert_gate.weight") && shape.size() == 1) made.insert(made.begin(), 1);
  return made;
}

std::optional<DType> CastTo(const Json& config) {
  std::string_view declared = config["torch_dtype"].text();
  if (declared.empty()) declared = config["text_config"]["dtype"].text();
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    if (declared == DTypeName(dtype)) return dtype;
  }
  return std::nullopt;
}

Result<void> CheckModel(const MlxFamily& family, const MlxFacts& facts) {
  auto types = family.model_types;
  if (types.empty()) types.push_back(family.name);
  if (!facts.model_type.empty() && std::ranges::find(types, facts.model_type) == types.end()) {
    return Fail(ErrorCode::kUnsupported, "config.json",
                fmt::format("mlx-lm has no model of model_type {}", facts.model_type),
                fmt::format("of this family it has {}", fmt::join(types, ", ")));
  }
  if (!family.norms_head || !facts.norm_head) return {};
  return Fail(ErrorCode::kUnsupported, "config.json",
              "has norm_head, and mlx-lm divides lm_head by its columns' norms at every load",
              "a quantized head would be spoilt");
}

}  // namespace

std::string MlxModuleOf(std::string_view name) {
  return std::string(name.substr(0, name.size() - (name.ends_with(kWeight) ? kWeight.size() : 0)));
}

MlxFacts MlxFactsOf(const Json& config) {
  const Json& text = config.contains("text_config") ? config["text_config"] : config;
  const Json& tied = (text.contains("tie_word_embeddings") ? text : config)["tie_word_embeddings"];
  return {.model_type = config["model_type"].text(),
          .layers = WholeNumber(text["num_hidden_layers"]),
          .heads = WholeNumber(text["num_attention_heads"]),
          .nope_dim = WholeNumber(text["qk_nope_head_dim"]),
          .value_dim = WholeNumber(text["v_head_dim"]),
          .kv_shared = WholeNumber(text["num_kv_shared_layers"]),
          .nested = config.contains("text_config"),
          .norm_head = config["norm_head"].get<bool>(),
          .tied = tied.is_boolean() ? std::optional(tied.get<bool>()) : std::nullopt,
          .dtype = CastTo(config)};
}

MlxNames::MlxNames(const MlxFamily& family, const MlxFacts& facts)
    : family_(&family), facts_(facts) {
  using Wrapped = MlxFamily::Wrapped;
  const bool wrapped =
      family.wrapped == Wrapped::kAlways || (family.wrapped == Wrapped::kIfNested && facts.nested);
  if (wrapped) wrapper_ = "language_model.";
}

Result<MlxNames> MlxNames::Of(std::string_view family, const MlxFacts& facts) {
  const auto row = std::ranges::find(MlxFamilies(), family, &MlxFamily::name);
  if (row != MlxFamilies().end()) {
    if (auto loads = CheckModel(*row, facts); !loads) return tl::make_unexpected(loads.error());
    return MlxNames(*row, facts);
  }
  std::vector<std::string_view> known;
  for (const MlxFamily& other : MlxFamilies()) known.push_back(other.name);
  const std::string_view name = facts.model_type.empty() ? family : facts.model_type;
  return Fail(ErrorCode::kUnsupported,
              name.empty() ? "config.json has no model_type" : fmt::format("model_type {}", name),
              "what mlx-lm calls its modules is not known, and 'quantize' and 'recipe' need it",
              fmt::format("mlx_lm.convert may know it: 'moescope analyze' tells which experts a "
                          "quant_predicate is to keep in more bits; known here: {}",
                          fmt::join(known, ", ")));
}

std::string MlxNames::Experts(int64_t layer, std::string_view proj) const {
  constexpr std::array<std::string_view, 3> kProjs = {kGateProj, kUpProj, kDownProj};
  const auto* at = std::ranges::find(kProjs, proj);
  const std::string_view word = at == kProjs.end() ? proj : family_->projs[at - kProjs.begin()];
  return fmt::format("{}{}.{}.{}.{}", wrapper_, family_->layers, layer, family_->experts, word);
}

MlxRule MlxNames::RuleFor(std::string_view path) const {
  const auto ends = [&](std::string_view end) { return path.ends_with(end); };
  return std::ranges::any_of(family_->eight_bits, ends) ? MlxRule::kEightBits : MlxRule::kDefault;
}

DType MlxNames::DTypeOf(std::string_view path, DType dtype) const {
  const auto keeps = [&](const MlxEdit& edit) {
    return edit.what == What::kKeepType && HasPart(path, edit.part);
  };
  if (!IsPlainFloat(dtype) || std::ranges::any_of(family_->edits, keeps)) return dtype;
  return facts_.dtype.value_or(dtype);
}

bool MlxNames::HasHead() const {
  switch (family_->head) {
    case MlxFamily::Head::kAlways:
      return true;
    case MlxFamily::Head::kNever:
      return false;
    case MlxFamily::Head::kUntiedIfTold:
      return !facts_.tied.value_or(true);
    case MlxFamily::Head::kUnlessTied:
      break;
  }
  return !facts_.tied.value_or(false);
}

const MlxEdit* MlxNames::DropOf(std::string_view path) const {
  for (const auto* edits : {&MlxEditsOfAll(), &family_->edits}) {
    for (const MlxEdit& edit : *edits) {
      const bool drops = edit.what == What::kDrop || edit.what == What::kLose;
      if (drops && HasPart(path, edit.part)) return &edit;
    }
  }
  static constexpr MlxEdit kTied = {"", What::kDrop, "the head is the embedding"};
  static constexpr MlxEdit kBeyond = {"", What::kDrop, "of a layer beyond the model's last"};
  static constexpr MlxEdit kShared = {"", What::kDrop,
                                      "of a layer that takes an earlier one's keys and values"};
  if (HasPart(path, "lm_head.") && !HasHead()) return &kTied;
  const auto layer = LayerIn(path);
  if (!layer || !facts_.layers) return nullptr;
  const auto number = static_cast<uint64_t>(*layer);
  if (number >= *facts_.layers) return &kBeyond;
  const bool of_kv = HasPart(path, "self_attn.k_proj.") || HasPart(path, "self_attn.v_proj.") ||
                     HasPart(path, "self_attn.k_norm.");
  const bool shares = of_kv && number + facts_.kv_shared.value_or(0) >= *facts_.layers;
  return shares ? &kShared : nullptr;
}

/// kv_b_proj [heads x (nope + value), rank]: of each head, the transposed upper rows and the lower.
std::vector<MlxTensor> MlxNames::Latent(std::string_view path,
                                        std::span<const uint64_t> shape) const {
  const uint64_t heads = facts_.heads.value_or(0), nope = facts_.nope_dim.value_or(0),
                 value = facts_.value_dim.value_or(0);
  if (!family_->latent || !HasPart(path, "kv_b_proj.weight") || shape.size() != 2) return {};
  const uint64_t rows = nope + value, rank = shape[1];
  const bool fits = rows > nope && rank > 0 && shape[0] % rows == 0 && shape[0] / rows == heads;
  if (!fits) return {};
  const std::string attention(path.substr(0, path.find("kv_b_proj.weight")));
  MlxTensor queries = {.name = attention + "embed_q.weight", .shape = {heads, rank, nope}};
  MlxTensor values = {.name = attention + "unembed_out.weight", .shape = {heads, value, rank}};
  for (uint64_t head = 0; head < heads; ++head) {
    const uint64_t begin = head * rows * rank;
    queries.parts.push_back({rank, nope, begin, 1, rank});
    values.parts.push_back({value, rank, begin + nope * rank, rank, 1});
  }
  return {std::move(queries), std::move(values)};
}

/// Every other element of the last axis.
std::vector<MlxTensor> MlxNames::EvenOdd(std::string_view path,
                                         std::span<const uint64_t> shape) const {
  std::vector<MlxTensor> halves;
  for (const MlxEdit& edit : family_->edits) {
    const auto at = FindPart(path, edit.part);
    if (edit.what != What::kEvenOdd || !at || shape.empty()) continue;
    const MatrixView whole = WholeOf(shape);
    const size_t space = edit.text.find(' ');
    for (const std::string_view name : {edit.text.substr(0, space), edit.text.substr(space + 1)}) {
      MlxTensor half = {.name = fmt::format("{}{}", path.substr(0, *at), name),
                        .shape = {shape.begin(), shape.end()}};
      half.shape.back() /= 2;
      half.parts = {{whole.rows, whole.cols / 2, halves.size(), whole.cols, 2}};
      halves.push_back(std::move(half));
    }
  }
  return halves;
}

MlxTensor MlxNames::Whole(std::string path, std::span<const uint64_t> shape, bool is_mlx) const {
  bool plus_one = false;
  for (const MlxEdit& edit : family_->edits) {
    const auto at = FindPart(path, edit.part);
    if (!at) continue;
    if (edit.what == What::kRename) path.replace(*at, edit.part.size(), edit.text);
    plus_one = plus_one || (edit.what == What::kPlusOne && shape.size() == 1 && !is_mlx);
  }
  return {
      .name = path, .shape = ShapeOf(path, shape), .plus_one = plus_one, .parts = {WholeOf(shape)}};
}

/// Matrices are modules, and MLX's stacks of a latent's heads.
bool MlxNames::IsModule(const MlxTensor& tensor) const {
  if (!tensor.name.ends_with(kWeight)) return false;
  const std::string path = MlxModuleOf(tensor.name);
  const bool of_heads =
      family_->latent && (EndsWithModule(path, "embed_q") || EndsWithModule(path, "unembed_out"));
  const bool raw = !family_->raw_router.empty() && EndsWithModule(path, family_->raw_router);
  return tensor.shape.size() == (of_heads ? 3 : 2) && !raw;
}

MlxFate MlxNames::FateOf(std::string_view name, std::span<const uint64_t> shape, DType dtype,
                         bool is_mlx) const {
  const auto in_hf = family_->same_in_gguf ? NameInHf(name) : std::string(name);
  if (!in_hf) return {.refused = "llama.cpp's name of it is not known"};
  std::string path = PathOf(*in_hf, wrapper_);
  const bool no_head = family_->head == MlxFamily::Head::kNever && !facts_.tied.value_or(false);
  if (no_head && HasPart(path, "lm_head.")) {
    return {.refused = "mlx-lm's model has no head beside the embedding, and this is one"};
  }
  if (const MlxEdit* edit = DropOf(path)) {
    return {.dropped = std::string(edit->text), .is_loss = edit->what == What::kLose};
  }
  MlxFate fate;
  fate.tensors = Latent(path, shape);
  if (fate.tensors.empty()) fate.tensors = EvenOdd(path, shape);
  if (fate.tensors.empty()) fate.tensors.push_back(Whole(std::move(path), shape, is_mlx));
  for (MlxTensor& tensor : fate.tensors) {
    tensor.dtype = DTypeOf(tensor.name, dtype);
    if (IsModule(tensor)) tensor.rule = RuleFor(MlxModuleOf(tensor.name));
  }
  return fate;
}

bool MlxNames::KeepsMxfp4() const { return family_->keeps_mxfp4; }

bool MlxNames::ReadsGguf() const { return family_->same_in_gguf; }

bool MlxNames::IsMlxForm(std::string_view name) const {
  return std::ranges::any_of(family_->projs, [&](std::string_view proj) {
    return HasPart(name, fmt::format("{}.{}.", family_->experts, proj));
  });
}

std::string MlxNames::WhyNotLoaded(std::string_view name, const ExpertBank* experts,
                                   std::string_view storage) const {
  using Source = MlxFamily::Source;
  const auto& storages = family_->storages;
  if (!storage.empty() && std::ranges::find(storages, storage) == storages.end()) {
    return fmt::format("of {}, mlx-lm reads no weights stored as {}", family_->name, storage);
  }
  if (experts == nullptr) return "";
  Source form = experts->row_stride == 1 ? Source::kInOut : Source::kOutIn;
  if (experts->experts == 1) form = Source::kPerExpert;
  if (family_->source == Source::kBlocks && !storage.empty()) form = Source::kBlocks;
  if (form == family_->source) return "";
  return fmt::format("of {}, mlx-lm reads no experts that lie as {} does", family_->name, name);
}

Result<void> MlxNames::CheckLayers(const std::set<int64_t>& with_experts) const {
  if (!family_->experts_in_all_layers || !facts_.layers) return {};
  for (uint64_t layer = 0; layer < *facts_.layers; ++layer) {
    if (with_experts.contains(static_cast<int64_t>(layer))) continue;
    return Fail(
        ErrorCode::kUnsupported, fmt::format("layer {}", layer),
        fmt::format("has no experts, and in mlx-lm's model of {} every layer has", family_->name),
        "mlx-lm can't load this model");
  }
  return {};
}

std::string CheckpointModule(std::string_view name, bool of_one_expert) {
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  auto parts = NameComponents(name);
  const auto is_number = [](std::string_view part) { return IntegerIn(part).has_value(); };
  const auto last = std::find_if(parts.rbegin(), parts.rend(), is_number);
  if (of_one_expert && last != parts.rend()) *last = "*";
  return fmt::format("{}", fmt::join(parts, "."));
}

}  // namespace moe

#include "pairs/model_pairs.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "codec/config_values.h"
#include "model/dense.h"
#include "model/model_parts.h"

namespace moe {
namespace {

using Kind = WeightKey::Kind;

// MLA's latent projection and its halves, by llama.cpp's names.
constexpr std::string_view kLatent = "attn_kv_b", kKeys = "attn_k_b", kValues = "attn_v_b";

bool IsMatrix(const WeightItem& item) { return item.key.kind != Kind::kOther; }

/// The heads of kv_b_proj, [heads * (nope + v), rank] in one checkpoint, and of its halves in the
/// other, [heads, rank, nope] and [heads, v, rank].
struct Heads {
  uint64_t heads = 0, rank = 0, nope = 0, value = 0;

  /// nullopt: the shapes don't fit.
  static std::optional<Heads> Of(const WeightItem& latent, const WeightItem& keys,
                                 const WeightItem& values) {
    const std::vector<uint64_t>&k = keys.weight().shape, &v = values.weight().shape;
    if (k.size() != 3 || v.size() != 3) return std::nullopt;
    const Heads heads{k[0], k[1], k[2], v[1]};
    const bool fit = v[0] == heads.heads && v[2] == heads.rank && latent.view.cols == heads.rank &&
                     latent.view.rows == heads.heads * (heads.nope + heads.value);
    return fit ? std::optional(heads) : std::nullopt;
  }

  MatrixView KeysInLatent(uint64_t head) const {  // transposed there
    return {rank, nope, head * (nope + value) * rank, 1, rank};
  }
  MatrixView ValuesInLatent(uint64_t head) const {
    return {value, rank, (head * (nope + value) + nope) * rank, rank, 1};
  }
  MatrixView Keys(uint64_t head) const { return {rank, nope, head * rank * nope, nope, 1}; }
  MatrixView Values(uint64_t head) const { return {value, rank, head * value * rank, rank, 1}; }
};

/// A head of `item`, under the key of the half that it belongs to.
WeightItem Part(WeightItem item, const WeightKey& half, uint64_t head, const MatrixView& view) {
  item.view = view;
  item.key = half;
  item.key.number = static_cast<int64_t>(head);
  return item;
}

// ---- rows of q and k in llama.cpp's files ----

/// Architectures of GGUF files for which convert_hf_to_gguf.py reorders the rows of q_proj and
/// k_proj, weights and biases, by LlamaModel.permute(): those classes that derive from LlamaModel
/// with undo_permute, and those that call it (llama.cpp, conversion/, November 2026). "llama" are
/// Llama, Mistral and Mixtral.
constexpr std::string_view kInterleaving[] = {"llama",         "granite",  "granitemoe",
                                              "granitehybrid", "deepseek", "bailingmoe",
                                              "minicpm",       "arctic"};

/// general.architecture of its GGUF file; "": it is none.
std::string GgufArchitecture(const Model& model) {
  if (model.tensors().empty()) return "";
  const auto& metadata = model.tensors().front().ref.file->metadata();
  const auto found = metadata.find("general.architecture");
  if (found == metadata.end()) return "";
  return Json::Parse(found->second).value_or(Json()).text();
}

/// How many heads of `name` a model has whose other checkpoint interleaves them; 0: rows are as
/// they are, or the config does not say.
uint64_t InterleavedHeads(const Model& gguf, const Model& other, std::string_view name) {
  const bool is_q = name == "attn_q" || name == "attn_q.bias";
  const bool is_k = name == "attn_k" || name == "attn_k.bias";
  if (!is_q && !is_k) return 0;
  const bool interleaves =
      std::ranges::find(kInterleaving, GgufArchitecture(gguf)) != std::end(kInterleaving);
  if (!interleaves || !GgufArchitecture(other).empty()) return 0;
  const Json& config = other.parts().files->metadata.config;
  const Json* text = config.Find("text_config");
  const Json& object = text != nullptr && text->is_object() ? *text : config;
  const auto heads = is_q ? CountAt(object, {"num_attention_heads"})
                          : CountAt(object, {"num_key_value_heads", "num_attention_heads"});
  return heads.value_or(0);
}

/// Says of an item of `gguf` in how many heads its rows are interleaved. Of a bias every element is
/// a row then, on both sides.
void SayOrder(const Model& gguf, const Model& other, WeightItem& item, WeightItem& partner) {
  const uint64_t heads = InterleavedHeads(gguf, other, item.key.name);
  const uint64_t rows = item.key.kind == Kind::kOther ? item.elements() : item.view.rows;
  if (heads == 0 || rows % (2 * heads) != 0) return;
  item.interleaved_heads = heads;
  if (item.key.kind != Kind::kOther) return;
  for (WeightItem* bias : {&item, &partner}) {
    bias->view = {bias->elements(), 1, bias->view.offset, 1, 1};
  }
}

class Pairing {
 public:
  Pairing(const Model& a, const Model& b)
      : model_a_(a), model_b_(b), a_(WeightsOf(a)), b_(WeightsOf(b)) {
    for (size_t i = 0; i < b_.size(); ++i) b_by_key_[b_[i].key].push_back(i);
    taken_.resize(b_.size());
  }

  ModelPairs Run() {
    for (const WeightItem& item : a_) {
      if (auto partner = Partner(item.key)) {
        Add(item, b_[*partner]);
      } else if (!PairHeads(item)) {
        left_.push_back(&item);
      }
    }
    for (const WeightItem* item : left_) {
      if (!used_.contains(item)) pairs_.only_a.push_back(Alone(*item));
    }
    for (size_t i = 0; i < b_.size(); ++i) {
      if (!taken_[i]) pairs_.only_b.push_back(Alone(b_[i]));
    }
    return std::move(pairs_);
  }

 private:
  static Unpaired Alone(const WeightItem& item) {
    return {item.module + (item.key.kind == Kind::kRouted ? ", " + item.key.Text() : ""),
            "the other has no such weight", IsMatrix(item), item.tensor};
  }

  /// Of several weights of one key the first that is free.
  std::optional<size_t> Partner(const WeightKey& key) {
    const auto found = b_by_key_.find(key);
    if (found == b_by_key_.end() || found->second.empty()) return std::nullopt;
    const size_t partner = found->second.front();
    found->second.pop_front();
    taken_[partner] = true;
    return partner;
  }

  void Add(WeightItem a, WeightItem b) {
    SayOrder(model_a_, model_b_, a, b);
    SayOrder(model_b_, model_a_, b, a);
    const bool same = a.view.rows == b.view.rows && a.view.cols == b.view.cols;
    (same ? pairs_.pairs : pairs_.misshapen).push_back({std::move(a), std::move(b)});
  }

  static WeightKey Named(WeightKey key, std::string_view name) {
    key.name = name;
    return key;
  }

  const WeightItem* InA(const WeightKey& key) const {
    const auto found = std::ranges::find(a_, key, &WeightItem::key);
    return found == a_.end() ? nullptr : &*found;
  }

  const WeightItem* InB(const WeightKey& key) const {
    const auto found = b_by_key_.find(key);
    return found == b_by_key_.end() || found->second.empty() ? nullptr : &b_[found->second.front()];
  }

  /// Whether `item` is a latent projection whose halves b has, or the first half of b's.
  bool PairHeads(const WeightItem& item) {
    const WeightKey keys = Named(item.key, kKeys), values = Named(item.key, kValues);
    if (item.key.kind != Kind::kMatrix) return false;
    if (item.key.name == kLatent) return AddHeads(&item, InB(keys), InB(values), false);
    if (item.key.name != kKeys) return false;
    return AddHeads(InB(Named(item.key, kLatent)), &item, InA(values), true);
  }

  /// `split_a`: a has the halves, else b has them.
  bool AddHeads(const WeightItem* latent, const WeightItem* keys, const WeightItem* values,
                bool split_a) {
    if (latent == nullptr || keys == nullptr || values == nullptr) return false;
    const auto heads = Heads::Of(*latent, *keys, *values);
    if (!heads) return false;
    const auto add = [&](WeightItem whole, WeightItem half) {
      if (split_a) std::swap(whole, half);
      Add(std::move(whole), std::move(half));
    };
    for (uint64_t i = 0; i < heads->heads; ++i) {
      add(Part(*latent, keys->key, i, heads->KeysInLatent(i)),
          Part(*keys, keys->key, i, heads->Keys(i)));
      add(Part(*latent, values->key, i, heads->ValuesInLatent(i)),
          Part(*values, values->key, i, heads->Values(i)));
    }
    if (split_a) {
      used_.insert(values);
      Partner(latent->key);
    } else {
      Partner(keys->key);
      Partner(values->key);
    }
    return true;
  }

  const Model &model_a_, &model_b_;
  std::vector<WeightItem> a_, b_;
  std::map<WeightKey, std::deque<size_t>> b_by_key_;
  std::vector<bool> taken_;
  std::vector<const WeightItem*> left_;
  std::set<const WeightItem*> used_;
  ModelPairs pairs_;
};

/// What is there and can't be compared.
std::vector<Unpaired> Unread(const Model& model) {
  std::vector<Unpaired> unread;
  for (const ModelTensor& tensor : model.tensors()) {
    const auto add = [&](const std::string& reason) {
      unread.push_back({tensor.info().name, reason, true, &tensor});
    };
    if (tensor.left_out != ModelTensor::LeftOut::kNo) continue;
    if (!tensor.refusal.empty()) {
      add(tensor.refusal);
    } else if (tensor.found.unmatched_reason) {
      add(*tensor.found.unmatched_reason);
    } else if (const auto refusal = DenseRefusal(tensor)) {
      add(*refusal);
    }
  }
  return unread;
}

}  // namespace

uint64_t ModelPairs::matrices() const {
  return static_cast<uint64_t>(
      std::ranges::count_if(pairs, [](const WeightPair& pair) { return IsMatrix(pair.a); }));
}

bool ModelPairs::complete() const {
  const auto has_matrix = [](const std::vector<Unpaired>& list) {
    return std::ranges::any_of(list, &Unpaired::matrix);
  };
  return !has_matrix(only_a) && !has_matrix(only_b) && unread_a.empty() && unread_b.empty() &&
         std::ranges::none_of(misshapen, [](const auto& pair) { return IsMatrix(pair.a); });
}

Json UnpairedJson(const std::vector<Unpaired>& list) {
  Json json = Json::Array();
  for (const Unpaired& one : list) {
    json.push_back({{"tensor", one.name}, {"reason", one.reason}, {"matrix", one.matrix}});
  }
  return json;
}

ModelPairs PairModels(const Model& a, const Model& b) {
  ModelPairs pairs = Pairing(a, b).Run();
  pairs.unread_a = Unread(a);
  pairs.unread_b = Unread(b);
  return pairs;
}

}  // namespace moe

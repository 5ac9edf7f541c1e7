#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moescope/error.h"
#include "moescope/experts.h"
#include "moescope/model.h"

namespace moe {

/// Names the input of a weight, or of all experts of a layer and projection.
struct InputKey {
  enum class Kind { kRouted, kShared, kModule } kind = Kind::kModule;
  std::string stack;  ///< as MatrixKey::stack
  int64_t layer = -1;
  std::string weight;   ///< projection of an expert; of other weights ModuleName::name
  int64_t expert = -1;  ///< number of a routed one; -1: all of them
  auto operator<=>(const InputKey&) const = default;

  InputKey OfAll() const { return {kind, stack, layer, weight, -1}; }
  std::string Text() const;  ///< "layer 3 down_proj"
};

InputKey InputOf(const MatrixKey& key);

/// The weights of a model whose inputs calibration may have seen, by key and by name.
class ModelInputs {
 public:
  /// What the model says of a key; of experts over all of the layer.
  struct Facts {
    uint64_t columns = 0;  ///< 0: the experts differ (ERNIE-VL), which no file can tell apart
    uint64_t experts = 0;  ///< of routed ones: one past the last number; else 0
    bool operator==(const Facts&) const = default;
  };

  static Result<ModelInputs> Of(const Model& model);

  /// The inputs that a name in a calibration file stands for: two where it is gate and up in one.
  Result<std::vector<InputKey>> KeysOf(const std::string& name) const;

  /// Of a weight of the model with this name or module; nullopt: it has none.
  std::optional<InputKey> OfModule(std::string_view name) const;

  /// The key itself, then those of weights that read the same vectors.
  std::vector<InputKey> SameInput(const InputKey& key) const;

  /// Of the key, whatever its expert, or of a weight with the same input; nullptr: the model has
  /// neither.
  const Facts* Find(const InputKey& key) const;

  const std::map<InputKey, Facts>& all() const { return facts_; }

  /// Where the model keeps a layer that a file gives this number: its stack and layer.
  std::pair<std::string, int64_t> Placed(const std::string& stack, int64_t layer) const;

 private:
  explicit ModelInputs(const Model& model) : model_(&model) {}
  void AddExperts();
  Result<void> AddModules();
  Result<std::vector<InputKey>> ExpertKeys(const std::string& name) const;

  const Model* model_;
  std::optional<Extractor> by_default_;  ///< for names that rules of the user's config don't read
  std::map<InputKey, Facts> facts_;
  std::map<std::string, InputKey, std::less<>> by_module_;
  std::set<std::pair<std::string, int64_t>> layers_;  ///< with their stacks
  bool own_head_ = false;  ///< lm_head is another matrix than the embedding
};

}  // namespace moe

#include "experts/banks.h"

#include <fmt/format.h>

#include <algorithm>

namespace moe {
namespace {

// A stack of shared experts becomes one bank each; nobody has thousands of them.
constexpr uint64_t kMaxSharedStack = 1024;

ExpertBank BankOf(const Subject& subject, const BankShape& shape) {
  ExpertBank bank;
  bank.stack = subject.stack;
  bank.is_shared_expert = subject.shared;
  bank.first_layer = subject.layer.value_or(-1);
  bank.has_layer_axis = shape.has_layer_axis;
  bank.layers = shape.layers;
  bank.experts = shape.experts;
  bank.rows = shape.rows;
  bank.cols = shape.cols;
  bank.offset = shape.offset;
  bank.layer_stride = shape.layer_stride;
  bank.expert_stride = shape.expert_stride;
  bank.row_stride = shape.row_stride;
  bank.col_stride = shape.col_stride;
  return bank;
}

}  // namespace

Checked<BankShape> ShapeBy(const ExtractContext& context, const WeightShape& weight,
                           const RuleHit& hit) {
  if (hit.preset() != nullptr) return context.axes.ShapeOf(hit.ByPreset(weight));
  return ApplyLayout(hit.rule->rule.layout, weight.shape);
}

Checked<void> AddBanks(const Subject& subject, const BankShape& shape, const std::string& name,
                       const std::string& proj, std::optional<int64_t> expert,
                       std::vector<ExpertBank>& banks) {
  ExpertBank bank = BankOf(subject, shape);
  bank.derived_tensor = name;
  bank.proj = proj;
  bank.single_expert_id = expert;
  if (!subject.shared || shape.experts == 1) {
    banks.push_back(std::move(bank));
    return {};
  }
  if (shape.experts > kMaxSharedStack) {
    return tl::make_unexpected(fmt::format("{} shared experts in one tensor, at most {} are read",
                                           shape.experts, kMaxSharedStack));
  }
  bank.experts = 1;
  for (uint64_t i = 0; i < shape.experts; ++i) {
    bank.derived_tensor = fmt::format("{}[{}]", name, i);
    bank.offset = shape.offset + i * shape.expert_stride;
    banks.push_back(bank);
  }
  return {};
}

void TakeSharedApart(uint64_t routed, std::vector<ExpertBank>& banks) {
  const size_t count = banks.size();
  for (size_t i = 0; i < count; ++i) {
    ExpertBank shared = banks[i];
    banks[i].experts = routed;
    shared.is_shared_expert = true;
    shared.experts = 1;
    shared.offset += routed * shared.expert_stride;
    shared.derived_tensor += "[shared]";
    banks.push_back(std::move(shared));
  }
}

int64_t ExpertBank::LayerAt(uint64_t layer_pos) const {
  if (!has_layer_axis) return first_layer;
  return std::max<int64_t>(first_layer, 0) + static_cast<int64_t>(layer_pos);
}

int64_t ExpertBank::ExpertIdAt(uint64_t expert_pos) const {
  if (is_shared_expert) return -1;
  if (experts == 1 && single_expert_id) return *single_expert_id;
  return static_cast<int64_t>(expert_pos);
}

}  // namespace moe

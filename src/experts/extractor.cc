#include <algorithm>

#include "experts/apply_rules.h"
#include "experts/claims.h"
#include "experts/extract_weight.h"
#include "experts/fallback.h"
#include "experts/filter.h"
#include "experts/roles.h"
#include "moescope/experts.h"

namespace moe {

Result<Extraction> ExtractWeight(const ExtractContext& context, const WeightShape& weight) {
  auto subject = Look(context, weight, true);
  if (!subject) return tl::make_unexpected(std::move(subject.error()));
  Extraction out;
  if (!PassesFilter(context, *subject, out)) return out;

  const auto layer = context.layer_pattern.Search(weight.name);
  if (!layer) return tl::make_unexpected(layer.error());
  subject->layer = NumberIn(*layer, 1);
  const auto done = ApplyRules(context, *subject, out);
  if (!done) return tl::make_unexpected(done.error());
  if (*done) return out;

  subject->stack = StackFor(context, *subject, subject->layer);
  const auto fell_back = FallBack(context, *subject, out);
  if (!fell_back) return tl::make_unexpected(fell_back.error());
  return out;
}

struct Extractor::Impl {
  ExtractContext context;
};

Extractor::Extractor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Extractor::~Extractor() = default;
Extractor::Extractor(Extractor&&) noexcept = default;
Extractor& Extractor::operator=(Extractor&&) noexcept = default;

Result<Extractor> Extractor::Create(ExtractOptions options, std::span<const WeightShape> weights) {
  auto context = MakeContext(std::move(options), weights, KnownFamilies());
  if (!context) return tl::make_unexpected(std::move(context.error()));
  return Extractor(std::unique_ptr<Impl>(new Impl{std::move(*context)}));
}

Result<Extraction> Extractor::Extract(const WeightShape& weight) const {
  return ExtractWeight(impl_->context, weight);
}

Result<std::vector<ExpertClaim>> Extractor::ClaimsOf(std::string name) const {
  return ClaimsByName(impl_->context, name);
}

std::string_view Extractor::family() const {
  return impl_->context.family == nullptr ? "" : impl_->context.family->name;
}

const ModelFacts& Extractor::facts() const { return impl_->context.options.model; }

WeightShape PlainWeight(const TensorInfo& tensor) {
  return {tensor.name, tensor.shape, "", IsPlainFloat(tensor.dtype) ? "" : UndecodedReason(tensor)};
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

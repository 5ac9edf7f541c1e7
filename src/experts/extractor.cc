#include "experts/claims.h"
#include "experts/extract_weight.h"
#include "experts/roles.h"
#include "moescope/experts.h"

namespace moe {

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

Result<std::vector<ExpertClaim>> Extractor::ClaimsOf(std::string_view name) const {
  return ClaimsByName(impl_->context, name);
}

std::string_view Extractor::family() const {
  return impl_->context.family == nullptr ? "" : impl_->context.family->name;
}

const ModelFacts& Extractor::facts() const { return impl_->context.options.model; }

WeightShape PlainWeight(const TensorInfo& tensor) {
  return {tensor.name, tensor.shape, "", IsPlainFloat(tensor.dtype) ? "" : UndecodedReason(tensor)};
}

}  // namespace moe

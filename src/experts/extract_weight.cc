#include "experts/extract_weight.h"

#include "experts/apply_rules.h"
#include "experts/fallback.h"
#include "experts/filter.h"

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

}  // namespace moe

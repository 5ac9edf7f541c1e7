#include "model/double_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "checkpoint/names.h"
#include "codec/companions.h"

namespace moe {

void DoubleClaims::Add(size_t number, std::string_view name, const Extraction& extraction) {
  if (extraction.role != Role::kRoutedExpert && extraction.role != Role::kSharedExpert) return;
  for (const ExpertBank& bank : extraction.banks) {
    const bool numbered = bank.is_shared_expert || bank.experts > 1 || bank.single_expert_id;
    if (bank.first_layer < 0 || !numbered || bank.experts == 0) continue;
    const std::string shared(bank.is_shared_expert ? ModuleOf(name) : "");
    for (uint64_t layer = 0; layer < bank.layers; ++layer) {
      claims_.push_back({bank.stack.value_or(""), shared, bank.proj, bank.LayerAt(layer),
                         bank.ExpertIdAt(0), bank.ExpertIdAt(bank.experts - 1), number, name});
    }
  }
}

std::string DoubleClaims::TextOf(const Claim& claim, const Claim& other) {
  const std::string expert = claim.shared.empty()
                                 ? fmt::format("expert {}", std::max(claim.first, other.first))
                                 : "the shared expert";
  return fmt::format("two tensors hold {}layer {}, {} of {}: {} and {}",
                     claim.stack.empty() ? "" : claim.stack + " ", claim.layer, claim.proj, expert,
                     Printable(claim.name), Printable(other.name));
}

std::map<size_t, std::string> DoubleClaims::Refusals() const {
  const auto place = [](const Claim& claim) {
    return std::tie(claim.stack, claim.shared, claim.proj, claim.layer);
  };
  std::vector<const Claim*> sorted;
  sorted.reserve(claims_.size());
  for (const Claim& claim : claims_) sorted.push_back(&claim);
  std::sort(sorted.begin(), sorted.end(), [&](const Claim* a, const Claim* b) {
    return std::tuple_cat(place(*a), std::tie(a->first, a->number)) <
           std::tuple_cat(place(*b), std::tie(b->first, b->number));
  });
  std::map<size_t, std::string> refusals;
  const Claim* widest = nullptr;  // of those so far in one place, the one that ends last
  for (const Claim* claim : sorted) {
    if (!widest || place(*widest) != place(*claim)) {
      widest = claim;
      continue;
    }
    if (claim->first <= widest->last && claim->number != widest->number) {
      refusals.emplace(claim->number, TextOf(*claim, *widest));
      refusals.emplace(widest->number, TextOf(*widest, *claim));
    }
    if (claim->last > widest->last) widest = claim;
  }
  return refusals;
}

}  // namespace moe

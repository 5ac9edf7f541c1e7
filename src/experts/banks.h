#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experts/filter.h"
#include "experts/layout.h"

namespace moe {

/// Where the matrices of a weight lie by a rule's layout, or by a preset.
Checked<BankShape> ShapeBy(const ExtractContext& context, const WeightShape& weight,
                           const RuleHit& hit);

/// Appends the bank of `proj`, or one bank for each expert of a stack of shared ones, which have no
/// ids: "NAME[0]", "NAME[1]", ... `expert`: its number in the name; nullopt: none.
Checked<void> AddBanks(const Subject& subject, const BankShape& shape, const std::string& name,
                       const std::string& proj, std::optional<int64_t> expert,
                       std::vector<ExpertBank>& banks);

/// The last expert of each bank, behind `routed` others, is the shared one: it becomes a bank of
/// its own, "NAME[shared]".
void TakeSharedApart(uint64_t routed, std::vector<ExpertBank>& banks);

}  // namespace moe

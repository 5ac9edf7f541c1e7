#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace moe {

/// What stands at "key" or "object/key"; nullptr: nothing.
const Json* At(const Json& object, std::string_view path);

/// A number without a sign: 8, "8" (some tools write texts) or 8.0. nullopt: anything else.
std::optional<uint64_t> WholeNumber(const Json& value);

/// The keys whose value is neither null nor a whole number, or a list of such, that a model can
/// have.
std::vector<std::string> UnreadableKeys(const Json& config, std::span<const char* const> keys);

/// Of the first key that says anything. A list (one number a layer or a modality) is a number only
/// where all of it is one, and never a reason to ask the next key, which may mean something else.
std::optional<uint64_t> NumberOf(const Json& config, std::span<const char* const> keys);

/// How many there are of what is counted one by one; a number no model can have is none.
std::optional<uint64_t> CountOf(const Json& config, std::span<const char* const> keys);

bool HasAny(const Json& config, std::span<const char* const> keys);

/// A number without a sign and without anything else; nullopt: it isn't, or is beyond all layers.
std::optional<int64_t> IntegerIn(std::string_view text);

}  // namespace moe

#pragma once

#include <string>
#include <string_view>

#include "base/json_text.h"
#include "moescope/error.h"

namespace moe {

/// What a scheme that is stored as a float is called in recipe.json.
inline constexpr std::string_view kFloatScheme = "float";

/// Every key is there and of its type. kMalformed: the first one that is not.
Result<void> CheckRecipeFields(const Json& recipe, const std::string& where);

}  // namespace moe

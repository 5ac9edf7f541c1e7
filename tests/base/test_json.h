#pragma once

#include <filesystem>
#include <iosfwd>
#include <string_view>

#include "base/json.h"

namespace moe {

/// The value of a text, or of a file, that is JSON.
Json AsJson(std::string_view text);
Json JsonOfFile(const std::filesystem::path& path);

template <class... T>
Json ListOf(const T&... items) {
  return Json::Array({Json(items)...});
}

/// Sets the value at "/key/0/key"; an element of a list must be there.
void PutAt(Json& json, std::string_view pointer, const Json& value);

void PrintTo(const Json& json, std::ostream* out);  // for GoogleTest

}  // namespace moe

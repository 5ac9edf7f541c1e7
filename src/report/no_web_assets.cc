// In place of web_assets.cc where Node.js could not bundle the page.
#include "report/web_assets.h"

namespace moe {

std::optional<std::string_view> PageTemplate() { return std::nullopt; }

std::optional<std::string_view> PicturesScript() { return std::nullopt; }

}  // namespace moe

#pragma once

#include <optional>
#include <string_view>

namespace moe {

// What src/report/web was bundled to (build.mjs there) and this program carries; nullopt in a build
// that had no Node.js or no node_modules.

/// The page without its data, which goes where `<!-- DATA -->` stands.
std::optional<std::string_view> PageTemplate();

/// The charts as ECMAScript 5, for the engine that draws pictures.
std::optional<std::string_view> PicturesScript();

}  // namespace moe

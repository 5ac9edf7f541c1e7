#pragma once

#include <string>
#include <string_view>

namespace moe {

/// What nlohmann's exception text `what` says about the syntax, without its prefix and without the
/// bytes of the file that it quotes.
std::string JsonFault(std::string_view what);

}  // namespace moe

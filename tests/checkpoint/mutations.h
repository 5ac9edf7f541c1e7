#pragma once

#include <string>

namespace moe {

/// Cuts a good file at every byte, and changes every byte in a few ways; opens each and reads all
/// it holds. Whatever is wrong with it must end in an Error: a crash, or a sanitizer's complaint,
/// fails the test.
void ForEachMutation(const std::string& good, const std::string& suffix);

}  // namespace moe

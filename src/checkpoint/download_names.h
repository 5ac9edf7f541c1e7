#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace moe {

/// The name that a browser or file manager made this one from, because there was a file of that
/// name: "m.gguf" of "m (1).gguf", "m(1).gguf", "m copy.gguf", "m - Copy (2).gguf",
/// "m (copy).gguf", "Copy of m.gguf". nullopt: a name of its own.
std::optional<std::string> OriginalOfCopy(std::string_view file_name);

/// Whether the two files have the same size and the same bytes in places spread over them.
bool AreCopies(const std::filesystem::path& one, const std::filesystem::path& other);

/// Whether a program that downloads gives its unfinished files such a name ("m.gguf.part"), or
/// keeps its notes on one beside it ("m.gguf.aria2").
bool IsUnfinished(const std::filesystem::path& path);

}  // namespace moe

#pragma once

#include <filesystem>
#include <string>

namespace moe {

/// The folder tests/data of the sources.
std::filesystem::path TestData();

/// The text of docs/NAME of the sources.
std::string DocText(const std::string& name);

/// All bytes of a file; none of one that can't be read.
std::string ReadText(const std::filesystem::path& path);

}  // namespace moe

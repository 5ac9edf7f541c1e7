#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace moe {

// What operating systems tell and do in ways of their own: platform_linux.cc, platform_darwin.cc.

/// The file system under a path.
struct FileSystem {
  std::string name;      ///< "ext4", "apfs", "nfs", ...; "unknown (0x...)"
  bool network = false;  ///< bytes come over a network or through another process
};
/// nullopt when the path can't be looked at.
std::optional<FileSystem> FileSystemOf(const std::filesystem::path& path);

/// Says that bytes [begin, begin + size) of an open file are wanted soon.
void AdviseReading(int descriptor, uint64_t begin, uint64_t size);
/// Has what is read of an open file from here on come from the disk, not from memory.
void ForgetPages(int descriptor);

/// The file of the running program; empty if the system does not tell.
std::filesystem::path ProgramFile();

/// "AMD EPYC 7B13"; "" if the system does not tell.
std::string ProcessorName();
/// What this process may use of the machine's memory, where a limit is set (control groups).
std::optional<uint64_t> MemoryLimit();

/// The command that opens a file as a double click does.
extern const std::string_view kOpenCommand;

}  // namespace moe

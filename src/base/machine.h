#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace moe {

/// What a program runs on.
struct Machine {
  std::string system;     ///< "Linux 6.1.0 x86_64"
  std::string processor;  ///< "AMD EPYC 7B13"; "" if the system does not tell
  unsigned cores = 0;     ///< that this process may use
  uint64_t memory_bytes = 0;
  std::optional<uint64_t> memory_limit_bytes;  ///< what this process may use of it, if less
};
Machine ThisMachine();

}  // namespace moe

#include "base/machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/ordered_work.h"
#include "base/platform.h"

namespace moe {

Machine ThisMachine() {
  utsname system = {};
  uname(&system);
  Machine machine;
  machine.system = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  machine.processor = ProcessorName();
  machine.cores = ThreadCount(0);
  machine.memory_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (const auto limit = MemoryLimit(); limit && *limit < machine.memory_bytes) {
    machine.memory_limit_bytes = limit;
  }
  return machine;
}

}  // namespace moe

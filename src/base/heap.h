#pragma once

#include <cstdlib>  // says whether this is glibc

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace moe {

/// For the start of a program: each matrix asks for the buffers that the one before has freed, so
/// they stay, up to 4 MiB a thread, instead of going back to the system and coming anew, page by
/// page and cleared.
inline void KeepFreedBuffers() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
#endif
}

}  // namespace moe

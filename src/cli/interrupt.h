#pragma once

#include <atomic>

namespace moe::cli {

/// Installs handlers: the first SIGINT or SIGTERM sets Interrupted(), a second one kills at once;
/// SIGPIPE is ignored, so that `moescope ... | head` ends quietly.
void InstallSignalHandlers();

/// True after Ctrl-C. Long work looks at it at least ten times a second.
const std::atomic<bool>& Interrupted();

}  // namespace moe::cli

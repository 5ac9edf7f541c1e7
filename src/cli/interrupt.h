#pragma once

#include "moescope/stop_token.h"

namespace moe::cli {

/// Installs handlers: the first SIGINT, SIGTERM or SIGHUP sets Interrupted(), a second one kills at
/// once; SIGPIPE and SIGXFSZ are ignored, so that `moescope ... | head` ends quietly and a file
/// that grows too large is a write error; a mapped file that becomes shorter (SIGBUS) is an error
/// of its reader.
void InstallSignalHandlers();

/// Opens /dev/null on each of the descriptors 0 to 2 that the caller closed, so that no output file
/// gets the number of a standard stream.
void OpenClosedStandardStreams();

/// Stopped after Ctrl-C. Long work looks at it at least ten times a second.
StopToken Interrupted();

}  // namespace moe::cli

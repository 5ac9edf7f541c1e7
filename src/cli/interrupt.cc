#include "cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <string_view>

#include "cli/exit_code.h"

namespace moe::cli {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void OnSignal(int) { interrupted = true; }

void OnBusError(int) {
  constexpr std::string_view kLine =
      "moescope: error: a checkpoint file became shorter while it was read; download it again\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(static_cast<int>(ExitCode::kFailed));
}

/// Without SA_RESTART: a blocked open or read ends too.
void Handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void InstallSignalHandlers() {
  // SA_RESETHAND: the second one meets the default action.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Handle(signal, OnSignal, static_cast<int>(SA_RESETHAND));
  }
  for (const int signal : {SIGPIPE, SIGXFSZ}) Handle(signal, SIG_IGN, 0);
  Handle(SIGBUS, OnBusError, 0);
}

void OpenClosedStandardStreams() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) == -1) ::open("/dev/null", O_RDWR);  // takes the lowest free
  }
}

const std::atomic<bool>& Interrupted() { return interrupted; }

}  // namespace moe::cli

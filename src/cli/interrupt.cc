#include "cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string_view>

#include "base/mapped_file.h"
#include "cli/exit_code.h"

namespace moe::cli {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void OnSignal(int) { interrupted = true; }

/// What has lost bytes is an error of whoever reads it.
void OnBusError(int, siginfo_t* info, void*) {
  if (MendLostBytes(info->si_addr)) return;
  constexpr std::string_view kLine = "moescope: error: a file became shorter while it was read\n";
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
  struct sigaction on_bus_error{};
  on_bus_error.sa_sigaction = OnBusError;
  on_bus_error.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &on_bus_error, nullptr);
}

void OpenClosedStandardStreams() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) == -1) ::open("/dev/null", O_RDWR);  // takes the lowest free
  }
}

StopToken Interrupted() { return StopToken(interrupted); }

}  // namespace moe::cli

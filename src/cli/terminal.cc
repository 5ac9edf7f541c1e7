#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace moe::cli {

std::optional<size_t> TerminalWidth(int descriptor) {
  constexpr size_t kUsual = 80;
  if (isatty(descriptor) == 0) return std::nullopt;
  winsize size{};
  const bool told = ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return told ? size.ws_col : kUsual;
}

}  // namespace moe::cli

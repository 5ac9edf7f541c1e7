#include "moescope/stop_token.h"

namespace moe {

Result<void> StopToken::Check() const {
  if (stopped()) return tl::make_unexpected(InterruptedError());
  return {};
}

Error InterruptedError() {
  return {ErrorCode::kInterrupted, "", "interrupted; outputs are untouched", "", ""};
}

}  // namespace moe

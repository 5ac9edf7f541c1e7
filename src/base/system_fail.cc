#include "base/system_fail.h"

#include <fmt/format.h>

namespace moe {

tl::unexpected<Error> SystemFail(const std::filesystem::path& path, std::string_view what,
                                 std::error_code error) {
  const bool is_full = error == std::errc::no_space_on_device || error == std::errc::file_too_large;
  return Fail(ErrorCode::kIo, path.string(), fmt::format("{}: {}", what, error.message()),
              is_full ? "free some space and run again" : "");
}

}  // namespace moe

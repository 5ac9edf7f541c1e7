#pragma once

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "moescope/error.h"

namespace moe {

/// kIo: "`what`: No such file or directory", with what to do about a full disk. Without `error`:
/// of the system call that has just failed (errno).
[[nodiscard]] tl::unexpected<Error> SystemFail(const std::filesystem::path& path,
                                               std::string_view what,
                                               std::error_code error = {errno,
                                                                        std::generic_category()});

}  // namespace moe

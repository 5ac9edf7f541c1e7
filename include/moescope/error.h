#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace moe {

enum class ErrorCode { kNotFound, kIo, kMalformed, kUnsupported, kBadArgument, kInterrupted };

/// What went wrong, said so that a person can act on it.
struct Error {
  ErrorCode code;
  std::string where;    ///< the file, tensor or config key: "a.safetensors: tensor 'w1'"
  std::string message;  ///< the broken rule with its numbers: "needs 4096 bytes, has 4000"
  std::string hint;     ///< optional next step: "download the shard again"
  /// What failure logs call its kind, where `code` does not say enough; empty: TypeName() derives
  /// it from `code`.
  std::string type_name;

  /// "where: message (hint)", on one line.
  std::string Text() const;
  /// `type_name`, or the name of `code` in failure logs.
  std::string TypeName() const;
};

/// A value or the Error that kept it from being made. Later: std::expected, same members.
template <class T = void>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> Fail(ErrorCode code, std::string where,
                                                std::string message, std::string hint = {},
                                                std::string type_name = {}) {
  return tl::make_unexpected(
      Error{code, std::move(where), std::move(message), std::move(hint), std::move(type_name)});
}

/// Input breaks its format. Never used for bugs of ours (those are asserts).
[[nodiscard]] inline tl::unexpected<Error> Malformed(std::string where, std::string message,
                                                     std::string hint = {}) {
  return Fail(ErrorCode::kMalformed, std::move(where), std::move(message), std::move(hint));
}

}  // namespace moe

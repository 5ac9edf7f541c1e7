#include "moescope/error.h"

namespace moe {

std::string Error::Text() const {
  std::string text = where.empty() ? message : where + ": " + message;
  if (!hint.empty()) text += " (" + hint + ")";
  return text;
}

std::string Error::TypeName() const {
  if (!type_name.empty()) return type_name;
  switch (code) {
    case ErrorCode::kNotFound:
      return "FileNotFoundError";
    case ErrorCode::kIo:
      return "OSError";
    case ErrorCode::kMalformed:
      return "ValueError";
    case ErrorCode::kUnsupported:
      return "NotImplementedError";
    case ErrorCode::kBadArgument:
      return "ValueError";
    case ErrorCode::kInterrupted:
      return "KeyboardInterrupt";
  }
  return "RuntimeError";
}

}  // namespace moe

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

#include "moescope/error.h"

namespace moe {

/// How often a router chose each expert, as somebody counted it. Forms, told by the content:
///
/// CSV        a header with the columns `layer`, `expert` and `tokens`, in any order and among
///            others; rows of one expert add up.
/// JSON       {"3": {"0": 17, "5": 4}} or {"3": [17, 0, 0, 0, 0, 4]}: layer, expert, tokens.
/// JSON       [[17, 0, ...], ...], or that under "logical_count": one row a layer, as SGLang's
///            recorder counts (`expert_distribution_recorder_*.pt`, its logical_count as lists);
///            with an axis of steps in front, these add up. SGLang's rows count all layers of the
///            model, dense ones too; rows of the layers with experts alone are taken as well.
struct UsageFile {
  std::map<int64_t, std::map<int64_t, double>> tokens;  ///< by layer (or row) and expert
  std::optional<size_t> rows;  ///< how many, where the keys above are rows and no layers' numbers

  /// kMalformed: a number is missing, negative or not finite, or the form is none of these;
  /// kUnsupported: a file of torch.save (the hint says how to convert it); kNotFound, kIo.
  static Result<UsageFile> Open(const std::filesystem::path& path);
};

}  // namespace moe

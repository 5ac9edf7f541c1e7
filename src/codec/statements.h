#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/config_words.h"
#include "codec/weight.h"

namespace moe {

/// The grid that strategy, group or block ask for on a matrix [rows, cols]; nullopt: not said.
std::optional<GridSize> GridOf(const QuantWords& words, uint64_t rows, uint64_t cols);

/// One statement of the config beside what the tensors are.
struct Statement {
  std::string name, said, found;
  bool agrees = true;
};

/// Not said: agrees.
Statement Says(std::string_view name, const std::string& said, std::string_view found);
Statement Says(std::string_view name, const std::optional<uint64_t>& said, uint64_t found);
Statement Says(std::string_view name, const std::optional<bool>& said, bool found);
Statement SaysGrid(const QuantWords& words, uint64_t rows, uint64_t cols, GridSize found);
Statement SaysZeroPoints(const QuantWords& words, bool found);  ///< by `symmetric`

/// Whether quant_method is one of `methods`, or one that no codec knows. Likewise for `format`.
Statement SaysMethod(const QuantWords& words, std::initializer_list<std::string_view> methods);
Statement SaysFormat(const QuantWords& words, std::initializer_list<std::string_view> formats);

/// kMalformed for the first statement that doesn't agree, with both sides, and the shape of
/// `companion`, which shows it.
Result<void> CheckStatements(const TensorRef& payload, const std::optional<TensorRef>& companion,
                             const QuantWords& words, const std::vector<Statement>& statements);

}  // namespace moe

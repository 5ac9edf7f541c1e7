#include "codec/statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

std::optional<GridSize> GridOfBlocks(const QuantWords& words, uint64_t rows, uint64_t cols) {
  if (words.block_rows == 0) return std::nullopt;
  return GridSize{CeilDiv(rows, words.block_rows), CeilDiv(cols, words.block_cols)};
}

}  // namespace

std::optional<GridSize> GridOf(const QuantWords& words, uint64_t rows, uint64_t cols) {
  if (words.strategy == "tensor") return GridSize{1, 1};
  if (words.strategy == "channel") return GridSize{rows, 1};
  if (words.strategy == "block") return GridOfBlocks(words, rows, cols);
  const bool groups = words.strategy.empty() || words.strategy.ends_with("group");
  if (!groups || !words.group) return std::nullopt;
  return GridSize{rows, *words.group == 0 ? 1 : CeilDiv(cols, *words.group)};
}

Statement Says(std::string_view name, const std::string& said, std::string_view found) {
  return {std::string(name), said, std::string(found), said.empty() || said == found};
}

Statement Says(std::string_view name, const std::optional<uint64_t>& said, uint64_t found) {
  return Says(name, said ? fmt::to_string(*said) : "", fmt::to_string(found));
}

Statement Says(std::string_view name, const std::optional<bool>& said, bool found) {
  return Says(name, said ? fmt::to_string(*said) : "", fmt::to_string(found));
}

namespace {

/// Where the strategy's size is not said: a group still is of one row, and a block of several.
Statement SaysStrategy(const QuantWords& words, uint64_t rows, GridSize found) {
  const bool by_row = found.rows == rows;
  const bool fits = words.strategy == "block"           ? !by_row || rows == 1
                    : words.strategy.ends_with("group") ? by_row
                                                        : true;
  return {"strategy", words.strategy, fmt::format("{} x {} scales", found.rows, found.cols), fits};
}

}  // namespace

Statement SaysGrid(const QuantWords& words, uint64_t rows, uint64_t cols, GridSize found) {
  const auto wanted = GridOf(words, rows, cols);
  if (!wanted) return SaysStrategy(words, rows, found);
  const uint64_t group = words.group.value_or(0);
  std::string how = words.strategy.empty() ? "group" : words.strategy;
  if (how.ends_with("group")) {
    how += fmt::format(" {}", group);
  } else if (group > 0 && *wanted != GridSize{rows, CeilDiv(cols, group)}) {
    return {"group_size", fmt::to_string(group), "strategy " + how, false};
  }
  if (how == "block") {
    how += fmt::format(" {} x {}", words.block_rows, words.block_cols);
  } else if (GridOfBlocks(words, rows, cols).value_or(*wanted) != *wanted) {
    return {"block_structure", fmt::format("{} x {}", words.block_rows, words.block_cols),
            "strategy " + how, false};
  }
  return {"scales", fmt::format("{} x {} for strategy {}", wanted->rows, wanted->cols, how),
          fmt::format("{} x {}", found.rows, found.cols), *wanted == found};
}

Statement SaysZeroPoints(const QuantWords& words, bool found) {
  return {"symmetric", words.symmetric == true ? "true" : "false",
          found ? "with zero points" : "without zero points",
          !words.symmetric || *words.symmetric != found};
}

namespace {

/// `known` is what the codecs know: another text says nothing.
Statement SaysOneOf(std::string_view name, const std::string& said,
                    std::initializer_list<std::string_view> fitting,
                    std::span<const std::string_view> known) {
  const auto holds = [&](const auto& list) {
    return std::find(list.begin(), list.end(), said) != list.end();
  };
  return {std::string(name), said, fitting.size() > 0 ? std::string(*fitting.begin()) : "none",
          holds(fitting) || !holds(known)};
}

}  // namespace

Statement SaysMethod(const QuantWords& words, std::initializer_list<std::string_view> methods) {
  // A mode without a method is MLX's.
  const bool mlx = std::find(methods.begin(), methods.end(), "mlx") != methods.end();
  if (!mlx && !words.mode.empty()) {
    return {"mode", words.mode, std::string(*methods.begin()), false};
  }
  return SaysOneOf("quant_method", words.method, methods, kReadMethods);
}

Statement SaysFormat(const QuantWords& words, std::initializer_list<std::string_view> formats) {
  return SaysOneOf("format", words.format, formats, kReadFormats);
}

Result<void> CheckStatements(const TensorRef& payload, const std::optional<TensorRef>& companion,
                             const QuantWords& words, const std::vector<Statement>& statements) {
  if (!words.demand.empty()) {
    return WrongCompanion(payload, fmt::format("{} ({})", words.demand, words.entry), companion);
  }
  for (const Statement& statement : statements) {
    if (statement.agrees) continue;
    return WrongCompanion(payload,
                          fmt::format("{} {} ({}), not {}", statement.name,
                                      Printable(statement.said), words.entry, statement.found),
                          companion);
  }
  return {};
}

}  // namespace moe

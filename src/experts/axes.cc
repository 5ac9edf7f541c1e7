#include "experts/axes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moe {
namespace {

// nullopt: the two don't fit each other.
std::optional<bool> ByNeighbours(const StackShapes& s) {
  if (!s.fused || !s.down) return std::nullopt;
  const auto &fused = *s.fused, &down = *s.down;
  if (fused[1] == 2 * down[2] && fused[2] == down[1]) return true;
  if (fused[2] == 2 * down[1] && fused[1] == down[2]) return false;
  return std::nullopt;
}

// The axis of `size` tells the order; nullopt: both axes have it, or none.
std::optional<bool> BySize(const std::optional<uint64_t>& size, uint64_t where_out_in,
                           uint64_t where_in_out) {
  if (!size || (where_out_in == *size) == (where_in_out == *size)) return std::nullopt;
  return where_out_in == *size;
}

std::optional<bool> ByConfig(const StackShapes& s) {
  const uint64_t first = s.own[1], second = s.own[2], parts = s.is_fused ? 2 : 1;
  const auto inner = s.width ? std::optional(parts * *s.width) : std::nullopt;
  const auto order = s.is_down ? BySize(s.hidden, first, second) : BySize(s.hidden, second, first);
  if (order) return order;
  return s.is_down ? BySize(inner, second, first) : BySize(inner, first, second);
}

}  // namespace

Checked<bool> OutputsFirst(const StackShapes& s) {
  if (const auto order = ByNeighbours(s)) return *order;
  if (const auto order = ByConfig(s)) return *order;
  if (s.fused && s.down) {
    return tl::make_unexpected(
        fmt::format("gate_up_proj [{}] and down_proj [{}] do not fit each other in either order of "
                    "their axes{}",
                    fmt::join(*s.fused, ", "), fmt::join(*s.down, ", "),
                    s.hidden ? fmt::format(", and not hidden_size {}", *s.hidden) : ""));
  }
  if (!s.hidden) {
    return tl::make_unexpected(
        "the order of its axes is unknown: no neighbour, router or hidden_size tells it; "
        "write a rule with its layout");
  }
  return tl::make_unexpected(
      fmt::format("the order of its axes is open: shape [{}] with hidden_size {}; write a rule "
                  "with its layout",
                  fmt::join(s.own, ", "), *s.hidden));
}

Checked<BankShape> FlatStack(std::span<const uint64_t> shape, uint64_t experts, bool transposed) {
  if (experts == 0 || shape[0] % experts != 0) {
    return tl::make_unexpected(
        fmt::format("{} rows do not divide into {} experts", shape[0], experts));
  }
  const std::vector<uint64_t> stack = {experts, shape[0] / experts, shape[1]};
  return ApplyLayout(transposed ? RuleLayout{{}, 0, 2, 1} : RuleLayout{{}, 0, 1, 2}, stack);
}

}  // namespace moe

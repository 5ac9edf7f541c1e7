#include "experts/axes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace moe {
namespace {

const RuleLayout kOutIn = {{}, 0, 1, 2}, kInOut = {{}, 0, 2, 1};

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

// All experts along the rows of a matrix [E * out, in], or [E * in, out].
Checked<BankShape> FlatStack(std::span<const uint64_t> shape, std::optional<uint64_t> experts,
                             AxisOrder order) {
  if (!experts) return tl::make_unexpected("the number of experts along the rows is unknown");
  if (*experts == 0 || shape[0] % *experts != 0) {
    return tl::make_unexpected(
        fmt::format("{} rows do not divide into {} experts", shape[0], *experts));
  }
  const std::vector<uint64_t> stack = {*experts, shape[0] / *experts, shape[1]};
  return ApplyLayout(order == AxisOrder::kRowsInOut ? kInOut : kOutIn, stack);
}

// Ends of the names of routers' matrices.
std::set<std::string_view> RouterEnds(const FamilyTable& table) {
  std::set<std::string_view> ends;
  for (const auto& rows : {table.families, table.any}) {
    for (const Family& row : rows) ends.insert(std::string_view(row.router.matrix).substr(1));
  }
  return ends;
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

Axes::Axes(std::span<const WeightShape> weights, const FamilyTable& table, const Family* family,
           const ModelFacts& model)
    : experts_(model.experts),
      hidden_(model.hidden),
      latent_(model.expert_input),
      may_hold_shared_(family == nullptr || family->shared_in_stack) {
  if (model.width_is_of_experts) width_ = model.expert_width;
  const auto router_ends = RouterEnds(table);
  for (const WeightShape& weight : weights) {
    const auto is_end = [&](std::string_view end) { return weight.name.ends_with(end); };
    const bool router =
        weight.shape.size() == 2 && std::any_of(router_ends.begin(), router_ends.end(), is_end);
    if (router || weight.shape.size() == 3) shapes_.emplace(weight.name, weight.shape);
  }
}

const Axes::Shape* Axes::ShapeNamed(const std::string& name) const {
  const auto found = shapes_.find(name);
  return found == shapes_.end() ? nullptr : &found->second;
}

// The rows of the router, else what the config says.
std::optional<uint64_t> Axes::ExpertsOf(const PresetMatch& match) const {
  const Shape* router = ShapeNamed(match.RouterName());
  return router != nullptr ? std::optional(router->front()) : experts_;
}

StackShapes Axes::ShapesAround(const PresetMatch& match) const {
  const LayoutTensor& tensor = *match.rule.tensor;
  StackShapes shapes;
  shapes.is_fused = tensor.is_fused();
  shapes.is_down = tensor.is_down();
  shapes.own = match.weight.shape;
  if (shapes.is_fused) shapes.fused = shapes.own;
  if (shapes.is_down) shapes.down = shapes.own;
  const auto partner_name = match.PartnerName();
  if (const Shape* partner = partner_name ? ShapeNamed(*partner_name) : nullptr) {
    (shapes.is_fused ? shapes.down : shapes.fused) = *partner;
  }
  const Shape* router = ShapeNamed(match.RouterName());
  shapes.hidden = latent_ || router == nullptr ? latent_ : std::optional(router->back());
  if (!shapes.hidden) shapes.hidden = hidden_;
  shapes.width = width_;
  return shapes;
}

Checked<RuleLayout> Axes::LayoutOf(const PresetMatch& match) const {
  if (match.rule.tensor->order != AxisOrder::kByShapes) return match.rule.rule.layout;
  return OutputsFirst(ShapesAround(match)).map([](bool outputs_first) {
    return outputs_first ? kOutIn : kInOut;
  });
}

Checked<BankShape> Axes::ShapeOf(const PresetMatch& match) const {
  const LayoutTensor& tensor = *match.rule.tensor;
  if (tensor.is_flat()) return FlatStack(match.weight.shape, ExpertsOf(match), tensor.order);
  const auto layout = LayoutOf(match);
  if (!layout) return tl::make_unexpected(layout.error());
  return ApplyLayout(*layout, match.weight.shape);
}

std::optional<uint64_t> Axes::RoutedBeforeShared(const PresetMatch& match) const {
  if (!may_hold_shared_ || !match.rule.tensor->shared_last) return std::nullopt;
  const auto experts = ExpertsOf(match);
  const bool one_more = experts && *experts > 0 && match.weight.shape[0] == *experts + 1;
  return one_more ? experts : std::nullopt;
}

}  // namespace moe

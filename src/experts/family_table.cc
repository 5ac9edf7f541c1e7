#include <fmt/format.h>

#include <algorithm>

#include "experts/families.h"

namespace moe {
namespace {

template <class Row, class Fits>
const Row* FirstOf(std::span<const Row> rows, const Fits& fits) {
  const auto found = std::find_if(rows.begin(), rows.end(), fits);
  return found == rows.end() ? nullptr : &*found;
}

bool Lists(const std::vector<const char*>& list, std::string_view name) {
  return !name.empty() && std::find(list.begin(), list.end(), name) != list.end();
}

std::string Joined(const std::vector<const char*>& names) {
  return names.empty() ? "-" : fmt::format("`{}`", fmt::join(names, "`, `"));
}

std::string PlacementsText(const std::vector<Placement>& placements) {
  if (placements.empty()) return "-";
  std::string text;
  for (const Placement& placement : placements) {
    text += text.empty() ? "" : "; ";
    text += placement.layout;
    if (*placement.module != '\0') text += fmt::format(" under `{}`", placement.module);
  }
  // A vertical bar ends a cell of the table.
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.insert(at, 1, '\\');
  }
  return text;
}

std::string RouterText(const Router& router) {
  return fmt::format("{}{}{}", router.matrix, *router.rest == '\0' ? "" : ", ", router.rest);
}

const char* OrderText(const LayoutTensor& tensor) {
  if (tensor.order == AxisOrder::kRowsOutIn) return "[E*out, in]";
  if (tensor.order == AxisOrder::kRowsInOut) return "[E*in, out]";
  if (tensor.ndim == 2) return "[out, in]";
  if (tensor.order == AxisOrder::kOutIn) return "[E, out, in]";
  if (tensor.order == AxisOrder::kInOut) return "[E, in, out]";
  return "[E, out, in] or [E, in, out], by the shapes";
}

}  // namespace

bool Family::HasSign(std::span<const WeightShape> weights) const {
  return sign != nullptr && std::any_of(weights.begin(), weights.end(), [&](const auto& weight) {
           return weight.name.ends_with(sign);
         });
}

const LayoutClass* FamilyTable::LayoutNamed(std::string_view name) const {
  return FirstOf(layouts, [&](const LayoutClass& row) { return row.name == name; });
}

const Family* FamilyTable::Named(std::string_view name) const {
  return FirstOf(families, [&](const Family& row) { return row.name == name; });
}

const Family* FamilyTable::Find(const ModelFacts& model,
                                std::span<const WeightShape> weights) const {
  const Family* found = FirstOf(
      families, [&](const Family& row) { return Lists(row.model_types, model.model_type); });
  if (found == nullptr) {
    found = FirstOf(families,
                    [&](const Family& row) { return Lists(row.gguf_archs, model.gguf_arch); });
  }
  if (found == nullptr) {
    found = FirstOf(families, [&](const Family& row) { return row.HasSign(weights); });
  }
  return found;
}

std::string ArchitecturesMarkdown(const FamilyTable& table) {
  std::string text =
      "| row | family | preset | model_type | GGUF | routed experts | shared experts | router |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const Family& row : table.families) {
    text +=
        fmt::format("| {} | {} | `{}` | {} | {} | {} | {} | {} |\n", row.row, row.title, row.name,
                    Joined(row.model_types), Joined(row.gguf_archs), PlacementsText(row.routed),
                    PlacementsText(row.shared), RouterText(row.router));
  }
  text +=
      "\n| layout class | tensor, below the module | axes | projections |\n"
      "| --- | --- | --- | --- |\n";
  for (const LayoutClass& row : table.layouts) {
    for (const LayoutTensor& tensor : row.tensors) {
      const char* how = tensor.interleaved ? ", alternating" : tensor.is_fused() ? ", halves" : "";
      text += fmt::format("| {} | `{}` | {} | {}{} |\n", row.name, tensor.tail, OrderText(tensor),
                          fmt::join(tensor.projs, ", "), how);
    }
  }
  return text;
}

}  // namespace moe

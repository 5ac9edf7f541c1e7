#include "codec/companions.h"

#include <algorithm>
#include <iterator>

namespace moe {
namespace {

/// A payload by the end of its name.
struct PayloadName {
  std::string_view suffix;
  std::string_view weight;  ///< the end of the weight's name in its place
  std::string_view scales;  ///< that of its scales; "": a name like this may be anything's
};
constexpr PayloadName kPayloads[] = {
    {".weight", ".weight", ".weight_scale"},
    {".weight_packed", ".weight", ".weight_scale"},
    {".qweight", ".weight", ".scales"},
    {"_blocks", "", "_scales"},
    {".blocks", "", ""},
};
constexpr std::string_view kMlxScales = ".scales";  // of U32 codes

constexpr CompanionSuffix kOfWeight[] = {
    {".weight_scale_inv"},
    {".weight_scale"},
    {".qscale_weight"},
    {".scales"},
    {".weight_scale_2"},
    {".weight_global_scale"},
    {".global_scale"},
    {".SCB"},
    {".weight_zero_point"},
    {".weight_g_idx"},
    {".biases"},
    {".qbiases"},
    {".qzeros"},
    {".g_idx"},
    {".weight.absmax"},
    {".weight.nested_absmax"},
    {".scale", 2},  // of fewer axes: a norm's, or GGUF's
};
constexpr CompanionSuffix kOfStack[] = {
    {"_scale_inv"}, {"_scale"}, {"_scales"}, {"_weight_scale"}, {"_weight_scale_2"}};

const PayloadName* RowOf(std::string_view payload) {
  const auto row =
      std::find_if(std::begin(kPayloads), std::end(kPayloads),
                   [&](const PayloadName& known) { return payload.ends_with(known.suffix); });
  return row == std::end(kPayloads) ? nullptr : row;
}

}  // namespace

std::string_view ModuleOf(std::string_view payload) {
  const PayloadName* row = RowOf(payload);
  return payload.substr(0, payload.size() - (row ? row->suffix.size() : 0));
}

std::string WeightNameOf(std::string_view payload) {
  const PayloadName* row = RowOf(payload);
  return std::string(ModuleOf(payload)).append(row ? row->weight : "");
}

std::optional<std::string> ScalesNameOf(std::string_view payload, DType dtype) {
  const PayloadName* row = RowOf(payload);
  if (row && row->scales.empty()) row = nullptr;
  const bool mlx = dtype == DType::kU32 && (!row || row->suffix == ".weight");
  if (!row && !mlx) return std::nullopt;
  const std::string_view module = row ? ModuleOf(payload) : payload;
  return std::string(module).append(mlx ? kMlxScales : row->scales);
}

std::span<const CompanionSuffix> CompanionSuffixes(std::string_view payload) {
  const bool stack = !RowOf(payload) || payload.ends_with("_blocks");
  return stack ? std::span<const CompanionSuffix>(kOfStack) : kOfWeight;
}

}  // namespace moe

#include "codec/codecs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "checkpoint/names.h"
#include "codec/companions.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

/// A companion beside the payload that `weight` does not use; nullopt: none.
std::optional<TensorRef> UnusedCompanion(const Weight& weight, const TensorIndex& tensors) {
  const std::string& payload = weight.parts[0].info().name;
  for (const CompanionSuffix& suffix : CompanionSuffixes(payload)) {
    const auto found = tensors.Find(ModuleOf(payload), suffix.text);
    const auto is_found = [&](const TensorRef& part) {
      return part.file == found->file && part.index == found->index;
    };
    if (found && found->info().shape.size() >= suffix.least_axes &&
        std::none_of(weight.parts.begin(), weight.parts.end(), is_found)) {
      return found;
    }
  }
  return std::nullopt;
}

/// Each companion that is there is part of the weight. Plain values with scales were cast without
/// them; compressed-tensors' format "dense" keeps scales beside weights that don't need them.
Result<void> CheckCompanions(const Weight& weight, const TensorIndex& tensors,
                             const QuantWords& words) {
  const bool plain = weight.is_plain();
  if (plain && (weight.shape.size() < 2 || words.format == "dense")) return {};
  const auto unused = UnusedCompanion(weight, tensors);
  if (!unused) return {};
  const std::string want =
      plain ? "no scales, as plain weights have none (cast without them?)"
            : fmt::format("no other companions than {} has (which of them count?)", weight.storage);
  return WrongCompanion(weight.parts[0], want, unused);
}

Result<double> BitsPerWeight(const Weight& weight) {
  const auto elements = CheckedProduct(weight.shape);
  if (!elements) {
    return Malformed(TensorPlace(weight.parts[0].info().name), "its shape overflows");
  }
  uint64_t bytes = 0;
  for (const TensorRef& part : weight.parts) bytes += part.info().nbytes;
  return *elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(*elements);
}

}  // namespace

Result<std::optional<Weight>> FindUnder(std::span<const QuantWords> alternatives, FindCodec find,
                                        const TensorRef& tensor, const TensorIndex& tensors) {
  auto first = find(tensor, tensors, alternatives.front());
  for (size_t i = 1; i < alternatives.size() && !first; ++i) {
    if (auto other = find(tensor, tensors, alternatives[i])) return other;
  }
  return first;
}

Result<std::optional<Weight>> FindWeight(const TensorRef& tensor, const TensorIndex& tensors,
                                         const QuantConfig& config) {
  const std::vector<QuantWords> alternatives = config.Of(ModuleOf(tensor.info().name));
  for (FindCodec* const find : kCodecs) {
    auto weight = FindUnder(alternatives, find, tensor, tensors);
    if (!weight) return weight;
    if (!*weight) continue;
    if (auto sound = CheckCompanions(**weight, tensors, alternatives.front()); !sound) {
      return tl::make_unexpected(sound.error());
    }
    if ((*weight)->bits_per_weight != 0) return weight;
    const auto bits = BitsPerWeight(**weight);
    if (!bits) return tl::make_unexpected(bits.error());
    (*weight)->bits_per_weight = *bits;
    return weight;
  }
  return std::optional<Weight>{};
}

Result<std::optional<Weight>> FindWeight(const TensorRef& tensor, const TensorIndex& tensors) {
  return FindWeight(tensor, tensors, QuantConfig());
}

}  // namespace moe

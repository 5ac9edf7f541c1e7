#include "quantize/model_card.h"

#include <fmt/format.h>

#include <map>

#include "base/version.h"
#include "recipe/overview.h"

namespace moe {
namespace {

constexpr std::string_view kMlxLm = "0.32.2";  // whose rules and names these are

/// What is stored in one way.
struct Share {
  uint64_t modules = 0, weights = 0, bytes = 0;
};

std::map<std::string, Share> SharesOf(const OutputPlan& plan) {
  std::map<std::string, Share> shares;
  for (const OutputWeight& weight : plan.weights) {
    Share& share = shares[SchemeText(weight.scheme)];
    ++share.modules;
    share.weights += weight.made.elements();
    for (size_t i = 0; i < weight.tensors; ++i) {
      share.bytes += plan.tensors[weight.first_tensor + i].bytes();
    }
  }
  return shares;
}

std::string TableOfShares(const OutputPlan& plan) {
  std::string text = "| stored as | tensors | weights | bytes |\n| --- | ---: | ---: | ---: |\n";
  for (const auto& [scheme, share] : SharesOf(plan)) {
    text +=
        fmt::format("| {} | {} | {} | {} |\n", scheme, share.modules, share.weights, share.bytes);
  }
  return text;
}

std::string TextOf(const RecipeGroup::Part& part) {
  return fmt::format("{} ({} units)", SchemeText(part.scheme), part.units);
}

std::string TableOfRecipe(const Recipe& recipe) {
  std::string text = fmt::format(
      "\n## The recipe\nThe least {} for {} {}.\n\n| role | projection | schemes | bits |\n"
      "| --- | --- | --- | ---: |\n",
      recipe.objective.name, recipe.budget.kind, recipe.budget.value);
  for (const RecipeGroup& group : GroupsOf(recipe)) {
    std::string schemes;
    for (const RecipeGroup::Part& part : group.parts) {
      schemes += (schemes.empty() ? "" : ", ") + TextOf(part);
    }
    text += fmt::format("| {} | {} | {} | {:.3f} |\n", group.role, group.proj, schemes,
                        8 * static_cast<double>(group.bytes) / static_cast<double>(group.weights));
  }
  return text;
}

std::string ListOf(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "- " + line + "\n";
  return text;
}

std::string OrUnknown(std::string_view text) {
  return text.empty() ? "unknown" : std::string(text);
}

std::string EncoderText(const OutputPlan& plan) {
  if (plan.search) {
    return "Scales and biases were searched for the least error of each\ngroup: they differ from "
           "those of mlx_lm.convert.";
  }
  return fmt::format("Codes, scales and biases are those that mlx_lm.convert {} makes\non a CPU.",
                     kMlxLm);
}

}  // namespace

std::string ModelCardText(const Model& model, const std::string& name, const OutputPlan& plan,
                          const OutputChoice& choice) {
  const std::string how = choice.recipe ? "a recipe of moescope" : SchemeText(choice.scheme);
  const double bits = 8 * static_cast<double>(plan.bytes) / static_cast<double>(plan.parameters);
  std::string text = fmt::format(
      R"(---
library_name: mlx
pipeline_tag: text-generation
tags:
- mlx
{10}---
# {0}, quantized
Made from {0} (family {1}, model_type {2}) by moescope {3} with {4}: {5:.3f} bits a weight,
{6} bytes of tensors. {7} `mlx_lm.load` opens this folder.

Fingerprint of the source: `{8}`. `moescope.json` has every tensor's digest.

{9})",
      name, OrUnknown(model.family()), OrUnknown(model.model_type()), kVersion, how, bits,
      plan.bytes, EncoderText(plan), plan.fingerprint, TableOfShares(plan),
      name.find('/') == std::string::npos ? "" : fmt::format("base_model: {}\n", name));
  if (choice.recipe) text += TableOfRecipe(*choice.recipe);
  if (!plan.notes.empty() || !plan.losses.empty()) {
    text += "\n## What else to know\n" + ListOf(plan.losses) + ListOf(plan.notes);
  }
  return text;
}

Json ManifestOf(const Model& model, const std::string& name, const OutputPlan& plan,
                const OutputChoice& choice, const std::vector<SafetensorsPlan>& files,
                const std::vector<WeightDigests>& digests) {
  Json::Members tensors;
  size_t file = 0;
  for (size_t w = 0; w < plan.weights.size(); ++w) {
    for (size_t i = 0; i < plan.weights[w].tensors; ++i) {
      const size_t number = plan.weights[w].first_tensor + i;
      while (file + 1 < files.size() && files[file + 1].first <= number) ++file;
      tensors.push_back({plan.tensors[number].name,
                         {{"file", files[file].name},
                          {"bytes", plan.tensors[number].bytes()},
                          {"crc32", fmt::format("{:08x}", digests[w][i])}}});
    }
  }
  const StoredForm scheme = choice.recipe ? std::nullopt : StoredForm(choice.scheme);
  const Json of_scheme =
      scheme
          ? Json{{"mode", scheme->mode}, {"bits", scheme->bits}, {"group_size", scheme->group_size}}
          : Json();
  return {
      {"schema_version", 1},
      {"made_by", fmt::format("moescope {}", kVersion)},
      {"encoder", plan.search ? "search" : fmt::format("mlx_lm.convert {} on a CPU", kMlxLm)},
      {"source",
       {{"name", name},
        {"fingerprint", plan.fingerprint},
        {"family", model.family()},
        {"model_type", model.model_type()}}},
      {"scheme", of_scheme},
      {"recipe", choice.recipe ? Json::Parse(RecipeJson(*choice.recipe)).value_or(Json()) : Json()},
      {"bytes", plan.bytes},
      {"parameters", plan.parameters},
      {"notes", plan.notes},
      {"losses", plan.losses},
      {"tensors", Json::Object(std::move(tensors))}};
}

}  // namespace moe

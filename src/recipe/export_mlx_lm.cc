#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json_text.h"
#include "base/text.h"
#include "recipe/exporters.h"

namespace moe {
namespace {

// {0} to {2}: the model's default; {3}: the recipe's model_type; {4}: entries; {5}: shapes.
constexpr const char* kFile = R"PY(#!/usr/bin/env python3
"""A recipe of moescope for mlx-lm: how each module of one model is quantized.

    python FILE MODEL OUT    converts the checkpoint MODEL to the new folder OUT (needs mlx-lm)

or from Python: mlx_lm.convert(MODEL, OUT, quantize=True, q_group_size=GROUP_SIZE, q_bits=BITS, q_mode=MODE,
quant_predicate=predicate). It takes the place of the model's own predicate, so routers are here, too.
"""
import json
import os
import sys

MODEL_TYPE = {3}
GROUP_SIZE, BITS, MODE = {0}, {1}, {2}  # the group divides every row that is quantized

MODULES = {{  # a module's path in MLX's model; False: it stays as it is
{4}}}
SHAPES = {{  # of their weights
{5}}}


def predicate(path, module):
    return MODULES.get(path, False)


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_out(out):
    """Ends where OUT can't become a new folder."""
    if os.path.lexists(out):
        sys.exit(f"{{out}} is there already: OUT is a new folder")
    parent = os.path.dirname(os.path.abspath(out))
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
        sys.exit(f"{{out}} can't be made: {{parent}} is no folder that can be written to")


def check_model(model):
    """Ends where MODEL, a folder or the name of one on the Hub, is of another model_type."""
    path = os.path.join(model, "config.json")
    if not os.path.lexists(model):
        owner, _, name = model.partition("/")
        if not owner or not name or "/" in name or os.path.lexists(owner):  # of the Hub they are OWNER/NAME
            sys.exit(f"{{model}} is no folder that is there")
        try:
            from huggingface_hub import hf_hub_download
            path = hf_hub_download(model, "config.json")
        except Exception as error:  # Hub names have a form of their own, and it may not be reached
            sys.exit(f"{{model}} is no folder, and can't be had from the Hub: {{first_line(error)}}")
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        found = [part.get("model_type") for part in (config, config.get("text_config") or {{}})]
    except (OSError, ValueError, AttributeError) as error:
        sys.exit(f"{{model}}: config.json can't be read: {{first_line(error)}}")
    if MODEL_TYPE and MODEL_TYPE not in found:
        sys.exit(f"{{model}}: its model_type is {{found[0]}}, but this recipe is for {{MODEL_TYPE}}")


def shape_of(module):
    *outer, columns = module.weight.shape
    return (*outer, columns * 32 // module.bits if hasattr(module, "bits") else columns)


def is_stored_otherwise(path, module):
    """Whether it is quantized already, and not as the recipe has it."""
    entry = MODULES.get(path)
    return hasattr(module, "bits") and (not entry or any(getattr(module, key, entry[key]) != entry[key] for key in entry))


def check_modules(model, loaded):
    """Ends where the loaded model is not the one that the recipe is for."""
    there = {{path: module for path, module in loaded.named_modules()
             if hasattr(module, "to_quantized") or hasattr(module, "bits")}}
    problems = {{
        "of this recipe are not there, or can't be quantized": [path for path in SHAPES if path not in there],
        "are not in this recipe": [path for path in there if path not in SHAPES],
        "have other shapes": [path for path in there if shape_of(there[path]) != SHAPES.get(path)],
        "are quantized already": [path for path in there if is_stored_otherwise(path, there[path])]}}
    for problem, paths in problems.items():
        if paths:
            shown = ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")
            sys.exit(f"{{model}} is not the model of this recipe: {{len(paths)}} modules {{problem}}: {{shown}}")


def main(arguments):
    if len(arguments) != 2 or arguments[0].startswith("-"):
        sys.exit(f"usage: python {{sys.argv[0]}} MODEL OUT (MODEL: a checkpoint of {{MODEL_TYPE}}; OUT: a new folder)")
    model, out = arguments
    check_out(out)
    check_model(model)
    try:
        from mlx_lm import convert, load
    except ImportError:
        sys.exit("mlx-lm is not installed here: pip install mlx-lm")
    try:
        check_modules(model, load(model, lazy=True)[0])
        convert(model, out, quantize=True, q_group_size=GROUP_SIZE, q_bits=BITS, q_mode=MODE, quant_predicate=predicate)
    except Exception as error:  # whatever mlx-lm, its models and tokenizers raise
        sys.exit(f"{{model}}: mlx-lm does not convert it: {{type(error).__name__}}: {{first_line(error)}}")


if __name__ == "__main__":
    main(sys.argv[1:])
)PY";

/// As JSON and Python write it alike.
std::string Quoted(const std::string& text) { return std::string(Trimmed(JsonText(Json(text)))); }

std::string EntryOf(const StoredForm& scheme) {
  if (!scheme) return "False";
  return fmt::format(R"({{"group_size": {}, "bits": {}, "mode": {}}})", scheme->group_size,
                     scheme->bits, Quoted(scheme->mode));
}

}  // namespace

std::string MlxLmText(const Recipe& recipe) {
  std::string entries, shapes;
  for (const RecipeUnit& unit : recipe.units) {
    for (const RecipeModule& module : unit.modules) {
      const std::string path = Quoted(module.mlx);
      entries += fmt::format("    {}: {},\n", path, EntryOf(unit.chosen.scheme));
      shapes += fmt::format("    {}: ({}),\n", path, fmt::join(module.shape, ", "));
    }
  }
  const QuantScheme whole = MlxDefault(recipe);
  return fmt::format(kFile, whole.group_size, whole.bits, Quoted(whole.mode),
                     Quoted(recipe.model.model_type), entries, shapes);
}

}  // namespace moe

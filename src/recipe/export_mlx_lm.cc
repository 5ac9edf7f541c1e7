#include <fmt/format.h>

#include "base/json_text.h"
#include "base/text.h"
#include "recipe/exporters.h"

namespace moe {
namespace {

// {0} to {2}: the model's default; {3}: the recipe's model_type; {4}: entries; {5}: of all others.
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
DEFAULT = {5}  # of modules that are not listed


def predicate(path, module):
    return MODULES.get(path, DEFAULT)


def read_json(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def check_model(model):
    """Ends where MODEL, a folder or the name of one on the Hub, is of another model_type."""
    try:
        folder = model
        if not os.path.exists(model):
            from huggingface_hub import hf_hub_download
            folder = os.path.dirname(hf_hub_download(model, "config.json"))
        config = read_json(folder, "config.json")
    except (OSError, ValueError) as error:
        sys.exit(f"{{model}}: config.json can't be read: {{str(error).splitlines()[0]}}")
    found = [part.get("model_type") for part in (config, config.get("text_config") or {{}})]
    if MODEL_TYPE and MODEL_TYPE not in found:
        sys.exit(f"{{model}}: its model_type is {{found[0]}}, but this recipe is for {{MODEL_TYPE}}")


def check_result(out):
    """Ends where the model has not all modules of the recipe, or can't quantize them."""
    tensors = read_json(out, "model.safetensors.index.json")["weight_map"]
    parts = {{path: "scales" if entry else "weight" for path, entry in MODULES.items()}}
    missing = [path for path, part in parts.items() if f"{{path}}.{{part}}" not in tensors]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        sys.exit(f"{{out}}: {{len(missing)}} modules of this recipe are not there, or not quantized: {{shown}}")


def main(arguments):
    if len(arguments) != 2 or arguments[0].startswith("-"):
        sys.exit(f"usage: python {{sys.argv[0]}} MODEL OUT (MODEL: a checkpoint of {{MODEL_TYPE}}; OUT: a new folder)")
    try:
        from mlx_lm import convert
    except ImportError:
        sys.exit("mlx-lm is not installed here: pip install mlx-lm")
    model, out = arguments
    check_model(model)
    convert(model, out, quantize=True, q_group_size=GROUP_SIZE, q_bits=BITS, q_mode=MODE, quant_predicate=predicate)
    check_result(out)


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
  std::string entries;
  for (const RecipeUnit& unit : recipe.units) {
    for (const RecipeModule& module : unit.modules) {
      entries += fmt::format("    {}: {},\n", Quoted(module.mlx), EntryOf(unit.chosen.scheme));
    }
  }
  const QuantScheme whole = MlxDefault(recipe);
  return fmt::format(kFile, whole.group_size, whole.bits, Quoted(whole.mode),
                     Quoted(recipe.model.model_type), entries, EntryOf(recipe.default_scheme));
}

}  // namespace moe

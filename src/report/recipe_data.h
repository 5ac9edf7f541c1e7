#pragma once

#include <filesystem>
#include <string>

#include "base/json_text.h"
#include "recipe/recipe.h"

namespace moe {

/// What a form is called where there is little room: "q4", "float".
std::string FormLabel(const StoredForm& form);

/// What the page tells of the files recipes/*.json of a run, by name; an empty list if there are
/// none:
///
/// [{"name": "recipe", "error": "..."},                 one that can't be read
///  {"name": "small", "budget": {"kind": "bits", "value": "4.25"},    Recipe::Budget
///   "bits": 4.21,                                      MeanBits()
///   "bytes": 9000, "source_bytes": 30000,              of the whole checkpoint, after and before
///   "objective": 0.4, "reference": "q4", "reference_bytes": 9500,
///                                   relative to that scheme for all; null: not known, or it has
///                                   none
///   "groups": [{"role", "proj", "weights", "bytes", "parts": [{"scheme": "q3", "units": 5}]}],
///   "cells": [{"layer": 3, "proj": "down_proj", "scheme": "q3", "bits": 3.5}],
///                                                      units of routed experts
///   "pins": [{"what": "lm_head", "scheme": "q8"}], "floors": [{"what": "attention", "scheme":
///   "q6"}], "held": [{"by": "keep", "role": "router", "units": 8}],   what had no choice, or less
///   of it "furthest": [{"module", "more": 1, "scheme": "q6", "bits": 6.5, "by": "budget"}],
///   "not_known": ["..."],
///   "front": [[8000, 5.2, 3.1], ...]}]       bytes, objective as above, bits of the best choices
///   of
///                                            all sizes; empty without a reference
Json RecipesJson(const std::filesystem::path& run_dir);

}  // namespace moe

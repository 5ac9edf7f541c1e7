#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/json_text.h"
#include "recipe/overview.h"
#include "recipe/recipe.h"

namespace moe {

/// What a form is called where there is little room: "q4", "float".
std::string FormLabel(const StoredForm& form);

/// The objective relative to one scheme for all, which alone means something; nullopt: not known.
std::optional<double> RelativeObjective(const Recipe& recipe);
std::string ReferenceName(const Recipe& recipe);  ///< "q4 for all"
/// "q4 for all", "mlx-lm's mixed_3_6".
std::string ComparisonName(const PlanComparison& comparison, const Recipe& recipe);

/// The best recipes of all sizes under the rules of one, that one, and what it is compared with, as
/// the chart "front" takes them (web/charts/front.js); a point has its bits too: [bytes, objective,
/// bits]. Objectives are relative to the reference; null without one.
Json FrontChart(const Recipe& recipe, const std::string& name);

/// What the page tells of the files recipes/*.json of a run, by name; an empty list if there are
/// none:
///
/// [{"name": "torn", "error": "..."},                  it can't be read
///  {"name": "small",
///   "budget": {"kind": "bits", "value": "4.25"},       Recipe::Budget
///   "bits": 4.21,                                      MeanBits()
///   "bytes": 9000, "source_bytes": 30000,              of the whole checkpoint, after and before
///   "reference": "q4", "objective": 0.4,               relative to that for all; null: not known
///   "groups": [{"role", "proj", "weights", "bytes", "parts": [{"scheme": "q3", "units": 5}]}],
///   "cells": [{"layer": 3, "proj": "down_proj", "scheme": "q3", "bits": 3.5}],    routed experts
///   "front": {...},                                    FrontChart(); null as the objective
///   "beside": [{"name": "q4 for all", "bytes", "value": 1, "best": 0.4}],   ComparisonsOf(), and
///                                the best recipe of no more bytes, as the objective; null as that
///   "choices": {"schemes": [{"name": "q3", "bits": 3.5}], "changes": [[0, 1, 2, 0]]},  what cells
///                get in each point of the front: [cell, scheme, ...], where it is another than in
///                the point before; null as the front
///   "pins": [{"what": "lm_head", "scheme": "q8"}],
///   "floors": [{"what": "attention", "scheme": "q6"}],
///   "held": [{"by": "keep", "role": "router", "units": 8}],     had no choice, or less of it
///   "furthest": [{"module", "more": 1, "scheme": "q6", "bits": 6.5, "by": "budget"}],
///   "not_known": ["..."]}]
Json RecipesJson(const std::filesystem::path& run_dir);

}  // namespace moe

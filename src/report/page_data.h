#pragma once

#include <string>

#include "base/json_text.h"
#include "insight/run.h"
#include "moescope/error.h"

namespace moe {

// What the page of a run gets to know, as text that stands in it:
//
//   <script type="application/json" id="run">{...}</script>
//   <script type="text/plain" id="block0">BASE64</script> ...
//   <script type="text/plain" id="choice">BASE64</script>
//
// The JSON (ASCII, every `<` escaped) tells of the run; a block is one column over all matrices,
// which the browser decodes when it is looked at. All text from the checkpoint is data. "choice" is
// what ChoiceJson() says (choice_data.h), zlib-deflated.
//
// Matrices are sorted by projection, layer, slot; column i of the page is matrix i. A `layer` here
// is a layer of one stack, a `slot` is a row of the heatmaps: an expert's number, or one of the
// shared experts, which come last.
//
// {
//   "version": "0.1.0", "generated_at": "2026-11-25T18:00:00Z",
//   "run": {"run_dir", "model_id", "run_name", "created_at", "collected_at", "duration_seconds",
//           "incomplete"},                     each null where no log tells it
//   "model": {"path", "family", "sizes", "experts", "roles", "coverage"},
//                                              as the logs have them, or null
//   "config": {...},                           analysis_config.json as it was used, or null
//   "warnings": ["..."],                       all of logs/warnings
//   "unmatched": {"count": 2, "tensors": [{"tensor_name", "reason"}]},     the first 200
//   "rest": {"schemes": ["mxfp4_g32"],         RestOfModel; not there where that is nothing
//            "roles": [{"role", "layer", "matrices", "weights", "bytes",
//                       "errors": [{"median", "worst", "worst_module", "failed"}]}],  by scheme
//            "attention": [...]},              the same of each layer
//   "failures": [{"scheme": 0, "error": "ValueError: ...", "count": 12}],  schemes that failed
//   "orphans": 0,                              rows of quant_sim whose matrix matrix_stats lacks
//   "layers": [{"label": "3", "layer": 3, "stack": null}],                 "layer" -1: unknown
//   "slots": [{"label": "5", "expert": 5, "shared": false}],
//   "projs": ["gate_proj"], "shapes": [[768, 2048]], "files": ["/a/b.safetensors"],
//   "storages": [{"name": "bfloat16", "bits": 16}],     stored bits per weight, or null
//   "schemes": [{"name", "mode", "bits", "group_size", "compute_dtype", "backend", "profile",
//                "requantized"}],
//   "deltas": [{"name", "a": 1, "b": 0}],      delta_pairs: scheme a minus scheme b
//   "findings": [{"kind", "text", "proj", "layer", "slot", "metric", "scheme"}],
//                                              indices (findings.h); null: it is not about one
//   "far": 6,                                  kFarZ
//   "findings_left_out": {"outlier_expert": 12},       of a kind so many more
//   "findings_need": {"experts": 6, "layers": 6},      fewer are not compared
//   "recipes": [...],                          RecipesJson() (recipe_data.h); not there without one
//   "matrices": 768,
//   "columns": {"layer": 0, "slot": 1, "proj": 2, "shape": 3, "storage": 4, "file": 5, "name": 6,
//               "few_huge": 7},                1: FewHugeShares() is kFewHugeShare or more
//   "metrics": [{"name": "rms", "of": "weights", "unit", "doc", "label", "plain", "worse": "far",
//                "block": 7},                   what Column of rows/schema.h says
//               {"name": "w_rel_fro", "of": "quant", ..., "blocks": [8, null, 9]},
//               {"name": "sqnr_db", "of": "quant", ...,
//                "derived": {"form": "decibels", "of": ["w_rel_fro"]}}],
//   "blocks": [{"kind": "int", "base": 0, "planes": 1}, ...]
// }
//
// "columns" and "metrics" name blocks by their number. A quant metric has one for each scheme, null
// where the scheme gave no value. Several may share one block. A derived metric has none: its form,
// quotient, product or decibels (Derivation of rows/schema.h), gives the table's values to 5e-5 of
// them from those of the metrics that it is of.
//
// A block is zlib-deflated. Of kind "text": a JSON list of strings. Else `planes` bytes planes, low
// byte first: byte p of matrix i is at p * matrices + i, and these make the unsigned u. u = 0 is
// null, else k = u - 1 + base. Of kind "int" k is the value. Of kind "number" k is a value of five
// significant digits: 0 for 0, else |k| - 1 = (e + 400) * 90000 + (m - 10000) for m * 10^e with
// 10000 <= m <= 99999, and k has the value's sign.

/// The text that goes into the page where `<!-- DATA -->` stands, for a run that has data.
/// kNotFound, kIo, kMalformed name the table that can't be read.
Result<std::string> PageData(Run& run);

// Its parts, of which the pages of verify and compare are made, too (pair_page.h).

/// "layers" to "schemes".
void AddLists(const RunMatrices& matrices, Json& page);
/// The elements of `page`, with "matrices" to "blocks" added, and of the blocks.
std::string PageText(Json page, const RunMatrices& matrices);

}  // namespace moe

#include "run/config_template.h"

#include "base/json_text.h"
#include "base/utf8.h"
#include "moescope/experts.h"
#include "moescope/scan_options.h"

namespace moe {
namespace {

// Data of mlx-quant-toolkit (MIT) with our changes; contract sections 0.3 and 2 say which.
// `extensions` are filled in, `parsing` and the rules before the example are
// DefaultExtractOptions().
constexpr std::string_view kTemplate = R"json({
  "model_path": "",
  "scan": {
    "extensions": [],
    "experts_only": true,
    "include_shared_expert": true,
    "inventory_all_tensors": true,
    "dense_weights": true,
    "recursive": "auto",
    "use_safetensors_index_json": true,
    "strict_index": true,
    "min_expert_coverage": 1.0,
    "max_files": null
  },
  "parsing": {},
  "metadata": {
    "enabled": true,
    "mode": "validate",
    "config_path": null
  },
  "extract_rules": [
    {
      "name": "EXAMPLE_fused_gate_down_split_rows",
      "enabled": false,
      "match": ".*experts.*\\.(w13|gate_down_proj)\\.weight$",
      "ndim": 3,
      "layout": {
        "layer_axis": null,
        "expert_axis": 0,
        "rows_axis": 1,
        "cols_axis": 2
      },
      "packed_split": {
        "axis": "rows",
        "splits": [
          512,
          512
        ],
        "projs": [
          "gate_proj",
          "down_proj"
        ]
      }
    }
  ],
  "evidence": {
    "enabled": true,
    "imatrix": [],
    "usage": []
  },
  "mlx": {
    "enabled": true,
    "device": "cpu",
    "backend": "native",
    "profile": "mlx-cpu"
  },
  "stats": {
    "eps": 1e-12,
    "sample_per_matrix": 8192,
    "sample_seed": 1337,
    "percentile_method": "exact",
    "quant_compute_dtype": "storage",
    "percentiles_abs": [
      50.0,
      99.0,
      99.9
    ],
    "group_outlier_percentile": 95.0,
    "group_sizes_lastdim": [
      32,
      64
    ]
  },
  "quant_schemes": [
    {
      "name": "affine_q4_g32",
      "mode": "affine",
      "bits": 4,
      "group_size": 32,
      "enabled": true
    },
    {
      "name": "mxfp4_g32",
      "mode": "mxfp4",
      "bits": 4,
      "group_size": 32,
      "enabled": true
    },
    {
      "name": "affine_q8_g32",
      "mode": "affine",
      "bits": 8,
      "group_size": 32,
      "enabled": true
    }
  ],
  "delta_pairs": [
    {
      "name": "mxfp4_minus_q4",
      "a": "mxfp4_g32",
      "b": "affine_q4_g32"
    },
    {
      "name": "q8_minus_mxfp4",
      "a": "affine_q8_g32",
      "b": "mxfp4_g32"
    }
  ],
  "output": {
    "format": "parquet",
    "compression": "zstd"
  },
  "debug": {
    "dump_unmatched_tensors": true,
    "print_progress_every_files": 1
  }
}
)json";

Json ParsingJson(const ExtractOptions& options, std::string_view preset) {
  Json aliases = Json::Object();
  for (const auto& [proj, names] : options.proj_aliases) aliases[proj] = names;
  return {{"layer_regex", options.layer_regex},
          {"expert_regex", options.expert_regex},
          {"proj_aliases", aliases},
          {"shared_expert_keywords", options.shared_expert_keywords},
          {"strict_packed_split", options.strict_packed_split},
          {"proj_group_strict", options.proj_group_strict},
          {"presets", preset}};
}

Json RuleJson(const ExtractRule& rule) {
  Json json = {{"name", rule.name},
               {"match", rule.match},
               {"ndim", OrNull(rule.ndim)},
               {"layout",
                {{"layer_axis", OrNull(rule.layout.layer_axis)},
                 {"expert_axis", OrNull(rule.layout.expert_axis)},
                 {"rows_axis", OrNull(rule.layout.rows_axis)},
                 {"cols_axis", OrNull(rule.layout.cols_axis)}}}};
  if (rule.expert_group) json["expert_group"] = *rule.expert_group;
  if (rule.proj_group) json["proj_group"] = *rule.proj_group;
  return json;
}

}  // namespace

std::string ConfigTemplateText(std::string_view model_path, std::string_view preset) {
  const ExtractOptions options = DefaultExtractOptions();
  Json config = *Json::Parse(kTemplate);
  config["model_path"] = AsUtf8(model_path);
  config["scan"]["extensions"] = ScannedSuffixes();
  config["parsing"] = ParsingJson(options, preset);
  Json rules = Json::Array();
  for (const ExtractRule& rule : options.rules) rules.push_back(RuleJson(rule));
  for (const Json& example : config["extract_rules"]) rules.push_back(example);
  config["extract_rules"] = std::move(rules);
  return JsonText(config);
}

}  // namespace moe

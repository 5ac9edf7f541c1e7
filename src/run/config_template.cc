#include "run/config_template.h"

#include "base/utf8.h"
#include "run/json_text.h"

namespace moe {
namespace {

// Data of mlx-quant-toolkit (MIT) with our changes; contract sections 0.3 and 2 say which.
constexpr std::string_view kBeforeModelPath = "{\n  \"model_path\": ";
constexpr std::string_view kAfterModelPath = R"json(,
  "scan": {
    "extensions": [
      ".safetensors",
      ".npz",
      ".gguf"
    ],
    "experts_only": true,
    "include_shared_expert": true,
    "inventory_all_tensors": true,
    "recursive": "auto",
    "use_safetensors_index_json": true,
    "strict_index": true,
    "min_expert_coverage": 1.0,
    "max_files": null
  },
  "parsing": {
    "layer_regex": "(?:^|\\.)layers\\.(\\d+)(?:\\.|$)",
    "expert_regex": "(?:^|\\.)experts\\.(\\d+)(?:\\.|$)",
    "proj_aliases": {
      "down_proj": [
        "down_proj",
        "w2",
        ".down.",
        "ffn_down"
      ],
      "gate_proj": [
        "gate_proj",
        "w1",
        ".gate.",
        "ffn_gate"
      ],
      "up_proj": [
        "up_proj",
        "w3",
        ".up.",
        "ffn_up"
      ]
    },
    "shared_expert_keywords": [
      "shared",
      "expert"
    ],
    "strict_packed_split": true,
    "proj_group_strict": false,
    "presets": "auto"
  },
  "metadata": {
    "enabled": true,
    "mode": "validate",
    "config_path": null
  },
  "extract_rules": [
    {
      "name": "generic_3d_expert_bank_separate",
      "match": ".*experts.*\\.(down_proj|gate_proj|up_proj)\\.weight$",
      "ndim": 3,
      "layout": {
        "layer_axis": null,
        "expert_axis": 0,
        "rows_axis": 1,
        "cols_axis": 2
      },
      "proj_group": 1
    },
    {
      "name": "generic_2d_per_expert_separate",
      "match": ".*experts\\.(\\d+)\\.(down_proj|gate_proj|up_proj)\\.weight$",
      "ndim": 2,
      "layout": {
        "layer_axis": null,
        "expert_axis": null,
        "rows_axis": 0,
        "cols_axis": 1
      },
      "expert_group": 1,
      "proj_group": 2
    },
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

}  // namespace

std::string ConfigTemplateText(std::string_view model_path, std::string_view preset) {
  constexpr std::string_view kAuto = "\"presets\": \"auto\"";
  std::string text(kBeforeModelPath);
  text += Json(AsUtf8(model_path)).dump();
  std::string rest(kAfterModelPath);
  rest.replace(rest.find(kAuto), kAuto.size(), "\"presets\": " + Json(std::string(preset)).dump());
  return text + rest;
}

}  // namespace moe

#include "experts/presets.h"

#include <fmt/format.h>

#include <algorithm>

namespace moe {
namespace {

const RuleLayout kMatrix = {{}, {}, 0, 1};     // [rows, cols]
const RuleLayout kStack = {{}, 0, 1, 2};       // [experts, rows, cols]
const RuleLayout kStackInOut = {{}, 0, 2, 1};  // [experts, cols, rows]: input features first

enum class Halves { kInOrder, kInterleaved };
enum class Kind { kRouted, kShared };

ExtractRule Rule(const char* name, const char* match, const RuleLayout& layout) {
  ExtractRule rule;
  rule.name = name;
  rule.match = match;
  rule.ndim = layout.expert_axis ? 3 : 2;
  rule.layout = layout;
  return rule;
}

// Gate and up projection in one tensor, in halves of equal size or in alternating rows.
PresetRule GateUp(const char* name, const char* match, const RuleLayout& layout,
                  Halves halves = Halves::kInOrder, Kind kind = Kind::kRouted) {
  ExtractRule rule = Rule(name, match, layout);
  PackedSplit split;
  split.equal = true;
  split.projs = {"gate_proj", "up_proj"};
  split.interleave = halves == Halves::kInterleaved;
  rule.packed_split = std::move(split);
  return {std::move(rule), "", kind == Kind::kShared, ""};
}

PresetRule Whole(const char* name, const char* match, const RuleLayout& layout, const char* proj,
                 Kind kind = Kind::kRouted) {
  return {Rule(name, match, layout), proj, kind == Kind::kShared, ""};
}

// A tensor that the fallback would read wrongly.
PresetRule Refuse(const char* name, const char* match, const RuleLayout& layout, const char* why) {
  return {Rule(name, match, layout), "", false, why};
}

// The rows, one for each family (formats.md section 10).
std::vector<Preset> MakePresets() {
  return {
      {"granitemoe",
       {"granitemoe", "granitemoeshared", "granitemoehybrid"},
       true,
       {GateUp("granitemoe_gate_up", R"(.*\.block_sparse_moe\.input_linear\.weight$)", kStack),
        Whole("granitemoe_down", R"(.*\.block_sparse_moe\.output_linear\.weight$)", kStack,
              "down_proj"),
        GateUp("granitemoe_shared_gate_up", R"(.*\.shared_mlp\.input_linear\.weight$)", kMatrix,
               Halves::kInOrder, Kind::kShared),
        Whole("granitemoe_shared_down", R"(.*\.shared_mlp\.output_linear\.weight$)", kMatrix,
              "down_proj", Kind::kShared)}},
      {"step3",
       {"step3_text", "step3p5", "step3p7"},
       true,
       {Whole("step3_shared_gate", R"(.*\.share_expert\.gate_proj\.weight$)", kMatrix, "gate_proj",
              Kind::kShared),
        Whole("step3_shared_up", R"(.*\.share_expert\.up_proj\.weight$)", kMatrix, "up_proj",
              Kind::kShared),
        Whole("step3_shared_down", R"(.*\.share_expert\.down_proj\.weight$)", kMatrix, "down_proj",
              Kind::kShared)}},
      // What transformers 5 writes with save_original_format=False, and what Gemma 4 and
      // Qwen3.5-MoE publish. The same names are used for other layouts: never by names alone.
      {"transformers5_fused",
       {"qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5_moe", "qwen3_5_moe_text", "mixtral",
        "deepseek_v2", "deepseek_v3", "glm4_moe", "olmoe", "ernie4_5_moe", "nemotron_h", "gemma4",
        "gemma4_text"},
       false,
       {GateUp("transformers5_gate_up", R"(.*\.experts\.gate_up_proj$)", kStack),
        Whole("transformers5_up", R"(.*\.experts\.up_proj$)", kStack, "up_proj"),
        Whole("transformers5_down", R"(.*\.experts\.down_proj$)", kStack, "down_proj")}},
      {"gpt_oss",
       {"gpt_oss"},
       false,
       {GateUp("gpt_oss_gate_up", R"(.*\.experts\.gate_up_proj$)", kStackInOut,
               Halves::kInterleaved),
        Whole("gpt_oss_down", R"(.*\.experts\.down_proj$)", kStackInOut, "down_proj")}},
      {"llama4",
       {"llama4", "llama4_text"},
       false,
       {GateUp("llama4_gate_up", R"(.*\.experts\.gate_up_proj$)", kStackInOut),
        Whole("llama4_down", R"(.*\.experts\.down_proj$)", kStackInOut, "down_proj")}},
      {"qwen3_vl_moe",
       {"qwen3_vl_moe", "qwen3_vl_moe_text"},
       false,
       {Refuse("qwen3_vl_moe_stack", R"(.*\.experts\.(?:gate_up|down)_proj$)", kStack,
               "axis order unknown (transformers 4 and 5 write it in opposite orders): write a rule"
               " with its layout")}},
      {"dbrx",
       {"dbrx"},
       true,
       {Refuse("dbrx_flat", R"(.*\.ffn\.experts\.mlp\.(?:w1|v1|w2)$)", kMatrix,
               "all experts lie along the rows of one 2-D tensor, which is not read yet")}},
  };
}

}  // namespace

std::span<const Preset> AllPresets() {
  static const std::vector<Preset> presets = MakePresets();
  return presets;
}

Result<std::vector<const Preset*>> ChoosePresets(std::string_view choice,
                                                 std::string_view model_type) {
  std::vector<const Preset*> chosen;
  if (choice == "off") return chosen;
  std::string known = "auto, off";
  for (const Preset& preset : AllPresets()) {
    known += ", " + preset.name;
    const auto& types = preset.model_types;
    const bool fits_model = model_type.empty()
                                ? preset.by_names
                                : std::find(types.begin(), types.end(), model_type) != types.end();
    if (choice == "auto" ? fits_model : choice == preset.name) chosen.push_back(&preset);
  }
  if (chosen.empty() && choice != "auto") {
    return Fail(ErrorCode::kBadArgument, "/parsing/presets",
                fmt::format("there is no preset '{}'", choice), "known: " + known);
  }
  return chosen;
}

}  // namespace moe

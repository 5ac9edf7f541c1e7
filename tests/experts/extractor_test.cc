#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moescope/experts.h"

namespace moe {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TensorInfo Tensor(std::string name, std::vector<uint64_t> shape, DType dtype = DType::kBF16) {
  TensorInfo tensor;
  tensor.name = std::move(name);
  tensor.dtype = dtype;
  tensor.dtype_text = DTypeName(dtype);
  tensor.shape = std::move(shape);
  return tensor;
}

Result<Extraction> TryExtract(const ExtractOptions& options, const TensorInfo& tensor) {
  auto extractor = Extractor::Create(options);
  if (!extractor) return tl::make_unexpected(extractor.error());
  return extractor->Extract(tensor);
}

Extraction Extract(const ExtractOptions& options, const TensorInfo& tensor) {
  auto result = TryExtract(options, tensor);
  EXPECT_TRUE(result.has_value()) << result.error().Text();
  return result.value_or(Extraction{});
}

ExtractOptions WithRule(ExtractRule rule) {
  ExtractOptions options = DefaultExtractOptions();
  options.rules.insert(options.rules.begin(), std::move(rule));
  return options;
}

ExtractRule Rule(std::string name, std::string match, RuleLayout layout) {
  ExtractRule rule;
  rule.name = std::move(name);
  rule.match = std::move(match);
  rule.layout = layout;
  return rule;
}

ExtractRule Packed(std::vector<int64_t> splits, std::vector<std::string> projs) {
  ExtractRule rule = Rule("packed", R"(.*experts.*\.w13\.weight$)", {{}, 0, 1, 2});
  rule.packed_split.emplace();
  rule.packed_split->splits = std::move(splits);
  rule.packed_split->projs = std::move(projs);
  return rule;
}

struct RoleCase {
  const char* name;
  std::vector<uint64_t> shape;
  Role role;
};

TEST(Roles, AreToldByNames) {
  const RoleCase cases[] = {
      {"model.layers.0.mlp.gate.weight", {4, 8}, Role::kRouter},
      {"model.layers.0.block_sparse_moe.router.layer.weight", {4, 8}, Role::kRouter},
      {"transformer.h.0.moe.gate.weight", {4, 8}, Role::kRouter},
      {"model.layers.1.mlp.gate.e_score_correction_bias", {4}, Role::kRouter},
      {"model.layers.1.mlp.moe_statics.e_score_correction_bias", {1, 4}, Role::kRouter},
      {"model.layers.1.mlp.shared_expert_gate.weight", {1, 8}, Role::kRouter},
      {"model.layers.1.feed_forward.expert_bias", {4}, Role::kRouter},
      {"model.layers.0.router.per_expert_scale", {4}, Role::kRouter},
      {"model.layers.0.mlp.experts.0.down_proj.weight_scale_inv", {1, 1}, Role::kCompanion},
      {"model.layers.0.mlp.experts.down_proj_bias", {4, 8}, Role::kCompanion},
      {"model.layers.0.mlp.experts.down_proj.bias", {4, 8}, Role::kCompanion},
      {"model.layers.0.mlp.switch_mlp.up_proj.biases", {4, 8, 1}, Role::kCompanion},
      {"model.layers.0.mlp.experts.0.w1.qzeros", {4, 8}, Role::kCompanion},
      {"model.layers.0.mlp.experts.0.w1.weight.quant_state.bitsandbytes__nf4",
       {8},
       Role::kCompanion},
      {"model.layers.0.self_attn.q_proj.weight", {8, 8}, Role::kAttention},
      {"model.layers.0.self_attn.k_norm.weight", {8}, Role::kNorm},
      {"model.layers.0.input_layernorm.weight", {8}, Role::kNorm},
      {"model.norm.weight", {8}, Role::kNorm},
      {"model.embed_tokens.weight", {8, 8}, Role::kEmbedding},
      {"lm_head.weight", {8, 8}, Role::kEmbedding},
      {"model.layers.0.mlp.down_proj.weight", {8, 8}, Role::kOther},
      {"model.layers.0.mlp.experts.0.down_proj.weight", {8, 8}, Role::kRoutedExpert},
      {"model.layers.0.mlp.shared_experts.down_proj.weight", {8, 8}, Role::kSharedExpert},
      {"layers.0.switch_mlp.gate.weight", {4, 8, 8}, Role::kRoutedExpert},
      {"layers.0.mlp.experts.0.gate.weight", {8, 8}, Role::kRoutedExpert},
  };
  for (const RoleCase& row : cases) {
    const Extraction got = Extract(DefaultExtractOptions(), Tensor(row.name, row.shape));
    EXPECT_EQ(got.role, row.role) << row.name << " is " << RoleName(got.role);
    const bool expert = row.role == Role::kRoutedExpert || row.role == Role::kSharedExpert;
    EXPECT_EQ(got.banks.empty(), !expert) << row.name;
    EXPECT_FALSE(got.unmatched_reason.has_value()) << row.name;
  }
}

struct ReasonCase {
  const char* name;
  std::vector<uint64_t> shape;
  DType dtype;
  const char* reason;
};

TEST(Unmatched, GivesAReasonToActOn) {
  const ReasonCase cases[] = {
      {"m.experts.gate_up_proj.weight", {4, 8, 8}, DType::kBF16, "no_rule_match_or_proj_infer"},
      {"m.experts.0.down_proj.weight", {8}, DType::kBF16, "no_rule_match_or_proj_infer"},
      {"m.experts.0.down_proj.weight", {0, 8}, DType::kBF16, "empty"},
      {"m.switch_mlp.down_proj.weight",
       {4, 8, 8},
       DType::kU32,
       "storage uint32 (quantized weight; scales in m.switch_mlp.down_proj.scales) is of no "
       "scheme that is read"},
      {"m.experts.0.w1.qweight",
       {4, 8},
       DType::kI32,
       "storage int32 (quantized weight; scales in m.experts.0.w1.scales) is of no scheme that is "
       "read"},
      {"m.experts.down_proj_blocks",
       {4, 8, 1, 16},
       DType::kU8,
       "storage uint8 (quantized weight; scales in m.experts.down_proj_scales) is of no scheme "
       "that is read"},
      {"m.experts.0.w1.weight",
       {4, 8},
       DType::kF8E4M3,
       "storage float8_e4m3fn (quantized weight; scales in m.experts.0.w1.weight_scale) is of no "
       "scheme "
       "that is read"},
  };
  for (const ReasonCase& row : cases) {
    const Extraction got = Extract(DefaultExtractOptions(), Tensor(row.name, row.shape, row.dtype));
    EXPECT_EQ(got.unmatched_reason.value_or("none"), row.reason) << row.name;
    EXPECT_THAT(got.banks, IsEmpty());
  }
}

// A renamed companion, w13 of a family that is not Inkling, a matrix whose expert nobody names.
TEST(Unmatched, HoldsWhatIsNoWeightOfAKnownMeaning) {
  struct Case {
    const char* name;
    std::vector<uint64_t> shape;
    const char* reason;
  };
  const Case cases[] = {
      {"m.layers.0.mlp.experts.0.down_proj.scalesx",
       {2, 128},
       "'.scalesx' is the end of no weight"},
      {"m.layers.0.mlp.experts.up_proj.weight_scale_invx", {4, 2, 2}, "'.weight_scale_invx'"},
      {"m.layers.0.mlp.experts.0.down_proj.foo.weight",
       {2, 128},
       "'.foo.weight' is the end of no weight"},
      {"m.layers.0.mlp.experts.0.down_proj.foo_weight", {2, 128}, "'.foo_weight' is the end"},
      {"m.layers.0.mlp.experts.w13_weight", {4, 16, 8}, "halves or in alternating rows"},
      {"m.layers.0.mlp.experts.3.w13.weight", {16, 8}, "no_rule_match_or_proj_infer"},
      {"m.layers.0.mlp.experts.0.down_proj.lora_A.weight", {2, 8}, "part of a LoRA adapter"},
      {"m.layers.0.moe.3.w1.weight", {8, 8}, "parsing.expert_regex finds no expert's number"},
      {"m.layers.0.mlp.switch_mlp.w1.weight", {8, 8}, "parsing.expert_regex finds no"},
  };
  for (const Case& row : cases) {
    ExtractOptions options = DefaultExtractOptions();
    options.model.model_type = "qwen3_moe";
    const Extraction got = Extract(options, Tensor(row.name, row.shape));
    EXPECT_THAT(got.unmatched_reason.value_or("none"), HasSubstr(row.reason)) << row.name;
    EXPECT_THAT(got.banks, IsEmpty()) << row.name;
  }
}

// vLLM's stacks: w2 is clear where w13 is not.
TEST(Rules, ReadW2StacksOfEveryFamily) {
  ExtractOptions options = DefaultExtractOptions();
  options.model.model_type = "mixtral";
  const Extraction got =
      Extract(options, Tensor("model.layers.1.block_sparse_moe.experts.w2_weight", {4, 8, 6}));
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_EQ(got.banks[0].proj, "down_proj");
  EXPECT_EQ(got.banks[0].experts, 4U);
}

TEST(Claims, AreWhatATensorOfThatNameWouldHold) {
  const Extractor extractor = *Extractor::Create(DefaultExtractOptions());
  const auto shown = [&](const char* name) {
    std::string text;
    const auto claims = extractor.ClaimsOf(name);
    for (const ExpertClaim& claim : claims.value()) {
      text += std::to_string(claim.layer) + " " + claim.proj + " " +
              (claim.is_shared_expert ? "shared " : "") +
              (claim.expert ? std::to_string(*claim.expert) : "all") + "; ";
    }
    return text;
  };
  const std::pair<const char*, const char*> cases[] = {
      {"model.layers.2.mlp.experts.5.up_proj.weight", "2 up_proj 5; "},
      {"model.layers.2.block_sparse_moe.experts.5.w2.qweight", "2 down_proj 5; "},
      {"model.layers.2.mlp.experts.gate_up_proj_blocks", "2 gate_proj all; 2 up_proj all; "},
      {"model.layers.2.mlp.experts.w13_weight", "2 gate_proj all; 2 up_proj all; "},
      {"blk.4.ffn_down_exps.weight", "4 down_proj all; "},
      {"model.layers.2.mlp.shared_expert.up_proj.weight", "2 up_proj shared all; "},
      {"model.layers.2.mlp.experts.5.up_proj.weight_scale", ""},
      {"model.layers.2.mlp.experts.5.up_proj.scalesx", ""},
      {"model.layers.2.mlp.up_proj.weight", ""},
      {"model.layers.2.mlp.gate.weight", ""},
  };
  for (const auto& [name, claims] : cases) EXPECT_EQ(shown(name), claims) << name;
}

// The first layers of Kimi-Linear: formerly measured as expert 0.
TEST(Filter, TakesADenseMlpInAModuleOfExpertsForNoExpert) {
  for (const char* proj : {"gate_proj", "up_proj", "down_proj", "w1"}) {
    const Extraction got =
        Extract(DefaultExtractOptions(),
                Tensor(std::string("model.layers.0.block_sparse_moe.") + proj + ".weight", {8, 8}));
    EXPECT_EQ(got.role, Role::kOther) << proj;
    EXPECT_THAT(got.banks, IsEmpty()) << proj;
    EXPECT_EQ(got.unmatched_reason.value_or("none"), "none") << proj;
  }
}

TEST(Filter, LeavesSharedExpertsOutOnRequest) {
  ExtractOptions options = DefaultExtractOptions();
  options.include_shared_expert = false;
  const Extraction got = Extract(options, Tensor("layers.1.mlp.shared_expert.w1.weight", {8, 8}));
  EXPECT_EQ(got.role, Role::kSharedExpert);
  EXPECT_THAT(got.banks, IsEmpty());
  EXPECT_FALSE(got.considered || got.unmatched_reason);
}

TEST(Filter, TakesNothingForSharedWithoutKeywords) {
  ExtractOptions options = DefaultExtractOptions();
  options.shared_expert_keywords = {" ", ""};
  options.presets = "off";
  const Extraction got = Extract(options, Tensor("layers.1.mlp.shared_experts.w1.weight", {8, 8}));
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_FALSE(got.banks[0].is_shared_expert);
}

TEST(Filter, TakesDenseMatricesOnlyWhereExpertsOnlyIsOff) {
  ExtractOptions options = DefaultExtractOptions();
  const TensorInfo dense = Tensor("layers.3.mlp.up_proj.weight", {8, 4});
  EXPECT_FALSE(Extract(options, dense).considered);
  options.experts_only = false;
  const Extraction got = Extract(options, dense);
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_EQ(got.role, Role::kOther);
  EXPECT_EQ(got.banks[0].LayerAt(0), 3);
  EXPECT_EQ(got.banks[0].ExpertIdAt(0), 0);
  EXPECT_THAT(Extract(options, Tensor("layers.3.mlp.gate.weight", {4, 8})).banks, IsEmpty());
}

TEST(Rules, NameTheExpertAndTheLayer) {
  const Extraction got = Extract(DefaultExtractOptions(),
                                 Tensor("model.layers.7.mlp.experts.12.down_proj.weight", {8, 4}));
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_TRUE(got.by_rule);
  EXPECT_EQ(got.banks[0].derived_tensor,
            "model.layers.7.mlp.experts.12.down_proj.weight::down_proj");
  EXPECT_EQ(got.banks[0].LayerAt(0), 7);
  EXPECT_EQ(got.banks[0].ExpertIdAt(0), 12);
}

TEST(Rules, TryTheNextOneAfterAFailureAndSaySo) {
  const ExtractOptions options = WithRule(Rule("broken", ".*experts", {{}, 0, 1, 5}));
  const Extraction got = Extract(options, Tensor("m.experts.down_proj.weight", {4, 8, 8}));
  EXPECT_EQ(got.banks.size(), 1U);
  EXPECT_TRUE(got.by_rule);
  ASSERT_EQ(got.warnings.size(), 1U);
  EXPECT_THAT(got.warnings[0],
              StartsWith("[extract] rule application failed for m.experts.down_proj.weight: "));
  EXPECT_THAT(got.warnings[0], HasSubstr("rule 'broken'"));
}

TEST(Rules, ReadALayerAxisWithoutExpertsAsLayers) {
  ExtractRule rule = Rule("layers", R"(stack\.(\w+)$)", {0, {}, 1, 2});
  rule.proj_group = 1;
  const Extraction got = Extract(WithRule(rule), Tensor("stack.w1", {3, 8, 4}));
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_EQ(got.banks[0].layers, 3U);
  EXPECT_EQ(got.banks[0].experts, 1U);
  EXPECT_EQ(got.banks[0].LayerAt(2), 2);  // unknown layers count from 0
  EXPECT_EQ(got.banks[0].ExpertIdAt(0), 0);
}

TEST(Rules, ThatNameTheirTensorMakeItAnExpert) {
  ExtractRule rule = Rule("mine", R"(blk\.(\d+)\.ffn_(\w+)_stack$)", {{}, 0, 1, 2});
  rule.proj_group = 2;
  const Extraction got = Extract(WithRule(rule), Tensor("blk.1.ffn_lift_stack", {2, 8, 4}));
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_EQ(got.banks[0].proj, "lift");
  ASSERT_EQ(got.unmapped_projs.size(), 1U);
  EXPECT_EQ(got.unmapped_projs[0].context, "proj_group");
  EXPECT_EQ(got.unmapped_projs[0].action, "kept_raw");
}

TEST(ProjGroupStrict, DropsUnknownTokensWithoutFallback) {
  ExtractRule rule = Rule("mine", R"(.*experts\.(\w+)\.w1)", {{}, 0, 1, 2});
  rule.proj_group = 1;
  ExtractOptions options = WithRule(rule);
  options.proj_group_strict = true;
  const TensorInfo tensor = Tensor("m.experts.lift.w1", {2, 8, 4});
  Extraction got = Extract(options, tensor);
  EXPECT_THAT(got.banks, IsEmpty());
  EXPECT_EQ(got.unmatched_reason, "proj_group_strict_unmapped");
  EXPECT_EQ(got.unmapped_projs.at(0).action, "dropped_strict");
  options.proj_aliases.clear();
  got = Extract(options, tensor);
  EXPECT_EQ(got.unmatched_reason, "proj_group_strict_no_alias_map");
  EXPECT_THAT(got.unmapped_projs, IsEmpty());
}

TEST(Fallback, ReadsBanksAndSingleExperts) {
  ExtractOptions options = DefaultExtractOptions();
  options.rules.clear();
  options.presets = "off";
  Extraction got = Extract(options, Tensor("layers.2.experts.5.w2.weight", {8, 4}));
  ASSERT_EQ(got.banks.size(), 1U);
  EXPECT_FALSE(got.by_rule);
  EXPECT_EQ(got.banks[0].ExpertIdAt(0), 5);
  got = Extract(options, Tensor("layers.2.experts.5.w2.weight", {3, 8, 4}));
  EXPECT_EQ(got.banks.at(0).experts, 3U);
  EXPECT_EQ(got.banks.at(0).ExpertIdAt(2), 2);
}

TEST(Shared, StackBecomesOneBankEach) {
  const Extraction got = Extract(DefaultExtractOptions(),
                                 Tensor("layers.1.mlp.shared_experts.up_proj.weight", {2, 8, 4}));
  ASSERT_EQ(got.banks.size(), 2U);
  EXPECT_EQ(got.banks[1].derived_tensor, "layers.1.mlp.shared_experts.up_proj.weight::up_proj[1]");
  EXPECT_EQ(got.banks[1].offset, 32U);
  EXPECT_EQ(got.banks[1].ExpertIdAt(0), -1);
  EXPECT_EQ(got.role, Role::kSharedExpert);
}

TEST(Shared, AbsurdStackIsRefusedNotExpanded) {
  const Extraction got =
      Extract(DefaultExtractOptions(), Tensor("m.shared_experts.up_proj.weight", {1u << 30, 1, 1}));
  EXPECT_THAT(got.banks, IsEmpty());
  EXPECT_TRUE(got.unmatched_reason.has_value());
}

TEST(PackedSplit, NamesItsParts) {
  const Extraction got = Extract(WithRule(Packed({3, -1}, {"w1", "extra"})),
                                 Tensor("m.experts.w13.weight", {2, 8, 4}));
  ASSERT_EQ(got.banks.size(), 2U);
  EXPECT_EQ(got.banks[0].derived_tensor, "m.experts.w13.weight::split[rows]::gate_proj");
  EXPECT_EQ(got.banks[0].rows, 3U);
  EXPECT_EQ(got.banks[1].proj, "extra");
  EXPECT_EQ(got.banks[1].rows, 5U);
  ASSERT_EQ(got.unmapped_projs.size(), 1U);
  EXPECT_EQ(got.unmapped_projs[0].context, "packed_split");
}

struct PackedFault {
  const char* name;
  ExtractRule rule;
  const char* part;
};

std::vector<PackedFault> PackedFaults() {
  std::vector<PackedFault> faults = {
      {"WrongSum", Packed({3, 3}, {"w1", "w3"}),
       "packed_split failed for rule=packed tensor=m.experts.w13.weight: split sizes sum to 6"},
      {"Lengths", Packed({4, 4}, {"w1"}),
       "packed_split projs and splits length mismatch for rule=packed tensor=m.experts.w13.weight"},
      {"BadLayout", Packed({4, 4}, {"w1", "w3"}), "do not cover ndim=3"},
      {"BadKey", Packed({4, 4}, {"w1", "w3"}), "projs is missing"},
  };
  faults[2].rule.layout.expert_axis.reset();
  faults[3].rule.packed_split.reset();
  faults[3].rule.packed_split_error = "projs is missing";
  return faults;
}

TEST(PackedSplit, FaultsEndAStrictRun) {
  for (const PackedFault& fault : PackedFaults()) {
    const auto got = TryExtract(WithRule(fault.rule), Tensor("m.experts.w13.weight", {2, 8, 4}));
    ASSERT_FALSE(got.has_value()) << fault.name;
    EXPECT_EQ(got.error().TypeName(), "PackedSplitError");
    EXPECT_THAT(got.error().Text(), HasSubstr("PackedSplitError"));
    EXPECT_THAT(got.error().message, HasSubstr(fault.part)) << fault.name;
  }
}

TEST(PackedSplit, FaultsOnlyWarnWhereStrictIsOff) {
  for (const PackedFault& fault : PackedFaults()) {
    ExtractOptions options = WithRule(fault.rule);
    options.strict_packed_split = false;
    options.proj_aliases[1].second.push_back("w13");
    const Extraction got = Extract(options, Tensor("m.experts.w13.weight", {2, 8, 4}));
    ASSERT_EQ(got.warnings.size(), 1U) << fault.name;
    EXPECT_THAT(got.warnings[0], HasSubstr(fault.part));
    EXPECT_THAT(got.warnings[0], StartsWith("[extract] packed_split "));
    ASSERT_EQ(got.banks.size(), 1U);  // unsplit, by the fallback
    EXPECT_EQ(got.banks[0].rows, 8U);
    EXPECT_FALSE(got.by_rule);
  }
}

TEST(Create, NamesTheRuleWithTheBadPattern) {
  const auto extractor = Extractor::Create(WithRule(Rule("oops", "a(b", {{}, 0, 1, 2})));
  ASSERT_FALSE(extractor.has_value());
  EXPECT_EQ(extractor.error().code, ErrorCode::kBadArgument);
  EXPECT_EQ(extractor.error().where, "rule 'oops'");
}

TEST(Extract, FailsWhenAPatternRunsAway) {
  const auto got = TryExtract(WithRule(Rule("slow", "(a+)+$", {{}, 0, 1, 2})),
                              Tensor(std::string(40, 'a') + "!", {2, 8, 4}));
  ASSERT_FALSE(got.has_value());
  EXPECT_THAT(got.error().Text(), HasSubstr("rule 'slow'"));
}

TEST(Presets, ComeAfterUserRulesAndBeforeTheGenericOnes) {
  ExtractOptions options = DefaultExtractOptions();
  options.model.model_type = "gpt_oss";
  options.model.hidden = 4;
  const TensorInfo fused = Tensor("layers.0.mlp.experts.gate_up_proj", {2, 4, 6});
  Extraction got = Extract(options, fused);
  ASSERT_EQ(got.banks.size(), 2U);
  EXPECT_EQ(got.banks[1].rows, 3U);  // interleaved columns, read as rows
  EXPECT_EQ(got.banks[1].row_stride, 2U);
  EXPECT_EQ(got.banks[1].offset, 1U);
  ExtractRule mine = Rule("mine", ".*gate_up_proj$", {{}, 0, 1, 2});
  mine.packed_split.emplace();
  mine.packed_split->equal = true;
  mine.packed_split->projs = {"w1", "w3"};
  options.rules.push_back(mine);
  got = Extract(options, fused);
  ASSERT_EQ(got.banks.size(), 2U);
  EXPECT_EQ(got.banks[0].rows, 2U);
}

TEST(Presets, NeverEndARun) {
  ExtractOptions options = DefaultExtractOptions();
  const Extraction got =
      Extract(options, Tensor("layers.0.block_sparse_moe.input_linear.weight", {2, 7, 4}));
  EXPECT_EQ(got.warnings.size(), 1U);
  EXPECT_EQ(got.unmatched_reason, "no_rule_match_or_proj_infer");
}

}  // namespace
}  // namespace moe

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_files.h"
#include "experts/layout.h"
#include "experts/presets.h"
#include "experts/proj_names.h"
#include "experts/roles.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// python3 -c "from difflib import SequenceMatcher as S; m=S(None,a,b);
//             print(sum(x.size for x in m.get_matching_blocks()), m.ratio())"
TEST(SequenceRatio, EqualsPythonsDifflib) {
  struct Case {
    const char *a, *b;
    int matches, length;
  };
  constexpr Case kCases[] = {
      {"a", "", 0, 1},
      {"abc", "abc", 3, 6},
      {"w13", "w1", 2, 5},
      {"gate_up_proj", "up_proj", 7, 19},
      {"gate_up_proj", "gate_proj", 9, 21},
      {"upproj", "up_proj", 6, 13},
      {"dwn_proj", "down_proj", 8, 17},
      {"abcd", "bcde", 3, 8},
      {"xaybzc", "abcxyz", 3, 12},
      {"abxcd", "abcd", 4, 9},
      {"qkv", "w2", 0, 5},
      {"ffn_up_exps", "ffn_up", 6, 17},
      {"aabaa", "abab", 3, 9},
      {"tide", "diet", 1, 8},
      {"diet", "tide", 2, 8},
  };
  for (const Case& row : kCases) {
    EXPECT_DOUBLE_EQ(SequenceRatio(row.a, row.b), 2.0 * row.matches / row.length) << row.a;
  }
  EXPECT_EQ(SequenceRatio("", ""), 1.0);
}

TEST(ProjNames, InfersWholeTokensOnly) {
  struct Case {
    const char *text, *proj;  // "": none
  };
  constexpr Case kCases[] = {
      {"layers.0.experts.1.w1.weight", "gate_proj"},
      {"layers.0.experts.w13.weight", ""},
      {"layers.0.experts.gate_up_proj", ""},
      {"layers.0.experts.UP_PROJ.weight", "up_proj"},
      {"raw2", ""},
      {"experts.0.up.weight", "up_proj"},
      {"experts.0.up", ""},  // ".up." needs both dots
      {"blk.0.ffn_down.weight", "down_proj"},
      {"blk.0.ffn_down_exps.weight", ""},
      {"w2.w1", "down_proj"},  // config order decides, not position
      {"routed_expert_down_proj.weight", ""},
  };
  const ProjNames names(DefaultExtractOptions().proj_aliases);
  for (const Case& row : kCases)
    EXPECT_EQ(names.Infer(row.text).value_or(""), row.proj) << row.text;
}

TEST(ProjNames, CanonicalisesTokensIgnoringCase) {
  const ProjNames names({{"Gate", {"w1"}}, {"up", {"up"}}});
  EXPECT_EQ(names.Canonicalise("gate"), "Gate");
  EXPECT_EQ(names.Canonicalise("W1"), "Gate");
  EXPECT_EQ(names.Canonicalise("w13"), std::nullopt);
}

TEST(ProjNames, SuggestsTheClosestNameFromSixTenthsOn) {
  const ProjNames names(DefaultExtractOptions().proj_aliases);
  EXPECT_EQ(names.Suggest("gate_up_proj").proj, "gate_proj");  // 0.857 against 0.737
  EXPECT_EQ(names.Suggest("dwn_proj").match, "down_proj");
  EXPECT_EQ(names.Suggest("w13").match, "w1");  // 0.8
  EXPECT_EQ(names.Suggest("qkv").proj, "");
}

std::vector<uint64_t> Describe(const BankShape& b) {
  return {b.layers,       b.experts,       b.rows,       b.cols,      b.offset,
          b.layer_stride, b.expert_stride, b.row_stride, b.col_stride};
}

TEST(Layout, MapsAxesToStrides) {
  const std::vector<uint64_t> shape = {2, 3, 4, 5};  // strides 60, 20, 5, 1
  auto bank = ApplyLayout({0, 1, 2, 3}, shape);
  ASSERT_TRUE(bank.has_value());
  EXPECT_THAT(Describe(*bank), ElementsAre(2, 3, 4, 5, 0, 60, 20, 5, 1));
  bank = ApplyLayout({1, 0, -1, -2}, shape);  // transposed in both pairs
  ASSERT_TRUE(bank.has_value());
  EXPECT_THAT(Describe(*bank), ElementsAre(3, 2, 5, 4, 0, 20, 60, 1, 5));
}

TEST(Layout, RefusesAxesThatDoNotFit) {
  struct Case {
    RuleLayout layout;
    const char* part;
  };
  const Case cases[] = {
      {{{}, 0, {}, 2}, "layout must include rows_axis and cols_axis"},
      {{{}, {}, 0, 1}, "do not cover ndim=3"},
      {{0, 1, 2, 3}, "do not cover ndim=3"},
      {{{}, 0, 0, 1}, "repeats"},
      {{{}, 0, 1, -2}, "repeats"},
      {{{}, 0, 1, 3}, "out of range"},
      {{{}, -4, 1, 2}, "out of range"},
  };
  const std::vector<uint64_t> shape = {2, 3, 4};
  for (const Case& row : cases) {
    const auto bank = ApplyLayout(row.layout, shape);
    ASSERT_FALSE(bank.has_value()) << row.part;
    EXPECT_THAT(bank.error(), HasSubstr(row.part));
  }
  const std::vector<uint64_t> huge = {uint64_t{1} << 32, uint64_t{1} << 32, 2};
  EXPECT_FALSE(ApplyLayout({{}, 0, 1, 2}, huge).has_value());
}

PackedSplit Split(const char* axis, std::vector<int64_t> sizes, size_t projs, bool interleave) {
  PackedSplit split;
  split.axis = axis;
  split.splits = std::move(sizes);
  split.projs.assign(projs, "p");
  split.interleave = interleave;
  return split;
}

TEST(SplitBank, CutsRowsAndColumns) {
  const std::vector<uint64_t> shape = {2, 6, 4};  // strides 24, 4, 1
  const BankShape bank = ApplyLayout({{}, 0, 1, 2}, shape).value();
  auto parts = SplitBank(bank, Split("rows", {2, 4}, 2, false));
  ASSERT_TRUE(parts.has_value());
  EXPECT_THAT(Describe((*parts)[0]), ElementsAre(1, 2, 2, 4, 0, 0, 24, 4, 1));
  EXPECT_THAT(Describe((*parts)[1]), ElementsAre(1, 2, 4, 4, 8, 0, 24, 4, 1));
  parts = SplitBank(bank, Split("cols", {-1, 1}, 2, false));
  ASSERT_TRUE(parts.has_value());
  EXPECT_THAT(Describe((*parts)[0]), ElementsAre(1, 2, 6, 3, 0, 0, 24, 4, 1));
  EXPECT_THAT(Describe((*parts)[1]), ElementsAre(1, 2, 6, 1, 3, 0, 24, 4, 1));
  parts = SplitBank(bank, Split("rows", {3, 3}, 2, true));
  ASSERT_TRUE(parts.has_value());
  EXPECT_THAT(Describe((*parts)[1]), ElementsAre(1, 2, 3, 4, 4, 0, 24, 8, 1));
}

TEST(SplitBank, RefusesSizesThatDoNotFit) {
  struct Case {
    std::vector<int64_t> sizes;
    bool interleave;
    const char* part;
  };
  const Case cases[] = {
      {{}, false, "splits must be non-empty"},
      {{0, 6}, false, "must be positive"},
      {{-2, 8}, false, "must be positive"},
      {{2, 3}, false, "split sizes sum to 5, expected 6 along axis 1"},
      {{INT64_MAX, INT64_MAX, 8}, false, "split sizes sum to"},
      {{-1, -1}, false, "only one split size may be -1"},
      {{-1, 6}, false, "split sizes sum to 6"},
      {{2, 4}, true, "parts of one size"},
  };
  const std::vector<uint64_t> shape = {2, 6, 4};
  const BankShape bank = ApplyLayout({{}, 0, 1, 2}, shape).value();
  for (const Case& row : cases) {
    const auto parts = SplitBank(bank, Split("rows", row.sizes, 2, row.interleave));
    ASSERT_FALSE(parts.has_value()) << row.part;
    EXPECT_THAT(parts.error(), HasSubstr(row.part));
  }
  PackedSplit equal = Split("rows", {}, 4, false);
  equal.equal = true;
  EXPECT_FALSE(SplitBank(bank, equal).has_value());  // 6 rows in 4 parts
}

TEST(Presets, AreChosenByTypeByArchitectureOrByHand) {
  const FamilyTable& table = KnownFamilies();
  ModelFacts by_type, by_arch, unknown_type;
  by_type.model_type = "granitemoehybrid";
  by_arch.gguf_arch = "qwen3moe";
  unknown_type.model_type = "some_new_model";
  EXPECT_STREQ(table.Find(by_type, {})->name, "granitemoehybrid");
  EXPECT_STREQ(table.Find(by_arch, {})->name, "qwen3_moe");
  EXPECT_EQ(table.Find(unknown_type, {}), nullptr);
  const WeightShape bias{"model.layers.0.mlp.experts.gate_up_proj_bias", {4, 8}, "", ""};
  EXPECT_STREQ(table.Find({}, {&bias, 1})->name, "gpt_oss");
  EXPECT_EQ(PresetsOf("off", nullptr, {}, table).value().rules.size(), 0U);
  const auto chosen = PresetsOf("gpt_oss", table.Named("gpt_oss"), {}, table);
  EXPECT_EQ(chosen.value().rules.front().rule.name, "gpt_oss:ST-il");
  const auto unknown = PresetsOf("granite", table.Named("granite"), {}, table);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_THAT(unknown.error().hint, HasSubstr("granitemoe"));
}

// docs/architectures.md ends with this text word for word. When this fails, put it there.
TEST(Presets, StandInTheDocumentation) {
  const std::string doc = DocText("architectures.md");
  EXPECT_TRUE(doc.ends_with(ArchitecturesMarkdown(KnownFamilies())))
      << ArchitecturesMarkdown(KnownFamilies());
}

TEST(Stack, ComesFromAComponentOfThePath) {
  EXPECT_EQ(StackOf("encoder.block.1.layer.1.mlp.experts.expert_0.wi.weight"), "encoder");
  EXPECT_EQ(StackOf("mtp.layers.0.mlp.experts.0.w1.weight"), "mtp");
  EXPECT_EQ(StackOf("model.visual.blocks.0.moe.experts.0.w1.weight"), "vision");
  EXPECT_EQ(StackOf("model.layers.0.decoder_x.experts.0.w1.weight"), std::nullopt);
}

}  // namespace
}  // namespace moe

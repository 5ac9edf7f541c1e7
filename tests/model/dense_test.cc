#include "model/dense.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "moescope/model.h"

namespace moe {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Lines = std::vector<std::string>;

Model OpenZoo(const std::string& folder) {
  auto model = Model::Open((TestData() / "zoo" / folder).string());
  EXPECT_TRUE(model.has_value()) << model.error().Text();
  return std::move(*model);
}

/// "model.embed_tokens -1 embedding [100, 64]" of each.
Lines DenseOf(const Model& model) {
  Lines lines;
  for (const DenseWeight& dense : model.dense()) {
    lines.push_back(fmt::format("{} {} {} [{}, {}]", dense.module, dense.layer(),
                                RoleName(dense.role()), dense.rows, dense.cols));
  }
  return lines;
}

/// The same with the layer's number for each '#' of a line, for layers 0 to layers - 1.
Lines InLayers(int layers, const Lines& of_layer) {
  Lines lines;
  for (int layer = 0; layer < layers; ++layer) {
    for (std::string line : of_layer) {
      for (size_t at = line.find('#'); at != std::string::npos; at = line.find('#')) {
        line.replace(at, 1, std::to_string(layer));
      }
      lines.push_back(line);
    }
  }
  return lines;
}

Lines Joined(Lines first, const Lines& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

TEST(Dense, AreAllMatricesOutsideTheExpertsThatRuntimesQuantize) {
  EXPECT_EQ(DenseOf(OpenZoo("hf4_qwen3_moe")),
            Joined({"lm_head -1 embedding [100, 64]", "model.embed_tokens -1 embedding [100, 64]"},
                   InLayers(3, {"model.layers.#.mlp.gate # router [4, 64]",
                                "model.layers.#.self_attn.k_proj # attention [24, 64]",
                                "model.layers.#.self_attn.o_proj # attention [64, 48]",
                                "model.layers.#.self_attn.q_proj # attention [48, 64]",
                                "model.layers.#.self_attn.v_proj # attention [24, 64]"})));
}

TEST(Dense, HaveTheirDecodedShapeAndTheModulesName) {
  EXPECT_THAT(DenseOf(OpenZoo("gptq_int4_sym_qwen3_moe")),
              AllOf(Contains("model.layers.0.mlp.down_proj 0 other [128, 192]"),
                    Contains("model.layers.1.self_attn.o_proj 1 attention [128, 64]"),
                    Not(Contains(HasSubstr("qweight")))));
  EXPECT_THAT(
      DenseOf(OpenZoo("mlx_qwen2_moe_custom_mixed")),
      ElementsAre("lm_head -1 embedding [100, 128]", "model.embed_tokens -1 embedding [100, 128]",
                  "model.layers.0.mlp.gate 0 router [4, 128]",
                  "model.layers.0.mlp.shared_expert_gate 0 router [1, 128]",
                  "model.layers.0.self_attn.k_proj 0 attention [64, 128]",
                  "model.layers.0.self_attn.o_proj 0 attention [128, 128]",
                  "model.layers.0.self_attn.q_proj 0 attention [128, 128]",
                  "model.layers.0.self_attn.v_proj 0 attention [64, 128]"));
}

// Layer 0 has a dense MLP; MLX splits kv_b_proj by head, [2, 64, 32] and [2, 64, 64] here.
TEST(Dense, OfSeveralHeadsAreTheMatrixOfAllTheirRows) {
  const Model model = OpenZoo("mlx_deepseek_v3_q4_g64");
  const Lines mlp = {"model.layers.0.mlp.down_proj 0 other [128, 192]",
                     "model.layers.0.mlp.gate_proj 0 other [192, 128]",
                     "model.layers.0.mlp.up_proj 0 other [192, 128]"};
  const Lines router = {"model.layers.1.mlp.gate 1 router [4, 128]"};
  const Lines attention = {"model.layers.#.self_attn.embed_q # attention [128, 32]",
                           "model.layers.#.self_attn.kv_a_proj_with_mqa # attention [68, 128]",
                           "model.layers.#.self_attn.o_proj # attention [128, 128]",
                           "model.layers.#.self_attn.q_a_proj # attention [32, 128]",
                           "model.layers.#.self_attn.q_b_proj # attention [72, 32]",
                           "model.layers.#.self_attn.unembed_out # attention [128, 64]"};
  const Lines heads = {"lm_head -1 embedding [100, 128]",
                       "model.embed_tokens -1 embedding [100, 128]"};
  const Lines both = InLayers(2, attention);
  const Lines first(both.begin(), both.begin() + 6), second(both.begin() + 6, both.end());
  EXPECT_EQ(DenseOf(model), Joined(Joined(Joined(Joined(heads, mlp), first), router), second));

  // codes * scale + bias of MLX's packed words, by NumPy.
  const DenseWeight& last = model.dense().back();
  EXPECT_EQ(last.weight().storage, "affine_q4_g64");
  EXPECT_EQ(last.stored_bytes(), 128u * 64u * 9u / 16u);  // a scale and a bias of 16 bits for 64
  const auto opened = model.OpenDense(model.dense().size() - 1);
  ASSERT_TRUE(opened.has_value()) << opened.error().Text();
  float values[2];
  ASSERT_TRUE((*opened)->Read({37, 5, 1, 1}, &values[0]).has_value());
  ASSERT_TRUE((*opened)->Read({127, 63, 1, 1}, &values[1]).has_value());
  EXPECT_THAT(values, ElementsAre(0.06982421875F, -0.015625F));
}

TEST(Dense, AreNamedAsTheirContainerNamesThem) {
  EXPECT_THAT(
      DenseOf(OpenZoo("gguf_deepseek2_q8_0_shared")),
      ElementsAre(
          "blk.0.attn_kv_a_mqa 0 attention [68, 128]", "blk.0.attn_kv_b 0 attention [192, 64]",
          "blk.0.attn_output 0 attention [128, 128]", "blk.0.attn_q_a 0 attention [32, 128]",
          "blk.0.attn_q_b 0 attention [72, 32]", "blk.0.ffn_down 0 other [128, 192]",
          "blk.0.ffn_gate 0 other [192, 128]", "blk.0.ffn_up 0 other [192, 128]",
          "blk.1.attn_kv_a_mqa 1 attention [68, 128]", "blk.1.attn_kv_b 1 attention [192, 64]",
          "blk.1.attn_output 1 attention [128, 128]", "blk.1.attn_q_a 1 attention [32, 128]",
          "blk.1.attn_q_b 1 attention [72, 32]", "blk.1.ffn_gate_inp 1 router [4, 128]",
          "output -1 embedding [100, 128]", "token_embd -1 embedding [100, 128]"));
}

// Its convolution, A_log and norms stay out, as do the vision tower and the tower's projections.
TEST(Dense, OfLinearAttentionAreItsProjections) {
  const Lines lines = DenseOf(OpenZoo("hf5_qwen3_5_moe_vl"));
  EXPECT_THAT(lines, Each(Not(HasSubstr("visual"))));
  const Lines linear(lines.begin() + 2, lines.begin() + 7);
  const std::string module = "model.language_model.layers.0.linear_attn.";
  EXPECT_THAT(linear, ElementsAre(module + "in_proj_a 0 attention [4, 64]",
                                  module + "in_proj_b 0 attention [4, 64]",
                                  module + "in_proj_qkv 0 attention [80, 64]",
                                  module + "in_proj_z 0 attention [48, 64]",
                                  module + "out_proj 0 attention [64, 48]"));
  EXPECT_EQ(lines.size(), 15u);
}

// Mamba's and LFM2's convolutions, Mamba's states, the table of T5's position biases.
TEST(Dense, LeaveOutConvolutionsStatesAndBiases) {
  struct Case {
    const char* folder;
    size_t weights;
    const char* one;
  };
  for (const Case& want :
       {Case{"hf4_jamba", 14, "model.layers.0.mamba.dt_proj 0 other [128, 6]"},
        Case{"hf5_lfm2_moe", 12, "model.layers.0.conv.in_proj 0 other [192, 64]"},
        Case{"hf4_switch_transformers", 31, "encoder.block.0.layer.1.mlp.wi 0 other [40, 48]"},
        Case{"hf5_step3p7", 16, "model.layers.1.moe.gate 1 router [5, 64]"}}) {
    const Lines lines = DenseOf(OpenZoo(want.folder));
    EXPECT_EQ(lines.size(), want.weights) << want.folder;
    EXPECT_THAT(lines, Contains(want.one));
  }
}

TEST(Dense, HaveATiedHeadOnce) {
  const TempFolder folder;
  const auto zoo = TestData() / "zoo/hf4_qwen3_moe";
  std::filesystem::copy_file(zoo / "model.safetensors", folder.path() / "model.safetensors");
  Json config = JsonOfFile(zoo / "config.json");
  config["tie_word_embeddings"] = true;
  folder.Write("config.json", config.Text());
  const auto model = Model::Open(folder.path().string());
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  EXPECT_THAT(DenseOf(*model), AllOf(Not(Contains(HasSubstr("lm_head"))),
                                     Contains("model.embed_tokens -1 embedding [100, 64]")));
}

// Inkling's router has a scale of its own beside it, which makes it no cast weight.
TEST(Dense, ThatCantBeDecodedSayWhy) {
  const Model inkling = OpenZoo("hf5_inkling_mm");
  for (const ModelTensor& tensor : inkling.tensors()) {
    EXPECT_EQ(DenseRefusal(tensor), std::nullopt) << tensor.info().name;
  }
  ModelTensor tensor;
  const Model model = OpenZoo("gptq_int4_sym_qwen3_moe");
  for (const ModelTensor& other : model.tensors()) {
    if (other.info().name.ends_with("layers.0.self_attn.q_proj.qweight")) tensor = other;
  }
  EXPECT_EQ(DenseRefusal(tensor), std::nullopt);
  tensor.weight = nullptr;
  tensor.refusal = "odd scales";
  EXPECT_EQ(DenseRefusal(tensor), "odd scales");
}

}  // namespace
}  // namespace moe

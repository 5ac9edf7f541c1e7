// Names of calibration files against models: every family by hand, every checkpoint of the zoo.
#include "evidence/model_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/json_text.h"
#include "base/temp_folder.h"
#include "base/test_files.h"
#include "evidence/calibration_files.h"
#include "evidence/evidence.h"
#include "evidence/module_inputs.h"
#include "experts/preset_cases.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using preset_cases::PresetCase;

/// How llama.cpp says gate and up.
enum class Fusing { kSplit, kFused, kUpAlone };

/// All experts of one layer and projection.
struct Bank {
  uint64_t columns = 0, experts = 0;
};
using Banks = std::map<InputKey, Bank>;

/// The mean square that the files below say: of another column, expert or projection it is another.
double Value(const InputKey& key, uint64_t column) {
  const double expert = key.kind == InputKey::Kind::kShared ? 0 : static_cast<double>(key.expert);
  return 1 + static_cast<double>(column) + 1000 * expert + (key.weight == "down_proj" ? 500 : 0);
}

std::string GgufName(const InputKey& key, const Model& model, Fusing fusing) {
  const auto layers = static_cast<int64_t>(model.facts().layers.value_or(0));
  const bool counted_on = key.stack == "mtp" && key.layer < layers;
  const std::string proj = key.weight.substr(0, key.weight.find('_'));  // "gate", "up", "down"
  const bool shared = key.kind == InputKey::Kind::kShared;
  const std::string name = fusing == Fusing::kFused && proj != "down" && !shared ? "gate_up" : proj;
  return "blk." + std::to_string(key.layer + (counted_on ? layers : 0)) + ".ffn_" + name +
         (shared ? "_shexp" : "_exps") + ".weight";
}

std::vector<Sums> Imatrix(const Banks& banks, const Model& model, Fusing fusing) {
  std::map<std::string, Sums> entries;
  for (const auto& [key, bank] : banks) {
    if (fusing == Fusing::kUpAlone && key.weight == "gate_proj") continue;
    Sums entry{GgufName(key, model, fusing), bank.columns, {}, {}};
    InputKey one = key;
    for (uint64_t e = 0; e < bank.experts; ++e) {
      one.expert = static_cast<int64_t>(e);
      entry.counts.push_back(static_cast<float>(e + 1));
      for (uint64_t c = 0; c < bank.columns; ++c) {
        entry.sums.push_back(static_cast<float>(Value(one, c)) * entry.counts.back());
      }
    }
    entries.try_emplace(entry.name, entry);
  }
  std::vector<Sums> list;
  for (auto& [name, entry] : entries) list.push_back(std::move(entry));
  return list;
}

/// Every matrix of the model gets the columns of its own expert, however gate and up are written.
void ExpectAllServed(const Model& model, const Banks& banks, const std::string& what) {
  ASSERT_FALSE(banks.empty()) << what;
  const TempFolder folder;
  for (const Fusing fusing : {Fusing::kSplit, Fusing::kFused, Fusing::kUpAlone}) {
    const auto path = folder.Write("imatrix.gguf", GgufImatrix(Imatrix(banks, model, fusing)));
    const auto evidence = Evidence::Open(model, {{path}, {}});
    ASSERT_TRUE(evidence.has_value()) << what << ": " << evidence.error().Text();
    for (const auto& [all, bank] : banks) {
      const bool shared = all.kind == InputKey::Kind::kShared;
      for (uint64_t e = 0; e < bank.experts; ++e) {
        InputKey key = all;
        key.expert = static_cast<int64_t>(e);
        const auto found =
            evidence->Of({all.stack, all.layer, all.weight, shared ? 0 : key.expert, shared});
        ASSERT_EQ(found.mean_square.size(), bank.columns) << what << " " << key.Text();
        EXPECT_EQ(found.mean_square.front(), Value(key, 0)) << what << " " << key.Text();
        EXPECT_EQ(found.mean_square.back(), Value(key, bank.columns - 1)) << what;
        EXPECT_EQ(found.tokens, e + 1) << what << " " << key.Text();
        EXPECT_EQ(found.share.has_value(), !shared) << what;
      }
    }
    EXPECT_EQ(evidence->coverage().unused.size(), 0U) << what;
  }
}

std::vector<PresetCase> AllCases() {
  std::vector<PresetCase> all = preset_cases::PresetCases();
  for (const auto* more : {&preset_cases::MlxCases(), &preset_cases::GgufCases()}) {
    all.insert(all.end(), more->begin(), more->end());
  }
  return all;
}

/// The part of the model that a weight lies in.
std::string StackOf(const Model& model, const std::string& weight) {
  for (const ModelTensor& tensor : model.tensors()) {
    if (tensor.info().name == weight) return tensor.found.stack.value_or("");
  }
  return "none";
}

/// What the case says that must come out, but for what llama.cpp has no names for: encoders,
/// decoders, talkers, and experts of several sizes.
Banks BanksOf(const PresetCase& c, const Model& model) {
  Banks banks;
  for (const preset_cases::WantBank& want : c.want) {
    const std::string stack = StackOf(model, want.weight);
    if (stack != "" && stack != "mtp" && stack != "thinker") continue;
    const MatrixKey key{stack, want.layer, want.proj, -1, want.shared};
    Bank& bank = banks[InputOf(key)];
    const bool same = bank.columns == 0 || bank.columns == want.cols;
    bank.columns = want.cols;
    bank.experts = want.shared ? 1 : bank.experts + want.experts;
    if (!same) return {};
  }
  return banks;
}

TEST(ModelInputs, OfEveryFamilyAreServedByTheNamesOfLlamaCpp) {
  std::set<std::string> others;
  for (const PresetCase& c : AllCases()) {
    const TempFolder folder;
    folder.Write("model.safetensors", ZeroTensors(c.weights));
    Json config = *ParseLenientJson(c.config_json.empty() ? "{}" : c.config_json, c.row);
    if (!c.model_type.empty()) config["model_type"] = c.model_type;
    folder.Write("config.json", JsonText(config));
    const std::string what = c.row + " " + c.model_type + " " + c.variant;
    const auto model = Model::Open(folder.path().string());
    ASSERT_TRUE(model.has_value()) << what << ": " << model.error().Text();
    const Banks banks = BanksOf(c, *model);
    if (banks.empty()) {
      others.insert(c.row);
    } else {
      ExpectAllServed(*model, banks, what);
    }
  }
  EXPECT_THAT(others, testing::ElementsAre("32", "57", "58"));
}

TEST(ModelInputs, OfTheZooAreServedInTheOrderOfTheirColumns) {
  std::set<std::string> families;
  for (const auto& entry : fs::directory_iterator(TestData() / "zoo")) {
    const std::string name = entry.path().filename().string();
    if (!fs::exists(entry.path() / "expected.json")) continue;
    const Json expected = *ParseLenientJson(ReadText(entry.path() / "expected.json"), name);
    if (!expected.contains("experts") || name == "hf4_switch_transformers") continue;
    const auto model = Model::Open(entry.path().string());
    ASSERT_TRUE(model.has_value()) << name << ": " << model.error().Text();
    Banks banks;
    for (const Json& row : expected["experts"]) {
      const bool shared = row["is_shared_expert"].get<bool>();
      const MatrixKey key{"", row["layer"].get<int64_t>(), row["proj"].get<std::string>(), -1,
                          shared};
      Bank& bank = banks[InputOf(key)];
      bank.columns = row["cols"].get<uint64_t>();
      bank.experts = shared ? 1 : bank.experts + 1;
    }
    ExpectAllServed(*model, banks, name);
    families.emplace(model->family());
  }
  EXPECT_GT(families.size(), 15U);
}

TEST(ModelInputs, AreFoundWhereTheUsersRulesDoNotKnowTheNames) {
  ModelOptions options;
  options.extract.presets = "off";  // the template's two rules remain, which are of HF's names
  const auto model = Model::Open((TestData() / "zoo/hf4_qwen3_moe").string(), options);
  ASSERT_TRUE(model.has_value());
  Banks banks;
  for (const char* proj : {"gate_proj", "up_proj"}) banks[InputOf({"", 1, proj})] = {64, 4};
  banks[InputOf({"", 1, "down_proj"})] = {32, 4};
  ExpectAllServed(*model, banks, "presets off");
}

struct ModuleCase {
  const char *folder, *module, *entry;
  uint64_t columns;
};

// Columns are the last axis of the tensor in the folder (safetensors' and gguf's own readers).
constexpr ModuleCase kModules[] = {
    {"hf4_deepseek_v3", "lm_head", "output.weight", 64},
    {"hf4_deepseek_v3", "model.embed_tokens", "token_embd.weight", 64},
    {"hf4_deepseek_v3", "model.layers.0.mlp.down_proj", "blk.0.ffn_down.weight", 88},
    {"hf4_deepseek_v3", "model.layers.0.mlp.gate_proj", "blk.0.ffn_up.weight", 64},
    {"hf4_deepseek_v3", "model.layers.0.self_attn.q_a_proj", "blk.0.attn_kv_a_mqa.weight", 64},
    {"hf4_deepseek_v3", "model.layers.0.self_attn.q_b_proj", "blk.0.attn_q_b.weight", 24},
    {"hf4_deepseek_v3", "model.layers.0.self_attn.kv_b_proj", "blk.0.attn_kv_b.weight", 20},
    {"hf4_deepseek_v3", "model.layers.1.self_attn.o_proj", "blk.1.attn_output.weight", 48},
    {"hf4_deepseek_v3", "model.layers.1.mlp.gate", "blk.1.ffn_gate_inp.weight", 64},
    {"mlx_deepseek_v3_q4_g64", "model.layers.1.self_attn.o_proj", "blk.1.attn_output.weight", 128},
    {"mlx_deepseek_v3_q4_g64", "model.layers.1.self_attn.embed_q", "blk.1.attn_k_b.weight", 32},
    {"mlx_deepseek_v3_q4_g64", "model.layers.1.self_attn.unembed_out", "blk.1.attn_v_b.weight", 64},
    {"mlx_deepseek_v3_q4_g64", "model.layers.0.mlp.down_proj",
     "model.layers.0.mlp.down_proj.weight", 192},
    {"gguf_deepseek2_q8_0_shared", "blk.0.attn_q_b", "blk.0.attn_q_b.weight", 32},
    {"gguf_deepseek2_q8_0_shared", "blk.0.ffn_down", "model.layers.0.mlp.down_proj", 192},
    {"hf5_qwen3_5_moe_vl", "model.language_model.layers.1.self_attn.q_proj", "blk.1.attn_v.weight",
     64},
    {"hf5_qwen3_5_moe_vl", "model.language_model.layers.1.self_attn.o_proj",
     "model.layers.1.self_attn.o_proj", 64},
    {"hf5_qwen3_5_moe_vl", "model.language_model.layers.0.linear_attn.in_proj_z",
     "blk.0.attn_gate.weight", 64},
    {"hf5_qwen3_5_moe_vl", "model.language_model.embed_tokens", "token_embd.weight", 64},
    {"hf5fused_nemotron_h", "model.layers.0.mixer.in_proj", "blk.0.ssm_in.weight", 64},
    {"hf5fused_nemotron_h", "model.layers.0.mixer.out_proj", "blk.0.ssm_out.weight", 64},
    {"hf5fused_nemotron_h", "model.embeddings", "token_embd.weight", 64},
    {"hf5_lfm2_moe", "model.layers.0.conv.out_proj", "blk.0.shortconv.out_proj.weight", 64},
    {"hf5_lfm2_moe", "model.layers.0.feed_forward.w2", "blk.0.ffn_down.weight", 88},
    {"hf5_lfm2_moe", "model.layers.1.self_attn.out_proj", "blk.1.attn_output.weight", 64},
    {"hf4_jamba", "model.layers.0.mamba.x_proj", "blk.0.ssm_x.weight", 128},
    {"hf4_dbrx", "transformer.blocks.0.ffn.router.layer", "blk.0.ffn_gate_inp.weight", 64},
    {"hf4_dbrx", "transformer.wte", "token_embd.weight", 64},
    {"gptq_int4_sym_qwen3_moe", "model.layers.0.mlp.down_proj", "blk.0.ffn_down.weight", 192},
};

TEST(ModelInputs, OfOtherWeightsAreFoundByTheirModules) {
  for (const ModuleCase& c : kModules) {
    const auto model = Model::Open((TestData() / "zoo" / c.folder).string());
    ASSERT_TRUE(model.has_value()) << model.error().Text();
    Sums entry{c.entry, c.columns, std::vector<float>(c.columns, 6), {4}};
    entry.sums.back() = 9;
    const TempFolder folder;
    const auto path = folder.Write("imatrix.gguf", GgufImatrix({entry}));
    const auto evidence = Evidence::Open(*model, {{path}, {}});
    ASSERT_TRUE(evidence.has_value()) << c.module << ": " << evidence.error().Text();
    for (const std::string& name : {std::string(c.module), std::string(c.module) + ".weight"}) {
      const auto found = evidence->OfModule(name);
      ASSERT_EQ(found.mean_square.size(), c.columns) << name << ": " << found.missing;
      EXPECT_EQ(found.mean_square.front(), 1.5) << name;
      EXPECT_EQ(found.mean_square.back(), 2.25) << name;
      EXPECT_EQ(found.tokens, 4) << name;
      EXPECT_FALSE(found.share) << name;
    }
  }
}

TEST(ModelInputs, OfAWeightWithSeveralMatricesAreTheMeanOverAll) {
  const auto model = Model::Open((TestData() / "zoo/mlx_deepseek_v3_q4_g64").string());
  ASSERT_TRUE(model.has_value());
  Sums heads{"blk.1.attn_k_b.weight", 32, std::vector<float>(64, 2), {4, 4}};  // two of 32 columns
  heads.sums[0] = 6;
  const TempFolder folder;
  const auto path = folder.Write("imatrix.gguf", GgufImatrix({heads}));
  const auto evidence = Evidence::Open(*model, {{path}, {}});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  const auto found = evidence->OfModule("model.layers.1.self_attn.embed_q");
  EXPECT_EQ(found.mean_square.at(0), (6.0 + 2) / 8);
  EXPECT_EQ(found.mean_square.at(31), (2.0 + 2) / 8);
  EXPECT_EQ(found.tokens, 4);
}

TEST(ModelInputs, AreNotThoseOfWeightsThatReadAnotherVector) {
  const auto model = Model::Open((TestData() / "zoo/hf4_deepseek_v3").string());
  ASSERT_TRUE(model.has_value());
  const TempFolder folder;
  const std::vector<float> ones(64, 1);
  const auto path =
      folder.Write("imatrix.gguf", GgufImatrix({{"blk.1.attn_q_a.weight", 64, ones, {1}},
                                                {"token_embd.weight", 64, ones, {1}},
                                                {"blk.1.ffn_gate_shexp.weight", 64, ones, {1}}}));
  const auto evidence = Evidence::Open(*model, {{path}, {}});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  EXPECT_EQ(evidence->OfModule("model.layers.1.self_attn.kv_a_proj_with_mqa").missing, "");
  for (const char* module : {"model.layers.1.self_attn.q_b_proj", "model.layers.1.self_attn.o_proj",
                             "model.layers.0.self_attn.q_a_proj", "model.layers.1.mlp.gate",
                             "lm_head", "model.layers.1.nothing"}) {
    EXPECT_EQ(evidence->OfModule(module).missing, Evidence::kNoEntry) << module;
    EXPECT_TRUE(evidence->OfModule(module).mean_square.empty()) << module;
  }
  EXPECT_EQ(evidence->Of({"", 1, "up_proj", 0, true}).missing, "");
  EXPECT_EQ(evidence->Of({"", 1, "up_proj", 0, false}).missing, Evidence::kNoEntry);
  EXPECT_EQ(evidence->Of({"", 1, "down_proj", 0, true}).missing, Evidence::kNoEntry);
}

struct NameCase {
  const char* name;
  int64_t layer;
  const char* want;
};

TEST(ModuleName, IsTheSameWhoeverWroteIt) {
  constexpr NameCase kCases[] = {
      {"blk.3.attn_output.weight", 3, "attn_output"},
      {"model.layers.3.self_attn.o_proj", 3, "attn_output"},
      {"language_model.model.layers.3.self_attn.o_proj.weight", 3, "attn_output"},
      {"layers.12.attention.wo", 12, "attn_output"},
      {"model.layers.3.linear_attn.out_proj", 3, "linear_attn.out_proj"},  // llama.cpp permutes it
      {"model.layers.3.self_attn.new_proj", 3, "self_attn.new_proj"},
      {"lm_head.weight", -1, "output"},
      {"output.weight", -1, "output"},
      {"model.language_model.embed_tokens", -1, "token_embd"},
      {"model.projector.linear", -1, "model.projector.linear"},
  };
  for (const NameCase& c : kCases) {
    const ModuleName name = ModuleNameOf(c.name);
    EXPECT_EQ(name.layer, c.layer) << c.name;
    EXPECT_EQ(name.name, c.want) << c.name;
  }
}

}  // namespace
}  // namespace moe

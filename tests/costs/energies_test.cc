#include "costs/energies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/test_files.h"
#include "model/fingerprint.h"

namespace moe {
namespace {

Model Zoo(const std::string& folder) {
  auto model = Model::Open((TestData() / "zoo" / folder).string());
  EXPECT_TRUE(model.has_value()) << model.error().Text();
  return std::move(*model);
}

/// Three layers of four experts, two for a token. Down_proj of expert e in layer l has the energy
/// 100 (l + 1) + 10 e and a guess of a tenth of it, and e + 1 tenths of the tokens.
class EnergiesTest : public testing::Test {
 protected:
  EnergiesTest() {
    for (uint64_t i = 0; i < model_.matrices(); ++i) {
      const ExpertMatrix matrix = model_.matrix(i);
      const MatrixKey key = matrix.key();
      if (key.proj != "down_proj") continue;
      MatrixNumbers& numbers = errors_.matrices[IdOf(matrix)];
      numbers.energy = 100.0 * static_cast<double>(key.layer + 1) + 10.0 * key.expert;
      numbers.guessed_energy = *numbers.energy / 10;
      numbers.token_share = 0.1 * static_cast<double>(key.expert + 1);
    }
    errors_.has_energies = true;
    errors_.matrices[{"model.embed_tokens", -1, -1}].rms = 0.5;  // 64 columns: 16
    errors_.matrices[{"lm_head", -1, -1}].rms = 100;
    for (const int layer : {0, 1, 2}) {
      const std::string at = "model.layers." + std::to_string(layer) + ".self_attn.";
      errors_.matrices[{at + "o_proj", -1, -1}].energy = 8;
      errors_.matrices[{at + "v_proj", -1, -1}].energy = 1000;
    }
  }

  MatrixNumbers& Down(int64_t layer, int64_t expert) {
    const uint64_t number = *model_.Find({"", layer, "down_proj", expert, false});
    return errors_.matrices.at(IdOf(model_.matrix(number)));
  }

  const Model model_ = Zoo("hf4_qwen3_moe");
  RunErrors errors_;
};

TEST_F(EnergiesTest, AreWeightedByTokensAndAddUpInTheResidualStream) {
  const Energies energies(model_, errors_);
  EXPECT_TRUE(energies.measured());
  EXPECT_DOUBLE_EQ(*energies.OfExpert(0, 3), 130 * 0.4 * 2);
  // Sum over experts of energy * share * 2: layer 0: (100 * 1 + 10 * (0.2 + 0.6 + 1.2)) * 2.
  const double layer0 = 240, layer1 = 440;
  EXPECT_NEAR(*energies.Residual(0), 16 + 8 + layer0 / 4, 1e-9);
  EXPECT_NEAR(*energies.Residual(1), 16 + 8 + layer0 / 4 + 8 + layer1 / 4, 1e-9);
  EXPECT_NEAR(energies.ShareOf(0), layer0 / 84, 1e-9);
  EXPECT_NEAR(*energies.ShareOfAttention(0), 8 / 84.0, 1e-12);
  EXPECT_FALSE(energies.ShareOfMlp(0).has_value());
  EXPECT_FALSE(energies.OfShared(0).has_value());
  EXPECT_FALSE(energies.Residual(9).has_value());
}

TEST_F(EnergiesTest, OfExpertsThatNoTokenReachedAreGuessedOnTheScaleOfTheOthers) {
  MatrixNumbers& unseen = Down(1, 2);
  unseen.never_routed = true;
  unseen.energy.reset();
  unseen.token_share = 0;
  const Energies energies(model_, errors_);
  EXPECT_EQ(energies.replaced(), 1u);
  // The others': (200 * 0.1 + 210 * 0.2 + 230 * 0.4) * 2 = 308 where guesses, evenly, are
  // (20 + 21 + 23) / 4 * 2 = 32; the guess of expert 2 is 22 / 4 * 2 = 11.
  EXPECT_NEAR(*energies.OfExpert(1, 2), 11 * 308.0 / 32, 1e-9);
}

TEST_F(EnergiesTest, OfALayerThatTheCalibrationLacksAreGuessedOnTheScaleOfAll) {
  double seen = 0, guesses = 0;
  for (const int layer : {0, 1}) {
    for (const int expert : {0, 1, 2, 3}) {
      const double energy = 100 * (layer + 1) + 10 * expert;
      seen += energy * 0.1 * (expert + 1) * 2;
      guesses += energy / 10 / 4 * 2;
    }
  }
  for (const int expert : {0, 1, 2, 3}) Down(2, expert).energy.reset();
  const Energies energies(model_, errors_);
  EXPECT_EQ(energies.replaced(), 4u);
  EXPECT_NEAR(*energies.OfExpert(2, 3), 33.0 / 4 * 2 * seen / guesses, 1e-9);
}

TEST_F(EnergiesTest, WithoutACalibrationAreTheGuessesAndEvenUse) {
  errors_.has_energies = false;
  EXPECT_DOUBLE_EQ(*Energies(model_, errors_).OfExpert(2, 1), 31.0 * 0.2 * 2);  // --usage counts
  for (auto& [id, numbers] : errors_.matrices) numbers.token_share.reset();
  const Energies energies(model_, errors_);
  EXPECT_FALSE(energies.measured());
  EXPECT_DOUBLE_EQ(*energies.OfExpert(2, 1), 31.0 / 4 * 2);
  EXPECT_NEAR(*energies.Residual(0), 16 + (10 + 11 + 12 + 13) / 4.0 * 2 / 4, 1e-9);
}

/// A dense first layer, whose MLP has 88 hidden values, before those of experts.
TEST(EnergiesOfDenseLayers, AreGuessedFromTheMeansOfGateUpAndDown) {
  const Model model = Zoo("hf4_deepseek_v3");
  RunErrors errors;
  const std::string at = "model.layers.0.mlp.";
  errors.matrices[{at + "gate_proj", -1, -1}].guessed_energy = 88 * 1e-9;
  errors.matrices[{at + "up_proj", -1, -1}].guessed_energy = 88 * 3.0;
  errors.matrices[{at + "down_proj", -1, -1}].rms = 10;
  errors.matrices[{"model.embed_tokens", -1, -1}].rms = 0.5;  // 64 columns: 16
  const Energies energies(model, errors);
  // silu(g) is g / 2 for small g: E[silu(g)^2] = 1e-9 / 4; times 3, times 100 * 64 * 88.
  const double mlp = 1e-9 / 4 * 3 * 100 * 64 * 88;
  EXPECT_NEAR(*energies.Residual(0), 16 + mlp, 1e-9);
  EXPECT_NEAR(*energies.ShareOfMlp(0) / (mlp / (16 + mlp)), 1, 1e-6);
  EXPECT_FALSE(energies.ShareOfAttention(0).has_value());
  EXPECT_THAT(energies.notes(), testing::Not(testing::Contains(testing::HasSubstr("taken as"))));
}

TEST(EnergiesOfDenseLayers, ThatAreNotKnownAreTold) {
  const Model model = Zoo("hf4_deepseek_v3");
  RunErrors errors;
  for (const char* weight : {"mlp.down_proj", "self_attn.o_proj"}) {
    errors.matrices[{std::string("model.layers.0.") + weight, -1, -1}].rms = 1;
  }
  const Energies energies(model, errors);
  EXPECT_FALSE(energies.ShareOfMlp(0).has_value());
  EXPECT_THAT(
      energies.notes(),
      testing::Contains(testing::HasSubstr("How much 2 of 2 weights outside the experts add")));
}

TEST(FingerprintOf, TellsModelsApartAndNotTheirFiles) {
  const std::string whole = FingerprintOf(Zoo("hf4_qwen3_moe"));
  EXPECT_EQ(whole.size(), std::string("headers:").size() + 16);
  EXPECT_EQ(whole, FingerprintOf(Zoo("hf4_qwen3_moe")));
  EXPECT_NE(whole, FingerprintOf(Zoo("hf4_qwen3_moe_sharded")));
  EXPECT_NE(whole, FingerprintOf(Zoo("hf4_olmoe")));
}

}  // namespace
}  // namespace moe

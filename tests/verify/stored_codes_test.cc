#include "verify/stored_codes.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "moescope/model.h"

namespace moe {
namespace {

/// The storage of each expert's weight in a checkpoint of the zoo, and its scheme.
std::vector<std::pair<std::string, std::optional<QuantScheme>>> SchemesOf(const char* folder) {
  const auto model = Model::Open((TestData() / "zoo" / folder).string());
  EXPECT_TRUE(model.has_value());
  std::vector<std::pair<std::string, std::optional<QuantScheme>>> schemes;
  for (uint64_t i = 0; i < model->matrices(); ++i) {
    const Weight& weight = model->matrix(i).weight();
    schemes.emplace_back(weight.storage, MlxSchemeOf(weight));
  }
  return schemes;
}

TEST(MlxSchemeOf, TellsWhatMlxsEncodersMakeFromWhatOthersDo) {
  for (const auto& [storage, scheme] : SchemesOf("mlx_olmoe_mixed_3_4")) {
    ASSERT_TRUE(scheme) << storage;
    EXPECT_EQ(scheme->mode, "affine");
    EXPECT_EQ(storage, "affine_q" + std::to_string(scheme->bits) + "_g" +
                           std::to_string(scheme->group_size));
  }
  for (const auto& [storage, scheme] : SchemesOf("mlx_qwen2_moe_mxfp4")) {
    ASSERT_TRUE(scheme) << storage;
    EXPECT_EQ(scheme->mode, "mxfp4");
    EXPECT_EQ(scheme->group_size, 32);
  }
  for (const char* others : {"mlx_olmoe_nvfp4_global_scale", "gpt_oss_mxfp4", "ct_mxfp4_qwen3_moe",
                             "gguf_gpt_oss_mxfp4", "hf4_olmoe"}) {
    for (const auto& [storage, scheme] : SchemesOf(others)) EXPECT_FALSE(scheme) << others;
  }
}

TEST(ScaleDTypeOf, IsThatOfTheTensorWhateverTheConfigSays) {
  const auto model = Model::Open((TestData() / "zoo/mlx_olmoe_q5_g64_f16").string());
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(ScaleDTypeOf(model->matrix(0).weight()), ComputeDType::kF16);
  const auto bytes = Model::Open((TestData() / "zoo/mlx_qwen2_moe_mxfp4").string());
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(ScaleDTypeOf(bytes->matrix(0).weight()), std::nullopt);
}

}  // namespace
}  // namespace moe

#include "verify/check_pair.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/temp_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "measure/quantizer.h"

namespace moe {
namespace {

constexpr uint64_t kExperts = 3, kRows = 16, kCols = 64;

/// Weights that lie in the middle between values of FP4, where MLX's CPU and GPU round differently.
std::vector<float> Weights() {
  constexpr float kMiddles[] = {0.25f, -0.75f, 1.25f, -1.75f, 2.5f, -3.5f, 5.0f, 6.0f};
  std::vector<float> weights;
  for (size_t i = 0; i < kExperts * kRows * kCols; ++i) {
    weights.push_back(kMiddles[(i * 5 + i / 7) % std::size(kMiddles)]);
  }
  for (size_t i = 0; i < weights.size(); i += 32) weights[i] = 6.0f;  // the scale is 1
  return weights;
}

template <class T>
std::string Bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A checkpoint of one stack under MLX's names, whose tensors have these bytes.
std::string Checkpoint(const TempFolder& folder, const std::string& name,
                       const std::vector<PlannedTensor>& tensors,
                       const std::vector<std::string>& bytes) {
  std::string file = PlanSafetensors(tensors).front().header;
  for (const std::string& tensor : bytes) file += tensor;
  return folder.Write(name + "/model.safetensors", file).parent_path().string();
}

constexpr const char* kStack = "model.layers.0.mlp.switch_mlp.up_proj";

/// A checkpoint of the weights, and one that MLX makes of them.
class CheckPairTest : public testing::Test {
 protected:
  std::string Original() const {
    return Checkpoint(folder_, "original",
                      {{std::string(kStack) + ".weight", DType::kF32, {kExperts, kRows, kCols}}},
                      {Bytes(Weights())});
  }

  std::string Quantized(QuantProfile profile) const {
    const auto quantizer =
        MakeQuantizer({"", "mxfp4", 4, 32}, profile, ComputeDType::kF32, kExperts * kRows, kCols);
    EXPECT_TRUE(quantizer.has_value());
    const std::vector<float> weights = Weights();
    const size_t groups = weights.size() / 32;
    std::vector<std::byte> codes(groups * 16), scales(groups);
    EncodeGroups(*quantizer, weights.data(), groups, {codes.data(), scales.data(), nullptr});
    const std::string stack = kStack;
    return Checkpoint(folder_, std::string(ProfileName(profile)),
                      {{stack + ".weight", DType::kU32, {kExperts, kRows, kCols / 8}},
                       {stack + ".scales", DType::kU8, {kExperts, kRows, kCols / 32}}},
                      {Bytes(codes), Bytes(scales)});
  }

  TempFolder folder_;
};

TEST_F(CheckPairTest, TheEncoderThatMadeAFileIsFoundAndAttestsIt) {
  const auto original = Model::Open(Original());
  ASSERT_TRUE(original.has_value()) << original.error().Text();
  for (const QuantProfile profile : {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu}) {
    const auto quantized = Model::Open(Quantized(profile));
    ASSERT_TRUE(quantized.has_value()) << quantized.error().Text();
    const ModelPairs pairs = PairModels(*original, *quantized);
    ASSERT_EQ(pairs.pairs.size(), kExperts);
    const auto encodings = FindEncodings(pairs.pairs);
    ASSERT_TRUE(encodings.has_value());
    EXPECT_EQ(encodings->at("mxfp4").profile, profile);
    PairReader reader(pairs.pairs);
    for (const WeightPair& pair : pairs.pairs) {
      const auto opened = reader.Open(pair);
      ASSERT_TRUE(opened.has_value());
      EXPECT_TRUE(CheckPair(pair, *opened, *encodings, 1)->attested());
      Encodings other = *encodings;
      other["mxfp4"].profile =
          profile == QuantProfile::kMlxCpu ? QuantProfile::kMlxGpu : QuantProfile::kMlxCpu;
      const auto check = CheckPair(pair, *opened, other, 1);
      EXPECT_FALSE(check->attested());
      EXPECT_EQ(check->codes->scales, 0u);
      EXPECT_GT(check->codes->codes, 0u);
      EXPECT_TRUE(check->within());  // no larger error
    }
  }
}

}  // namespace
}  // namespace moe

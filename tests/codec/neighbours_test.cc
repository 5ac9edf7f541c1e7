// Experts of one layer whose companions differ though their payloads do not.
#include "codec/neighbours.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "codec/codecs.h"
#include "codec/memory_file.h"

namespace moe {
namespace {

using testing::HasSubstr;

/// FP8 experts of a layer, each with a scale of so many rows.
void AddExperts(MemoryFile& file, const std::string& stem, const std::vector<uint64_t>& rows) {
  for (size_t e = 0; e < rows.size(); ++e) {
    const std::string name = fmt::format("{}.{}.up_proj.weight", stem, e);
    file.Add(name, DType::kF8E4M3, {4, 2}, std::vector<uint8_t>(8));
    file.Add(name + "_scale", DType::kF32, {rows[e], 1}, std::vector<float>(rows[e]));
  }
}

/// The names of the payloads that are odd, and the last reason.
std::vector<std::string> OddOnes(const MemoryFile& file, std::string& reason) {
  TensorIndex tensors;
  tensors.Add(file);
  std::vector<Weight> weights;
  Neighbours neighbours;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    auto found = FindWeight({&file, i}, tensors, QuantConfig());
    if (!found || !*found) continue;
    neighbours.Add(**found);
    weights.push_back(std::move(**found));
  }
  std::vector<std::string> odd;
  for (const Weight& weight : weights) {
    const auto oddity = neighbours.OddityOf(weight);
    if (!oddity) continue;
    odd.push_back(weight.name);
    reason = oddity->reason;
  }
  return odd;
}

using Names = std::vector<std::string>;

TEST(Neighbours, TheOneWithOtherScalesIsOdd) {
  MemoryFile file;
  AddExperts(file, "layers.0.experts", {4, 1, 4, 4});
  AddExperts(file, "layers.1.experts", {1, 1, 1});
  std::string reason;
  EXPECT_EQ(OddOnes(file, reason), Names{"layers.0.experts.1.up_proj.weight"});
  EXPECT_THAT(reason, HasSubstr(".weight_scale [4, 1] float32 as 3 of 4 neighbours"));
  EXPECT_THAT(reason, HasSubstr("such as layers.0.experts.0.up_proj.weight"));
  EXPECT_THAT(reason, HasSubstr("found .weight_scale [1, 1] float32"));
}

TEST(Neighbours, APlainOneAmongQuantizedOnesIsOdd) {
  MemoryFile file;
  AddExperts(file, "layers.0.experts", {4, 4});
  AddExperts(file, "layers.1.experts", {4});
  for (const char* plain : {"layers.0.experts.2", "layers.1.experts.1", "layers.2.experts.0"}) {
    file.Add(fmt::format("{}.up_proj.weight", plain), DType::kBF16, {4, 2},
             std::vector<uint16_t>(8));
  }
  std::string reason;
  EXPECT_EQ(OddOnes(file, reason), Names{"layers.0.experts.2.up_proj.weight"});
  EXPECT_THAT(reason, HasSubstr("[4, 2] bfloat16 needs codes and scales as 2 of 3 neighbours"));
  EXPECT_THAT(reason, HasSubstr("such as layers.0.experts.0.up_proj.weight), found plain floats"));
}

TEST(Neighbours, WithoutAMajorityNoneIsOdd) {
  MemoryFile file;
  AddExperts(file, "layers.0.experts", {4, 1});
  AddExperts(file, "layers.1.experts", {4, 1, 4, 1});
  std::string reason;
  EXPECT_EQ(OddOnes(file, reason), Names{});
}

TEST(Neighbours, LayersMayDiffer) {
  MemoryFile file;
  AddExperts(file, "layers", {4, 1, 4, 4});  // one number in each name: a layer's
  AddExperts(file, "layers.0.experts", {4, 4, 4});
  AddExperts(file, "layers.1.experts", {1, 1, 1});
  std::string reason;
  EXPECT_EQ(OddOnes(file, reason), Names{});
}

TEST(Neighbours, OneWithAGIdxThatNoOtherHasIsOdd) {
  MemoryFile file;
  for (int e = 0; e < 3; ++e) {
    const std::string stem = fmt::format("layers.0.experts.{}.up", e);
    file.Add(stem + ".qweight", DType::kI32, {4, 32}, std::vector<int32_t>(128));
    file.Add(stem + ".qzeros", DType::kI32, {1, 4}, std::vector<int32_t>(4));
    file.Add(stem + ".scales", DType::kF16, {1, 32}, std::vector<uint16_t>(32));
    if (e == 0) file.Add(stem + ".g_idx", DType::kI32, {32}, std::vector<int32_t>(32));
  }
  std::string reason;
  EXPECT_EQ(OddOnes(file, reason), Names{"layers.0.experts.0.up.weight"});
  EXPECT_THAT(reason,
              HasSubstr("found .qzeros [1, 4] int32, .scales [1, 32] float16, .g_idx [32]"));
}

}  // namespace
}  // namespace moe

#include "model/double_claims.h"

#include <gmock/gmock.h>

#include "codec/companions.h"
#include "experts/model_facts.h"

namespace moe {
namespace {

using testing::HasSubstr;

struct Tensor {
  std::string name;
  std::vector<uint64_t> shape;
};

std::map<size_t, std::string> Refusals(const std::vector<Tensor>& tensors) {
  ExtractOptions options = DefaultExtractOptions();
  options.model =
      FactsOfConfig(R"({"hidden_size":256,"moe_intermediate_size":64,"num_experts":4})");
  const auto extractor = Extractor::Create(options);
  DoubleClaims claims;
  for (size_t i = 0; i < tensors.size(); ++i) {
    // Packed weights are known to the extractor as what they unpack to.
    const std::string name = std::string(ModuleOf(tensors[i].name)) + ".weight";
    claims.Add(i, tensors[i].name, *extractor->Extract({name, tensors[i].shape, "", ""}));
  }
  return claims.Refusals();
}

std::set<size_t> Refused(const std::vector<Tensor>& tensors) {
  std::set<size_t> numbers;
  for (const auto& [number, reason] : Refusals(tensors)) numbers.insert(number);
  return numbers;
}

const std::string kExpert = "model.layers.0.mlp.experts.1.down_proj";

TEST(DoubleClaims, BothTensorsOfOneMatrixAreRefusedAndNamed) {
  const auto refusals =
      Refusals({{kExpert + ".weight", {64, 128}}, {kExpert + ".qweight", {64, 128}}});
  ASSERT_EQ(refusals.size(), 2u);
  EXPECT_EQ(refusals.at(0), "two tensors hold layer 0, down_proj of expert 1: " + kExpert +
                                ".weight and " + kExpert + ".qweight");
  EXPECT_THAT(refusals.at(1), HasSubstr(kExpert + ".qweight and " + kExpert + ".weight"));
}

TEST(DoubleClaims, AStackHoldsTheExpertsLeftOverOfIt) {
  EXPECT_EQ(Refused({{"model.layers.0.mlp.experts.gate_up_proj.weight", {4, 128, 256}},
                     {"model.layers.0.mlp.experts.1.up_proj.weight", {64, 256}},
                     {"model.layers.0.mlp.experts.3.gate_proj.weight", {64, 256}},
                     {"model.layers.0.mlp.experts.4.gate_proj.weight", {64, 256}},
                     {"model.layers.1.mlp.experts.1.up_proj.weight", {64, 256}}}),
            (std::set<size_t>{0, 1, 2}));
}

TEST(DoubleClaims, OfTwoPrefixes) {
  EXPECT_EQ(Refused({{kExpert + ".weight", {64, 128}},
                     {"language_model." + kExpert + ".weight", {64, 128}}}),
            (std::set<size_t>{0, 1}));
}

TEST(DoubleClaims, SharedExpertsOfOneTensorOrOfTheirOwnModulesAreNoDoubles) {
  EXPECT_EQ(Refused({{"model.layers.0.mlp.shared_experts.up_proj.weight", {2, 64, 128}},
                     {"model.layers.1.mlp.shared_experts.0.up_proj.weight", {64, 128}},
                     {"model.layers.1.mlp.shared_experts.1.up_proj.weight", {64, 128}}}),
            std::set<size_t>());
  EXPECT_EQ(Refused({{"model.layers.0.mlp.shared_expert.up_proj.weight", {64, 128}},
                     {"model.layers.0.mlp.shared_expert.up_proj.qweight", {64, 128}}}),
            (std::set<size_t>{0, 1}));
}

TEST(DoubleClaims, UnknownLayersAreNotCompared) {
  EXPECT_EQ(Refused({{"a.experts.1.down_proj.weight", {64, 128}},
                     {"b.experts.1.down_proj.weight", {64, 128}}}),
            std::set<size_t>());
}

}  // namespace
}  // namespace moe

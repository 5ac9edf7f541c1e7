#include "insight/rest_of_model.h"

#include <gmock/gmock.h>

#include "base/temp_folder.h"

namespace moe {
namespace {

using testing::ElementsAre;

constexpr char kStats[] = R"(module,role,layer,rows,cols,storage_bits_per_weight
lm_head,embedding,-1,100,8,16.0
l.0.q,attention,0,4,8,16.0
l.0.k,attention,0,2,8,8.0
l.1.q,attention,1,4,8,16.0
)";
constexpr char kQuant[] = R"(module,role,layer,scheme,w_rel_fro
lm_head,embedding,-1,q4,0.5
lm_head,embedding,-1,q8,0.25
l.0.q,attention,0,q4,0.1
l.0.q,attention,0,q8,
l.0.k,attention,0,q4,0.4
l.0.k,attention,0,q8,
l.1.q,attention,1,q4,0.2
l.1.q,attention,1,q8,0.01
)";

TEST(RestOfModel, IsSummedUpByRoleAndTheLayersOfAttention) {
  const TempFolder folder;
  folder.Write("data/dense_stats.csv", kStats);
  folder.Write("data/dense_quant_sim.csv", kQuant);
  moe::Run run(folder.path());
  const auto read = ReadRestOfModel(run);
  ASSERT_TRUE(read.has_value()) << read.error().Text();
  ASSERT_TRUE(read->has_value());
  const RestOfModel& rest = **read;
  EXPECT_THAT(rest.schemes, ElementsAre("q4", "q8"));
  ASSERT_EQ(rest.roles.size(), 2u);
  EXPECT_EQ(rest.roles[0].role, "embedding");  // most weights
  const DenseGroup& attention = rest.roles[1];
  EXPECT_EQ(attention.matrices, 3u);
  EXPECT_EQ(attention.weights, 80u);
  EXPECT_EQ(attention.bytes, 64 * 2 + 16 * 1);
  EXPECT_EQ(attention.schemes[0].median, 0.2);
  EXPECT_EQ(attention.schemes[0].worst, 0.4);
  EXPECT_EQ(attention.schemes[0].worst_module, "l.0.k");
  EXPECT_EQ(attention.schemes[1].failed, 2u);
  EXPECT_EQ(attention.schemes[1].worst, 0.01);
  ASSERT_EQ(rest.attention.size(), 2u);
  EXPECT_EQ(rest.attention[0].layer, 0);
  EXPECT_EQ(rest.attention[0].matrices, 2u);
  EXPECT_EQ(rest.attention[0].schemes[0].worst, 0.4);
  EXPECT_EQ(rest.attention[0].schemes[1].worst, std::nullopt);
}

TEST(RestOfModel, IsNothingWhereItWasNotMeasured) {
  const TempFolder folder;
  moe::Run run(folder.path());
  const auto read = ReadRestOfModel(run);
  ASSERT_TRUE(read.has_value());
  EXPECT_FALSE(read->has_value());
}

}  // namespace
}  // namespace moe

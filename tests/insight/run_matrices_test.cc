#include "insight/run_matrices.h"

#include <gmock/gmock.h>

#include <cmath>

#include "insight/run_fixture.h"

namespace moe {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsNan;

// Tables as the Python pipeline's first version has them, but for the columns that nothing here
// needs.
constexpr char kStats[] =
    "file,derived_tensor,layer,block4,proj,expert_id,is_shared_expert,rows,cols,dtype,rms\n"
    "/m/b,L1E0::up,1,0,up,0,False,8,32,float16,0.5\n"
    "/m/a,L0E1::up,0,0,up,1,False,8,32,float16,0.2\n"
    "/m/a,L0E0::up,0,0,up,0,False,8,32,float16,0.1\n"
    "/m/a,L0S::up,0,0,up,-1,True,16,32,float16,0.9\n"
    "/m/a,L0E0::down,0,0,down,0,False,32,8,float16,0.3\n";
constexpr char kQuantHead[] =
    "file,derived_tensor,layer,expert_id,scheme,mode,bits,group_size,w_rel_fro,error\n";

std::vector<std::string> LabelsOf(const auto& list) {
  std::vector<std::string> labels;
  for (const auto& entry : list) labels.push_back(entry.Label());
  return labels;
}

TEST(RunMatrices, AreSortedByProjectionLayerAndExpertWithSharedExpertsLast) {
  const auto run = ReadRun(kStats, kQuantHead);
  ASSERT_TRUE(run) << run.error().Text();
  EXPECT_THAT(run->names, ElementsAre("L0E0::down", "L0E0::up", "L0E1::up", "L0S::up", "L1E0::up"));
  EXPECT_THAT(run->projs, ElementsAre("down", "up"));
  EXPECT_THAT(LabelsOf(run->layers), ElementsAre("0", "1"));
  EXPECT_THAT(LabelsOf(run->slots), ElementsAre("0", "1", "shared"));
  EXPECT_EQ(run->slots[run->places[3].slot].Label(), "shared");
  EXPECT_EQ(run->shapes[run->places[3].shape], std::pair(int64_t{16}, int64_t{32}));
  EXPECT_EQ(run->files[run->places[4].file], "/m/b");
  ASSERT_NE(run->Find("rms"), nullptr);
  EXPECT_THAT(run->Find("rms")->values, ElementsAre(ElementsAre(0.3, 0.1, 0.2, 0.9, 0.5)));
  EXPECT_EQ(run->Find("rms")->column.unit, "weights");  // as matrix_stats declares it
}

TEST(RunMatrices, OnlyNumbersThatMeasureAreMetrics) {
  const auto run = ReadRun(kStats, kQuantHead);
  ASSERT_TRUE(run);
  ASSERT_EQ(run->metrics.size(), 1u);  // not layer, block4, expert_id, rows, cols
  EXPECT_EQ(run->metrics[0].column.name, "rms");
}

TEST(RunMatrices, FindTheirRowsOfQuantSim) {
  const auto run =
      ReadRun(kStats, std::string(kQuantHead) +
                          "/m/b,L1E0::up,1,0,q8,affine,8,32,0.01,\n"
                          "/m/a,L0S::up,0,-1,q4,affine,4,32,0.08,\n"
                          "/m/a,L0E0::down,0,0,q4,affine,4,32,,ValueError: no\n"
                          "/m/a,L0E0::up,0,1,q4,affine,4,32,0.07,\n");  // no such expert
  ASSERT_TRUE(run) << run.error().Text();
  ASSERT_EQ(run->schemes.size(), 2u);
  EXPECT_EQ(run->schemes[0].name, "q8");
  EXPECT_EQ(run->schemes[1].bits, 4);
  const MatrixMetric* error = run->Find("w_rel_fro");
  ASSERT_NE(error, nullptr);
  EXPECT_TRUE(error->of_quant);
  EXPECT_THAT(error->values[0], ElementsAre(IsNan(), IsNan(), IsNan(), IsNan(), 0.01));
  EXPECT_THAT(error->values[1], ElementsAre(IsNan(), IsNan(), IsNan(), 0.08, IsNan()));
  EXPECT_EQ(run->orphans, 1u);
  ASSERT_EQ(run->failures.size(), 1u);
  EXPECT_EQ(run->failures[0].scheme, 1u);
  EXPECT_EQ(run->failures[0].error, "ValueError: no");
}

// Contract D24 with 16-bit scales: affine b + 32 / g, mx b + 0.25, nvfp4 4.5.
TEST(RunMatrices, BitsPerWeightFollowFromTheSchemeWhereTheTableHasNone) {
  const auto run = ReadRun(kStats, std::string(kQuantHead) +
                                       "/m/b,L1E0::up,1,0,a,affine,4,64,0.1,\n"
                                       "/m/b,L1E0::up,1,0,m,mxfp8,8,32,0.1,\n"
                                       "/m/b,L1E0::up,1,0,n,nvfp4,4,16,0.1,\n"
                                       "/m/b,L1E0::up,1,0,x,symmetric,4,32,0.1,\n");
  ASSERT_TRUE(run);
  const MatrixMetric* bits = run->Find("bits_per_weight");
  ASSERT_NE(bits, nullptr);
  const std::vector<double> expected = {4.5, 8.25, 4.5};
  for (size_t scheme = 0; scheme < expected.size(); ++scheme) {
    EXPECT_THAT(bits->values[scheme][4], DoubleEq(expected[scheme]));
    EXPECT_THAT(bits->values[scheme][0], IsNan());  // not simulated
  }
  EXPECT_THAT(bits->values[3][4], IsNan());
}

TEST(RunMatrices, StacksSharedExpertsAndUnknownLayersKeepApart) {
  const auto run = ReadRun(
      "file,derived_tensor,layer,proj,expert_id,is_shared_expert,rows,cols,storage,"
      "storage_bits_per_weight,stack,rms\n"
      "f,a,0,up,0,False,8,32,bfloat16,16.0,,1.0\n"
      "f,b,0,up,0,False,8,32,mxfp4,4.25,mtp,2.0\n"
      "f,c,-1,up,0,False,8,32,bfloat16,16.0,,3.0\n"
      "f,d[0],0,up,-1,True,8,32,bfloat16,16.0,,4.0\n"
      "f,d[1],0,up,-1,True,8,32,bfloat16,16.0,,5.0\n",
      kQuantHead);
  ASSERT_TRUE(run) << run.error().Text();
  EXPECT_THAT(LabelsOf(run->layers), ElementsAre("?", "0", "mtp 0"));
  EXPECT_THAT(LabelsOf(run->slots), ElementsAre("0", "shared", "shared 2"));
  EXPECT_THAT(run->names, ElementsAre("c", "a", "d[0]", "d[1]", "b"));
  ASSERT_EQ(run->storages.size(), 2u);
  EXPECT_EQ(run->storages[run->places[4].storage].name, "mxfp4");
  EXPECT_EQ(run->storages[run->places[4].storage].bits, 4.25);
}

// MIXED dtypes give one scheme two compute dtypes.
TEST(RunMatrices, TextsOfASchemeThatDifferAreJoined) {
  const auto run =
      ReadRun(kStats,
              "file,derived_tensor,layer,expert_id,scheme,mode,bits,group_size,w_rel_fro,"
              "compute_dtype,requantized\n"
              "/m/b,L1E0::up,1,0,q,affine,8,32,0.01,bf16,False\n"
              "/m/a,L0E0::up,0,0,q,affine,8,32,0.01,fp32,True\n"
              "/m/a,L0E1::up,0,1,q,affine,8,32,0.01,bf16,False\n");
  ASSERT_TRUE(run) << run.error().Text();
  EXPECT_EQ(run->schemes[0].compute_dtype, "bf16, fp32");
  EXPECT_TRUE(run->schemes[0].requantized);
}

TEST(RunMatrices, TwoRowsOfOneMatrixAndSchemeAreRefused) {
  const std::string row = "/m/b,L1E0::up,1,0,q8,affine,8,32,0.01,\n";
  const auto run = ReadRun(kStats, kQuantHead + row + row);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(run.error().Text(), HasSubstr("two rows of scheme 'q8' for matrix 'L1E0::up'"));
}

TEST(RunMatrices, ARunWithoutExpertsOrSimulationIsEmptyNotAnError) {
  const auto run =
      ReadRun("file,derived_tensor,layer,proj,expert_id,is_shared_expert,rows,cols,dtype,rms\n",
              kQuantHead);
  ASSERT_TRUE(run) << run.error().Text();
  EXPECT_EQ(run->size(), 0u);
  EXPECT_TRUE(run->schemes.empty());
}

}  // namespace
}  // namespace moe

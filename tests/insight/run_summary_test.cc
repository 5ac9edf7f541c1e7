#include "insight/run_summary.h"

#include <gmock/gmock.h>

#include "insight/run_fixture.h"

namespace moe {
namespace {

constexpr const char* kStats =
    "file,derived_tensor,layer,proj,expert_id,is_shared_expert,rows,cols,dtype,"
    "storage_bits_per_weight,rms\n";
constexpr const char* kQuant =
    "file,derived_tensor,layer,expert_id,scheme,mode,bits,group_size,w_rel_fro,error,bits_per_"
    "weight\n";

RunMatrices Matrices(const std::string& stats, const std::string& quant) {
  auto run = ReadRun(kStats + stats, kQuant + quant);
  EXPECT_TRUE(run) << run.error().Text();
  return std::move(*run);
}

// Three matrices of 256, 256 and 512 weights.
constexpr const char* kThree =
    "f,a,0,up,0,False,8,32,bfloat16,16,1\n"
    "f,b,0,up,1,False,8,32,bfloat16,16,1\n"
    "f,c,1,up,0,False,16,32,q4,4.5,1\n";

TEST(RunSummary, WeighsEachMatrixByItsWeights) {
  const RunMatrices run = Matrices(kThree,
                                   "f,a,0,0,q8,affine,8,32,0.01,,9\n"
                                   "f,b,0,1,q8,affine,8,32,0.03,,9\n"
                                   "f,c,1,0,q8,affine,8,32,0.02,,9\n"
                                   "f,a,0,0,q4,affine,4,32,0.1,,5\n"
                                   "f,b,0,1,q4,affine,4,32,0.2,,5\n"
                                   "f,c,1,0,q4,affine,4,32,0.5,,4\n");
  const RunSummary summary = Summarize(run);
  EXPECT_EQ(summary.weights, 1024u);
  EXPECT_DOUBLE_EQ(summary.bits_per_weight.value(), (16 + 4.5) / 2);
  EXPECT_EQ(summary.bytes, 1024u + 288u);
  ASSERT_EQ(summary.schemes.size(), 2u);
  const SchemeSummary &q4 = summary.schemes[0], &q8 = summary.schemes[1];  // fewest bits first
  EXPECT_EQ(q4.name, "q4");
  EXPECT_DOUBLE_EQ(q4.bits_per_weight.value(), 4.5);
  EXPECT_EQ(q4.bytes, 576u);
  EXPECT_EQ(q4.median_error, 0.2);
  EXPECT_EQ(q4.worst_error, 0.5);
  EXPECT_EQ(run.ExpertText(q4.worst.value()), "Layer 1, expert 0");
  EXPECT_EQ(q4.failed, 0u);
  EXPECT_EQ(q8.bytes, 1152u);
  EXPECT_EQ(q8.worst_error, 0.03);
  EXPECT_EQ(run.ExpertText(q8.worst.value()), "Layer 0, expert 1");
}

TEST(RunSummary, WhatFailedIsCountedAndStaysAsStored) {
  const RunMatrices run = Matrices(kThree,
                                   "f,a,0,0,q4,affine,4,32,0.1,,5\n"
                                   "f,b,0,1,q4,affine,4,32,,ValueError: 1 non-finite weights,\n"
                                   "f,c,1,0,q4,affine,4,32,0.3,,5\n"
                                   "f,a,0,0,odd,odd,4,7,,ValueError: no such mode,\n"
                                   "f,b,0,1,odd,odd,4,7,,ValueError: no such mode,\n"
                                   "f,c,1,0,odd,odd,4,7,,ValueError: no such mode,\n");
  const RunSummary summary = Summarize(run);
  ASSERT_EQ(summary.schemes.size(), 2u);
  EXPECT_EQ(summary.schemes[0].bytes, (256 + 512) * 5 / 8 + 256 * 16 / 8);
  EXPECT_EQ(summary.schemes[0].bits_per_weight, 5);
  EXPECT_EQ(summary.schemes[0].failed, 1u);
  EXPECT_EQ(summary.schemes[0].median_error, 0.2);
  const SchemeSummary& odd = summary.schemes[1];
  EXPECT_EQ(odd.failed, 3u);
  EXPECT_FALSE(odd.bits_per_weight || odd.bytes || odd.median_error || odd.worst_error ||
               odd.worst);
}

TEST(RunSummary, StorageThatIsNotToldIsUnknown) {
  const RunSummary summary =
      Summarize(Matrices("f,a,0,up,0,False,8,32,bfloat16,16,1\n"
                         "f,b,0,up,1,False,8,32,bfloat16,,1\n",
                         "f,a,0,0,q4,affine,4,32,0.1,,5\n"
                         "f,b,0,1,q4,affine,4,32,,ValueError: odd,\n"));
  EXPECT_EQ(summary.weights, 512u);
  EXPECT_FALSE(summary.bits_per_weight || summary.bytes);
  ASSERT_EQ(summary.schemes.size(), 1u);
  EXPECT_EQ(summary.schemes[0].bits_per_weight, 5);
  EXPECT_FALSE(summary.schemes[0].bytes);
}

TEST(RunSummary, OfNoMatricesThereIsNothing) {
  const RunSummary summary = Summarize(Matrices("", ""));
  EXPECT_EQ(summary.weights, 0u);
  EXPECT_FALSE(summary.bits_per_weight || summary.bytes);
}

}  // namespace
}  // namespace moe

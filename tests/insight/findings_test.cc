#include "insight/findings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "insight/run_fixture.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// 8 layers of 8 experts whose numbers differ by some percent in no simple pattern; a test changes
// what it wants to be odd.
struct Cell {
  std::string proj;
  int layer, expert;
  double rms, max_abs, p50, p999, nonfinite = 0, error = 0.08, zero_share = 0.01;
};

double Wobble(int layer, int expert) { return 1 + 0.01 * ((layer * 5 + expert * 3) % 7); }

Findings FindIn(const std::function<void(Cell&)>& change, size_t most = 12,
                const std::vector<std::string>& projs = {"up"}) {
  std::string stats =
      "file,derived_tensor,layer,proj,expert_id,is_shared_expert,rows,cols,dtype,mean,std,mean_abs,"
      "rms,max_abs,p50_abs,p999_abs,outlier_max_over_mean,nonfinite_count\n";
  std::string quant =
      "file,derived_tensor,layer,expert_id,scheme,mode,bits,group_size,w_rel_fro,error,zero_"
      "share\n";
  for (size_t i = 0; i < 64 * projs.size(); ++i) {
    const std::string& proj = projs[i / 64];
    const int layer = static_cast<int>(i / 8 % 8), expert = static_cast<int>(i % 8);
    const double rms = 0.02 * Wobble(layer, expert);
    // Some last digits that make every matrix different from all others.
    Cell cell{proj,    layer,      expert,    rms * (1 + 1e-6 * static_cast<double>(i)),
              5 * rms, 0.67 * rms, 3.29 * rms};
    cell.error *= Wobble(layer, expert);
    change(cell);
    stats += fmt::format(
        "f,L{0}E{1}{9},{0},{9},{1},False,8,32,bfloat16,0,{2},{3},{2},{4},{5},{6},{7},{8}\n", layer,
        expert, cell.rms, 0.8 * cell.rms, cell.max_abs, cell.p50, cell.p999,
        cell.rms > 0 ? cell.max_abs / (0.8 * cell.rms) : 0, cell.nonfinite, proj);
    quant += fmt::format("f,L{0}E{1}{4},{0},{1},q4,affine,4,32,{2},,{3}\n", layer, expert,
                         cell.error, cell.zero_share, proj);
  }
  const auto run = ReadRun(stats, quant);
  EXPECT_TRUE(run) << run.error().Text();
  return FindOddities(*run, most);
}

bool Is(const Cell& cell, int layer, int expert) {
  return cell.layer == layer && cell.expert == expert;
}

std::vector<Finding> OfKind(const Findings& findings, FindingKind kind) {
  std::vector<Finding> some;
  for (const Finding& one : findings.list) {
    if (one.kind == kind) some.push_back(one);
  }
  return some;
}

TEST(Findings, WeightsThatDifferALittleAreNotOdd) {
  EXPECT_THAT(FindIn([](Cell&) {}).list, IsEmpty());
}

TEST(Findings, ADeadExpertIsNamedAndIsNoCopyOfAnother) {
  const Findings findings = FindIn([](Cell& cell) {
    if (Is(cell, 2, 5) || Is(cell, 3, 1))
      cell.rms = cell.max_abs = cell.p50 = cell.p999 = cell.error = 0;
  });
  ASSERT_EQ(findings.list.size(), 2u);
  EXPECT_EQ(findings.list[0].kind, FindingKind::kDead);
  EXPECT_EQ(findings.list[0].text, "Layer 2, expert 5: all weights of up are zero.");
  EXPECT_EQ(findings.list[0].layer, 2u);
  EXPECT_EQ(findings.list[0].slot, 5u);
  EXPECT_EQ(findings.list[0].metric, "rms");
}

TEST(Findings, AnExpertAThousandTimesSmallerIsTiny) {
  const Findings findings = FindIn([](Cell& cell) {
    if (!Is(cell, 4, 0)) return;
    for (double* value : {&cell.rms, &cell.max_abs, &cell.p50, &cell.p999}) *value /= 5000;
  });
  ASSERT_EQ(findings.list.size(), 1u);  // and not told as an outlier again
  EXPECT_EQ(findings.list[0].kind, FindingKind::kDead);
  EXPECT_THAT(findings.list[0].text, HasSubstr("Layer 4, expert 0: the weights of up are tiny"));
}

// Median of the layer's rms 0.0206 +- 2 %: the deviation is far below ln(3) / 6.
TEST(Findings, AnExpertOfThreeTimesTheSizeIsAnOutlier) {
  const Findings findings = FindIn([](Cell& cell) {
    if (!Is(cell, 6, 7)) return;
    for (double* value : {&cell.rms, &cell.max_abs, &cell.p50, &cell.p999}) *value *= 3;
  });
  ASSERT_EQ(findings.list.size(), 1u);
  EXPECT_EQ(findings.list[0].kind, FindingKind::kOutlierExpert);
  EXPECT_EQ(findings.list[0].metric, "rms");
  EXPECT_EQ(findings.list[0].layer, 6u);
  EXPECT_EQ(findings.list[0].slot, 7u);
  EXPECT_THAT(findings.list[0].text, HasSubstr("Layer 6, expert 7: the rms of up is 0.06"));
}

TEST(Findings, AnErrorFarAboveTheLayersNamesTheScheme) {
  const Findings findings = FindIn([](Cell& cell) {
    if (Is(cell, 0, 3)) cell.error *= 2;
  });
  ASSERT_EQ(findings.list.size(), 1u);
  EXPECT_EQ(findings.list[0].metric, "w_rel_fro");
  EXPECT_EQ(findings.list[0].scheme, 0u);
  EXPECT_THAT(findings.list[0].text, HasSubstr("relative error of up under q4 is 0.1"));
}

// 20 % above all others is far in deviations (they wobble by 6 % at most), but too little to
// matter.
TEST(Findings, ADifferenceThatHardlyMattersIsNotTold) {
  const Findings findings = FindIn(
      [](Cell& cell) { cell.error = Is(cell, 0, 3) ? 0.096 : 0.08 * (1 + 1e-5 * cell.expert); });
  EXPECT_THAT(findings.list, IsEmpty());
}

TEST(Findings, CopiesAreFoundAcrossLayers) {
  const Findings findings = FindIn([](Cell& cell) {
    if (Is(cell, 1, 2) || Is(cell, 5, 4)) cell.rms = 0.0201, cell.max_abs = 0.1;
  });
  const auto copies = OfKind(findings, FindingKind::kDuplicate);
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_THAT(copies[0].text, HasSubstr("up of layer 1 expert 2 and layer 5 expert 4"));
}

TEST(Findings, CopiesOfAWholeExpertAreToldOnce) {
  const auto copy = [](Cell& cell) {
    if (!Is(cell, 1, 2) && !Is(cell, 5, 4)) return;
    cell.rms = cell.proj == "up" ? 0.0201 : 0.0199;
    cell.max_abs = 0.1;
  };
  const auto copies = OfKind(FindIn(copy, 12, {"up", "down"}), FindingKind::kDuplicate);
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_THAT(copies[0].text, HasSubstr("down and up of layer 1 expert 2 and layer 5 expert 4"));
}

TEST(Findings, ATailHeavierThanLaplacesIsTold) {
  const Findings findings = FindIn([](Cell& cell) {
    if (Is(cell, 0, 0)) cell.p999 = 12 * cell.p50;
    if (Is(cell, 0, 1)) cell.p999 = 9 * cell.p50;  // Laplace's own is 9.97
  });
  const auto tails = OfKind(findings, FindingKind::kHeavyTail);
  ASSERT_EQ(tails.size(), 1u);
  EXPECT_THAT(tails[0].text,
              HasSubstr("Layer 0, expert 0: one weight in a thousand of up is over 12 times"));
}

TEST(Findings, TailsOfAnExpertAreToldByTheNumbersOfTheWorst) {
  const auto change = [](Cell& cell) {
    if (!Is(cell, 0, 0)) return;
    cell.p50 = 0.001;
    cell.p999 = cell.proj == "up" ? 0.02 : 0.015;
    cell.max_abs = cell.proj == "up" ? 0.05 : 0.09;
  };
  const auto tails = OfKind(FindIn(change, 12, {"up", "down"}), FindingKind::kHeavyTail);
  ASSERT_EQ(tails.size(), 1u);
  EXPECT_EQ(tails[0].text,
            "Layer 0, expert 0: one weight in a thousand of up is over 20 times the median weight "
            "(normal weights: 4.9), the largest 50 times; down too.");
}

// The first and last layers have neighbours on one side only: four there, not two, of which one may
// be odd.
TEST(Findings, AnOddLayerMakesNoOtherOdd) {
  for (const int odd : {1, 5, 6}) {
    const Findings findings = FindIn([odd](Cell& cell) {
      if (cell.layer != odd) return;
      for (double* value : {&cell.rms, &cell.max_abs, &cell.p50, &cell.p999}) *value *= 4;
    });
    ASSERT_EQ(findings.list.size(), 1u) << odd;
    EXPECT_EQ(findings.list[0].layer, static_cast<uint32_t>(odd));
  }
}

TEST(Findings, ALayerUnlikeItsNeighboursIsTold) {
  const Findings findings = FindIn([](Cell& cell) {
    if (cell.layer != 4) return;
    for (double* value : {&cell.rms, &cell.max_abs, &cell.p50, &cell.p999}) *value *= 2;
  });
  ASSERT_EQ(findings.list.size(), 1u);
  EXPECT_EQ(findings.list[0].kind, FindingKind::kLayerTrend);
  EXPECT_EQ(findings.list[0].layer, 4u);
  EXPECT_EQ(findings.list[0].slot, std::nullopt);
  EXPECT_THAT(findings.list[0].text, HasSubstr("Layer 4: the median rms of up is 0.04"));
}

TEST(Findings, WeightsThatASchemeLosesAreCounted) {
  const Findings findings = FindIn([](Cell& cell) {
    if (cell.layer == 7 && cell.expert < 3) cell.zero_share = 0.9 + 0.01 * cell.expert;
  });
  ASSERT_EQ(findings.list.size(), 1u);
  EXPECT_EQ(findings.list[0].kind, FindingKind::kVanishing);
  EXPECT_EQ(findings.list[0].text,
            "q4 turns more than half of the weights to zero in 3 matrices of up; in the worst, "
            "layer 7, expert 2, 92 %.");
}

TEST(Findings, NonFiniteWeightsAreCounted) {
  const Findings findings = FindIn([](Cell& cell) {
    if (Is(cell, 3, 3)) cell.nonfinite = 17;
  });
  ASSERT_EQ(findings.list.size(), 1u);
  EXPECT_THAT(findings.list[0].text, HasSubstr("Layer 3, expert 3: up holds 17 NaN or infinite"));
}

TEST(Findings, TheMostStrikingOfAKindComeFirstAndTheRestIsCounted) {
  const Findings findings = FindIn(
      [](Cell& cell) {
        if (cell.expert == 0 && cell.layer < 4) cell.p999 = (20 + cell.layer) * cell.p50;
      },
      3);
  const auto tails = OfKind(findings, FindingKind::kHeavyTail);
  ASSERT_EQ(tails.size(), 3u);
  EXPECT_EQ(tails[0].layer, 3u);
  EXPECT_EQ(tails[2].layer, 1u);
  EXPECT_THAT(findings.left_out, ElementsAre(std::pair(FindingKind::kHeavyTail, uint64_t{1})));
}

TEST(Findings, ARunWithoutMatricesHasNone) {
  const auto run = ReadRun("file,derived_tensor,layer,proj,expert_id,is_shared_expert,rms\n",
                           "file,derived_tensor,layer,expert_id,scheme\n");
  ASSERT_TRUE(run) << run.error().Text();
  EXPECT_THAT(FindOddities(*run, 12).list, IsEmpty());
}

TEST(Findings, AFewHugeWeightsAreTold) {
  // A thousandth of the weights is huge: rms ten times what the others make.
  const Findings findings = FindIn([](Cell& cell) {
    if (!Is(cell, 3, 5)) return;
    cell.max_abs = 300 * cell.rms;
    cell.rms *= 10;
    cell.error = 0.01;
  });
  const auto of = [&](FindingKind kind, const char* part) {
    return std::ranges::count_if(findings.list, [&](const Finding& one) {
      return one.kind == kind && one.text.find(part) != std::string::npos;
    });
  };
  // By hand, in units of the other weights' rms: (0.5 * 0.67^2 + 0.499 * (0.67^2 + 0.67 * 3.29 +
  // 3.29^2)) / 3 = 2.315, of 100.
  EXPECT_EQ(of(FindingKind::kFewHuge,
               "Layer 3, expert 5: one weight in a thousand of up holds over "
               "97.7 % of the sum of squares"),
            1);
  EXPECT_EQ(of(FindingKind::kFewHuge, ""), 1);
  EXPECT_EQ(of(FindingKind::kOutlierExpert, "which a few huge weights make look better"), 1);
}

TEST(Findings, LargeWeightsThatAreNotFewAreNoFewHuge) {
  // Laplace's distribution, b = 1: rms sqrt(2), percentiles -ln(1 - u).
  const Findings findings = FindIn([](Cell& cell) {
    cell.p50 = cell.rms * std::log(2.0) / std::sqrt(2.0);
    cell.p999 = cell.rms * std::log(1000.0) / std::sqrt(2.0);
  });
  for (const Finding& one : findings.list) EXPECT_NE(one.kind, FindingKind::kFewHuge) << one.text;
}

}  // namespace
}  // namespace moe

#include "experts/axes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moe {
namespace {

using testing::HasSubstr;
using Shape = std::vector<uint64_t>;

enum class What { kFused, kUp, kDown };

struct OrderCase {
  const char* name;
  What what;
  Shape own;
  StackShapes::Shape fused, down;
  std::optional<uint64_t> hidden, width;
  std::optional<bool> outputs_first;  // nullopt: refused
};

// H = 96, I = 32 but where the name says otherwise.
const OrderCase kCases[] = {
    {"PairOutIn", What::kFused, {4, 64, 96}, Shape{4, 64, 96}, Shape{4, 96, 32}, {}, {}, true},
    {"PairInOut", What::kFused, {4, 96, 64}, Shape{4, 96, 64}, Shape{4, 32, 96}, {}, {}, false},
    {"PairDown", What::kDown, {4, 32, 96}, Shape{4, 96, 64}, Shape{4, 32, 96}, {}, {}, false},
    // Only down_proj is turned round: the config's sizes are clear for each.
    {"TurnedDown", What::kDown, {4, 32, 96}, Shape{4, 64, 96}, Shape{4, 32, 96}, 96, {}, false},
    {"BesideIt", What::kFused, {4, 64, 96}, Shape{4, 64, 96}, Shape{4, 32, 96}, 96, {}, true},
    {"TurnedUnknown", What::kDown, {4, 32, 96}, Shape{4, 64, 96}, Shape{4, 32, 96}, {}, {}, {}},
    // H = 2 I: gate_up is square, its neighbour tells.
    {"SquarePair", What::kFused, {4, 64, 64}, Shape{4, 64, 64}, Shape{4, 32, 64}, 64, 32, false},
    // down_proj square as H = I, alone: nothing tells.
    {"SquareAlone", What::kDown, {4, 32, 32}, {}, Shape{4, 32, 32}, 32, 32, {}},
    // The width tells where hidden_size is of another model.
    {"ByWidth", What::kFused, {4, 64, 96}, Shape{4, 64, 96}, {}, 40, 32, true},
    {"ByWidthDown", What::kDown, {4, 96, 32}, {}, Shape{4, 96, 32}, {}, 32, true},
    {"UpAlone", What::kUp, {4, 96, 32}, {}, Shape{4, 32, 96}, 96, {}, false},
    {"Nothing", What::kUp, {4, 96, 32}, {}, {}, {}, {}, {}},
    {"NoSizeFits", What::kUp, {4, 96, 32}, {}, {}, 50, 60, {}},
};

TEST(OutputsFirst, IsToldByNeighboursThenBySizes) {
  for (const OrderCase& row : kCases) {
    const auto got = OutputsFirst({row.what == What::kFused, row.what == What::kDown, row.own,
                                   row.fused, row.down, row.hidden, row.width});
    EXPECT_EQ(got.has_value() ? std::optional(*got) : std::nullopt, row.outputs_first) << row.name;
  }
}

TEST(OutputsFirst, SaysWhichShapesDoNotFit) {
  const auto refused =
      OutputsFirst({true, false, {4, 64, 96}, Shape{4, 64, 96}, Shape{4, 32, 96}, 50, {}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error(), HasSubstr("gate_up_proj [4, 64, 96] and down_proj [4, 32, 96]"));
  EXPECT_THAT(refused.error(), HasSubstr("hidden_size 50"));
}

}  // namespace
}  // namespace moe

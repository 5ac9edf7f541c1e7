#include "verify/sketch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "measure/quant_metrics.h"

namespace moe {
namespace {

// Element i of a matrix is i, of the other -i.
void ExpectPicked(uint64_t rows, uint64_t cols) {
  const Tiling tiling(rows, cols);
  SketchPicker picker(rows, cols);
  for (uint64_t i = 0; i < tiling.count(); ++i) {
    const Tile tile = tiling[i];
    std::vector<float> a, b;
    for (uint64_t k = 0; k < tile.rows * tile.cols; ++k) {
      a.push_back(static_cast<float>(tile.row * cols + tile.col + k));
      b.push_back(-a.back());
    }
    picker.Add(tile, a, b);
  }
  const SketchPlaces places = PlacesOf(rows, cols);
  EXPECT_TRUE(std::ranges::is_sorted(places));
  for (size_t i = 0; i < kSketchSize; ++i) {
    EXPECT_EQ(picker.a()[i], static_cast<float>(places[i].first * cols + places[i].second));
    EXPECT_EQ(picker.b()[i], -picker.a()[i]);
  }
  EXPECT_NEAR(CosineOf(picker.a(), picker.b()), -1, 1e-6);
}

TEST(Sketch, IsPickedOutOfTilesAsTheyPass) {
  ExpectPicked(3, 5);        // one tile, places repeat
  ExpectPicked(300, 300);    // tiles of whole rows
  ExpectPicked(2, 100'000);  // of pieces of rows
}

TEST(Sketch, CosineOfWhatHasNoneIsZero) {
  Sketch zero = {}, one = {};
  one.fill(1);
  EXPECT_EQ(CosineOf(zero, one), 0);
  EXPECT_NEAR(CosineOf(one, one), 1, 1e-6);
}

}  // namespace
}  // namespace moe

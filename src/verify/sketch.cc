#include "verify/sketch.h"

#include <algorithm>
#include <cmath>

namespace moe {

SketchPlaces PlacesOf(uint64_t rows, uint64_t cols) {
  SketchPlaces places;
  uint64_t state = 0x9e3779b97f4a7c15;  // splitmix64
  const auto next = [&] {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  };
  for (auto& [row, col] : places) {
    row = next() % rows;
    col = next() % cols;
  }
  std::ranges::sort(places);
  return places;
}

void SketchPicker::Add(const Tile& tile, std::span<const float> a, std::span<const float> b) {
  for (; next_ < kSketchSize; ++next_) {
    const auto [row, col] = places_[next_];
    // Places are in row-major order, and so are tiles.
    if (row >= tile.row + tile.rows || (row == tile.row && col >= tile.col + tile.cols)) return;
    const auto at = static_cast<size_t>((row - tile.row) * tile.cols + (col - tile.col));
    a_[next_] = a[at];
    b_[next_] = b[at];
  }
}

double CosineOf(const Sketch& a, const Sketch& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < kSketchSize; ++i) {
    const double x = a[i], y = b[i];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  const double norms = std::sqrt(aa) * std::sqrt(bb);
  return norms > 0 && std::isfinite(norms) && std::isfinite(ab) ? ab / norms : 0;
}

}  // namespace moe

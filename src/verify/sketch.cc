#include "verify/sketch.h"

#include <algorithm>
#include <cmath>

#include "measure/kernels.h"

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

double Dot(const Sketch& a, const Sketch& b) {
  double lanes[kSumLanes] = {};
  for (size_t i = 0; i < kSketchSize; i += kSumLanes) {
    for (size_t lane = 0; lane < kSumLanes; ++lane) {
      lanes[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    }
  }
  return FoldSum(lanes);
}

Sketch UnitOf(const Sketch& sketch) {
  const double norm = std::sqrt(Dot(sketch, sketch));
  Sketch unit = {};
  if (!(norm > 0) || !std::isfinite(norm)) return unit;
  std::ranges::transform(sketch, unit.begin(),
                         [norm](float x) { return static_cast<float>(x / norm); });
  return unit;
}

double CosineOf(const Sketch& a, const Sketch& b) { return Dot(UnitOf(a), UnitOf(b)); }

}  // namespace moe

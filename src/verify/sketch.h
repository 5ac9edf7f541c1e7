#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "moescope/matrix.h"

namespace moe {

/// Some elements of a matrix, at places that its shape alone gives: what tells it from others.
inline constexpr size_t kSketchSize = 64;
using Sketch = std::array<float, kSketchSize>;

/// Row and column of each element, in row-major order.
using SketchPlaces = std::array<std::pair<uint64_t, uint64_t>, kSketchSize>;
SketchPlaces PlacesOf(uint64_t rows, uint64_t cols);

/// Picks the elements out of tiles as they pass, in the order of Tiling.
class SketchPicker {
 public:
  SketchPicker(uint64_t rows, uint64_t cols) : places_(PlacesOf(rows, cols)) {}
  void Add(const Tile& tile, std::span<const float> a, std::span<const float> b);
  const Sketch& a() const { return a_; }
  const Sketch& b() const { return b_; }

 private:
  SketchPlaces places_;
  Sketch a_ = {}, b_ = {};
  size_t next_ = 0;
};

/// Divided by its norm; zeros where that is 0 or not finite.
Sketch UnitOf(const Sketch& sketch);
/// sum a b.
double Dot(const Sketch& a, const Sketch& b);
/// Of their units.
double CosineOf(const Sketch& a, const Sketch& b);

}  // namespace moe

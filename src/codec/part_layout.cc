#include "codec/part_layout.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include "codec/scaled_codes.h"
#include "codec/view.h"

namespace moe {
namespace {

/// Rows and columns of the array [matrices, rows, cols] that a view takes, or covers.
struct Area {
  uint64_t rows_of_matrix = 0, cols = 0;                ///< of the array
  uint64_t first_row = 0, row_step = 1, row_count = 0;  ///< rows counted over all matrices
  uint64_t first_col = 0, end_col = 0;
};

Area AreaOf(std::span<const uint64_t> shape, const MatrixView& view) {
  Area area{shape[shape.size() - 2], shape.back()};
  area.first_row = view.offset / area.cols;
  area.first_col = view.offset % area.cols;
  const bool straight = view.col_stride == 1 && view.row_stride % area.cols == 0;
  area.row_count = straight ? view.rows : view.cols;
  area.row_step = (straight ? view.row_stride : view.col_stride) / area.cols;
  const uint64_t width = straight ? view.cols : (view.rows - 1) * view.row_stride + 1;
  area.end_col = std::min(area.first_col + width, area.cols);
  return area;
}

struct Span {
  uint64_t begin = 0, end = 0;
};

/// The units of `size` that hold [begin, end), each of `unit_bytes`.
Span Covered(Span weights, uint64_t size, uint64_t unit_bytes) {
  return {weights.begin / size * unit_bytes, CeilDiv(weights.end, size) * unit_bytes};
}

/// The ranges of one part of `bytes` bytes.
class PartRanges {
 public:
  PartRanges(size_t part, uint64_t bytes, uint64_t matrices, const PartLayout& layout,
             RangeList& ranges)
      : part_(part),
        matrix_bytes_(layout.kind == PartLayout::Kind::kLines && !layout.shared ? bytes / matrices
                                                                                : bytes),
        layout_(layout),
        ranges_(ranges) {}

  void Add(const Area& area) {
    if (layout_.kind == PartLayout::Kind::kWhole) return Add(0, {0, matrix_bytes_});
    if (layout_.kind == PartLayout::Kind::kLines && layout_.down) return AddColumns(area);
    for (uint64_t i = 0; i < area.row_count; ++i) {
      const uint64_t row = area.first_row + i * area.row_step;
      if (layout_.kind == PartLayout::Kind::kFlat) {
        const uint64_t begin = row * area.cols;
        Add(0, Covered({begin + area.first_col, begin + area.end_col}, layout_.weights,
                       layout_.bytes));
      } else {
        const uint64_t within = row % area.rows_of_matrix;
        AddLines(row / area.rows_of_matrix, {within, within + 1}, {area.first_col, area.end_col});
      }
    }
  }

 private:
  void AddColumns(const Area& area) {
    const uint64_t first = area.first_row % area.rows_of_matrix;
    const uint64_t end = first + (area.row_count - 1) * area.row_step + 1;
    AddLines(area.first_row / area.rows_of_matrix, {area.first_col, area.end_col},
             {first, std::min(end, area.rows_of_matrix)});
  }

  void AddLines(uint64_t matrix, Span across, Span along) {
    const Span lines = Covered(across, layout_.across, layout_.lines);
    Span bytes = {0, layout_.line_bytes};
    if (layout_.weights != 0) bytes = Covered(along, layout_.weights, layout_.bytes);
    for (uint64_t line = lines.begin; line < lines.end; ++line) {
      const uint64_t begin = line * layout_.line_bytes;
      Add(layout_.shared ? 0 : matrix * matrix_bytes_, {begin + bytes.begin, begin + bytes.end});
    }
  }

  /// Bytes of the matrix that begins at `base`; the last block of lines may be a short one.
  void Add(uint64_t base, Span bytes) {
    const uint64_t end = std::min(bytes.end, matrix_bytes_);
    if (bytes.begin < end) ranges_.Add(part_, base + bytes.begin, base + end);
  }

  size_t part_;
  uint64_t matrix_bytes_;
  PartLayout layout_;
  RangeList& ranges_;
};

}  // namespace

PartLayout WithCodes(PartLayout layout, unsigned bits) {
  const unsigned common = std::gcd(bits, 8u);
  layout.weights = 8 / common;
  layout.bytes = bits / common;
  return layout;
}

PartLayout WholeLines(uint64_t line_bytes, uint64_t across, bool shared) {
  return {.kind = PartLayout::Kind::kLines,
          .weights = 0,
          .line_bytes = line_bytes,
          .across = across,
          .shared = shared};
}

RangesOfMatrix RangesBy(const Weight& weight, std::vector<PartLayout> layouts) {
  layouts.resize(weight.parts.size());
  std::vector<uint64_t> bytes;
  for (const TensorRef& part : weight.parts) bytes.push_back(part.info().nbytes);
  return [shape = weight.shape, layouts = std::move(layouts),
          bytes = std::move(bytes)](const MatrixView& view) {
    RangeList ranges;
    if (view.rows * view.cols == 0 || !CheckView(shape, view, "")) return ranges.Take();
    const Area area = AreaOf(shape, view);
    for (size_t i = 0; i < layouts.size(); ++i) {
      PartRanges(i, bytes[i], MatricesOf(shape), layouts[i], ranges).Add(area);
    }
    return ranges.Take();
  };
}

void RangeList::Add(size_t part, uint64_t begin, uint64_t end) {
  if (!ranges_.empty()) {
    PartRange& last = ranges_.back();
    if (last.part == part && last.begin <= begin && begin <= last.end) {
      last.end = std::max(last.end, end);
      return;
    }
  }
  ranges_.push_back({part, begin, end});
}

std::vector<PartRange> RangeList::Take() {
  std::vector<PartRange> added = std::exchange(ranges_, {});
  std::ranges::sort(added, {},
                    [](const PartRange& range) { return std::tuple(range.part, range.begin); });
  for (const PartRange& range : added) Add(range.part, range.begin, range.end);
  return std::exchange(ranges_, {});
}

}  // namespace moe

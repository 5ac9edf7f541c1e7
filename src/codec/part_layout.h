#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moescope/weight.h"

namespace moe {

/// How the bytes of one part follow the weights, so that those of one matrix can be told.
struct PartLayout {
  enum class Kind {
    kWhole,  ///< all bytes are needed, whichever matrix is read
    kFlat,   ///< they follow the weights in the order of the array, whatever its rows are
    kLines,  ///< they lie in lines, which follow rows or columns of the weight
  } kind = Kind::kWhole;
  /// So many weights along a line (or flat) share so many bytes; weights of 0: lines are needed
  /// whole.
  uint64_t weights = 1, bytes = 1;

  // kLines:
  uint64_t line_bytes = 0;  ///< from one line to the next
  bool down = false;        ///< lines follow the columns of the weight, not its rows
  uint64_t across = 1;      ///< so many rows (columns, if `down`) share ..
  uint64_t lines = 1;       ///< .. so many lines
  bool shared = false;      ///< one set of lines for all matrices
};

/// `bits` wide codes, packed without a gap, flat or along a line.
PartLayout WithCodes(PartLayout layout, unsigned bits);

/// Lines that are always needed as a whole, such as a row of scales.
PartLayout WholeLines(uint64_t line_bytes, uint64_t across, bool shared = false);

/// `ranges_of` of a weight of this shape and these parts, of which the first ones are laid out so;
/// all bytes of the others are needed. Exact to the byte that holds a weight, but for views of some
/// columns in steps, and for weights that begin or end amid `across` rows: those cover.
RangesOfMatrix RangesBy(const Weight& weight, std::vector<PartLayout> layouts);

/// Ranges that are added in any order, sorted; those that touch are one.
class RangeList {
 public:
  void Add(size_t part, uint64_t begin, uint64_t end);
  std::vector<PartRange> Take();

 private:
  std::vector<PartRange> ranges_;
};

}  // namespace moe

#include "collect/matrix_fetches.h"

#include <algorithm>
#include <utility>

namespace moe {
namespace {

constexpr uint64_t kPageBytes = 4096;  // the least that is read from a disk

/// The ranges of the files, those nearly touching as one.
std::vector<FileRange> InFiles(const Weight& weight, const std::vector<PartRange>& ranges) {
  std::vector<FileRange> found;
  size_t last_part = weight.parts.size();  // none
  for (const PartRange& range : ranges) {
    const TensorRef& part = weight.parts[range.part];
    const auto position = part.file->PositionOf(part.index);
    if (!position) continue;
    const uint64_t begin = *position + range.begin, end = *position + range.end;
    if (std::exchange(last_part, range.part) == range.part &&
        begin - found.back().end < kPageBytes) {
      found.back().end = end;
    } else {
      found.push_back({part.file, begin, end});
    }
  }
  return found;
}

}  // namespace

std::vector<FileRange> MatrixFetches::Next(const Weight& weight, const MatrixView& view) {
  if (std::exchange(weight_, &weight) != &weight) asked_.clear();
  std::vector<FileRange> fresh;
  for (const FileRange& range : InFiles(weight, weight.ranges_of(view))) {
    AddNew(range, asked_[range.file], fresh);
  }
  return fresh;
}

/// Adds to `fresh` what of `range` is not `known`, and makes it known.
void MatrixFetches::AddNew(FileRange range, Intervals& known, std::vector<FileRange>& fresh) {
  uint64_t begin = range.begin, end = range.end, at = range.begin;
  auto next = known.upper_bound(begin);
  if (next != known.begin() && std::prev(next)->second >= begin) --next;
  while (next != known.end() && next->first <= range.end) {
    if (at < next->first) fresh.push_back({range.file, at, next->first});
    at = std::max(at, next->second);
    begin = std::min(begin, next->first);
    end = std::max(end, next->second);
    next = known.erase(next);
  }
  if (at < range.end) fresh.push_back({range.file, at, range.end});
  known[begin] = end;
}

}  // namespace moe

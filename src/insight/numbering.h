#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace moe {

/// Sorted distinct values; IndexOf() gives their positions.
template <class T>
void SortUnique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}
template <class T>
uint32_t IndexOf(const std::vector<T>& sorted, const T& value) {
  return static_cast<uint32_t>(std::lower_bound(sorted.begin(), sorted.end(), value) -
                               sorted.begin());
}

/// The position of `value` in a short list that grows as it is needed.
template <class T>
uint32_t IndexOrAdd(std::vector<T>& list, const T& value) {
  const auto place = std::find(list.begin(), list.end(), value) - list.begin();
  if (place == std::ssize(list)) list.push_back(value);
  return static_cast<uint32_t>(place);
}

}  // namespace moe

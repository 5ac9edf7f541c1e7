#include "collect/work_list.h"

#include <algorithm>

#include "model/model_parts.h"

namespace moe {

WorkList::WorkList(const Model& model, bool dense) : model_(model) {
  const auto others = dense ? model.dense() : std::span<const DenseWeight>();
  uint64_t other = 0;
  for (const ModelBank& bank : model.parts().banks) {
    for (; other < others.size() && others[other].tensor < bank.tensor; ++other) {
      Add(other, 1, true);
    }
    Add(bank.first_matrix, bank.bank->matrices(), false);
  }
  for (; other < others.size(); ++other) Add(other, 1, true);
}

void WorkList::Add(uint64_t number, uint64_t count, bool dense) {
  stretches_.push_back({size_, number, count, dense});
  size_ += count;
}

WorkItem WorkList::operator[](uint64_t position) const {
  const auto after = std::ranges::upper_bound(stretches_, position, {}, &Stretch::first_position);
  const Stretch& at = *(after - 1);
  const uint64_t number = at.first_number + (position - at.first_position);
  if (at.dense) {
    const DenseWeight& weight = model_.dense()[number];
    return {weight.tensor, weight.view(), true, number, weight.stored_bytes()};
  }
  const ExpertMatrix matrix = model_.matrix(number);
  return {matrix.tensor, matrix.view(), false, number, matrix.stored_bytes()};
}

uint64_t WorkList::stored_bytes() const {
  uint64_t sum = 0;
  for (const Stretch& at : stretches_) sum += at.count * (*this)[at.first_position].stored_bytes;
  return sum;
}

uint64_t WorkList::elements() const {
  uint64_t sum = 0;
  for (const Stretch& at : stretches_) sum += at.count * (*this)[at.first_position].elements();
  return sum;
}

uint64_t WorkList::largest_matrix() const {
  uint64_t largest = 0;
  for (const Stretch& at : stretches_) {
    if (!at.dense) largest = std::max(largest, (*this)[at.first_position].elements());
  }
  return largest;
}

}  // namespace moe

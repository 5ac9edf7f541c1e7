#pragma once

#include <cstdint>
#include <vector>

#include "moescope/model.h"

namespace moe {

/// A piece of the work: the matrix of an expert, or a weight outside the experts.
struct WorkItem {
  const ModelTensor* tensor = nullptr;
  MatrixView view;
  bool dense = false;
  uint64_t number = 0;  ///< of Model::matrix(), or in Model::dense()
  uint64_t stored_bytes = 0;

  const Weight& weight() const { return *tensor->weight; }
  uint64_t elements() const { return view.rows * view.cols; }
};

/// What is measured of a model, tensor by tensor: so that each file is read once, front to back.
///
/// Memory: a few bytes a tensor. Threads: const members may be called from any thread at once.
class WorkList {
 public:
  /// `dense`: the weights outside the experts too. `model` outlives this object.
  WorkList(const Model& model, bool dense);

  uint64_t size() const { return size_; }
  WorkItem operator[](uint64_t position) const;

  uint64_t stored_bytes() const;
  uint64_t elements() const;
  uint64_t largest_matrix() const;  ///< elements of the largest one of an expert

 private:
  /// Items that are alike: a bank's matrices, or one weight outside the experts.
  struct Stretch {
    uint64_t first_position, first_number, count;
    bool dense;
  };
  void Add(uint64_t number, uint64_t count, bool dense);

  const Model& model_;
  std::vector<Stretch> stretches_;
  uint64_t size_ = 0;
};

}  // namespace moe

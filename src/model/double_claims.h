#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/experts.h"

namespace moe {

/// Finds tensors that hold the same matrix of the same expert: a weight beside its quantized copy,
/// a fused stack beside experts left over, a model under two prefixes. None of them can be told to
/// be the right one. Where no layer is known nothing is compared, nor dense matrices.
class DoubleClaims {
 public:
  /// `number`: the tensor's, as Refusals() gives it. `name` is its own and must stay.
  void Add(size_t number, std::string_view name, const Extraction& extraction);

  /// Tensor -> why it is refused: what it and the other one hold, and both names.
  std::map<size_t, std::string> Refusals() const;

 private:
  struct Claim {
    std::string stack, shared;  ///< "" none; the module of a shared expert, "" routed
    std::string proj;
    int64_t layer, first, last;  ///< experts
    size_t number;
    std::string_view name;
  };
  static std::string TextOf(const Claim& claim, const Claim& other);

  std::vector<Claim> claims_;
};

}  // namespace moe

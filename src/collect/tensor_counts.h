#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/open_checkpoint.h"
#include "moescope/model.h"

namespace moe {

/// What a role takes in the checkpoint.
struct RoleTotals {
  uint64_t tensors = 0, bytes = 0, parameters = 0;
};

/// Names for people: the first 25 that differ.
class Examples {
 public:
  void Add(const std::string& name);
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

/// What the logs count of a model's tensors. It is told each of them once, in their order.
class TensorCounts {
 public:
  void Add(const ModelTensor& tensor);
  /// The tensor that was added last: it is not analysed, as it can't be decoded or contradicts
  /// others. Add() does so with experts'.
  void AddRefused(const ModelTensor& tensor, const std::string& reason);

  uint64_t observed = 0;
  uint64_t by_rule = 0, by_fallback = 0;  ///< with matrices of experts
  uint64_t unmatched = 0;                 ///< expert-like, and not analysed
  uint64_t refused = 0;                   ///< of these: not decodable, or contradicting others
  Examples rule_examples, fallback_examples, unmatched_examples;
  uint64_t smoke_candidates = 0;  ///< named like an expert's weight, whatever was decided
  Examples smoke_examples;
  uint64_t planned_parameters = 0;      ///< weights of experts in banks
  std::vector<TensorWarning> warnings;  ///< "[extract] ..."

  /// By Role. An expert's payload that no codec takes counts as many weights as the same of other
  /// experts, else as it has words.
  std::array<RoleTotals, kRoleCount> Roles() const;
  uint64_t ExpertParameters() const;  ///< weights of all experts' tensors

 private:
  void AddRole(const ModelTensor& tensor);
  void AddUnmatched(const ModelTensor& tensor);

  struct Undecoded {
    Role role;
    std::string pattern;
    uint64_t elements;
  };
  std::array<RoleTotals, kRoleCount> roles_;  // without the parameters of undecoded_
  std::vector<Undecoded> undecoded_;
  std::map<std::string, uint64_t> decoded_elements_;  // of an expert's payload, by pattern
};

}  // namespace moe

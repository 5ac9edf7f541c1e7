#include "collect/tensor_counts.h"

#include <algorithm>
#include <string_view>

namespace moe {
namespace {

/// A name like "...moe.<id>.<w1|w2|w3|*_proj>.weight": what an expert weight often looks like where
/// the name has no "experts" (the smoke check of contract section 13).
bool LooksLikeMoeWeight(std::string_view name) {
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight)) return false;
  name.remove_suffix(kWeight.size());
  const size_t proj_dot = name.rfind('.');
  if (proj_dot == std::string_view::npos) return false;
  const std::string_view proj = name.substr(proj_dot + 1);
  if (proj != "w1" && proj != "w2" && proj != "w3" && !proj.ends_with("_proj")) return false;
  name = name.substr(0, proj_dot);
  const size_t id_dot = name.rfind('.');
  if (id_dot == std::string_view::npos) return false;
  const std::string_view id = name.substr(id_dot + 1);
  const bool number = !id.empty() && id.find_first_not_of("0123456789") == std::string_view::npos;
  return number && name.substr(0, id_dot).ends_with("moe");
}

/// `name` with '#' for each number between dots: what the experts of all layers share.
std::string WithoutNumbers(std::string_view name) {
  std::string pattern;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    const bool number = part.find_first_not_of("0123456789") == std::string_view::npos;
    pattern += number ? "#" : part;
    pattern += '.';
    begin = end + 1;
  }
  return pattern;
}

bool IsExpert(Role role) { return role == Role::kRoutedExpert || role == Role::kSharedExpert; }

}  // namespace

void Examples::Add(const std::string& name) {
  constexpr size_t kMost = 25;
  if (names_.size() < kMost && std::ranges::find(names_, name) == names_.end()) {
    names_.push_back(name);
  }
}

void TensorCounts::Add(const ModelTensor& tensor) {
  const uint64_t number = observed++;
  if (tensor.left_out != ModelTensor::LeftOut::kNo) return;
  AddRole(tensor);
  const std::string& name = tensor.info().name;
  for (const std::string& text : tensor.found.warnings) warnings.push_back({number, text});
  if (IsPlainFloat(tensor.info().dtype) && LooksLikeMoeWeight(name)) {
    ++smoke_candidates;
    smoke_examples.Add(name);
  }
  if (tensor.found.unmatched_reason) return AddUnmatched(tensor);
  if (tensor.found.banks.empty()) return;
  ++(tensor.found.by_rule ? by_rule : by_fallback);
  (tensor.found.by_rule ? rule_examples : fallback_examples).Add(name);
}

void TensorCounts::AddRole(const ModelTensor& tensor) {
  const Role role = tensor.found.role;
  RoleTotals& totals = roles_[static_cast<size_t>(role)];
  ++totals.tensors;
  totals.bytes += tensor.info().nbytes;
  const uint64_t elements = tensor.elements();
  if (IsExpert(role)) {
    std::string pattern = WithoutNumbers(tensor.info().name);
    if (!tensor.refusal.empty()) {
      undecoded_.push_back({role, std::move(pattern), elements});
      return;
    }
    decoded_elements_.try_emplace(std::move(pattern), elements);
    for (const ExpertBank& bank : tensor.found.banks) {
      planned_parameters += bank.matrices() * bank.rows * bank.cols;
    }
  }
  totals.parameters += elements;
}

void TensorCounts::AddUnmatched(const ModelTensor& tensor) {
  ++unmatched;
  unmatched_examples.Add(tensor.info().name);
  if (tensor.weight != nullptr && !tensor.found.refused) return;
  AddRefused(tensor, *tensor.found.unmatched_reason);
}

void TensorCounts::AddRefused(const ModelTensor& tensor, const std::string& reason) {
  ++refused;
  warnings.push_back(
      {observed - 1, "[extract] " + tensor.info().name + " is not analysed: " + reason});
}

std::array<RoleTotals, kRoleCount> TensorCounts::Roles() const {
  std::array<RoleTotals, kRoleCount> roles = roles_;
  for (const Undecoded& tensor : undecoded_) {
    const auto same = decoded_elements_.find(tensor.pattern);
    roles[static_cast<size_t>(tensor.role)].parameters +=
        same == decoded_elements_.end() ? tensor.elements : same->second;
  }
  return roles;
}

uint64_t TensorCounts::ExpertParameters() const {
  const auto roles = Roles();
  return roles[static_cast<size_t>(Role::kRoutedExpert)].parameters +
         roles[static_cast<size_t>(Role::kSharedExpert)].parameters;
}

}  // namespace moe

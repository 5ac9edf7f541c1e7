#include "collect/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <tuple>

#include "base/utf8.h"
#include "model/decide.h"

namespace moe {
namespace {

constexpr size_t kExamples = 25;  // contract section 13: "first 25 distinct"

void AddExample(std::vector<std::string>& examples, const std::string& name) {
  if (examples.size() >= kExamples) return;
  if (std::find(examples.begin(), examples.end(), name) == examples.end()) examples.push_back(name);
}

uint64_t Elements(const std::vector<uint64_t>& shape) {
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;  // checked by the reader
  return count;
}

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

class Planner {
 public:
  Planner(Checkpoint checkpoint, std::vector<std::vector<Extraction>> decided,
          const IndexSummary& index, const Extractor& extractor, const PlanOptions& options,
          RowSink& inventory, RowSink& unmatched, const std::function<bool()>& stopped)
      : decided_(std::move(decided)),
        index_(index),
        options_(options),
        inventory_(inventory),
        unmatched_(unmatched),
        stopped_(stopped) {
    plan_.family = extractor.family();
    plan_.facts = extractor.facts();
    plan_.warnings = std::move(checkpoint.warnings);
    plan_.checkpoint = std::move(checkpoint);
    if (index.used_for_scan) plan_.observed_tensors = plan_.checkpoint.TensorNames();
  }

  Result<void> AddFile(size_t file) {
    for (size_t i = 0; i < plan_.checkpoint.uses[file].size(); ++i) {
      if (stopped_()) return tl::make_unexpected(InterruptedError());
      if (auto done = AddTensor(file, i); !done) return done;
      ++plan_.tensors_observed;
    }
    return {};
  }

  CollectPlan Take() {
    for (const Undecoded& tensor : undecoded_) {
      const auto same = decoded_elements_.find(tensor.pattern);
      CountElements(tensor.role, same == decoded_elements_.end() ? tensor.elements : same->second);
    }
    for (auto& [key, row] : proj_rows_) plan_.proj_report.push_back(std::move(row));
    return std::move(plan_);
  }

 private:
  Result<void> AddTensor(size_t file_number, size_t number_in_file) {
    const TensorFile& file = *plan_.checkpoint.files[file_number];
    const TensorInfo& tensor = file.tensors()[number_in_file];
    const TensorUse& use = plan_.checkpoint.uses[file_number][number_in_file];
    Extraction* extraction = &decided_[file_number][number_in_file];
    if (auto done = AddInventoryRow(file, tensor, *extraction); !done) return done;
    if (use.left_out != TensorUse::LeftOut::kNo) return {};

    CountRole(tensor, use, *extraction);
    for (std::string& text : extraction->warnings) {
      plan_.warnings.push_back({plan_.tensors_observed, std::move(text)});
    }
    AddUnmappedProjs(file, tensor, *extraction);
    if (IsPlainFloat(tensor.dtype) && LooksLikeMoeWeight(tensor.name)) {
      ++plan_.smoke_candidates;
      AddExample(plan_.smoke_examples, tensor.name);
    }
    if (extraction->unmatched_reason) return AddUnmatched(file, tensor, use, *extraction);
    if (!extraction->banks.empty()) {
      ++(extraction->by_rule ? plan_.extracted_by_rule : plan_.extracted_by_fallback);
      AddExample(extraction->by_rule ? plan_.rule_examples : plan_.fallback_examples, tensor.name);
    }
    plan_.census.AddPreset(extraction->preset);
    for (ExpertBank& bank : extraction->banks) {
      plan_.census.Add(bank, use.weight->storage, use.weight->bits_per_weight);
      plan_.banks.push_back({file_number, number_in_file, std::move(bank), use.weight});
    }
    return {};
  }

  Result<void> AddInventoryRow(const TensorFile& file, const TensorInfo& tensor,
                               const Extraction& extraction) {
    TensorInventoryRow row{PathText(file.path()),
                           tensor.name,
                           tensor.dtype_text,
                           tensor.shape,
                           tensor.nbytes,
                           {},
                           {},
                           std::string(RoleName(extraction.role))};
    if (index_.used_for_scan) {
      const auto shard = index_.weight_map.find(tensor.name);
      row.in_index = shard != index_.weight_map.end();
      if (*row.in_index) row.index_shard = shard->second;
    }
    if (!options_.inventory_all_tensors) return {};
    return inventory_.Append(TensorInventoryTable().RowOf(row));
  }

  void CountRole(const TensorInfo& tensor, const TensorUse& use, const Extraction& extraction) {
    const uint64_t elements = Elements(use.weight ? use.weight->shape : tensor.shape);
    RoleTotals& totals = plan_.roles[static_cast<size_t>(extraction.role)];
    ++totals.tensors;
    totals.bytes += tensor.nbytes;
    if (IsExpert(extraction.role)) {
      std::string pattern = WithoutNumbers(tensor.name);
      if (!use.refusal.empty()) {
        undecoded_.push_back({extraction.role, std::move(pattern), elements});
        return;
      }
      decoded_elements_.try_emplace(std::move(pattern), elements);
    }
    CountElements(extraction.role, elements);
    if (!IsExpert(extraction.role)) return;
    for (const ExpertBank& bank : extraction.banks) {
      plan_.planned_parameters += bank.layers * bank.experts * bank.rows * bank.cols;
    }
  }

  static bool IsExpert(Role role) {
    return role == Role::kRoutedExpert || role == Role::kSharedExpert;
  }

  void CountElements(Role role, uint64_t elements) {
    plan_.roles[static_cast<size_t>(role)].parameters += elements;
    if (IsExpert(role)) plan_.expert_parameters += elements;
  }

  Result<void> AddUnmatched(const TensorFile& file, const TensorInfo& tensor, const TensorUse& use,
                            const Extraction& extraction) {
    ++plan_.unmatched_expertish;
    AddExample(plan_.unmatched_examples, tensor.name);
    const std::string& reason = *extraction.unmatched_reason;
    if (reason == "proj_group_strict_no_alias_map") ++plan_.proj_no_alias_map;
    if (use.weight == nullptr || extraction.refused) {
      ++plan_.refused_tensors;
      plan_.warnings.push_back(
          {plan_.tensors_observed, "[extract] " + tensor.name + " is not analysed: " + reason});
    }
    if (!options_.dump_unmatched_tensors) return {};
    return unmatched_.Append(UnmatchedTensorsTable().RowOf(
        {PathText(file.path()), tensor.name, tensor.dtype_text, tensor.shape, reason}));
  }

  void AddUnmappedProjs(const TensorFile& file, const TensorInfo& tensor,
                        const Extraction& extraction) {
    for (const UnmappedProj& proj : extraction.unmapped_projs) {
      auto& row = proj_rows_[{proj.context, proj.rule_name, proj.raw_proj, proj.resolved_proj,
                              proj.action}];
      if (row.count++ == 0) {
        row = {proj.context,          proj.rule_name,      proj.raw_proj,
               proj.resolved_proj,    proj.action,         1,
               PathText(file.path()), tensor.name,         proj.derived_tensor,
               proj.suggested_proj,   proj.suggested_match};
      }
      if (proj.action == "dropped_strict")
        ++plan_.proj_dropped_strict;
      else
        ++(proj.context == "packed_split" ? plan_.proj_kept_split : plan_.proj_kept_group);
    }
  }

  /// An expert's payload that no codec takes: it has as many elements as the same of other experts,
  /// else as its words are.
  struct Undecoded {
    Role role;
    std::string pattern;
    uint64_t elements;
  };

  std::vector<Undecoded> undecoded_;
  std::map<std::string, uint64_t> decoded_elements_;  // of an expert's payload, by pattern
  std::vector<std::vector<Extraction>> decided_;      // of each file's tensors
  const IndexSummary& index_;
  const PlanOptions& options_;
  RowSink& inventory_;
  RowSink& unmatched_;
  const std::function<bool()>& stopped_;
  CollectPlan plan_;
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>,
           ProjCanonicalizationRow>
      proj_rows_;
};

}  // namespace

std::string PathText(const std::filesystem::path& path) { return AsUtf8(path.string()); }

uint64_t CollectPlan::matrices() const {
  uint64_t sum = 0;
  for (const PlannedBank& bank : banks) sum += bank.matrices();
  return sum;
}

uint64_t CollectPlan::bytes() const {
  uint64_t sum = 0;
  for (const PlannedBank& planned : banks) {
    sum += planned.matrices() * planned.matrix_bytes();
  }
  return sum;
}

uint64_t CollectPlan::promised_parameters() const {
  return expert_parameters + MissingParameters(missing);
}

uint64_t PlannedBank::matrix_bytes() const {
  const double weights = static_cast<double>(bank.rows) * static_cast<double>(bank.cols);
  return static_cast<uint64_t>(weights * weight->bits_per_weight / 8);
}

Result<CollectPlan> MakePlan(Checkpoint checkpoint, const IndexSummary& index,
                             const Extractor& extractor, const PlanOptions& options,
                             RowSink& inventory, RowSink& unmatched,
                             const std::function<bool()>& stopped) {
  const size_t files = checkpoint.files.size();
  auto decided = DecideAll(checkpoint, extractor, stopped);
  if (!decided) return tl::make_unexpected(std::move(decided.error()));
  const auto promise = PromiseOf(checkpoint, index, extractor, *decided);
  if (!promise) return tl::make_unexpected(promise.error());
  Planner planner(std::move(checkpoint), std::move(*decided), index, extractor, options, inventory,
                  unmatched, stopped);
  for (size_t file = 0; file < files; ++file) {
    if (auto done = planner.AddFile(file); !done) return tl::make_unexpected(done.error());
  }
  CollectPlan plan = planner.Take();
  plan.missing = promise->Missing(extractor.facts());
  plan.surplus = promise->Surplus(extractor.facts());
  plan.whole = plan.missing.empty() && promise->ConfigTellsAll(extractor.facts());
  return plan;
}

}  // namespace moe

#include "collect/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <tuple>
#include <unordered_set>

#include "checkpoint/names.h"

namespace moe {
namespace {

constexpr size_t kExamples = 25;  // contract section 13: "first 25 distinct"

void AddExample(std::vector<std::string>& examples, const std::string& name) {
  if (examples.size() >= kExamples) return;
  if (std::find(examples.begin(), examples.end(), name) == examples.end()) examples.push_back(name);
}

uint64_t Elements(const TensorInfo& tensor) {
  uint64_t count = 1;
  for (const uint64_t size : tensor.shape) count *= size;  // checked by the reader
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

class Planner {
 public:
  Planner(const IndexSummary& index, const Extractor& extractor, const PlanOptions& options,
          RowSink& inventory, RowSink& unmatched, const std::function<bool()>& stopped)
      : index_(index),
        extractor_(extractor),
        options_(options),
        inventory_(inventory),
        unmatched_(unmatched),
        stopped_(stopped) {}

  /// Opens one file; a broken one is an error, or skipped with keep_going.
  Result<void> AddFile(const std::filesystem::path& path) {
    plan_.first_tensor_number.push_back(plan_.tensors_observed);
    auto file = OpenTensorFile(path);
    if (file) {
      if (const auto twice = TensorNamedTwice(**file)) {
        file = Fail(ErrorCode::kMalformed, path.string(),
                    "tensor '" + *twice + "' stands in an earlier file too",
                    "scan one copy of the checkpoint only");
      }
    }
    if (!file) {
      if (!options_.keep_going) return tl::make_unexpected(file.error());
      plan_.skipped_files.push_back(file.error().Text());
      plan_.warnings.push_back(
          {plan_.tensors_observed, "[collect] skipped " + file.error().Text()});
      plan_.files.push_back(nullptr);
      return {};
    }
    plan_.files.push_back(std::move(*file));
    const TensorFile& opened = *plan_.files.back();
    for (size_t i = 0; i < opened.tensors().size(); ++i) {
      if (stopped_()) return tl::make_unexpected(InterruptedError());
      if (auto done = AddTensor(opened, i); !done) return done;
      ++plan_.tensors_observed;
    }
    return {};
  }

  CollectPlan Take() {
    for (auto& [key, row] : proj_rows_) plan_.proj_report.push_back(std::move(row));
    return std::move(plan_);
  }

 private:
  /// A name of `file` that an earlier file has; else remembers all of its names.
  std::optional<std::string> TensorNamedTwice(const TensorFile& file) {
    for (const TensorInfo& tensor : file.tensors()) {
      if (names_.contains(tensor.name)) return tensor.name;
    }
    for (const TensorInfo& tensor : file.tensors()) names_.insert(tensor.name);
    return std::nullopt;
  }

  Result<void> AddTensor(const TensorFile& file, size_t number_in_file) {
    const TensorInfo& tensor = file.tensors()[number_in_file];
    auto extraction = extractor_.Extract(tensor);
    if (!extraction) return tl::make_unexpected(extraction.error());
    if (auto done = AddInventoryRow(file, tensor, *extraction); !done) return done;

    CountRole(tensor, *extraction);
    for (std::string& text : extraction->warnings) {
      plan_.warnings.push_back({plan_.tensors_observed, std::move(text)});
    }
    AddUnmappedProjs(file, tensor, *extraction);
    if (IsPlainFloat(tensor.dtype) && LooksLikeMoeWeight(tensor.name)) {
      ++plan_.smoke_candidates;
      AddExample(plan_.smoke_examples, tensor.name);
    }
    if (extraction->unmatched_reason) return AddUnmatched(file, tensor, *extraction);
    if (!extraction->banks.empty()) {
      ++(extraction->by_rule ? plan_.extracted_by_rule : plan_.extracted_by_fallback);
      AddExample(extraction->by_rule ? plan_.rule_examples : plan_.fallback_examples, tensor.name);
    }
    for (ExpertBank& bank : extraction->banks) {
      plan_.banks.push_back({plan_.files.size() - 1, number_in_file, std::move(bank)});
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
      plan_.observed_tensors.insert(tensor.name);
      const auto shard = index_.weight_map.find(tensor.name);
      row.in_index = shard != index_.weight_map.end();
      if (*row.in_index) row.index_shard = shard->second;
    }
    if (!options_.inventory_all_tensors) return {};
    return inventory_.Append(row.ToRow());
  }

  void CountRole(const TensorInfo& tensor, const Extraction& extraction) {
    const uint64_t elements = Elements(tensor);
    RoleTotals& totals = plan_.roles[static_cast<size_t>(extraction.role)];
    ++totals.tensors;
    totals.bytes += tensor.nbytes;
    totals.parameters += elements;
    const bool expert =
        extraction.role == Role::kRoutedExpert || extraction.role == Role::kSharedExpert;
    if (!expert) return;
    plan_.expert_parameters += elements;
    for (const ExpertBank& bank : extraction.banks) {
      plan_.planned_parameters += bank.layers * bank.experts * bank.rows * bank.cols;
    }
  }

  Result<void> AddUnmatched(const TensorFile& file, const TensorInfo& tensor,
                            const Extraction& extraction) {
    ++plan_.unmatched_expertish;
    AddExample(plan_.unmatched_examples, tensor.name);
    const std::string& reason = *extraction.unmatched_reason;
    if (reason == "proj_group_strict_no_alias_map") ++plan_.proj_no_alias_map;
    if (!IsPlainFloat(tensor.dtype)) {
      ++plan_.refused_tensors;
      plan_.warnings.push_back(
          {plan_.tensors_observed, "[extract] " + tensor.name + " is not analysed: " + reason});
    }
    if (!options_.dump_unmatched_tensors) return {};
    return unmatched_.Append(UnmatchedTensorRow{PathText(file.path()), tensor.name,
                                                tensor.dtype_text, tensor.shape, reason}
                                 .ToRow());
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

  const IndexSummary& index_;
  const Extractor& extractor_;
  const PlanOptions& options_;
  RowSink& inventory_;
  RowSink& unmatched_;
  const std::function<bool()>& stopped_;
  CollectPlan plan_;
  std::unordered_set<std::string_view> names_;  // of the opened files' tensors, which stay open
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>,
           ProjCanonicalizationRow>
      proj_rows_;
};

}  // namespace

std::string PathText(const std::filesystem::path& path) {
  std::string text = path.string();
  return IsUtf8(text) ? text : Printable(text);
}

uint64_t CollectPlan::matrices() const {
  uint64_t sum = 0;
  for (const PlannedBank& bank : banks) sum += bank.matrices();
  return sum;
}

uint64_t CollectPlan::bytes() const {
  uint64_t sum = 0;
  for (const PlannedBank& planned : banks) {
    const TensorInfo& tensor = files[planned.file]->tensors()[planned.tensor];
    sum += planned.matrices() * planned.bank.rows * planned.bank.cols * DTypeBits(tensor.dtype) / 8;
  }
  return sum;
}

Error InterruptedError() {
  return {ErrorCode::kInterrupted, "", "interrupted; outputs are untouched", "", ""};
}

Result<CollectPlan> MakePlan(const ScanPlan& scan, const IndexSummary& index,
                             const Extractor& extractor, const PlanOptions& options,
                             RowSink& inventory, RowSink& unmatched,
                             const std::function<bool()>& stopped) {
  Planner planner(index, extractor, options, inventory, unmatched, stopped);
  for (const std::filesystem::path& path : scan.files) {
    if (auto done = planner.AddFile(path); !done) return tl::make_unexpected(done.error());
  }
  return planner.Take();
}

}  // namespace moe

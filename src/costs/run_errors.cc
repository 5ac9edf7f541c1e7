#include "costs/run_errors.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "evidence/evidence.h"
#include "tables/aggregate.h"
#include "tables/table_reader.h"

namespace moe {
namespace {

int64_t IntAt(const Frame& frame, std::string_view column, uint64_t row) {
  return frame.at(column).ints[row];
}

std::optional<double> NumberAt(const Frame& frame, std::string_view column, uint64_t row) {
  const double number = frame.at(column).doubles[row];
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

class Reader {
 public:
  explicit Reader(Run& run) : run_(run) {}

  Result<RunErrors> Read() {
    auto done = ReadErrors("quant_sim", "derived_tensor")
                    .and_then([&] { return ReadEvidence(); })
                    .and_then([&] { return ReadErrors("dense_quant_sim", "module"); })
                    .and_then([&] { return ReadDense(); });
    if (!done) return tl::make_unexpected(done.error());
    return std::move(errors_);
  }

 private:
  /// Rows of a table, in batches; nothing if it is not there.
  Result<void> ForRows(std::string_view table, std::span<const WantedColumn> wanted,
                       const std::function<void(const Frame&, uint64_t)>& visit) {
    const RunTable* found = run_.Find(table);
    if (found == nullptr) return {};
    const auto reader = run_.Open(found->path);
    if (!reader) return tl::make_unexpected(reader.error());
    return (*reader)->ReadBatches(wanted, [&](uint64_t, const Frame& batch) -> Result<bool> {
      for (uint64_t row = 0; row < batch.rows; ++row) visit(batch, row);
      return true;
    });
  }

  size_t SchemeNumber(const Frame& frame, uint64_t row) {
    const std::string name = TextOr(frame.at("scheme"), row);
    const auto found = std::ranges::find(errors_.schemes, name, &QuantScheme::name);
    if (found != errors_.schemes.end()) {
      return static_cast<size_t>(found - errors_.schemes.begin());
    }
    errors_.schemes.push_back({name, TextOr(frame.at("mode"), row), IntAt(frame, "bits", row),
                               IntAt(frame, "group_size", row)});
    return errors_.schemes.size() - 1;
  }

  static void PutAt(std::vector<std::optional<double>>& list, size_t at,
                    std::optional<double> value) {
    if (list.size() <= at) list.resize(at + 1);
    list[at] = value;
  }

  Result<void> ReadErrors(std::string_view table, const std::string& name) {
    const bool experts = name == "derived_tensor";
    std::vector<WantedColumn> wanted = {
        {name, ColumnType::kString},        {"layer", ColumnType::kInt64},
        {"scheme", ColumnType::kString},    {"mode", ColumnType::kString},
        {"bits", ColumnType::kInt64},       {"group_size", ColumnType::kInt64},
        {"w_rel_fro", ColumnType::kDouble}, {"rows", ColumnType::kInt64},
        {"cols", ColumnType::kInt64}};
    if (experts) wanted.push_back({"expert_id", ColumnType::kInt64});
    for (const char* energy : {"energy", "guessed_energy"}) {
      if (!experts) wanted.push_back({energy, ColumnType::kDouble});
    }
    if (!experts && run_.Find(table) != nullptr) errors_.has_dense = true;
    return ForRows(table, wanted, [&](const Frame& frame, uint64_t row) {
      // A recipe can't tell who encodes.
      if (TextOr(frame.at("scheme"), row).ends_with(QuantScheme::kSearchEnding)) return;
      const size_t scheme = SchemeNumber(frame, row);
      const MatrixId id{TextOr(frame.at(name), row), experts ? IntAt(frame, "layer", row) : -1,
                        experts ? IntAt(frame, "expert_id", row) : -1};
      MatrixNumbers& numbers = errors_.matrices[id];
      numbers.rows = IntAt(frame, "rows", row);
      numbers.cols = IntAt(frame, "cols", row);
      PutAt(numbers.rel, scheme, NumberAt(frame, "w_rel_fro", row));
      if (experts) return;
      numbers.energy = NumberAt(frame, "energy", row);
      numbers.guessed_energy = NumberAt(frame, "guessed_energy", row);
    });
  }

  Result<void> ReadEvidence() {
    const std::vector<WantedColumn> wanted = {
        {"derived_tensor", ColumnType::kString}, {"layer", ColumnType::kInt64},
        {"expert_id", ColumnType::kInt64},       {"scheme", ColumnType::kString},
        {"act_rel_fro", ColumnType::kDouble},    {"energy", ColumnType::kDouble},
        {"guessed_energy", ColumnType::kDouble}, {"token_share", ColumnType::kDouble},
        {"missing", ColumnType::kString}};
    errors_.has_evidence = run_.Find("evidence") != nullptr;
    return ForRows("evidence", wanted, [&](const Frame& frame, uint64_t row) {
      MatrixNumbers& numbers =
          errors_.matrices[{TextOr(frame.at("derived_tensor"), row), IntAt(frame, "layer", row),
                            IntAt(frame, "expert_id", row)}];
      const std::string scheme = TextOr(frame.at("scheme"), row);
      const auto found = std::ranges::find(errors_.schemes, scheme, &QuantScheme::name);
      if (found != errors_.schemes.end()) {
        PutAt(numbers.act, static_cast<size_t>(found - errors_.schemes.begin()),
              NumberAt(frame, "act_rel_fro", row));
      }
      numbers.energy = NumberAt(frame, "energy", row);
      numbers.guessed_energy = NumberAt(frame, "guessed_energy", row);
      numbers.token_share = NumberAt(frame, "token_share", row);
      const std::string missing = TextOr(frame.at("missing"), row);
      numbers.never_routed = missing == Evidence::kNeverRouted || missing == Evidence::kStandInOnes;
      errors_.has_energies = errors_.has_energies || numbers.energy.has_value();
    });
  }

  Result<void> ReadDense() {
    const std::vector<WantedColumn> wanted = {{"module", ColumnType::kString},
                                              {"rms", ColumnType::kDouble}};
    return ForRows("dense_stats", wanted, [&](const Frame& frame, uint64_t row) {
      errors_.matrices[{TextOr(frame.at("module"), row), -1, -1}].rms = NumberAt(frame, "rms", row);
    });
  }

  Run& run_;
  RunErrors errors_;
};

}  // namespace

Result<RunErrors> ReadRunErrors(Run& run) {
  if (run.Find("quant_sim") == nullptr) {
    return Fail(ErrorCode::kNotFound, run.dir().string(), "has no data/quant_sim",
                "run 'moescope analyze MODEL' or 'moescope collect-data RUN' first",
                "FileNotFoundError");
  }
  auto errors = Reader(run).Read();
  if (errors && errors->schemes.empty()) {
    return Fail(ErrorCode::kNotFound, run.dir().string(), "has no scheme in data/quant_sim",
                "'moescope analyze MODEL --schemes mlx' measures the usual ones");
  }
  return errors;
}

}  // namespace moe

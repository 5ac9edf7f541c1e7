#include "collect/past_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/pending_file.h"
#include "base/utf8.h"
#include "base/version.h"
#include "collect/tensor_rows.h"
#include "run/schemes.h"
#include "tables/aggregate.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTables[] = {"matrix_stats", "quant_sim", "evidence", "dense_stats",
                                   "dense_quant_sim"};

/// Columns that tell one matrix from another, as far as a table has them.
constexpr std::string_view kIdentity[] = {"source_tensor", "derived_tensor", "layer",
                                          "expert_id",     "rows",           "cols"};

bool IsIdentity(const Column& column) {
  return std::ranges::find(kIdentity, column.name) != std::end(kIdentity);
}

fs::path NotePath(const fs::path& run_dir) { return run_dir / "cache" / "measured.json"; }

/// What tells a changed file: size and time of change; null for none.
Json StampOf(const fs::path& path) {
  std::error_code failed;
  const uintmax_t bytes = fs::file_size(path, failed);
  if (failed) return {};
  const auto changed = fs::last_write_time(path, failed).time_since_epoch();
  if (failed) return {};
  return {{"path", AsUtf8(path.string())},
          {"bytes", bytes},
          {"changed_ns", std::chrono::nanoseconds(changed).count()}};
}

Json StampsOf(const fs::path& run_dir) {
  Json stamps = Json::Array();
  for (const char* table : kTables) {
    const auto path = LocateDataTable(run_dir, table);
    stamps.push_back(path ? StampOf(*path) : Json());
  }
  return stamps;
}

Json SchemesJson(const std::vector<QuantScheme>& schemes) {
  Json config = Json::Object();
  PutSchemes({schemes, {}}, config);
  return config["quant_schemes"];
}

/// Adds the columns of `table` that are measured.
template <class R>
void WantMeasured(const Table<R>& table, std::vector<WantedColumn>& wanted) {
  for (const Column& column : table.MeasuredColumns()) wanted.push_back({column.name, column.type});
}

/// The measurements in a row of `frame`, put back.
template <class R>
R RecordAt(const Table<R>& table, const Frame& frame, uint64_t row) {
  R record;
  for (const auto& field : table.fields) {
    if (!field.put) continue;
    field.put(record, CellValue(frame.at(field.column.name), static_cast<uint32_t>(row)));
  }
  return record;
}

/// A whole table; false if it can't be read.
bool ReadTable(const fs::path& run_dir, const char* name, const std::vector<WantedColumn>& wanted,
               Frame& frame) {
  auto read = LocateDataTable(run_dir, name)
                  .and_then([](const fs::path& path) { return TableReader::Open(path); })
                  .and_then([&](const auto& reader) { return reader->Read(wanted); });
  if (read) frame = std::move(*read);
  return read.has_value();
}

/// Of the banks of experts.
std::vector<uint64_t> FirstMatrices(const Model& model) {
  std::vector<uint64_t> first;
  for (const ModelBank& bank : model.parts().banks) first.push_back(bank.first_matrix);
  first.push_back(model.matrices());
  return first;
}

/// Each weight outside the experts is on its own.
std::vector<uint64_t> DenseNumbers(const Model& model) {
  std::vector<uint64_t> numbers(model.dense().size() + 1);
  std::iota(numbers.begin(), numbers.end(), uint64_t{0});
  return numbers;
}

}  // namespace

Json MeasuringKey(const Json& config, const std::vector<fs::path>& files,
                  const std::string& backend, const std::string& profile) {
  Json used = config;
  for (const char* other : {"quant_schemes", "delta_pairs", "plots", "debug", "output"}) {
    used.erase(other);
  }
  Json stamps = Json::Array();
  for (const fs::path& file : files) stamps.push_back(StampOf(file));
  return {{"program", std::string(kVersion)},
          {"backend", backend},
          {"profile", profile},
          {"files", std::move(stamps)},
          {"config", std::move(used)}};
}

void RememberMeasured(const fs::path& run_dir, const Json& key,
                      const std::vector<QuantScheme>& schemes) {
  std::error_code ignored;
  fs::create_directories(NotePath(run_dir).parent_path(), ignored);
  const Json note = {
      {"key", key}, {"schemes", SchemesJson(schemes)}, {"tables", StampsOf(run_dir)}};
  (void)WriteFileAtomically(NotePath(run_dir), JsonText(note));
}

void ForgetMeasured(const fs::path& run_dir) {
  std::error_code ignored;
  fs::remove(NotePath(run_dir), ignored);
}

template <class Identity>
bool PastTables<Identity>::Read(const fs::path& run_dir, const std::vector<QuantScheme>& schemes) {
  std::vector<WantedColumn> stats,
      quant = {{"scheme", ColumnType::kString}, {"compute_dtype", ColumnType::kString}};
  for (const auto& field : stats_table_.fields) {
    if (IsIdentity(field.column)) stats.push_back({field.column.name, field.column.type});
  }
  WantMeasured(stats_table_, stats);
  WantMeasured(quant_table_, quant);
  for (const QuantScheme& scheme : schemes) schemes_.push_back(scheme.name);
  return ReadTable(run_dir, stats_table_.name.c_str(), stats, stats_) &&
         ReadTable(run_dir, quant_table_.name.c_str(), quant, quant_) &&
         stats_.rows == first_.back() && quant_.rows == first_.back() * schemes_.size();
}

template <class Identity>
bool PastTables<Identity>::IsAbout(uint64_t matrix, const Identity& id) const {
  const StatsRow<Identity> row{id, {}};
  for (const auto& field : stats_table_.fields) {
    if (!IsIdentity(field.column)) continue;
    Value wanted = field.value(row);
    if (auto* text = std::get_if<std::string>(&wanted)) *text = AsUtf8(*text);
    const FrameColumn& column = stats_.at(field.column.name);
    if (CellValue(column, static_cast<uint32_t>(matrix)) != wanted) return false;
  }
  for (size_t s = 0; s < schemes_.size(); ++s) {
    if (TextOr(quant_.at("scheme"), QuantRowOf(matrix, s)) != schemes_[s]) return false;
  }
  return true;
}

template <class Identity>
uint64_t PastTables<Identity>::QuantRowOf(uint64_t matrix, size_t scheme) const {
  const auto after = std::ranges::upper_bound(first_, matrix);
  const uint64_t begin = *(after - 1), matrices = *after - begin;
  return begin * schemes_.size() + scheme * matrices + (matrix - begin);
}

template <class Identity>
MatrixStats PastTables<Identity>::StatsOf(uint64_t matrix) const {
  return RecordAt(stats_table_, stats_, matrix).stats;
}

template <class Identity>
QuantError PastTables<Identity>::ErrorOf(uint64_t matrix, size_t scheme) const {
  return RecordAt(quant_table_, quant_, QuantRowOf(matrix, scheme)).error;
}

template <class Identity>
std::pair<std::optional<double>, std::optional<double>> PastTables<Identity>::EnergiesOf(
    uint64_t matrix) const {
  if (schemes_.empty()) return {};
  const auto row = RecordAt(quant_table_, quant_, QuantRowOf(matrix, 0));
  return {row.energy, row.guessed_energy};
}

template <class Identity>
ComputeDType PastTables<Identity>::DTypeOf(uint64_t matrix) const {
  const std::string name = TextOr(quant_.at("compute_dtype"), QuantRowOf(matrix, 0));
  for (const ComputeDType dtype : {ComputeDType::kF16, ComputeDType::kBF16}) {
    if (name == ComputeDTypeName(dtype)) return dtype;
  }
  return ComputeDType::kF32;
}

PastRun::PastRun(const Model& model, const MeasureOptions& options, bool dense)
    : experts_(MatrixStatsTable(options), QuantSimTable(), FirstMatrices(model)) {
  if (!dense) return;
  dense_.emplace(DenseStatsTable(options), DenseQuantSimTable(), DenseNumbers(model));
}

std::unique_ptr<PastRun> PastRun::Open(const fs::path& run_dir, const Json& key, const Model& model,
                                       const MeasureOptions& options, const Beside& beside) {
  const auto text = ReadTextFile(NotePath(run_dir));
  if (!text) return nullptr;
  const auto note = ParseLenientJson(*text, "measured.json");
  // Through text, as the note went: a number may change its JSON type on the way.
  if (!note || (*note)["key"] != Json::Parse(JsonText(key)) ||
      (*note)["tables"] != Json::Parse(JsonText(StampsOf(run_dir)))) {
    return nullptr;
  }
  std::unique_ptr<PastRun> past(new PastRun(model, options, beside.dense));
  for (const Json& scheme : (*note)["schemes"]) past->schemes_.push_back(SchemeOf(scheme));
  const bool read = past->experts_.Read(run_dir, past->schemes_) &&
                    (!beside.dense || past->dense_->Read(run_dir, past->schemes_)) &&
                    (!beside.evidence || past->ReadEvidence(run_dir, model.matrices()));
  return read && past->IsOf(model) ? std::move(past) : nullptr;
}

bool PastRun::ReadEvidence(const fs::path& run_dir, uint64_t matrices) {
  std::vector<WantedColumn> wanted;
  WantMeasured(EvidenceTable(), wanted);
  const bool read = ReadTable(run_dir, "evidence", wanted, evidence_.emplace());
  return read && evidence_->rows == matrices * std::max<size_t>(schemes_.size(), 1);
}

bool PastRun::IsOf(const Model& model) const {
  for (uint64_t i = 0; i < model.matrices(); ++i) {
    if (!experts_.IsAbout(i, IdentityOf(model.matrix(i)))) return false;
  }
  for (uint64_t i = 0; dense_ && i < model.dense().size(); ++i) {
    if (!dense_->IsAbout(i, IdentityOf(model.dense()[i]))) return false;
  }
  return true;
}

std::optional<size_t> PastRun::Find(const QuantScheme& scheme) const {
  for (size_t s = 0; s < schemes_.size(); ++s) {
    if (SameSchemes({schemes_[s]}, {scheme})) return s;
  }
  return std::nullopt;
}

uint64_t PastRun::EvidenceRowOf(uint64_t matrix, size_t scheme) const {
  return matrix * std::max<size_t>(schemes_.size(), 1) + scheme;
}

std::pair<std::optional<double>, std::optional<double>> PastRun::EnergiesOf(uint64_t matrix) const {
  const EvidenceRow row = RecordAt(EvidenceTable(), *evidence_, EvidenceRowOf(matrix, 0));
  return {row.energy, row.guessed_energy};
}

std::pair<std::optional<double>, std::optional<double>> PastRun::EnergiesOfDense(
    uint64_t number) const {
  return dense_->EnergiesOf(number);
}

MatrixStats PastRun::StatsOf(const WorkItem& item) const {
  return item.dense ? dense_->StatsOf(item.number) : experts_.StatsOf(item.number);
}

QuantError PastRun::ErrorOf(const WorkItem& item, const QuantScheme& scheme) const {
  const size_t s = *Find(scheme);
  if (item.dense) return dense_->ErrorOf(item.number, s);
  QuantError error = experts_.ErrorOf(item.number, s);
  if (evidence_) {
    const uint64_t row = EvidenceRowOf(item.number, s);
    error.act_rel_fro = RecordAt(EvidenceTable(), *evidence_, row).act_rel_fro;
  }
  return error;
}

ComputeDType PastRun::DTypeOf(const WorkItem& item) const {
  return item.dense ? dense_->DTypeOf(item.number) : experts_.DTypeOf(item.number);
}

}  // namespace moe

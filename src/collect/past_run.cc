#include "collect/past_run.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/pending_file.h"
#include "base/utf8.h"
#include "base/version.h"
#include "run/schemes.h"
#include "tables/aggregate.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTables[] = {"matrix_stats", "quant_sim", "evidence"};

const WantedColumn kIdentity[] = {
    {"source_tensor", ColumnType::kString}, {"derived_tensor", ColumnType::kString},
    {"layer", ColumnType::kInt64},          {"expert_id", ColumnType::kInt64},
    {"rows", ColumnType::kInt64},           {"cols", ColumnType::kInt64}};

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

std::string TextAt(const FrameColumn& column, uint64_t row) {
  const uint32_t code = column.codes[row];
  return code == FrameColumn::kNullCode ? "" : column.dictionary[code];
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

PastRun::PastRun(const Model& model, const MeasureOptions& options)
    : stats_table_(MatrixStatsTable(options)) {
  for (const ModelBank& bank : model.parts().banks) first_matrix_.push_back(bank.first_matrix);
  first_matrix_.push_back(model.matrices());
}

std::unique_ptr<PastRun> PastRun::Open(const fs::path& run_dir, const Json& key, const Model& model,
                                       const MeasureOptions& options, bool evidence) {
  const auto text = ReadTextFile(NotePath(run_dir));
  if (!text) return nullptr;
  const auto note = ParseLenientJson(*text, "measured.json");
  // Through text, as the note went: a number may change its JSON type on the way.
  if (!note || (*note)["key"] != Json::Parse(JsonText(key)) ||
      (*note)["tables"] != Json::Parse(JsonText(StampsOf(run_dir)))) {
    return nullptr;
  }
  std::unique_ptr<PastRun> past(new PastRun(model, options));
  for (const Json& scheme : (*note)["schemes"]) past->schemes_.push_back(SchemeOf(scheme));
  const bool read = past->Read(run_dir) && (!evidence || past->ReadEvidence(run_dir));
  return read && past->IsOf(model) ? std::move(past) : nullptr;
}

bool PastRun::ReadEvidence(const fs::path& run_dir) {
  std::vector<WantedColumn> wanted;
  WantMeasured(EvidenceTable(), wanted);
  const bool read = ReadTable(run_dir, "evidence", wanted, evidence_.emplace());
  return read && evidence_->rows == first_matrix_.back() * std::max<size_t>(schemes_.size(), 1);
}

bool PastRun::Read(const fs::path& run_dir) {
  std::vector<WantedColumn> stats(std::begin(kIdentity), std::end(kIdentity));
  WantMeasured(stats_table_, stats);
  std::vector<WantedColumn> quant = {{"scheme", ColumnType::kString},
                                     {"compute_dtype", ColumnType::kString}};
  WantMeasured(QuantSimTable(), quant);
  return ReadTable(run_dir, "matrix_stats", stats, stats_) &&
         ReadTable(run_dir, "quant_sim", quant, quant_);
}

bool PastRun::IsOf(const Model& model) const {
  const uint64_t matrices = first_matrix_.back();
  if (stats_.rows != matrices || quant_.rows != matrices * schemes_.size()) return false;
  const auto is = [&](const char* column, uint64_t row, int64_t value) {
    return stats_.at(column).ints[row] == value;
  };
  for (uint64_t row = 0; row < matrices; ++row) {
    const ExpertMatrix matrix = model.matrix(row);
    const ExpertBank& bank = *matrix.bank;
    const bool same =
        TextAt(stats_.at("source_tensor"), row) == AsUtf8(matrix.tensor->info().name) &&
        TextAt(stats_.at("derived_tensor"), row) == AsUtf8(bank.derived_tensor) &&
        is("layer", row, bank.LayerAt(matrix.layer_pos)) &&
        is("expert_id", row, bank.ExpertIdAt(matrix.expert_pos)) &&
        is("rows", row, static_cast<int64_t>(bank.rows)) &&
        is("cols", row, static_cast<int64_t>(bank.cols));
    if (!same) return false;
    for (size_t s = 0; s < schemes_.size(); ++s) {
      if (TextAt(quant_.at("scheme"), QuantRow(row, s)) != schemes_[s].name) return false;
    }
  }
  return true;
}

std::optional<size_t> PastRun::Find(const QuantScheme& scheme) const {
  for (size_t s = 0; s < schemes_.size(); ++s) {
    if (SameSchemes({schemes_[s]}, {scheme})) return s;
  }
  return std::nullopt;
}

uint64_t PastRun::QuantRow(uint64_t matrix, size_t scheme) const {
  const auto after = std::ranges::upper_bound(first_matrix_, matrix);
  const uint64_t begin = *(after - 1), matrices = *after - begin;
  return begin * schemes_.size() + scheme * matrices + (matrix - begin);
}

uint64_t PastRun::EvidenceRowOf(uint64_t matrix, size_t scheme) const {
  return matrix * std::max<size_t>(schemes_.size(), 1) + scheme;
}

std::pair<std::optional<double>, std::optional<double>> PastRun::EnergiesOf(uint64_t matrix) const {
  const EvidenceRow row = RecordAt(EvidenceTable(), *evidence_, EvidenceRowOf(matrix, 0));
  return {row.energy, row.guessed_energy};
}

MatrixStats PastRun::StatsOf(uint64_t matrix) const {
  return RecordAt(stats_table_, stats_, matrix).stats;
}

QuantError PastRun::ErrorOf(uint64_t matrix, const QuantScheme& scheme) const {
  const size_t s = *Find(scheme);
  QuantError error = RecordAt(QuantSimTable(), quant_, QuantRow(matrix, s)).error;
  if (evidence_) {
    error.act_rel_fro = RecordAt(EvidenceTable(), *evidence_, EvidenceRowOf(matrix, s)).act_rel_fro;
  }
  return error;
}

ComputeDType PastRun::DTypeOf(uint64_t matrix) const {
  const std::string name = TextAt(quant_.at("compute_dtype"), QuantRow(matrix, 0));
  for (const ComputeDType dtype : {ComputeDType::kF16, ComputeDType::kBF16}) {
    if (name == ComputeDTypeName(dtype)) return dtype;
  }
  return ComputeDType::kF32;
}

}  // namespace moe

#include "collect/output_tables.h"

#include <utility>

#include "tables/build_tables.h"

namespace moe {

namespace fs = std::filesystem;

Result<void> OutputTables::Open() {
  const OutputOptions output = OutputOptionsOf(config_, run_dir_);
  const fs::path data = run_dir_ / "data";
  const std::pair<std::unique_ptr<TableWriter>*, TableSchema> tables[] = {
      {&inventory_, TensorInventoryTable().Schema()},
      {&matrix_stats_, MatrixStatsTable(config_.measure).Schema()},
      {&quant_sim_, QuantSimTable().Schema()},
      {&evidence_, EvidenceTable().Schema()},
      {&dense_stats_, DenseStatsTable(config_.measure).Schema()},
      {&dense_quant_sim_, DenseQuantSimTable().Schema()},
      {&unmatched_, UnmatchedTensorsTable().Schema()},
  };
  for (const auto& [writer, schema] : tables) {
    if (!IsWanted(*writer)) {
      Remove(data / schema.name);
      continue;
    }
    auto opened = TableWriter::Open(data, schema, output, files_);
    if (!opened) return tl::make_unexpected(opened.error());
    *writer = std::move(*opened);
  }
  return {};
}

bool OutputTables::IsWanted(const std::unique_ptr<TableWriter>& table) const {
  if (&table == &unmatched_) return config_.debug.dump_unmatched_tensors;
  if (&table == &evidence_) return config_.evidence.enabled;
  if (&table == &dense_stats_ || &table == &dense_quant_sim_) return config_.dense_weights;
  return true;
}

Result<std::string> OutputTables::AddLog(const TableSchema& schema, std::vector<Row> rows) {
  if (rows.empty()) {
    Remove(run_dir_ / "logs" / schema.name);
    return "";
  }
  auto writer =
      TableWriter::Open(run_dir_ / "logs", schema, OutputOptionsOf(config_, run_dir_), files_);
  if (!writer) return tl::make_unexpected(writer.error());
  for (Row& row : rows) {
    if (auto done = (*writer)->Append(std::move(row)); !done) {
      return tl::make_unexpected(done.error());
    }
  }
  logs_.push_back(std::move(*writer));
  return logs_.back()->written().path.string();
}

Result<void> OutputTables::Finish() {
  for (TableWriter* writer : Writers()) {
    if (auto done = writer->Finish(); !done) return done;
  }
  return {};
}

std::string OutputTables::UnmatchedPath() const {
  return unmatched_ ? unmatched_->written().path.string() : "";
}

std::vector<WrittenTable> OutputTables::Written() const {
  std::vector<WrittenTable> written;
  for (const TableWriter* writer : Writers()) written.push_back(writer->written());
  return written;
}

void OutputTables::Remove(const fs::path& table) {
  for (const char* suffix : {".parquet", ".csv"}) {
    files_.Remove(table.parent_path() / (table.filename().string() + suffix));
  }
}

std::vector<TableWriter*> OutputTables::Writers() const {
  std::vector<TableWriter*> writers;
  for (const auto* writer : {&inventory_, &matrix_stats_, &quant_sim_, &evidence_, &dense_stats_,
                             &dense_quant_sim_, &unmatched_}) {
    if (*writer) writers.push_back(writer->get());
  }
  for (const auto& log : logs_) writers.push_back(log.get());
  return writers;
}

}  // namespace moe

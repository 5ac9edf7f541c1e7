#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file_transaction.h"
#include "collect/matrix_work.h"
#include "run/config.h"
#include "tables/table_writer.h"

namespace moe {

/// The tables of one collection, which take their names with the rest of `files`.
class OutputTables {
 public:
  OutputTables(const Config& config, std::filesystem::path run_dir, FileTransaction& files)
      : config_(config), run_dir_(std::move(run_dir)), files_(files) {}

  /// Opens those of data/.
  Result<void> Open();

  RowSink& inventory() { return *inventory_; }
  RowSink& unmatched() { return unmatched_ ? static_cast<RowSink&>(*unmatched_) : nowhere_; }
  RowSink& evidence() { return *evidence_; }  ///< config.evidence.enabled
  WorkSinks work() {
    return {*matrix_stats_, *quant_sim_, unmatched(), dense_stats_.get(), dense_quant_sim_.get()};
  }

  /// A small table of logs/, or the removal of an old one when it has no rows. Gives its path; ""
  /// where there is none.
  Result<std::string> AddLog(const TableSchema& schema, std::vector<Row> rows);

  /// Completes all files under their temporary names.
  Result<void> Finish();

  std::string UnmatchedPath() const;  ///< "": it is not written
  std::vector<WrittenTable> Written() const;

 private:
  struct Nowhere : RowSink {
    Result<void> Append(Row) override { return {}; }
  };

  void Remove(const std::filesystem::path& table);
  std::vector<TableWriter*> Writers() const;

  const Config& config_;
  const std::filesystem::path run_dir_;
  FileTransaction& files_;
  bool IsWanted(const std::unique_ptr<TableWriter>& table) const;

  std::unique_ptr<TableWriter> inventory_, matrix_stats_, quant_sim_, evidence_, dense_stats_,
      dense_quant_sim_, unmatched_;
  std::vector<std::unique_ptr<TableWriter>> logs_;
  Nowhere nowhere_;
};

}  // namespace moe

#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "cli/exit_code.h"
#include "cli/reporter.h"
#include "pairs/model_pairs.h"
#include "pairs/pair_work.h"
#include "rows/schema.h"

namespace moe::cli {

// What commands that look at two checkpoints share.

/// Interrupted by the user, with progress told.
PairWorkOptions PairWork(unsigned threads, Reporter& report);

/// Writes DIR/TABLE.parquet and DIR/TABLE.json together: the rows that `fill` appends, and the
/// object that it gives.
Result<void> WritePairFiles(const std::filesystem::path& folder, const TableSchema& schema,
                            const std::function<Result<Json>(RowSink&)>& fill);

/// The same of rows that are there.
template <class R>
Result<void> WritePairFiles(const std::filesystem::path& folder, const Table<R>& table,
                            const std::vector<R>& rows, const Json& object) {
  return WritePairFiles(folder, table.Schema(), [&](RowSink& sink) -> Result<Json> {
    for (const R& row : rows) {
      if (auto done = sink.Append(table.RowOf(row)); !done)
        return tl::make_unexpected(done.error());
    }
    return object;
  });
}

/// "3 only in A: x, y and 1 more": lists, with the reason of the first; nothing for none. With -v
/// all, a line each.
void TellUnpaired(std::string_view what, const std::vector<Unpaired>& list, Reporter& report);
void TellUnpaired(const ModelPairs& pairs, const std::string& a, const std::string& b,
                  Reporter& report);

/// "5,961".
std::string Grouped(uint64_t number);
/// Four digits; "-": there is none.
std::string Number(const std::optional<double>& number);

/// Of what compares.
ExitCode ExitOf(bool differs, bool complete);

}  // namespace moe::cli

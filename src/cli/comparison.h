#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "base/text.h"
#include "cli/exit_code.h"
#include "cli/reporter.h"
#include "pairs/model_pairs.h"
#include "pairs/pair_work.h"
#include "report/pair_page.h"
#include "rows/schema.h"

namespace moe::cli {

// What commands that look at two checkpoints share.

/// Interrupted by the user, with progress told.
PairWorkOptions PairWork(unsigned threads, Reporter& report);

/// Two checkpoints, as commands are given them, and whether what comes of them can be written into
/// `out`: asked first, as reading takes long.
struct OpenedPair {
  Model a, b;
};
Result<OpenedPair> OpenPaired(const std::string& a, const std::string& b,
                              const std::optional<std::string>& out);

/// Writes DIR/TABLE.parquet and DIR/TABLE.json together: the rows that `fill` appends, and the
/// object that it gives; and DIR/TABLE.html, if there is one.
Result<void> WritePairFiles(const std::filesystem::path& folder, const TableSchema& schema,
                            const std::optional<std::string>& html,
                            const std::function<Result<Json>(RowSink&)>& fill);

/// The page with this data; nullopt, and a warning, in a program without the page.
std::optional<std::string> PairHtml(const std::string& data, Reporter& report);

/// What came of two checkpoints, as --out asks for it: its rows, the object and the page. Nothing
/// without `out`.
template <class Pairing, class R>
Result<void> WritePairing(const std::optional<std::string>& out, const Pairing& done,
                          const Table<R>& table, const Json& object, Reporter& report) {
  if (!out) return {};
  const auto html = PairHtml(PairPage(done, object), report);
  return WritePairFiles(ResolvePath(*out), table.Schema(), html,
                        [&](RowSink& sink) -> Result<Json> {
                          for (const R& row : done.rows) {
                            auto added = sink.Append(table.RowOf(row));
                            if (!added) return tl::make_unexpected(added.error());
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

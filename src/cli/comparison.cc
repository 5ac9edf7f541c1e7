#include "cli/comparison.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file_transaction.h"
#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/interrupt.h"
#include "model/inspect.h"
#include "report/write_report.h"
#include "tables/table_writer.h"

namespace moe::cli {

PairWorkOptions PairWork(unsigned threads, Reporter& report) {
  return {threads, Interrupted(),
          [&report](uint64_t pairs, uint64_t bytes) { report.OnWork(pairs, bytes); },
          [&report](uint64_t pairs, uint64_t bytes) { report.OnProgress(pairs, bytes); }};
}

Result<OpenedPair> OpenPaired(const std::string& a, const std::string& b,
                              const std::optional<std::string>& out) {
  std::error_code unknown;
  const std::filesystem::path folder = out ? ResolvePath(*out) : std::filesystem::path();
  if (out && std::filesystem::exists(folder, unknown) &&
      !std::filesystem::is_directory(folder, unknown)) {
    return Fail(ErrorCode::kBadArgument, folder.string(), "is no folder",
                "give --out a folder, which need not be there");
  }
  auto model_a = OpenForInspection(a);
  if (!model_a) return tl::make_unexpected(model_a.error());
  auto model_b = OpenForInspection(b);
  if (!model_b) return tl::make_unexpected(model_b.error());
  return OpenedPair{std::move(*model_a), std::move(*model_b)};
}

std::optional<std::string> PairHtml(const std::string& data, Reporter& report) {
  auto html = PageWith(data);
  if (html) return std::move(*html);
  report.Warning(html.error().Text());
  return std::nullopt;
}

Result<void> WritePairFiles(const std::filesystem::path& folder, const TableSchema& schema,
                            const std::optional<std::string>& html,
                            const std::function<Result<Json>(RowSink&)>& fill) {
  FileTransaction files;
  const auto table = TableWriter::Open(folder, schema, {.compression = "zstd"}, files);
  if (!table) return tl::make_unexpected(table.error());
  const auto object = fill(**table);
  if (!object) return tl::make_unexpected(object.error());
  return (*table)
      ->Finish()
      .and_then([&] {
        return AddFile(files, folder / (schema.name + ".json"),
                       object->Text({.indented = true}) + "\n");
      })
      .and_then([&] {
        return html ? AddFile(files, folder / (schema.name + ".html"), *html) : Result<void>();
      })
      .and_then([&] { return files.Commit(); });
}

void TellUnpaired(std::string_view what, const std::vector<Unpaired>& list, Reporter& report) {
  constexpr size_t kFew = 3;
  if (list.empty()) return;
  const size_t shown = report.verbose() ? list.size() : std::min(kFew, list.size());
  report.Answer(fmt::format("{}: {}", what, Grouped(list.size())));
  for (size_t i = 0; i < shown; ++i) {
    report.Answer(fmt::format("  {}: {}", Printable(list[i].name), Printable(list[i].reason)));
  }
  if (shown < list.size()) {
    report.Answer(fmt::format("  and {} more, listed by -v and --json", list.size() - shown));
  }
}

void TellUnpaired(const ModelPairs& pairs, const std::string& a, const std::string& b,
                  Reporter& report) {
  std::vector<Unpaired> misshapen;
  for (const auto& [x, y] : pairs.misshapen) {
    misshapen.push_back(
        {x.key.Text(),
         fmt::format("{} x {} and {} x {}", x.view.rows, x.view.cols, y.view.rows, y.view.cols),
         true});
  }
  TellUnpaired("of different shapes", misshapen, report);
  TellUnpaired("only in " + a, pairs.only_a, report);
  TellUnpaired("only in " + b, pairs.only_b, report);
  TellUnpaired("not read in " + a, pairs.unread_a, report);
  TellUnpaired("not read in " + b, pairs.unread_b, report);
}

std::string Grouped(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string Number(const std::optional<double>& number) {
  return number ? fmt::format("{:.4g}", *number) : "-";
}

ExitCode ExitOf(bool differs, bool complete) {
  if (differs) return ExitCode::kDiffers;
  return complete ? ExitCode::kOk : ExitCode::kIncomplete;
}

}  // namespace moe::cli

#include <fmt/format.h>

#include <memory>

#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"
#include "cli/comparison.h"
#include "cli/flag_values.h"
#include "cli/pipeline.h"
#include "verify/verify_models.h"

namespace moe::cli {
namespace {

struct VerifyArguments {
  std::string quantized, original, tolerance = "1";
  std::optional<std::string> out;
  unsigned threads = 0;
};

std::string Verdict(const Verification& done) {
  const VerifyCounts all = done.all();
  const std::string total = Grouped(all.weights);
  if (done.differs()) {
    const char* hint =
        all.differs == all.weights ? "; was it made of another model than this original?" : "";
    return all.differs > 0 ? fmt::format("differs: {} of {} weights are not what they should be{}",
                                         Grouped(all.differs), total, hint)
                           : "differs: the files hold more than the weights";
  }
  const std::string made =
      fmt::format("{} of {} weights attested or copies", Grouped(all.attested + all.copies), total);
  const std::string rest =
      all.within == 0 ? "" : fmt::format(", {} within the expected error", Grouped(all.within));
  const std::string_view verdict = done.verdict();
  return fmt::format("{}: {}{}{}", verdict, made, rest,
                     verdict == "incomplete" ? "; not all could be compared" : "");
}

void TellRoles(const Verification& done, Reporter& report) {
  report.Answer(fmt::format("{:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "role", "weights",
                            "attested", "copies", "within", "differs", "unread"));
  for (const auto& [role, counts] : done.roles) {
    report.Answer(fmt::format("{:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", role,
                              Grouped(counts.weights), Grouped(counts.attested),
                              Grouped(counts.copies), Grouped(counts.within),
                              Grouped(counts.differs), Grouped(counts.unread)));
  }
}

void TellEncoders(const Verification& done, Reporter& report) {
  for (const auto& [storage, encoding] : done.encodings) {
    report.Answer(fmt::format("{} made again as {}", storage, encoding.Text()));
  }
}

void TellWorst(const Verification& done, Reporter& report) {
  const auto worst = done.Worst(report.verbose() ? 1000 : 10);
  if (worst.empty()) return;
  report.Answer(fmt::format("{:>9} {:>9}  {}", "error", "expected", "worst"));
  for (const VerifyRow* row : worst) {
    const auto most = row->allowed ? "<" + Number(row->allowed) : "-";
    const auto expected = row->expected ? Number(row->expected) : most;
    report.Answer(fmt::format(
        "{:>9} {:>9}  {}{}", Number(row->error), row->method == "copy" ? "0" : expected,
        Printable(row->id.text),
        row->finding ? fmt::format(": {}: {}", *row->finding, Printable(row->detail.value_or("")))
                     : ""));
  }
}

void TellOthers(const Verification& done, Reporter& report) {
  std::vector<Unpaired> list;
  for (const FileFinding& one : done.others) {
    list.push_back({one.name,
                    fmt::format("{}: {}", FindingName(one.finding.kind), one.finding.detail), false,
                    nullptr});
  }
  TellUnpaired("beside the weights", list, report);
  TellUnpaired("only in the original", done.pairs.only_a, report);
  TellUnpaired("only in the quantized", done.pairs.only_b, report);
  TellUnpaired("not read in the original", done.pairs.unread_a, report);
  TellUnpaired("not read in the quantized", done.pairs.unread_b, report);
}

ExitCode RunVerify(const VerifyArguments& arguments, Reporter& report) {
  const auto tolerance = NumberOf("--tolerance", arguments.tolerance, "1 is the usual one");
  if (!tolerance) {
    report.Error(tolerance.error());
    return ExitCode::kUsage;
  }
  const auto opened = OpenPaired(arguments.original, arguments.quantized, arguments.out);
  if (!opened) return FailWith(opened.error(), report);
  const auto& [original, quantized] = *opened;
  const auto done =
      VerifyModels(original, quantized, {PairWork(arguments.threads, report), *tolerance});
  if (!done) return FailWith(done.error(), report);
  const Json object = VerificationJson(*done, original, quantized, *tolerance);
  const auto written = WritePairing(arguments.out, *done, VerifyTable(), object, report);
  if (!written) return FailWith(written.error(), report);
  if (report.json()) report.object() = object;
  report.Answer(Verdict(*done));
  TellRoles(*done, report);
  if (report.verbose()) TellEncoders(*done, report);
  TellWorst(*done, report);
  TellOthers(*done, report);
  return ExitOf(done->differs(), done->complete());
}

}  // namespace

void AddVerify(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<VerifyArguments>();
  const Command cmd = program.Add(
      "verify",
      "Whether a quantized checkpoint holds what it should of every weight of its original");
  cmd.Option("QUANTIZED", opt->quantized, "The checkpoint to judge: MLX, GGUF, FP8, GPTQ, ...")
      .Required();
  cmd.Option("--against", opt->original, "The checkpoint that it was made of, in whatever form")
      .Required();
  cmd.Option("--tolerance", opt->tolerance,
             "What the largest errors that are no fault are multiplied with")
      .ShowDefault();
  cmd.Option("-o,--out", opt->out,
             "Write verify.parquet (a row for each weight), verify.json and the page verify.html "
             "into this folder; without it nothing is written");
  AddThreadsFlag(cmd, opt->threads);
  cmd.Footer(
      R"(Exit code 0: every weight is attested (its codes and scales made again), a copy, or within
the error that its scheme makes; 4: some are not; 3: none is wrong, but not all could be
compared.

Examples:
  moescope verify Qwen3-30B-A3B-4bit --against ~/models/Qwen3-30B-A3B
  moescope verify Qwen3-30B-A3B-Q4_K_M.gguf --against ~/models/Qwen3-30B-A3B --out verified)");
  cmd.OnRun([opt, &exit, &report] { exit = RunVerify(*opt, report); });
}

}  // namespace moe::cli

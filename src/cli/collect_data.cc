#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/pending_file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/pipeline.h"
#include "cli/run_argument.h"
#include "cli/summary.h"
#include "collect/collect.h"
#include "collect/usable_config.h"
#include "model/location.h"
#include "run/run_dir.h"

namespace moe::cli {
namespace {

CollectOptions OptionsOf(const std::filesystem::path& run_dir, const CollectFlags& flags) {
  CollectOptions options;
  options.run_dir = run_dir;
  if (flags.model_path) {
    const auto model = LocateModel(*flags.model_path);
    options.model_path = model ? model->path : std::filesystem::path(*flags.model_path);
  }
  options.threads = flags.threads;
  options.keep_going = flags.keep_going;
  options.reuse = flags.reuse;
  if (flags.io != "auto") {
    options.read_mode =
        flags.io == ReadModeName(ReadMode::kRead) ? ReadMode::kRead : ReadMode::kMap;
  }
  options.stop = Interrupted();
  return options;
}

/// Whether the config can be used, and there is a model to read.
Result<void> CheckConfig(const Config& config, const CollectOptions& options) {
  const std::filesystem::path path = options.run_dir / "analysis_config.json";
  return CheckUsable(config, path).and_then([&]() -> Result<void> {
    return options.model_path ? Result<void>() : CheckModelPath(config, path.string());
  });
}

void PrintRoles(const CollectReport& done, Reporter& report) {
  for (size_t i = 0; i < kRoleCount; ++i) {
    const RoleTotals& totals = done.roles[i];
    if (totals.tensors == 0) continue;
    report.Step(fmt::format("[collect] {:<14} {:>7} tensors  {:>9}  {:>15} parameters",
                            RoleName(static_cast<Role>(i)), totals.tensors,
                            HumanBytes(totals.bytes), totals.parameters));
  }
  if (done.coverage.promised == 0) {
    report.Step("[collect] no expert parameters found");
    return;
  }
  report.Step(fmt::format("[collect] expert parameters analysed: {} of {} ({})",
                          done.coverage.analysed, done.coverage.promised,
                          CoverageText(done.coverage.share.value_or(0))));
}

void PrintWorst(const std::filesystem::path& run_dir, const CollectReport& done, Reporter& report) {
  if (done.work.worst.empty()) return;
  TensorNames few_huge;
  Run run(run_dir);
  if (const auto weights = ReadRunWeights(run)) few_huge = FewHugeNames(*weights);
  report.Step("");
  report.Step("Worst experts per scheme (relative error of the weights; lower is better):");
  report.Step(fmt::format("  {:<16} {:>5} {:>6}  {:<10} {:>9} {:>9}", "scheme", "layer", "expert",
                          "proj", "w_rel_fro", "sqnr dB"));
  for (const WorstMatrix& worst : done.work.worst) {
    report.Step(fmt::format(
        "  {:<16} {:>5} {:>6}  {:<10} {:>9.5f} {:>9}{}", worst.scheme, worst.layer,
        worst.expert_id < 0 ? "shared" : fmt::to_string(worst.expert_id), worst.proj,
        worst.w_rel_fro, worst.sqnr_db ? fmt::format("{:.2f}", *worst.sqnr_db) : "-",
        few_huge.contains(worst.derived_tensor) ? fmt::format("  {}", kFewHugeNote) : ""));
  }
  report.Step("");
}

/// "8 of 24 matrices"; "all 24 matrices".
std::string OfAll(uint64_t count, uint64_t all) {
  return count == all ? fmt::format("all {} matrices", all)
                      : fmt::format("{} of {} matrices", count, all);
}

/// "[quant_sim] failed on 8 of 24 matrices: q3, q4; on all 24 matrices: q5; the first: ..."
std::string FailuresText(const std::vector<SchemeFailure>& failures, uint64_t matrices) {
  std::map<uint64_t, std::vector<std::string>> schemes;  // by how many matrices
  for (const SchemeFailure& one : failures) schemes[one.matrices].push_back(one.scheme);
  std::string text;
  for (const auto& [count, names] : schemes) {
    text += fmt::format("{} on {}: {};", text.empty() ? "failed" : "", OfAll(count, matrices),
                        fmt::join(names, ", "));
  }
  return fmt::format("[quant_sim] {} the first: {} ({})", text, failures.front().error,
                     failures.front().derived);
}

/// The warnings for people: those of logs/warnings about schemes that failed, one a scheme and
/// tensor, are one line.
std::vector<std::string> ShortWarnings(const CollectReport& done) {
  std::vector<std::string> texts = done.warnings;
  for (const SchemeFailure& one : done.work.failures) {
    const std::string start = "[quant_sim] scheme=" + one.scheme + " failed: ";
    std::erase_if(texts, [&](const std::string& text) { return text.starts_with(start); });
  }
  if (done.work.failures.empty()) return texts;
  texts.insert(texts.begin(), FailuresText(done.work.failures, done.work.matrix_rows));
  return texts;
}

/// For --json.
void FillObject(const CollectReport& done, Json& object) {
  object["family"] = done.family.empty() ? Json() : Json(done.family);
  for (const WrittenTable& table : done.outputs) {
    object["tables"][table.path.stem().string()] = table.rows;
  }
}

}  // namespace

ExitCode RunCollect(const std::filesystem::path& run_dir, const Result<Config>& config,
                    const CollectFlags& flags, Reporter& report) {
  const CollectOptions options = OptionsOf(run_dir, flags);
  const auto usable = config.and_then([&](const Config& c) { return CheckConfig(c, options); });
  if (!usable) {
    WriteConfigFailure(options, usable.error());
    return FailWithConfig(usable.error(), report);
  }
  report.set_print_every_files(config->debug.print_progress_every_files);
  const auto done = moe::Collect(*config, options, report);
  if (!done) return FailWith(done.error(), report);

  const bool all = report.verbose() || report.json();
  report.Warnings(all ? done->warnings : ShortWarnings(*done), "logs/warnings");
  FillObject(*done, report.object());
  for (const WrittenTable& table : done->outputs) {
    report.Step(fmt::format("[collect] {} rows: {}", table.path.stem().string(), table.rows));
  }
  PrintRoles(*done, report);
  if (report.verbose()) PrintWorst(run_dir, *done, report);
  report.Step(
      fmt::format("[collect] done in {:.2f} s, files read by {}", done->seconds, done->read_mode));
  return done->incomplete ? ExitCode::kIncomplete : ExitCode::kOk;
}

Argument AddThreadsFlag(const Command& cmd, unsigned& threads) {
  return cmd.Option("-j,--threads", threads, "Worker threads; 0 is one for each core")
      .AtMost(kMaxThreads);
}

void AddWorkFlags(const Command& cmd, CollectFlags& flags) {
  AddThreadsFlag(cmd, flags.threads);
  cmd.Option("--io", flags.io,
             "How files are read ahead: mmap (by the kernel), read (by us, in large pieces), or "
             "auto: read on network and FUSE file systems, else mmap")
      .OneOf({"auto", "mmap", "read"})
      .ShowDefault();
  cmd.Flag("--keep-going", flags.keep_going,
           "Skip broken files instead of failing; the exit code is then 3");
}

void AddEvidenceFlags(const Command& cmd, CollectFlags& flags) {
  cmd.Option("--imatrix", flags.imatrix,
             "llama.cpp's importance matrix of this model (GGUF or .dat); several are added up");
  cmd.Option("--usage", flags.usage,
             "Tokens by layer and expert: CSV layer,expert,tokens, or JSON; several are added up");
}

void PutBackConfig(const std::filesystem::path& path, const std::optional<std::string>& before,
                   Reporter& report) {
  if (!before) return;
  const auto done = WriteFileAtomically(path, *before);
  if (!done) report.Error(done.error());
}

ConfigChange EvidenceOf(const CollectFlags& flags) {
  const auto absolute = [](const std::vector<std::string>& files) {
    std::vector<std::filesystem::path> paths;
    for (const std::string& file : files) paths.push_back(std::filesystem::absolute(file));
    return paths;
  };
  ConfigChange change;
  change.imatrix = absolute(flags.imatrix);
  change.usage = absolute(flags.usage);
  return change;
}

Result<void> CheckEvidenceOf(const CollectFlags& flags, Config config) {
  config.evidence.imatrix = flags.imatrix;
  config.evidence.usage = flags.usage;
  return CheckEvidence(config, OptionsOf({}, flags));
}

/// `collect-data` with the evidence that the flags name, which the config keeps if all goes well.
ExitCode CollectInto(const Run& run, const CollectFlags& flags, Reporter& report) {
  const std::filesystem::path path = run.dir() / "analysis_config.json";
  std::optional<std::string> before;
  if (auto text = ReadConfigText(path)) before = std::move(*text);
  const auto there = LoadConfig(path);
  if (there) {
    if (auto fits = CheckEvidenceOf(flags, *there); !fits) return FailWith(fits.error(), report);
  }
  const auto config = there.and_then(
      [&](const Config& loaded) { return ChangeConfig(path, loaded, EvidenceOf(flags)); });
  const ExitCode exit = RunCollect(run.dir(), config, flags, report);
  const bool failed = exit != ExitCode::kOk && exit != ExitCode::kIncomplete;
  const bool changed = !flags.imatrix.empty() || !flags.usage.empty();
  if (failed && changed) PutBackConfig(path, before, report);
  return exit;
}

void AddCollectData(const Command& program, ExitCode& exit, Reporter& report) {
  struct Options {
    RunArgument run;
    CollectFlags flags;
  };
  auto opt = std::make_shared<Options>();
  const Command cmd = program.Add("collect-data",
                                  "Scan model files, extract expert matrices, compute stats, "
                                  "and optionally run MLX quantization "
                                  "simulation");
  cmd.Alias("collect_data");
  AddRunArgument(cmd, opt->run, "Run directory created by init_run");
  cmd.Option("--model-path", opt->flags.model_path,
             "Override the model_path from analysis_config.json");
  AddWorkFlags(cmd, opt->flags);
  AddEvidenceFlags(cmd, opt->flags);
  cmd.Footer("Example:\n  moescope collect-data runs/qwen/qwen3-30b-a3b/first --threads 8");
  cmd.OnRun([opt, &exit, &report] {
    exit = WithRun(opt->run, report,
                   [&](const Run& run) { return CollectInto(run, opt->flags, report); });
  });
}

}  // namespace moe::cli

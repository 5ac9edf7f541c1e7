#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/json_text.h"
#include "base/pending_file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/pipeline.h"
#include "cli/summary.h"
#include "model/inspect.h"
#include "model/location.h"
#include "report/web_assets.h"
#include "run/config.h"
#include "run/config_template.h"
#include "run/find_run.h"
#include "run/run_dir.h"
#include "run/schemes.h"

namespace moe::cli {
namespace {

struct AnalyzeOptions {
  std::string model, out = kDefaultRunRoot, model_id, run_name = "analysis";
  CollectFlags flags;
  std::optional<std::string> schemes;
  bool force = false, fresh = false, no_report = false;
};

/// What the run's configuration has to be changed in: a new one gets the usual schemes, an existing
/// one keeps its own unless the command line names some.
ConfigChange ChangeFor(const Config& config, const std::filesystem::path& model,
                       const std::optional<SchemeChoice>& schemes, const CollectFlags& flags) {
  ConfigChange change = EvidenceOf(flags);
  if (IsOfAnother(config, model)) change.model_path = model;
  if (schemes && !SameSchemes(schemes->schemes, config.quant_schemes)) change.schemes = schemes;
  return change;
}

/// Names the usual schemes that fit no matrix of this model.
void NoteLeftOut(const SchemeChoice& usual, const SchemeChoice& fitting, Reporter& report) {
  std::vector<std::string> names;
  for (const QuantScheme& scheme : usual.schemes) {
    if (std::ranges::count(fitting.schemes, scheme.name, &QuantScheme::name) == 0) {
      names.push_back(scheme.name);
    }
  }
  if (names.empty()) return;
  report.Note(fmt::format("not simulated, as their groups fit no expert matrix: {}",
                          fmt::join(names, ", ")));
}

struct PreparedRun {
  std::filesystem::path dir;
  Config config;                             ///< as analysis_config.json has it
  std::optional<std::string> config_before;  ///< text of what stays if the run fails
  std::filesystem::path config_path() const { return dir / "analysis_config.json"; }
};

/// What an existing configuration is used as.
void TellKept(const std::filesystem::path& path, const Config& config, const ConfigChange& change,
              const std::vector<std::string>& dropped_pairs, Reporter& report) {
  const size_t count = (change.schemes ? change.schemes->schemes : config.quant_schemes).size();
  report.Note(fmt::format("config: existing{}, {} scheme{} ({})",
                          change.schemes ? " with other schemes" : "", count, count == 1 ? "" : "s",
                          path.string()));
  if (!change.schemes || dropped_pairs.empty()) return;
  report.Note(fmt::format("config: delta pairs that went with their schemes: {}",
                          fmt::join(dropped_pairs, ", ")));
}

/// What stays of a new run that fails: another try may be with other files of evidence, or none.
Result<std::string> ConfigWithoutEvidence(const std::filesystem::path& path, const Config& config,
                                          ConfigChange change) {
  change.imatrix.clear();
  change.usage.clear();
  return ChangeConfig(path, config, change).and_then([&](const Config&) {
    return ReadTextFile(path);
  });
}

/// As CheckEvidenceOf(), with the config of the run, if it can be read.
Result<void> CheckEvidenceFor(const AnalyzeOptions& options, const std::filesystem::path& model,
                              const Result<Config>& config) {
  if (!config) return {};
  CollectFlags flags = options.flags;
  flags.model_path = model.string();
  return CheckEvidenceOf(flags, *config);
}

/// Makes or finds the run directory of `model`, with the configuration that the flags ask for.
tl::expected<PreparedRun, ExitCode> PrepareRun(const AnalyzeOptions& options,
                                               const ModelLocation& location, Reporter& report) {
  const std::filesystem::path& model = location.path;
  const auto fail = [&](const Error& error) {
    return tl::make_unexpected(RefuseWith(error, report));
  };
  auto schemes = ParseSchemes(options.schemes.value_or("mlx"));
  if (!schemes) return fail(schemes.error());
  const std::string id = options.model_id.empty() ? location.id : options.model_id;
  const auto run_dir = RunDirOf(options.out, id, options.run_name);
  if (!run_dir) return fail(run_dir.error());
  const std::filesystem::path path = *run_dir / "analysis_config.json";
  auto config = LoadConfig(path);
  const bool existing = config || config.error().code != ErrorCode::kNotFound;
  const bool of_another = config && IsOfAnother(*config, model);
  const bool replaceable = of_another && HoldsNothing(*run_dir);
  const bool fresh = options.fresh || replaceable;
  if (of_another && !options.force && !replaceable) {
    return fail(OfAnotherModel(*run_dir, *config, model,
                               "--run-name NAME makes another run, --force replaces this one"));
  }
  const bool kept = existing && !fresh;
  const auto base = kept ? config : ParseConfig(ConfigTemplateText(""), path.string());
  if (auto fits = CheckEvidenceFor(options, model, base); !fits) {
    return tl::make_unexpected(FailWith(fits.error(), report));
  }
  PreparedRun run{*run_dir, {}, std::nullopt};
  if (auto text = ReadTextFile(path)) run.config_before = std::move(*text);
  if (fresh && run.config_before) {
    const std::filesystem::path old = path.string() + ".old";
    std::error_code failed;
    std::filesystem::rename(path, old, failed);
    if (failed) return fail({ErrorCode::kIo, path.string(), failed.message(), "", ""});
    report.Note("config: new; the one before is " + old.string());
  }
  const auto made = InitRun(options.out, id, options.run_name, model, "auto");
  if (!made) return fail(made.error());
  if (!kept) config = LoadConfig(path);
  if (!config) return tl::make_unexpected(FailWithConfig(config.error(), report));
  std::optional<SchemeChoice> wanted;
  if (!kept || options.schemes) wanted = std::move(*schemes);
  if (wanted && !options.schemes) {
    const SchemeChoice usual = *wanted;
    const auto opened = OpenForInspection(model.string());
    wanted = FittingSchemes(usual, opened ? ExpertColumns(*opened) : std::set<uint64_t>());
    NoteLeftOut(usual, *wanted, report);
  }
  std::vector<std::string> dropped;
  if (kept && wanted) dropped = KeepOwnPairs(*config, *wanted);
  const ConfigChange change = ChangeFor(*config, model, wanted, options.flags);
  if (!run.config_before) {
    const auto before = ConfigWithoutEvidence(path, *config, change);
    if (!before) return fail(before.error());
    run.config_before = *before;
  }
  auto changed = ChangeConfig(path, *config, change);
  if (!changed) return fail(changed.error());
  run.config = std::move(*changed);
  if (kept) TellKept(path, *config, change, dropped, report);
  return run;
}

ExitCode RunAnalyze(const AnalyzeOptions& options, Reporter& report) {
  const auto model = LocateModel(options.model);
  if (!model) return FailWith(model.error(), report);
  const auto run = PrepareRun(options, *model, report);
  if (!run) return run.error();
  report.object()["run"] = run->dir.string();
  CollectFlags flags = options.flags;
  flags.model_path = model->path.string();
  flags.reuse = !options.fresh;
  const ExitCode collected = RunCollect(run->dir, run->config, flags, report);
  if (collected != ExitCode::kOk && collected != ExitCode::kIncomplete) {
    PutBackConfig(run->config_path(), run->config_before, report);
    return collected;
  }
  const ExitCode built = RunBuildTables(run->dir, run->config, report);
  if (built != ExitCode::kOk) return built;
  Run measured(run->dir);
  std::optional<std::filesystem::path> page;
  if (!options.no_report) {
    const ExitCode reported = RunReport(measured, true, report);
    if (reported != ExitCode::kOk) return reported;
    if (PageTemplate()) page = run->dir / "report.html";
  }
  if (auto answered = AnswerWith(measured, page, report); !answered) {
    return FailWith(answered.error(), report);
  }
  if (collected == ExitCode::kIncomplete) {
    report.Answer("");
    report.Answer(
        fmt::format("{}: data/unmatched_tensors and logs/warnings say what", Meaning(collected)));
  }
  return collected;
}

}  // namespace

bool IsOfAnother(const Config& config, const std::filesystem::path& model) {
  return !config.model_path.empty() && !NamesModel(config.model_path, model);
}

Error OfAnotherModel(const std::filesystem::path& run_dir, const Config& config,
                     const std::filesystem::path& model, std::string hint) {
  return {ErrorCode::kBadArgument, run_dir.string(),
          "is a run of " + config.model_path + ", not of " + model.string(), std::move(hint), ""};
}

void AddAnalyze(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<AnalyzeOptions>();
  const Command cmd = program.Add(
      "analyze",
      "Everything in one call: make a run directory, collect data, build tables, write the report");
  cmd.Option("MODEL", opt->model, kModelMeaning).Required();
  cmd.Option("-o,--out", opt->out, "Root directory of the runs").ShowDefault();
  cmd.Option("--model-id", opt->model_id, "Model identifier [from the path]");
  cmd.Option("--run-name", opt->run_name, "Run name").ShowDefault();
  cmd.Option("--schemes", opt->schemes,
             "Quantization schemes, comma-separated: q4 (affine, 4 bits, groups of 64), q4g32, "
             "mxfp4, mxfp8, nvfp4, ..., each also as q4+search (docs/quantize.md), or mlx (nine "
             "usual ones), template, all [mlx; of an existing run its own]")
      .Repeatable();
  cmd.Flag("--force", opt->force, "Take a run of another model for this one");
  cmd.Flag("--fresh", opt->fresh,
           "Start an existing run over: another configuration, everything measured again");
  cmd.Flag("--no-report", opt->no_report, "Do not write report.html");
  AddWorkFlags(cmd, opt->flags);
  AddEvidenceFlags(cmd, opt->flags);
  cmd.Footer(
      "Examples:\n  moescope analyze ~/models/Qwen3-30B-A3B --out runs\n"
      "  moescope analyze ~/models/Qwen3-30B-A3B --out runs --schemes mlx,q2,q4g128");
  cmd.OnRun([opt, &exit, &report] {
    report.set_usual_verbosity(Verbosity::kAnswer);
    exit = RunAnalyze(*opt, report);
  });
}

}  // namespace moe::cli

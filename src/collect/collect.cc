#include "collect/collect.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/ordered_work.h"
#include "base/platform.h"
#include "collect/collect_logs.h"
#include "collect/output_tables.h"
#include "collect/proj_report.h"
#include "collect/tensor_rows.h"
#include "model/dense.h"
#include "model/nothing_found.h"
#include "run/commit_marker.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

ModelOptions ModelOptionsOf(const Config& config, const CollectOptions& options) {
  ModelOptions model;
  model.scan = config.scan;
  model.scan.keep_going = options.keep_going;
  model.extract = config.extract;
  model.config_path = config.metadata.config_path;
  model.skip_broken_files = options.keep_going;
  model.stop = options.stop;
  return model;
}

std::string ModelPathOf(const Config& config, const CollectOptions& options) {
  return options.model_path ? options.model_path->string() : config.model_path;
}

std::vector<fs::path> FilesOf(const std::vector<std::string>& paths) {
  return {paths.begin(), paths.end()};
}

EvidenceFiles EvidenceFilesOf(const Config& config) {
  return {FilesOf(config.evidence.imatrix), FilesOf(config.evidence.usage)};
}

/// One run of the pipeline; its members are the steps' results, which the logs tell of even when a
/// later step fails.
class Collection {
 public:
  Collection(const Config& config, const CollectOptions& options, CollectObserver& observer)
      : config_(config),
        options_(options),
        observer_(observer),
        started_(std::chrono::steady_clock::now()),
        tables_(config, options.run_dir, transaction_) {}

  Result<CollectReport> Run() {
    auto done = FindFiles()
                    .and_then([&] { return ChooseBackend(); })
                    .and_then([&] { return OpenTables(); })
                    .and_then([&] { return OpenModel(); })
                    .and_then([&] { return TellTensors(); })
                    .and_then([&] { return OpenEvidence(); })
                    .and_then([&] { return Measure(); })
                    .and_then([&] { return Conclude(); })
                    .and_then([&] { return WriteOutputs(); });
    if (done) return std::move(report_);
    if (done.error().code != ErrorCode::kInterrupted) WriteRunFailure(Context(), done.error());
    return tl::make_unexpected(done.error());
  }

 private:
  Result<void> FindFiles() {
    const std::string text = ModelPathOf(config_, options_);
    if (text.empty()) {
      return Fail(ErrorCode::kBadArgument, "model_path", "is empty",
                  "set model_path in analysis_config.json or give --model-path", "SystemExit");
    }
    *files_ = FindModelFiles(text, ModelOptionsOf(config_, options_));
    if (config_.metadata.enabled && !files_->metadata.summary_line.empty()) {
      observer_.OnNotice(files_->metadata.summary_line);
    }
    if (files_->fault) return tl::make_unexpected(*files_->fault);
    if (files_->scan.index_discovered_but_ignored_due_to_file_model_path) {
      observer_.OnNotice(fmt::format(
          "[index] index found at {}, but model_path is a file: only that file is scanned",
          files_->index.index_path->string()));
    }
    observer_.OnScan(files_->scan.files.size(), files_->path.string());
    return {};
  }

  Result<void> ChooseBackend() {
    backend_ = std::make_unique<NativeBackend>(config_.measure.profile);
    if (!config_.mlx.enabled) return {};
    work_.schemes = config_.quant_schemes;
    auto opened = OpenBackend(config_, options_.stop);
    if (opened) {
      backend_ = std::move(*opened);
      return {};
    }
    if (opened.error().code == ErrorCode::kBadArgument) return tl::make_unexpected(opened.error());
    if (work_.schemes.empty()) return {};
    const std::string text = "mlx is not importable; skipping quantization simulations";
    observer_.OnNotice(text + " (" + opened.error().Text() + ")");
    no_backend_ = "[quant_sim] " + text;
    work_.schemes.clear();
    return {};
  }

  Result<void> OpenTables() {
    auto done = tables_.Open();
    if (done) NoticeFallbacks();
    return done;
  }

  Result<void> OpenModel() {
    auto model = Model::Open(files_, ModelOptionsOf(config_, options_));
    if (!model) return tl::make_unexpected(model.error());
    model_.emplace(std::move(*model));
    report_.family = model_->family();
    return {};
  }

  /// Counts each tensor, and gives it its rows.
  Result<void> TellTensors() {
    for (const ModelTensor& tensor : model_->tensors()) {
      if (auto done = options_.stop.Check(); !done) return done;
      counts_.Add(tensor);
      proj_report_.Add(tensor);
      if (auto done = AddRows(tensor); !done) return done;
    }
    report_.roles = counts_.Roles();
    const bool nothing = model_->matrices() == 0 && counts_.ExpertParameters() == 0 &&
                         counts_.unmatched == 0 && counts_.smoke_candidates == 0 &&
                         model_->parts().checkpoint.skipped_files.empty();
    if (nothing) return tl::make_unexpected(NoExperts(*model_, config_.extract.experts_only));
    return {};
  }

  Result<void> AddRows(const ModelTensor& tensor) {
    if (config_.inventory_all_tensors) {
      auto done = tables_.inventory().Append(
          TensorInventoryTable().RowOf(InventoryRowOf(tensor, files_->index)));
      if (!done) return done;
    }
    auto reason = tensor.found.unmatched_reason;
    if (!reason && config_.dense_weights) {
      reason = DenseRefusal(tensor);
      if (reason) counts_.AddRefused(tensor, *reason);
    }
    if (!reason) return {};
    return tables_.unmatched().Append(
        UnmatchedTensorsTable().RowOf(UnmatchedRowOf(tensor, *reason)));
  }

  Result<void> OpenEvidence() {
    if (!config_.evidence.enabled) return {};
    const EvidenceFiles files = EvidenceFilesOf(config_);
    if (!files.empty()) {
      auto opened = Evidence::Open(*model_, files);
      if (!opened) return tl::make_unexpected(opened.error());
      evidence_.emplace(std::move(*opened));
      NoticeEvidence();
    }
    evidence_work_.emplace(*model_, evidence_ ? &*evidence_ : nullptr);
    work_.evidence = &*evidence_work_;
    return {};
  }

  void NoticeEvidence() {
    const EvidenceCoverage& coverage = evidence_->coverage();
    observer_.OnNotice(fmt::format(
        "[evidence] {} of {} names used; inputs of {} of {} expert matrices known ({} never "
        "routed, {} without an entry), and of {} of {} other weights",
        coverage.used, coverage.entries, coverage.with_values, coverage.matrices,
        coverage.never_routed, coverage.no_entry, coverage.modules_with_values, coverage.modules));
  }

  Result<void> Measure() {
    FillWork();
    const auto past = FindPast();
    work_.past = past.get();
    auto work = MeasureMatrices(*model_, work_, tables_.work(), observer_);
    if (!work) return tl::make_unexpected(work.error());
    report_.work = std::move(*work);
    if (evidence_work_) {
      if (auto done = evidence_work_->Write(work_.schemes, tables_.evidence()); !done) return done;
    }
    const auto& why = report_.work.warnings;
    if (options_.keep_going && report_.work.matrix_rows == 0 && report_.work.refused_tensors > 0) {
      return Fail(ErrorCode::kMalformed, files_->path.string(),
                  "not one expert matrix can be read" + (why.empty() ? "" : ": " + why[0].text),
                  "download it again", "");
    }
    return {};
  }

  void FillWork() {
    work_.measure = config_.measure;
    work_.backend = backend_.get();
    work_.threads = ThreadCount(options_.threads);
    work_.keep_going = options_.keep_going;
    work_.stop = options_.stop;
    ChooseReadMode();
    if (config_.percentiles.exact) return;
    samples_.emplace(options_.run_dir / "cache" / "sampled_indices",
                     config_.percentiles.sample_per_matrix, config_.percentiles.sample_seed);
    work_.samples = &*samples_;
  }

  /// Page faults over a network cost a round trip each: there the bytes are read ahead by us.
  void ChooseReadMode() {
    const auto system = FileSystemOf(files_->path);
    const bool network = system && system->network;
    work_.read_mode = options_.read_mode.value_or(network ? ReadMode::kRead : ReadMode::kMap);
    report_.read_mode = std::string(ReadModeName(work_.read_mode));
    if (system) report_.read_mode += " (" + system->name + ")";
  }

  /// Sampled positions may come from a file of the user's: those runs are always measured anew.
  std::unique_ptr<PastRun> FindPast() {
    if (!config_.percentiles.exact) return nullptr;
    std::vector<fs::path> read = files_->scan.files;
    if (files_->index.index_path) read.push_back(*files_->index.index_path);
    if (files_->metadata.config_path) read.push_back(*files_->metadata.config_path);
    for (const auto* list : {&config_.evidence.imatrix, &config_.evidence.usage}) {
      for (const fs::path& path : FilesOf(*list)) read.push_back(path);
    }
    measuring_key_ = MeasuringKey(config_.raw, read, backend_->name(), backend_->profile());
    if (!options_.reuse) return nullptr;
    auto past =
        PastRun::Open(options_.run_dir, *measuring_key_, *model_, work_.measure,
                      {.evidence = config_.evidence.enabled, .dense = config_.dense_weights});
    const auto known = std::ranges::count_if(
        work_.schemes, [&](const QuantScheme& scheme) { return past && past->Has(scheme); });
    if (past) {
      observer_.OnNotice(
          fmt::format("[collect] measured before: {} of {} schemes, and all statistics", known,
                      work_.schemes.size()));
    }
    return past;
  }

  /// What there is to tell, and the tables of logs/.
  Result<void> Conclude() {
    report_.coverage = CoverageOf(*model_, counts_, report_.work);
    Story story{config_, *model_, counts_, report_.work, report_.coverage, no_backend_, {}, {}, {}};
    if (evidence_) story.evidence = evidence_->warnings();
    if (samples_) {
      story.samples = samples_->TakeWarnings();
      std::ranges::sort(story.samples);  // they came in the order of the threads
    }
    std::vector<Row> proj_rows, warning_rows;
    const auto& proj_table = ProjCanonicalizationReportTable();
    for (const auto& row : proj_report_.Rows()) proj_rows.push_back(proj_table.RowOf(row));
    const auto proj_path = tables_.AddLog(proj_table.Schema(), std::move(proj_rows));
    if (!proj_path) return tl::make_unexpected(proj_path.error());
    story.proj = proj_report_.Warnings(config_, {*proj_path, tables_.UnmatchedPath()});
    report_.warnings = WarningLines(story);
    report_.incomplete = IsIncomplete(story);
    for (const std::string& text : report_.warnings) {
      warning_rows.push_back(WarningsTable().RowOf(text));
    }
    const auto warnings = tables_.AddLog(WarningsTable().Schema(), std::move(warning_rows));
    if (!warnings) return tl::make_unexpected(warnings.error());
    NoticeFallbacks();
    return options_.stop.Check();
  }

  /// All files in full first, then all renames: a full disk leaves what was there.
  Result<void> WriteOutputs() {
    if (auto done = tables_.Finish(); !done) return done;
    report_.outputs = tables_.Written();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
    report_.seconds = elapsed.count();
    auto done = AddSuccessLogs(Context(), transaction_).and_then([&] {
      ForgetMeasured(options_.run_dir);
      return CommitMarked(options_.run_dir, kCollectData, [&] { return transaction_.Commit(); });
    });
    if (!done) return done;
    RemoveStaleLogs(Context());
    if (measuring_key_ && report_.work.refused_tensors == 0) {
      RememberMeasured(options_.run_dir, *measuring_key_, work_.schemes);
    }
    return done;
  }

  LogContext Context() const {
    return {config_, options_, report_, *files_, model_ ? &*model_ : nullptr, counts_};
  }

  /// Of the tables that were opened since the last call.
  void NoticeFallbacks() {
    const std::vector<WrittenTable> tables = tables_.Written();
    for (; noticed_ < tables.size(); ++noticed_) {
      const WrittenTable& table = tables[noticed_];
      if (!table.fallback) continue;
      observer_.OnNotice(fmt::format("[warn] parquet write failed ({}); falling back to CSV for {}",
                                     table.error, table.path.string()));
    }
  }

  const Config& config_;
  const CollectOptions& options_;
  CollectObserver& observer_;
  std::chrono::steady_clock::time_point started_;
  std::shared_ptr<ModelFiles> files_ = std::make_shared<ModelFiles>();
  std::optional<Model> model_;
  TensorCounts counts_;
  ProjReport proj_report_;
  CollectReport report_;
  FileTransaction transaction_;
  OutputTables tables_;
  size_t noticed_ = 0;  // tables whose fallback was told
  std::unique_ptr<QuantBackend> backend_;
  std::optional<std::string> no_backend_;  // why the schemes are not measured
  std::optional<Evidence> evidence_;
  std::optional<EvidenceWork> evidence_work_;
  std::optional<SampleCache> samples_;
  MatrixWorkOptions work_;
  std::optional<Json> measuring_key_;
};

}  // namespace

Result<CollectReport> Collect(const Config& config, const CollectOptions& options,
                              CollectObserver& observer) {
  return Collection(config, options, observer).Run();
}

Result<void> CheckEvidence(const Config& config, const CollectOptions& options) {
  const EvidenceFiles files = EvidenceFilesOf(config);
  if (files.empty()) return {};
  const ModelOptions model_options = ModelOptionsOf(config, options);
  const auto found =
      std::make_shared<ModelFiles>(FindModelFiles(ModelPathOf(config, options), model_options));
  if (found->fault) return {};
  const auto model = Model::Open(found, model_options);
  if (!model) return {};
  return Evidence::Open(*model, files).map([](const Evidence&) {});
}

void WriteConfigFailure(const CollectOptions& options, const Error& error) {
  std::error_code failed;
  if (!fs::is_directory(options.run_dir, failed)) return;
  WriteRunFailure(
      {DefaultConfig(), options, CollectReport(), ModelFiles(), nullptr, TensorCounts()}, error);
}

}  // namespace moe

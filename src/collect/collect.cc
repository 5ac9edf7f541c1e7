#include "collect/collect.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "collect/collect_logs.h"
#include "mlx/mlx_backend.h"
#include "model/location.h"
#include "model/metadata.h"
#include "model/nothing_found.h"
#include "model/reading.h"
#include "run/commit_marker.h"
#include "tables/build_tables.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

ScanOptions ScanOptionsOf(const Config& config, const CollectOptions& options) {
  ScanOptions scan = config.scan;
  scan.keep_going = options.keep_going;
  return scan;
}

/// `mlx.backend` with the environment's word on it (D6).
Result<QuantBackend> BackendOf(const Config& config) {
  const char* forced = std::getenv("MOESCOPE_BACKEND");
  if (forced == nullptr || *forced == '\0') return config.mlx.backend;
  if (const auto backend = ParseBackend(forced)) return *backend;
  return Fail(ErrorCode::kBadArgument, "MOESCOPE_BACKEND",
              std::string("'") + forced + "' is not a backend", "native, mlx or auto");
}

/// The tables of one collection, which take their names with the rest of `files`.
class OutputTables {
 public:
  explicit OutputTables(FileTransaction& files) : files_(files) {}

  Result<void> Open(const fs::path& run_dir, const Config& config, const MeasureOptions& measure) {
    const OutputOptions output = OutputOptionsOf(config, run_dir);
    const fs::path data = run_dir / "data";
    const std::pair<std::unique_ptr<TableWriter>*, TableSchema> tables[] = {
        {&inventory_, TensorInventoryTable().Schema()},
        {&matrix_stats_, MatrixStatsTable(measure).Schema()},
        {&quant_sim_, QuantSimTable().Schema()},
        {&unmatched_, UnmatchedTensorsTable().Schema()},
    };
    for (const auto& [writer, schema] : tables) {
      if (writer == &unmatched_ && !config.debug.dump_unmatched_tensors) {
        Remove(data / schema.name);
        continue;
      }
      auto opened = TableWriter::Open(data, schema, output, files_);
      if (!opened) return tl::make_unexpected(opened.error());
      *writer = std::move(*opened);
    }
    return {};
  }

  RowSink& inventory() { return *inventory_; }
  RowSink& matrix_stats() { return *matrix_stats_; }
  RowSink& quant_sim() { return *quant_sim_; }
  RowSink& unmatched() { return unmatched_ ? static_cast<RowSink&>(*unmatched_) : nowhere_; }

  /// A small table of logs/, or the removal of an old one when it has no rows.
  Result<void> AddLog(const fs::path& run_dir, const Config& config, const TableSchema& schema,
                      std::vector<Row> rows) {
    if (rows.empty()) {
      Remove(run_dir / "logs" / schema.name);
      return {};
    }
    auto writer =
        TableWriter::Open(run_dir / "logs", schema, OutputOptionsOf(config, run_dir), files_);
    if (!writer) return tl::make_unexpected(writer.error());
    for (Row& row : rows) {
      if (auto done = (*writer)->Append(std::move(row)); !done) return done;
    }
    logs_.push_back(std::move(*writer));
    return {};
  }

  /// Completes all files under their temporary names.
  Result<void> Finish() {
    for (TableWriter* writer : Writers()) {
      if (auto done = writer->Finish(); !done) return done;
    }
    return {};
  }

  std::string UnmatchedPath() const {
    return unmatched_ ? unmatched_->written().path.string() : "";
  }

  std::vector<WrittenTable> Written() const {
    std::vector<WrittenTable> written;
    for (const TableWriter* writer : Writers()) written.push_back(writer->written());
    return written;
  }

 private:
  struct Nowhere : RowSink {
    Result<void> Append(Row) override { return {}; }
  };

  void Remove(const fs::path& table) {
    for (const char* suffix : {".parquet", ".csv"}) {
      files_.Remove(table.parent_path() / (table.filename().string() + suffix));
    }
  }

  std::vector<TableWriter*> Writers() const {
    std::vector<TableWriter*> writers;
    for (const auto* writer : {&inventory_, &matrix_stats_, &quant_sim_, &unmatched_}) {
      if (*writer) writers.push_back(writer->get());
    }
    for (const auto& log : logs_) writers.push_back(log.get());
    return writers;
  }

  FileTransaction& files_;
  std::unique_ptr<TableWriter> inventory_, matrix_stats_, quant_sim_, unmatched_;
  std::vector<std::unique_ptr<TableWriter>> logs_;
  Nowhere nowhere_;
};

/// One run of the pipeline; its members are the steps' results, which the logs tell of even when a
/// later step fails.
class Collection {
 public:
  Collection(const Config& config, const CollectOptions& options, CollectObserver& observer)
      : config_(config),
        options_(options),
        observer_(observer),
        scan_options_(ScanOptionsOf(config, options)),
        started_(std::chrono::steady_clock::now()) {}

  Result<CollectReport> Run() {
    auto done = Steps();
    if (!done) {
      if (done.error().code != ErrorCode::kInterrupted) {
        WriteRunFailure(Context(), done.error());
      }
      return tl::make_unexpected(done.error());
    }
    return std::move(report_);
  }

 private:
  Result<void> Steps() {
    if (auto done = ResolveModel(); !done) return done;
    index_ = FindShardIndex(report_.model_path, scan_options_);
    index_searched_ = true;
    if (auto warning = UnusedIndexWarning(index_)) Warn(*warning);
    auto scan = PlanScan(report_.model_path, scan_options_, index_);
    if (!scan) return tl::make_unexpected(scan.error());
    scan_ = std::move(*scan);
    for (const std::string& text : scan_.warnings) Warn(text);
    if (scan_.index_discovered_but_ignored_due_to_file_model_path) {
      observer_.OnNotice(fmt::format(
          "[index] index found at {}, but model_path is a file: only that file is scanned",
          index_.index_path->string()));
    }
    observer_.OnScan(scan_.files.size(), report_.model_path.string());

    if (auto done = ChooseBackend(); !done) return done;
    if (auto done = tables_.Open(options_.run_dir, config_, work_.measure); !done) return done;
    for (const WrittenTable& table : tables_.Written()) NoticeFallback(table);
    const size_t noticed = tables_.Written().size();
    if (auto done = PlanAndMeasure(); !done) return done;
    if (auto done = CollectWarnings(); !done) return done;
    const std::vector<WrittenTable> tables = tables_.Written();
    for (size_t i = noticed; i < tables.size(); ++i) NoticeFallback(tables[i]);
    if (Stopped()) return tl::make_unexpected(InterruptedError());
    return WriteOutputs();
  }

  /// All files in full first, then all renames: a full disk leaves what was there.
  Result<void> WriteOutputs() {
    if (auto done = tables_.Finish(); !done) return done;
    report_.outputs = tables_.Written();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
    report_.seconds = elapsed.count();
    auto done = AddSuccessLogs(Context(), files_).and_then([&] {
      ForgetMeasured(options_.run_dir);
      return CommitMarked(options_.run_dir, kCollectData, [&] { return files_.Commit(); });
    });
    if (!done) return done;
    RemoveStaleLogs(Context());
    RememberTables();
    return done;
  }

  Result<void> ResolveModel() {
    const std::string text =
        options_.model_path ? options_.model_path->string() : config_.model_path;
    if (text.empty()) {
      return Fail(ErrorCode::kBadArgument, "model_path", "is empty",
                  "set model_path in analysis_config.json or give --model-path", "SystemExit");
    }
    auto located = LocateModel(text);
    if (!located) return tl::make_unexpected(located.error());
    report_.model_path = std::move(located->path);
    model_resolved_ = true;
    metadata_ = ReadModelMetadata(report_.model_path, config_.metadata.config_path);
    if (config_.metadata.enabled) {
      for (const std::string& warning : metadata_.warnings) Warn(warning);
      if (!metadata_.summary_line.empty()) observer_.OnNotice(metadata_.summary_line);
    }
    return {};
  }

  Result<void> ChooseBackend() {
    work_.measure = config_.measure;
    work_.threads =
        options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
    work_.keep_going = options_.keep_going;
    ChooseReadMode();
    work_.stop = options_.stop;
    if (!config_.percentiles.exact) {
      samples_.emplace(options_.run_dir / "cache" / "sampled_indices",
                       config_.percentiles.sample_per_matrix, config_.percentiles.sample_seed);
      work_.samples = &*samples_;
    }
    if (!config_.mlx.enabled) return {};
    work_.schemes = config_.quant_schemes;
    work_.profile = std::string(ProfileName(config_.measure.profile));
    const auto backend = BackendOf(config_);
    if (!backend) return tl::make_unexpected(backend.error());
    if (*backend != QuantBackend::kNative) return OpenMlx(*backend == QuantBackend::kAuto);
    return {};
  }

  /// Page faults over a network cost a round trip each: there the bytes are read ahead by us.
  void ChooseReadMode() {
    const auto system = FileSystemOf(report_.model_path);
    const bool network = system && system->network;
    work_.read_mode = options_.read_mode.value_or(network ? ReadMode::kRead : ReadMode::kMap);
    report_.read_mode = std::string(ReadModeName(work_.read_mode));
    if (system) report_.read_mode += " (" + system->name + ")";
  }

  Result<void> OpenMlx(bool native_without_it) {
    auto opened = MlxBackend::Open(config_.mlx.device);
    if (!opened && native_without_it) return {};
    if (!opened) {
      if (work_.schemes.empty()) return {};
      const std::string text = "mlx is not importable; skipping quantization simulations";
      observer_.OnNotice(text + " (" + opened.error().Text() + ")");
      Warn("[quant_sim] " + text);
      work_.schemes.clear();
      return {};
    }
    mlx_.emplace(std::move(*opened));
    work_.backend = "mlx";
    work_.profile = mlx_->profile();
    work_.measurer = [this](const MatrixSource& matrix, const QuantScheme& scheme,
                            ComputeDType dtype) -> Result<QuantError> {
      const std::lock_guard turn(mlx_turn_);  // so that a stop is seen before each call
      if (Stopped()) return tl::make_unexpected(InterruptedError());
      return mlx_->Measure(matrix, scheme, dtype, config_.measure.eps,
                           config_.measure.rel_den_floor);
    };
    return {};
  }

  Result<void> PlanAndMeasure() {
    auto checkpoint = OpenCheckpoint(scan_, index_, WordsOf(metadata_), options_.keep_going,
                                     [this] { return Stopped(); });
    if (!checkpoint) return tl::make_unexpected(checkpoint.error());
    scan_.doubtful |= checkpoint->has_empty_file && scan_options_.strict_index;
    if (checkpoint->NothingRead()) {
      return Fail(ErrorCode::kMalformed, report_.model_path.string(),
                  "none of its files can be read: " + checkpoint->skipped_files.front(),
                  "download it again", "");
    }
    const auto extractor = Extractor::Create(
        ExtractOptionsFor(config_.extract, metadata_, *checkpoint), checkpoint->AllShapes());
    if (!extractor) return tl::make_unexpected(extractor.error());
    const PlanOptions plan_options{config_.inventory_all_tensors,
                                   config_.debug.dump_unmatched_tensors};
    auto plan = MakePlan(std::move(*checkpoint), index_, *extractor, plan_options,
                         tables_.inventory(), tables_.unmatched(), [this] { return Stopped(); });
    if (!plan) return tl::make_unexpected(plan.error());
    report_.plan = std::move(*plan);
    SettleDoubts(report_.plan.whole, scan_, report_.warnings);
    if (scan_.fault) return tl::make_unexpected(*scan_.fault);
    if (FoundNothing(report_.plan)) return tl::make_unexpected(NothingFound(SearchDone()));
    const auto past = FindPast();
    work_.past = past.get();
    auto work = MeasureMatrices(report_.plan, work_, tables_.matrix_stats(), tables_.quant_sim(),
                                tables_.unmatched(), observer_);
    if (!work) return tl::make_unexpected(work.error());
    report_.work = std::move(*work);
    const auto& why = report_.work.warnings;
    if (options_.keep_going && report_.work.matrix_rows == 0 && report_.work.refused_tensors > 0) {
      return Fail(ErrorCode::kMalformed, report_.model_path.string(),
                  "not one expert matrix can be read" + (why.empty() ? "" : ": " + why[0].text),
                  "download it again", "");
    }
    report_.plan.checkpoint = {{}, {}, {}, std::move(report_.plan.checkpoint.skipped_files), {}};
    return {};
  }

  /// Sampled positions may come from a file of the user's: those runs are always measured anew.
  std::unique_ptr<PastRun> FindPast() {
    if (!config_.percentiles.exact) return nullptr;
    std::vector<fs::path> read = scan_.files;
    if (index_.index_path) read.push_back(*index_.index_path);
    if (metadata_.config_path) read.push_back(*metadata_.config_path);
    measuring_key_ = MeasuringKey(config_.raw, read, work_.backend, work_.profile);
    if (!options_.reuse) return nullptr;
    auto past = PastRun::Open(options_.run_dir, *measuring_key_, report_.plan, work_.measure);
    const auto known = std::ranges::count_if(
        work_.schemes, [&](const QuantScheme& scheme) { return past && past->Has(scheme); });
    if (past) {
      observer_.OnNotice(
          fmt::format("[collect] measured before: {} of {} schemes, and all statistics", known,
                      work_.schemes.size()));
    }
    return past;
  }

  /// The tables have their names: what they hold, for the next run.
  void RememberTables() {
    if (!measuring_key_ || report_.work.refused_tensors > 0) return;
    RememberMeasured(options_.run_dir, *measuring_key_, work_.schemes);
  }

  /// Nothing that is an expert's, or may be: no tables are written then.
  static bool FoundNothing(const CollectPlan& plan) {
    return plan.banks.empty() && plan.expert_parameters == 0 && plan.unmatched_expertish == 0 &&
           plan.smoke_candidates == 0 && plan.checkpoint.skipped_files.empty();
  }

  Search SearchDone() const {
    return {report_.model_path,
            scan_options_,
            index_,
            scan_,
            report_.plan.facts,
            metadata_.model_type,
            report_.plan.tensors_observed,
            report_.plan.roles[static_cast<size_t>(Role::kRouter)].tensors,
            ListedMatrices(report_.plan.missing),
            config_.extract.experts_only};
  }

  /// Warning lines in the order of contract section 13, and the tables of logs/.
  Result<void> CollectWarnings() {
    const CollectPlan& plan = report_.plan;
    for (std::string& text : MergeByTensor(plan.warnings, report_.work.warnings))
      Warn(std::move(text));
    if (samples_) {
      std::vector<std::string> texts = samples_->TakeWarnings();
      std::sort(texts.begin(), texts.end());  // they came in the order of the threads
      for (std::string& text : texts) Warn(std::move(text));
    }
    if (index_.used_for_scan) {
      compared_ = CompareWithIndex(index_.weight_map, plan.observed_tensors);
      for (std::string& text : IndexWarnings(index_, compared_)) Warn(std::move(text));
    }
    std::vector<Row> report_rows;
    const auto& report_table = ProjCanonicalizationReportTable();
    for (const auto& row : plan.proj_report) report_rows.push_back(report_table.RowOf(row));
    const bool has_report = !report_rows.empty();
    if (auto done = tables_.AddLog(options_.run_dir, config_, report_table.Schema(),
                                   std::move(report_rows));
        !done) {
      return done;
    }
    const ProjLogPaths paths{has_report ? tables_.Written().back().path.string() : "",
                             tables_.UnmatchedPath()};
    for (std::string& text : ProjWarnings(plan, config_, paths)) Warn(std::move(text));
    for (std::string& text : CoverageWarnings()) Warn(std::move(text));
    for (const std::string& text : config_.warnings) Warn(text);

    std::vector<Row> rows;
    for (const std::string& text : report_.warnings) rows.push_back(WarningsTable().RowOf(text));
    return tables_.AddLog(options_.run_dir, config_, WarningsTable().Schema(), std::move(rows));
  }

  std::vector<std::string> CoverageWarnings() {
    const CollectPlan& plan = report_.plan;
    std::vector<std::string> warnings;
    report_.analysed_parameters = plan.planned_parameters - report_.work.unread_parameters;
    if (plan.expert_parameters == 0) {
      warnings.push_back("[coverage] no expert parameters were found");
    }
    if (const uint64_t promised = plan.promised_parameters(); promised > 0) {
      report_.expert_coverage =
          static_cast<double>(report_.analysed_parameters) / static_cast<double>(promised);
    }
    const double share = report_.expert_coverage.value_or(0);
    if (report_.expert_coverage && share < 1) {
      warnings.push_back(fmt::format(
          "[coverage] {} of the expert parameters were analysed; "
          "data/unmatched_tensors says why the rest was not{}",
          CoverageText(share),
          plan.missing.empty() ? "" : ", missing_experts in run_health what is missing"));
    }
    for (std::string& text : QuantizationWarnings(metadata_)) warnings.push_back(std::move(text));
    for (std::string& text : plan.census.Warnings(plan.facts, plan.family))
      warnings.push_back(std::move(text));
    for (std::string& text : MissingWarnings(plan.missing)) warnings.push_back(std::move(text));
    warnings.insert(warnings.end(), plan.surplus.begin(), plan.surplus.end());
    if (EffectivelyEmpty(config_, report_)) warnings.push_back(SmokeWarning(plan));
    const auto& limit = config_.min_expert_coverage;
    report_.incomplete =
        report_.work.matrix_rows == 0 || report_.work.failed_schemes > 0 ||
        plan.refused_tensors + report_.work.refused_tensors > 0 ||
        !plan.checkpoint.skipped_files.empty() || scan_.incomplete ||
        plan.census.ContradictsConfig(plan.facts) || !plan.surplus.empty() ||
        (limit && (share < *limit || metadata_.unreadable || !compared_.missing_tensors.empty()));
    return warnings;
  }

  LogContext Context() {
    return {config_, options_,  report_,         index_,         compared_,
            scan_,   metadata_, model_resolved_, index_searched_};
  }

  void NoticeFallback(const WrittenTable& table) {
    if (!table.fallback) return;
    const std::string text =
        fmt::format("[warn] parquet write failed ({}); falling back to CSV for {}", table.error,
                    table.path.string());
    observer_.OnNotice(text);
  }

  void Warn(std::string text) { report_.warnings.push_back(std::move(text)); }

  bool Stopped() const { return options_.stop != nullptr && *options_.stop; }

  const Config& config_;
  const CollectOptions& options_;
  CollectObserver& observer_;
  ScanOptions scan_options_;
  std::chrono::steady_clock::time_point started_;
  CollectReport report_;
  ModelMetadata metadata_;
  IndexSummary index_;
  IndexComparison compared_;
  ScanPlan scan_;
  bool model_resolved_ = false, index_searched_ = false;
  FileTransaction files_;
  OutputTables tables_{files_};
  MatrixWorkOptions work_;
  std::optional<Json> measuring_key_;
  std::optional<SampleCache> samples_;
  std::optional<MlxBackend> mlx_;
  std::mutex mlx_turn_;
};

}  // namespace

Result<CollectReport> Collect(const Config& config, const CollectOptions& options,
                              CollectObserver& observer) {
  return Collection(config, options, observer).Run();
}

double CoveragePercent(double share) { return std::floor(share * 10'000) / 100; }

std::string CoverageText(double share) { return fmt::format("{:.2f} %", CoveragePercent(share)); }

void WriteConfigFailure(const CollectOptions& options, const Error& error) {
  std::error_code failed;
  if (!fs::is_directory(options.run_dir, failed)) return;
  WriteRunFailure({DefaultConfig(), options, CollectReport(), IndexSummary(), IndexComparison(),
                   ScanPlan(), ModelMetadata()},
                  error);
}

}  // namespace moe

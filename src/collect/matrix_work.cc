#include "collect/matrix_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "base/ordered_work.h"
#include "collect/read_ahead.h"

namespace moe {
namespace {

constexpr size_t kWorstPerScheme = 5;
constexpr uint64_t kManyElements = uint64_t{1} << 24;  // four parts of MeasureMatrix()

/// One matrix of the plan: its bank and its place in it.
struct MatrixPlace {
  size_t bank = 0;
  uint64_t layer_pos = 0, expert_pos = 0;
};

/// A matrix that fails its reads once the user has interrupted.
class StoppableMatrix : public MatrixSource {
 public:
  StoppableMatrix(const MatrixSource& inner, const std::atomic<bool>* stop)
      : inner_(inner), stop_(stop) {}
  uint64_t rows() const override { return inner_.rows(); }
  uint64_t cols() const override { return inner_.cols(); }
  DType storage_dtype() const override { return inner_.storage_dtype(); }
  Result<void> Read(const Tile& tile, float* out) const override {
    if (stop_ != nullptr && *stop_) return tl::make_unexpected(InterruptedError());
    return inner_.Read(tile, out);
  }

 private:
  const MatrixSource& inner_;
  const std::atomic<bool>* stop_;
};

using SharedArray = std::shared_ptr<const WeightArray>;

/// kUnsupported: the bytes are there, and their values can't be decoded.
Result<SharedArray> Open(const Weight& weight) {
  auto bytes = ReadParts(weight);
  if (!bytes) return tl::make_unexpected(bytes.error());
  auto array = weight.open(std::move(*bytes));
  if (!array) {
    Error refused = array.error();
    refused.code = ErrorCode::kUnsupported;
    return tl::make_unexpected(std::move(refused));
  }
  return array;
}

/// The weights in work. A weight is opened by its first matrix and let go after its last bank, so
/// that a deflated member is inflated once and its temporary file does not linger.
class WorkWeights {
 public:
  explicit WorkWeights(const CollectPlan& plan) : plan_(plan), arrays_(plan.banks.size()) {}

  Result<SharedArray> Get(size_t bank) {
    const std::lock_guard lock(mutex_);
    SharedArray& held = arrays_[FirstBankOfTensor(bank)];
    if (!held) {
      auto opened = Open(*plan_.banks[bank].weight);
      if (!opened) return opened;
      held = std::move(*opened);
    }
    return held;
  }

  /// `bank` is done: lets its weight go if it was the last of it.
  void Release(size_t bank) {
    if (bank + 1 < arrays_.size() && SameTensor(bank, bank + 1)) return;
    const std::lock_guard lock(mutex_);
    arrays_[FirstBankOfTensor(bank)].reset();
  }

 private:
  bool SameTensor(size_t a, size_t b) const {
    return plan_.banks[a].file == plan_.banks[b].file &&
           plan_.banks[a].tensor == plan_.banks[b].tensor;
  }

  size_t FirstBankOfTensor(size_t bank) const {
    while (bank > 0 && SameTensor(bank, bank - 1)) --bank;
    return bank;
  }

  const CollectPlan& plan_;
  std::mutex mutex_;
  std::vector<SharedArray> arrays_;  // at the first bank of each tensor
};

class MatrixWork {
 public:
  MatrixWork(const CollectPlan& plan, const MatrixWorkOptions& options, RowSink& matrix_stats,
             RowSink& quant_sim, RowSink& unmatched, CollectObserver& observer)
      : plan_(plan),
        options_(options),
        matrix_stats_(matrix_stats),
        quant_sim_(quant_sim),
        unmatched_(unmatched),
        observer_(observer),
        weights_(plan),
        stats_table_(MatrixStatsTable(options.measure)),
        failures_(options.schemes.size()),
        worst_(options.schemes.size()) {
    for (const QuantScheme& scheme : options.schemes) {
      if (options.past == nullptr || !options.past->Has(scheme)) new_schemes_.push_back(scheme);
    }
    first_matrix_.reserve(plan.banks.size() + 1);
    for (const PlannedBank& bank : plan.banks) {
      first_matrix_.push_back(matrices_);
      matrices_ += bank.matrices();
    }
  }

  Result<MatrixWorkSummary> Run() {
    observer_.OnWork(matrices_, plan_.bytes());
    const unsigned inside = ThreadsInside();
    if (Reads()) read_ahead_.emplace(plan_, first_matrix_, options_.read_mode);
    RunOrdered(
        matrices_, inside > 1 ? 1 : options_.threads,
        [this, inside](size_t i) { return Measure(i, inside); },
        [this](size_t i, Result<MatrixMeasurement> measured) {
          failure_ = Consume(PlaceOf(i), std::move(measured));
          return failure_.has_value();
        });
    read_ahead_.reset();
    if (!failure_) return tl::make_unexpected(failure_.error());
    AnnounceFilesUpTo(plan_.checkpoint.files.size());
    FinishFailures();
    FinishWorst();
    return std::move(summary_);
  }

 private:
  MatrixPlace PlaceOf(uint64_t matrix) const {
    const auto after = std::upper_bound(first_matrix_.begin(), first_matrix_.end(), matrix);
    const auto bank = static_cast<size_t>(after - first_matrix_.begin()) - 1;
    const uint64_t within = matrix - first_matrix_[bank];
    const uint64_t experts = plan_.banks[bank].bank.experts;
    return {bank, within / experts, within % experts};
  }

  const TensorInfo& TensorOf(const PlannedBank& planned) const {
    return plan_.checkpoint.files[planned.file]->tensors()[planned.tensor];
  }

  uint64_t NumberOf(const PlannedBank& planned) const {
    return plan_.checkpoint.first_tensor_number[planned.file] + planned.tensor;
  }

  /// Threads for each matrix: more than one where a single matrix is so much of the work that the
  /// others would wait for it.
  unsigned ThreadsInside() const {
    uint64_t all = 0, largest = 0;
    for (const PlannedBank& planned : plan_.banks) {
      const uint64_t elements = planned.bank.rows * planned.bank.cols;
      all += elements * planned.matrices();
      largest = std::max(largest, elements);
    }
    const bool waits = largest >= kManyElements && largest > all / (4 * options_.threads);
    return waits ? options_.threads : 1;
  }

  /// Whether there is anything to measure.
  bool Reads() const { return options_.past == nullptr || !new_schemes_.empty(); }

  Result<MatrixMeasurement> Measure(uint64_t number, unsigned threads) {
    if (!Reads()) return FromPast(number);
    auto measured = MeasureNew(number, threads);
    if (measured && options_.past != nullptr) MergePast(number, *measured);
    return measured;
  }

  MatrixMeasurement FromPast(uint64_t number) const {
    MatrixMeasurement past;
    if (!options_.schemes.empty()) past.compute_dtype = options_.past->DTypeOf(number);
    MergePast(number, past);
    return past;
  }

  /// `measured` has the errors of the new schemes; then it has those of all, and the statistics.
  void MergePast(uint64_t number, MatrixMeasurement& measured) const {
    measured.stats = options_.past->StatsOf(number);
    std::vector<QuantError> all;
    auto next = measured.quant.begin();
    for (const QuantScheme& scheme : options_.schemes) {
      const bool past = options_.past->Has(scheme);
      all.push_back(past ? options_.past->ErrorOf(number, scheme) : std::move(*next++));
    }
    measured.quant = std::move(all);
  }

  Result<MatrixMeasurement> MeasureNew(uint64_t number, unsigned threads) {
    read_ahead_->Reached(number);
    const MatrixPlace place = PlaceOf(number);
    auto measured = MeasureAt(place, threads);
    for (const TensorRef& part : plan_.banks[place.bank].weight->parts) {
      if (auto whole = part.file->CheckWhole(); !whole) return tl::make_unexpected(whole.error());
    }
    return measured;
  }

  Result<MatrixMeasurement> MeasureAt(const MatrixPlace& place, unsigned threads) {
    const PlannedBank& planned = plan_.banks[place.bank];
    const ExpertBank& bank = planned.bank;
    auto weight = weights_.Get(place.bank);
    if (!weight) return tl::make_unexpected(weight.error());
    const MatrixView view{
        bank.rows, bank.cols,
        bank.offset + place.layer_pos * bank.layer_stride + place.expert_pos * bank.expert_stride,
        bank.row_stride, bank.col_stride};
    const auto opened = (*weight)->Matrix(view);
    if (!opened) return tl::make_unexpected(opened.error());
    const StoppableMatrix matrix(**opened, options_.stop);
    SampleCache::Indices sample;
    if (options_.samples != nullptr) {
      auto indices = options_.samples->Get(bank.rows * bank.cols);
      if (!indices) return tl::make_unexpected(indices.error());
      sample = std::move(*indices);
    }
    auto measured =
        MeasureMatrix(matrix, MeasureOptionsFor(*planned.weight), sample.get(), threads);
    if (measured && options_.measurer) {
      for (const QuantScheme& scheme : new_schemes_) {
        auto error = options_.measurer(matrix, scheme, measured->compute_dtype);
        if (!error) return tl::make_unexpected(error.error());
        measured->quant.push_back(std::move(*error));
      }
    }
    return measured;
  }

  /// D2: decoded values are measured in the dtype they are meant in, unless the config names one.
  MeasureOptions MeasureOptionsFor(const Weight& weight) const {
    MeasureOptions measure = options_.measure;
    measure.stats = options_.past == nullptr;
    if (!options_.measurer) measure.schemes = new_schemes_;
    if (!measure.compute_dtype && !weight.is_plain()) {
      measure.compute_dtype = weight.float_dtype == DType::kF16    ? ComputeDType::kF16
                              : weight.float_dtype == DType::kBF16 ? ComputeDType::kBF16
                                                                   : ComputeDType::kF32;
    }
    return measure;
  }

  /// On the calling thread, in output order.
  Result<void> Consume(const MatrixPlace& place, Result<MatrixMeasurement> measured) {
    const PlannedBank& planned = plan_.banks[place.bank];
    const bool last =
        place.layer_pos + 1 == planned.bank.layers && place.expert_pos + 1 == planned.bank.experts;
    AnnounceFilesUpTo(planned.file + 1);
    if (last) weights_.Release(place.bank);
    if (!measured) {
      if (auto handled = HandleUnreadable(planned, measured.error()); !handled) return handled;
    } else {
      if (auto done = EmitStats(planned, place, *measured); !done) return done;
      bank_quant_.push_back({IdentityOf(planned, place), std::move(*measured)});
    }
    if (last) {
      if (auto done = EmitQuant(planned); !done) return done;
      bank_quant_.clear();
    }
    done_bytes_ += planned.matrix_bytes();
    observer_.OnProgress(++done_matrices_, done_bytes_);
    return {};
  }

  /// What can't be decoded refuses its tensor alone (D12); what can't be read does if the user said
  /// so.
  Result<void> HandleUnreadable(const PlannedBank& planned, const Error& error) {
    if (error.code == ErrorCode::kInterrupted) return tl::make_unexpected(InterruptedError());
    const bool refused = error.code == ErrorCode::kUnsupported;
    if (!refused && !options_.keep_going) return tl::make_unexpected(error);
    summary_.unread_parameters += planned.bank.rows * planned.bank.cols;
    const uint64_t number = NumberOf(planned);
    if (refused_number_ == number) return {};  // one row and one line a tensor
    refused_number_ = number;
    ++summary_.refused_tensors;
    const TensorInfo& tensor = TensorOf(planned);
    summary_.warnings.push_back(
        {number, "[extract] " + tensor.name + " can't be read: " + error.Text()});
    return unmatched_.Append(UnmatchedTensorsTable().RowOf(
        {PathText(plan_.checkpoint.files[planned.file]->path()), tensor.name, tensor.dtype_text,
         tensor.shape, error.message}));
  }

  MatrixIdentity IdentityOf(const PlannedBank& planned, const MatrixPlace& place) const {
    const TensorInfo& tensor = TensorOf(planned);
    const ExpertBank& bank = planned.bank;
    MatrixIdentity id;
    id.file = PathText(plan_.checkpoint.files[planned.file]->path());
    id.source_tensor = tensor.name;
    id.derived_tensor = bank.derived_tensor;
    id.layer = bank.LayerAt(place.layer_pos);
    id.proj = bank.proj;
    id.expert_id = bank.ExpertIdAt(place.expert_pos);
    id.is_routed_expert = !bank.is_shared_expert;
    id.is_shared_expert = bank.is_shared_expert;
    id.rows = bank.rows;
    id.cols = bank.cols;
    id.dtype = tensor.dtype_text;
    id.storage = planned.weight->storage;
    id.storage_bits_per_weight = planned.weight->bits_per_weight;
    id.stack = bank.stack;
    return id;
  }

  Result<void> EmitStats(const PlannedBank& planned, const MatrixPlace& place,
                         const MatrixMeasurement& measured) {
    const MatrixIdentity id = IdentityOf(planned, place);
    if (measured.stats.nonfinite_count > 0) {
      ++summary_.nonfinite_matrices;
      summary_.warnings.push_back(
          {NumberOf(planned),
           fmt::format("[stats] {}: layer {} expert {} has {} non-finite weights",
                       id.derived_tensor, id.layer, id.expert_id, measured.stats.nonfinite_count)});
    }
    ++summary_.matrix_rows;
    return matrix_stats_.Append(stats_table_.RowOf({id, measured.stats}));
  }

  /// quant_sim is scheme-major inside a bank, so its rows wait until the bank is complete.
  Result<void> EmitQuant(const PlannedBank& planned) {
    for (size_t s = 0; s < options_.schemes.size(); ++s) {
      bool warned = false;
      for (auto& [id, measured] : bank_quant_) {
        QuantError& error = measured.quant[s];
        if (error.error) NoteFailure(s, planned, id, *error.error, warned);
        NoteWorst(s, id, error);
        ++summary_.quant_rows;
        const QuantSimRow row{id,
                              options_.schemes[s],
                              std::move(error),
                              std::string(ComputeDTypeName(measured.compute_dtype)),
                              options_.backend,
                              options_.profile,
                              !planned.weight->is_plain()};
        if (auto done = quant_sim_.Append(QuantSimTable().RowOf(row)); !done) return done;
      }
    }
    return {};
  }

  /// One warning a bank (contract section 9), for now.
  void NoteFailure(size_t scheme, const PlannedBank& planned, const MatrixIdentity& id,
                   const std::string& error, bool& warned) {
    auto& [failure, warnings] = failures_[scheme];
    const std::string& name = options_.schemes[scheme].name;
    if (failure.matrices == 0) failure = {name, 0, error, id.derived_tensor};
    ++failure.matrices;
    if (warned) return;
    warned = true;
    warnings.push_back({NumberOf(planned), fmt::format("[quant_sim] scheme={} failed: {} ({})",
                                                       name, error, id.derived_tensor)});
  }

  /// A scheme that failed on every matrix gets one warning instead of those of its banks.
  void FinishFailures() {
    for (auto& [failure, warnings] : failures_) {
      if (failure.matrices == 0) continue;
      summary_.failures.push_back(failure);
      if (failure.matrices == summary_.matrix_rows) {
        ++summary_.failed_schemes;
        warnings = {{warnings.front().tensor_number,
                     fmt::format("[quant_sim] scheme={} failed: {} (on every one of {} matrices)",
                                 failure.scheme, failure.error, failure.matrices)}};
      }
      std::ranges::move(warnings, std::back_inserter(summary_.warnings));
    }
  }

  void NoteWorst(size_t scheme, const MatrixIdentity& id, const QuantError& error) {
    if (!error.w_rel_fro || *error.w_rel_fro == 0) return;
    auto& list = worst_[scheme];
    const auto place = std::find_if(list.begin(), list.end(), [&](const WorstMatrix& other) {
      return *error.w_rel_fro > other.w_rel_fro;
    });
    if (place == list.end() && list.size() >= kWorstPerScheme) return;
    list.insert(place, {options_.schemes[scheme].name, id.proj, id.derived_tensor, id.layer,
                        id.expert_id, *error.w_rel_fro, error.sqnr_db});
    if (list.size() > kWorstPerScheme) list.pop_back();
  }

  void FinishWorst() {
    for (const auto& list : worst_) {
      summary_.worst.insert(summary_.worst.end(), list.begin(), list.end());
    }
  }

  void AnnounceFilesUpTo(size_t count) {
    for (; announced_ < count; ++announced_) {
      if (plan_.checkpoint.files[announced_] == nullptr) continue;
      observer_.OnFile(announced_ + 1, plan_.checkpoint.files.size(),
                       PathText(plan_.checkpoint.files[announced_]->path()));
    }
  }

  struct SchemeFailures {
    SchemeFailure failure;
    std::vector<TensorWarning> warnings;
  };

  struct BankMatrix {
    MatrixIdentity id;
    MatrixMeasurement measured;
  };

  const CollectPlan& plan_;
  const MatrixWorkOptions& options_;
  RowSink& matrix_stats_;
  RowSink& quant_sim_;
  RowSink& unmatched_;
  CollectObserver& observer_;
  WorkWeights weights_;
  const Table<MatrixStatsRow> stats_table_;
  std::vector<uint64_t> first_matrix_;  // of each bank, counted over all banks
  std::optional<ReadAhead> read_ahead_;
  uint64_t matrices_ = 0;
  Result<void> failure_;
  MatrixWorkSummary summary_;
  std::vector<BankMatrix> bank_quant_;    // of the bank in work
  std::vector<QuantScheme> new_schemes_;  // to be measured
  std::vector<SchemeFailures> failures_;  // by scheme, as worst_
  std::vector<std::vector<WorstMatrix>> worst_;
  std::optional<uint64_t> refused_number_;
  uint64_t done_matrices_ = 0, done_bytes_ = 0;
  size_t announced_ = 0;
};

}  // namespace

Result<MatrixWorkSummary> MeasureMatrices(const CollectPlan& plan, const MatrixWorkOptions& options,
                                          RowSink& matrix_stats, RowSink& quant_sim,
                                          RowSink& unmatched, CollectObserver& observer) {
  return MatrixWork(plan, options, matrix_stats, quant_sim, unmatched, observer).Run();
}

}  // namespace moe

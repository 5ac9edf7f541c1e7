#include "collect/matrix_work.h"

#include <algorithm>

#include "base/ordered_work.h"
#include "collect/read_ahead.h"
#include "collect/tensor_rows.h"
#include "model/model_parts.h"
#include "model/work_weights.h"

namespace moe {
namespace {

constexpr uint64_t kManyElements = uint64_t{1} << 24;  // four parts of MeasureMatrix()

/// A matrix that fails its reads once the user has interrupted.
class StoppableMatrix : public MatrixSource {
 public:
  StoppableMatrix(const MatrixSource& inner, const StopToken& stop) : inner_(inner), stop_(stop) {}
  uint64_t rows() const override { return inner_.rows(); }
  uint64_t cols() const override { return inner_.cols(); }
  DType storage_dtype() const override { return inner_.storage_dtype(); }
  DType value_dtype() const override { return inner_.value_dtype(); }
  Result<void> Read(const Tile& tile, float* out) const override {
    if (auto done = stop_.Check(); !done) return done;
    return inner_.Read(tile, out);
  }

 private:
  const MatrixSource& inner_;
  StopToken stop_;
};

/// The last of its bank.
bool IsLast(const ExpertMatrix& matrix) {
  return matrix.layer_pos + 1 == matrix.bank->layers &&
         matrix.expert_pos + 1 == matrix.bank->experts;
}

class MatrixWork {
 public:
  MatrixWork(const Model& model, const MatrixWorkOptions& options, const WorkSinks& sinks,
             CollectObserver& observer)
      : model_(model),
        options_(options),
        sinks_(sinks),
        observer_(observer),
        list_(model, sinks.dense_stats != nullptr),
        stats_table_(MatrixStatsTable(options.measure)),
        dense_table_(DenseStatsTable(options.measure)),
        measure_(options.measure),
        results_(options.schemes) {
    for (const QuantScheme& scheme : options.schemes) {
      if (options.past == nullptr || !options.past->Has(scheme)) measure_.schemes.push_back(scheme);
    }
    measure_.stats = options.past == nullptr;
  }

  Result<MatrixWorkSummary> Run() {
    observer_.OnWork(list_.size(), list_.stored_bytes());
    const uint64_t share = list_.elements() / (4 * options_.threads);
    const bool together = IsMuch(list_.largest_matrix(), share);
    if (Reads()) read_ahead_.emplace(list_, options_.read_mode);
    RunOrdered(
        list_.size(), together ? 1 : options_.threads,
        [this, share, together](size_t i) {
          const WorkItem item = list_[i];
          const bool shared = together || IsMuch(item.elements(), share);
          return Measure(i, item, shared ? options_.threads : 1);
        },
        [this](size_t i, Result<MatrixMeasurement> measured) {
          const WorkItem item = list_[i];
          if (measured && !item.dense) Gather(item, *measured);
          failure_ = Consume(item, std::move(measured));
          return failure_.has_value();
        });
    read_ahead_.reset();
    if (!failure_) return tl::make_unexpected(failure_.error());
    AnnounceThrough(nullptr);
    return results_.Take();
  }

 private:
  struct BankMatrix {
    MatrixIdentity id;
    MatrixMeasurement measured;
  };

  /// Whether a single matrix is so much of the work that threads would wait for it: then all of
  /// them work on it.
  static bool IsMuch(uint64_t elements, uint64_t share) {
    return elements >= kManyElements && elements > share;
  }

  /// Whether there is anything to measure.
  bool Reads() const { return options_.past == nullptr || !measure_.schemes.empty(); }

  Result<MatrixMeasurement> Measure(uint64_t position, const WorkItem& item, unsigned threads) {
    if (!Reads()) return FromPast(item);
    read_ahead_->Reached(position);
    auto measured = MeasureNew(item, threads);
    if (measured && options_.past != nullptr) MergePast(item, *measured);
    return measured;
  }

  MatrixMeasurement FromPast(const WorkItem& item) const {
    MatrixMeasurement past;
    if (!options_.schemes.empty()) past.compute_dtype = options_.past->DTypeOf(item);
    MergePast(item, past);
    return past;
  }

  /// `measured` has the errors of the new schemes; then it has those of all, and the statistics.
  void MergePast(const WorkItem& item, MatrixMeasurement& measured) const {
    measured.stats = options_.past->StatsOf(item);
    std::vector<QuantError> all;
    auto next = measured.quant.begin();
    for (const QuantScheme& scheme : options_.schemes) {
      const bool past = options_.past->Has(scheme);
      all.push_back(past ? options_.past->ErrorOf(item, scheme) : std::move(*next++));
    }
    measured.quant = std::move(all);
    if (item.dense) measured.energy = options_.past->EnergiesOfDense(item.number).first;
  }

  /// In output order, for data/evidence.
  void Gather(const WorkItem& item, const MatrixMeasurement& measured) {
    if (options_.evidence == nullptr) return;
    if (options_.past == nullptr) return options_.evidence->Add(item.number, measured);
    const auto [energy, guess] = options_.past->EnergiesOf(item.number);
    options_.evidence->AddKnown(item.number, measured, energy, guess);
  }

  Result<MatrixMeasurement> MeasureNew(const WorkItem& item, unsigned threads) {
    auto measured = MeasureStored(item, threads);
    for (const TensorRef& part : item.weight().parts) {
      if (auto whole = part.file->CheckWhole(); !whole) return tl::make_unexpected(whole.error());
    }
    return measured;
  }

  Result<MatrixMeasurement> MeasureStored(const WorkItem& stored, unsigned threads) {
    const auto array = weights_.Get(stored.weight());
    if (!array) return tl::make_unexpected(array.error());
    const auto opened = ViewOf(stored.weight(), stored.view, **array);
    if (!opened) return tl::make_unexpected(opened.error());
    const StoppableMatrix matrix(**opened, options_.stop);
    MeasureInput input(matrix);
    input.threads = threads;
    SampleCache::Indices sample;
    if (options_.samples != nullptr) {
      auto indices = options_.samples->Get(stored.elements());
      if (!indices) return tl::make_unexpected(indices.error());
      sample = std::move(*indices);
      if (sample) input.sample = *sample;
    }
    EvidenceWork::Inputs inputs;
    if (options_.evidence != nullptr) {
      inputs = stored.dense ? options_.evidence->InputsOfDense(stored.number)
                            : options_.evidence->InputsOf(stored.number);
      EvidenceWork::Put(inputs, input);
    }
    return options_.backend->Measure(input, measure_);
  }

  /// On the calling thread, in output order.
  Result<void> Consume(const WorkItem& item, Result<MatrixMeasurement> measured) {
    AnnounceThrough(item.tensor->ref.file);
    auto done = item.dense ? ConsumeDense(item, std::move(measured))
                           : ConsumeMatrix(item, std::move(measured));
    if (!done) return done;
    done_bytes_ += item.stored_bytes;
    observer_.OnProgress(++done_items_, done_bytes_);
    return {};
  }

  Result<void> ConsumeMatrix(const WorkItem& item, Result<MatrixMeasurement> measured) {
    const ExpertMatrix matrix = model_.matrix(item.number);
    const bool last = IsLast(matrix);
    if (last && matrix.bank == &matrix.tensor->found.banks.back()) {
      weights_.Release(matrix.weight());
    }
    auto done =
        measured ? Emit(matrix, std::move(*measured)) : HandleUnreadable(item, measured.error());
    if (done && last) done = EmitQuant(matrix);
    return done;
  }

  Result<void> ConsumeDense(const WorkItem& item, Result<MatrixMeasurement> measured) {
    weights_.Release(item.weight());
    return measured ? EmitDense(item.number, std::move(*measured))
                    : HandleUnreadable(item, measured.error());
  }

  uint64_t NumberOf(const ModelTensor& tensor) const {
    return static_cast<uint64_t>(&tensor - model_.tensors().data());
  }

  /// What can't be decoded refuses its tensor alone; what can't be read does if the user said so.
  Result<void> HandleUnreadable(const WorkItem& item, const Error& error) {
    if (error.code == ErrorCode::kInterrupted) return tl::make_unexpected(InterruptedError());
    const bool refused = error.code == ErrorCode::kUnsupported;
    if (!refused && !options_.keep_going) return tl::make_unexpected(error);
    const ModelTensor& tensor = *item.tensor;
    const uint64_t of_experts = item.dense ? 0 : item.elements();
    const bool first = results_.AddUnread(NumberOf(tensor), tensor.info().name, of_experts, error);
    if (!first) return {};  // one row and one line a tensor
    return sinks_.unmatched.Append(
        UnmatchedTensorsTable().RowOf(UnmatchedRowOf(tensor, error.message)));
  }

  Result<void> Emit(const ExpertMatrix& matrix, MatrixMeasurement measured) {
    const MatrixIdentity id = IdentityOf(matrix);
    results_.AddMatrix(NumberOf(*matrix.tensor), id, measured.stats);
    auto done = sinks_.matrix_stats.Append(stats_table_.RowOf({id, measured.stats}));
    bank_.push_back({id, std::move(measured)});
    return done;
  }

  /// quant_sim is scheme-major inside a bank, so its rows wait until the bank is complete.
  Result<void> EmitQuant(const ExpertMatrix& last) {
    for (size_t s = 0; s < options_.schemes.size(); ++s) {
      for (auto& [id, measured] : bank_) {
        results_.AddQuant(s, NumberOf(*last.tensor), banks_done_, id, measured.quant[s]);
        const auto row = QuantRowOf(id, s, measured, last.weight());
        if (auto done = sinks_.quant_sim.Append(QuantSimTable().RowOf(row)); !done) return done;
      }
    }
    ++banks_done_;
    bank_.clear();
    return {};
  }

  Result<void> EmitDense(uint64_t number, MatrixMeasurement measured) {
    const DenseWeight& dense = model_.dense()[number];
    const DenseIdentity id = IdentityOf(dense);
    const auto guess = options_.past != nullptr ? options_.past->EnergiesOfDense(number).second
                                                : EvidenceWork::GuessOfDense(measured);
    results_.AddDense(NumberOf(*dense.tensor), id, measured.stats);
    auto done = sinks_.dense_stats->Append(dense_table_.RowOf({id, measured.stats}));
    for (size_t s = 0; done && s < options_.schemes.size(); ++s) {
      results_.AddDenseQuant(s, NumberOf(*dense.tensor), id, measured.quant[s]);
      auto row = QuantRowOf(id, s, measured, dense.weight());
      row.guessed_energy = guess;
      done = sinks_.dense_quant_sim->Append(DenseQuantSimTable().RowOf(row));
    }
    return done;
  }

  /// Of scheme number `scheme`, whose errors are taken out of `measured`.
  template <class Identity>
  QuantRow<Identity> QuantRowOf(const Identity& id, size_t scheme, MatrixMeasurement& measured,
                                const Weight& weight) const {
    static const NativeBackend kSearch(QuantProfile::kMlxCpu);
    const bool search = options_.schemes[scheme].search();
    const QuantBackend& backend = search ? kSearch : *options_.backend;
    return {id,
            options_.schemes[scheme],
            std::move(measured.quant[scheme]),
            std::string(ComputeDTypeName(measured.compute_dtype)),
            backend.name(),
            backend.profile(),
            !weight.is_plain(),
            measured.energy,
            std::nullopt};
  }

  /// Tells of `file` and of those before it that were not told of; nullptr: of all.
  void AnnounceThrough(const TensorFile* file) {
    const auto& files = model_.parts().checkpoint.files;
    if (file != nullptr && file == announced_) return;
    while (files_told_ < files.size()) {
      announced_ = files[files_told_++].get();
      if (announced_ == nullptr) continue;  // skipped
      observer_.OnFile(files_told_, files.size(), PathText(announced_->path()));
      if (announced_ == file) return;
    }
  }

  const Model& model_;
  const MatrixWorkOptions& options_;
  const WorkSinks sinks_;
  CollectObserver& observer_;
  const WorkList list_;
  const Table<MatrixStatsRow> stats_table_;
  const Table<DenseStatsRow> dense_table_;
  MeasureOptions measure_;  // what the past does not have
  WorkWeights weights_;
  std::optional<ReadAhead> read_ahead_;
  Result<void> failure_;
  WorkResults results_;
  std::vector<BankMatrix> bank_;  // in work
  uint64_t banks_done_ = 0, done_items_ = 0, done_bytes_ = 0;
  size_t files_told_ = 0;
  const TensorFile* announced_ = nullptr;
};

}  // namespace

Result<MatrixWorkSummary> MeasureMatrices(const Model& model, const MatrixWorkOptions& options,
                                          const WorkSinks& sinks, CollectObserver& observer) {
  return MatrixWork(model, options, sinks, observer).Run();
}

}  // namespace moe

#include "collect/evidence_work.h"

#include <numeric>
#include <utility>

#include "collect/tensor_rows.h"
#include "evidence/hidden_values.h"
#include "experts/families.h"

namespace moe {
namespace {

double SumOf(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}

}  // namespace

EvidenceWork::Inputs EvidenceWork::InputsOf(uint64_t number) const {
  const ExpertMatrix matrix = model_.matrix(number);
  const MatrixKey key = matrix.key();
  Inputs inputs;
  if (evidence_ != nullptr) inputs.known = evidence_->Of(key);
  if (key.proj == kDownProj) inputs.sums.of = SquareSums::Of::kColumns;
  if (key.proj != kGateProj && key.proj != kUpProj) return inputs;
  inputs.sums = {SquareSums::Of::kRows, norms_.Of(matrix)};
  return inputs;
}

EvidenceWork::Inputs EvidenceWork::InputsOfDense(uint64_t number) const {
  const DenseWeight& weight = model_.dense()[number];
  Inputs inputs;
  if (const auto& norm = norms_.Of(weight); !norm.empty()) {
    inputs.sums = {SquareSums::Of::kRows, norm};
  }
  if (evidence_ == nullptr) return inputs;
  inputs.known = evidence_->OfModule(weight.module);
  if (inputs.known.mean_square.size() != weight.cols) inputs.known.mean_square.clear();
  return inputs;
}

std::optional<double> EvidenceWork::GuessOfDense(const MatrixMeasurement& measured) {
  if (measured.square_sums.empty()) return std::nullopt;
  return SumOf(measured.square_sums);
}

void EvidenceWork::Put(const Inputs& inputs, MeasureInput& input) {
  input.importance = inputs.known.mean_square;
  input.square_sums = inputs.sums;
}

void EvidenceWork::Remember(uint64_t number, const MatrixMeasurement& measured) {
  Numbers& numbers = matrices_[number];
  numbers.measured = true;
  numbers.energy = measured.energy;
  for (const QuantError& error : measured.quant) numbers.errors.push_back(error.act_rel_fro);
}

void EvidenceWork::AddKnown(uint64_t number, const MatrixMeasurement& measured,
                            std::optional<double> energy, std::optional<double> guess) {
  Remember(number, measured);
  matrices_[number].energy = energy;
  matrices_[number].guess = guess;
}

void EvidenceWork::Add(uint64_t number, const MatrixMeasurement& measured) {
  Remember(number, measured);
  if (!measured.square_sums.empty()) Guess(number, measured.square_sums);
}

bool EvidenceWork::HasGate(const MatrixKey& down) const {
  MatrixKey gate = down;
  gate.proj = kGateProj;
  return model_.Find(gate).has_value();
}

void EvidenceWork::Guess(uint64_t number, const std::vector<double>& sums) {
  const MatrixKey key = model_.matrix(number).key();
  const ExpertKey expert_key{key.stack, key.layer, key.expert, key.shared};
  Expert& expert = open_[expert_key];
  if (key.proj == kDownProj) {
    expert.down = sums;
    expert.down_number = number;
  } else {
    matrices_[number].guess = SumOf(sums);
    (key.proj == kGateProj ? expert.gate : expert.up) = sums;
  }
  const bool whole = !expert.down.empty() && expert.up.size() == expert.down.size() &&
                     (expert.gate.size() == expert.up.size() || !HasGate(key));
  if (!whole) return;
  const std::vector<double> input = GuessDownInput(expert.gate, expert.up);
  matrices_[*expert.down_number].guess =
      std::inner_product(input.begin(), input.end(), expert.down.begin(), 0.0);
  open_.erase(expert_key);
}

Result<void> EvidenceWork::Write(std::span<const QuantScheme> schemes, RowSink& sink) const {
  for (uint64_t number = 0; number < matrices_.size(); ++number) {
    const Numbers& numbers = matrices_[number];
    if (!numbers.measured) continue;
    const ExpertMatrix matrix = model_.matrix(number);
    EvidenceRow row;
    row.matrix = IdentityOf(matrix);
    row.energy = numbers.energy;
    row.guessed_energy = numbers.guess;
    row.missing = Evidence::kNoImatrix;
    if (evidence_ != nullptr) {
      const ColumnEvidence known = evidence_->Of(matrix.key());
      row.tokens = known.tokens;
      row.token_share = known.share;
      row.missing = known.missing.empty() ? std::nullopt : std::optional(known.missing);
      if (!known.mean_square.empty()) {
        row.input_mean_square =
            SumOf(known.mean_square) / static_cast<double>(known.mean_square.size());
      }
    }
    if (schemes.empty()) {
      if (auto done = sink.Append(EvidenceTable().RowOf(row)); !done) return done;
    }
    for (size_t s = 0; s < schemes.size(); ++s) {
      row.scheme = schemes[s].name;
      row.act_rel_fro = numbers.errors[s];
      if (auto done = sink.Append(EvidenceTable().RowOf(row)); !done) return done;
    }
  }
  return {};
}

}  // namespace moe

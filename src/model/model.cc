#include "moescope/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/decide.h"
#include "model/dense.h"
#include "model/model_parts.h"
#include "model/nothing_found.h"
#include "model/reading.h"

namespace moe {
namespace {

using Parts = Model::Parts;

/// Decoded values, which are meant in another dtype than that of their codes.
class DecodedMatrix : public MatrixSource {
 public:
  DecodedMatrix(std::unique_ptr<MatrixSource> codes, DType meant)
      : codes_(std::move(codes)), meant_(meant) {}
  uint64_t rows() const override { return codes_->rows(); }
  uint64_t cols() const override { return codes_->cols(); }
  DType storage_dtype() const override { return codes_->storage_dtype(); }
  DType value_dtype() const override { return meant_; }
  Result<void> Read(const Tile& tile, float* out) const override { return codes_->Read(tile, out); }

 private:
  std::unique_ptr<MatrixSource> codes_;
  DType meant_;
};

Result<void> OpenFiles(ModelFiles& files, const ModelOptions& options, Parts& parts) {
  if (!files.scan.skipped.empty() && !options.skip_broken_files) {
    return tl::make_unexpected(files.scan.skipped.front());
  }
  auto checkpoint = OpenCheckpoint(files.scan, files.index, WordsOf(files.metadata),
                                   options.skip_broken_files, options.stop);
  if (!checkpoint) return tl::make_unexpected(std::move(checkpoint.error()));
  parts.checkpoint = std::move(*checkpoint);
  files.scan.doubtful |= parts.checkpoint.has_empty_file && files.options.strict_index;
  if (files.scan.files.empty() && files.scan.skipped.empty()) {
    return tl::make_unexpected(NothingToRead(files));
  }
  if (parts.checkpoint.NothingRead()) {
    return Fail(ErrorCode::kMalformed, files.path.string(),
                "none of its files can be read: " + parts.checkpoint.skipped_files.front(),
                "download it again");
  }
  return {};
}

/// Which tensors are experts, and which experts are missing; then the doubts about the files are
/// settled.
Result<void> FindExperts(ModelFiles& files, const ModelOptions& options, Parts& parts) {
  auto extractor =
      Extractor::Create(ExtractOptionsFor(options.extract, files.metadata, parts.checkpoint),
                        parts.checkpoint.AllShapes());
  if (!extractor) return tl::make_unexpected(std::move(extractor.error()));
  parts.extractor.emplace(std::move(*extractor));
  if (auto done = DecideAll(parts.checkpoint, *parts.extractor, options.stop); !done) return done;
  const auto promise = PromiseOf(parts.checkpoint, files.index, *parts.extractor);
  if (!promise) return tl::make_unexpected(promise.error());
  const ModelFacts& facts = parts.extractor->facts();
  parts.missing = promise->Missing(facts);
  parts.surplus = promise->Surplus(facts);
  const bool whole = parts.missing.empty() && promise->ConfigTellsAll(facts);
  SettleDoubts(whole, files.scan, files.scan.warnings);
  if (files.scan.fault) return tl::make_unexpected(*files.scan.fault);
  return {};
}

/// Whether config.json says that the output head is the embedding.
bool HasTiedHead(const Json& config) {
  const auto says = [](const Json& part) {
    const Json& tied = part["tie_word_embeddings"];
    return tied.is_boolean() && tied.get<bool>();
  };
  return says(config) || says(config["text_config"]);
}

void CountBanks(Parts& parts) {
  for (const ModelTensor& tensor : parts.checkpoint.tensors) {
    if (!tensor.found.unmatched_reason) parts.census.AddPreset(tensor.found.preset);
    for (const ExpertBank& bank : tensor.found.banks) {
      parts.census.Add(bank, tensor.weight->storage, tensor.weight->bits_per_weight);
      parts.banks.push_back({&tensor, &bank, parts.matrices});
      parts.matrices += bank.matrices();
    }
  }
}

}  // namespace

MatrixKey ExpertMatrix::key() const {
  const int64_t expert = bank->is_shared_expert ? 0 : bank->ExpertIdAt(expert_pos);
  return {bank->stack.value_or(""), bank->LayerAt(layer_pos), bank->proj, expert,
          bank->is_shared_expert};
}

uint64_t ModelTensor::elements() const {
  uint64_t count = 1;
  for (const uint64_t size : weight ? weight->shape : info().shape) count *= size;
  return count;  // checked by the readers
}

std::string MatrixKey::Text() const {
  std::string text = stack.empty() ? "" : stack + " ";
  if (layer >= 0) text += fmt::format("layer {} ", layer);
  if (shared) text += "shared ";
  if (expert >= 0 && !(shared && expert == 0)) text += fmt::format("expert {} ", expert);
  return text + proj;
}

MatrixView ExpertMatrix::view() const {
  return {bank->rows, bank->cols,
          bank->offset + layer_pos * bank->layer_stride + expert_pos * bank->expert_stride,
          bank->row_stride, bank->col_stride};
}

uint64_t ExpertMatrix::stored_bytes() const {
  return weight().stored_bytes(bank->rows * bank->cols);
}

uint64_t DenseWeight::stored_bytes() const { return weight().stored_bytes(rows * cols); }

Result<Model> Model::Open(const std::string& path, const ModelOptions& options) {
  auto files = std::make_shared<ModelFiles>(FindModelFiles(path, options));
  if (files->fault) return tl::make_unexpected(std::move(*files->fault));
  return Open(std::move(files), options);
}

Result<Model> Model::Open(std::shared_ptr<ModelFiles> files, const ModelOptions& options) {
  auto parts = std::make_unique<Parts>();
  auto done = OpenFiles(*files, options, *parts).and_then([&] {
    return FindExperts(*files, options, *parts);
  });
  if (!done) return tl::make_unexpected(std::move(done.error()));
  CountBanks(*parts);
  parts->dense = DenseWeightsOf(parts->checkpoint.tensors, HasTiedHead(files->metadata.config));
  if (files->index.used_for_scan) {
    parts->compared = CompareWithIndex(files->index.weight_map, parts->checkpoint.TensorNames());
  }
  parts->files = std::move(files);
  return Model(std::move(parts));
}

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

const std::filesystem::path& Model::path() const { return parts_->files->path; }
std::string_view Model::family() const { return parts_->extractor->family(); }
const std::string& Model::model_type() const { return parts_->files->metadata.model_type; }
const ModelFacts& Model::facts() const { return parts_->extractor->facts(); }
std::span<const ModelTensor> Model::tensors() const { return parts_->checkpoint.tensors; }
uint64_t Model::matrices() const { return parts_->matrices; }

ExpertMatrix Model::matrix(uint64_t number) const {
  const auto after = std::ranges::upper_bound(parts_->banks, number, {}, &ModelBank::first_matrix);
  const auto& [tensor, bank, first] = *(after - 1);
  const uint64_t within = number - first;
  return {tensor, bank, within / bank->experts, within % bank->experts};
}

std::optional<uint64_t> Model::Find(const MatrixKey& key) const {
  Parts::Keys& keys = parts_->keys;
  std::call_once(keys.made, [&] {
    for (uint64_t i = 0; i < matrices(); ++i) keys.numbers.try_emplace(matrix(i).key(), i);
  });
  const auto found = keys.numbers.find(key);
  if (found == keys.numbers.end()) return std::nullopt;
  return found->second;
}

Result<std::unique_ptr<MatrixSource>> Model::OpenMatrix(uint64_t number) const {
  const ExpertMatrix matrix = this->matrix(number);
  const auto array = parts_->Array(matrix.weight());
  if (!array) return tl::make_unexpected(array.error());
  return ViewOf(matrix.weight(), matrix.view(), **array);
}

std::span<const DenseWeight> Model::dense() const { return parts_->dense; }

Result<std::unique_ptr<MatrixSource>> Model::OpenDense(uint64_t number) const {
  const DenseWeight& dense = parts_->dense[number];
  const auto array = parts_->Array(dense.weight());
  if (!array) return tl::make_unexpected(array.error());
  return ViewOf(dense.weight(), dense.view(), **array);
}

Result<std::unique_ptr<MatrixSource>> Model::OpenMatrix(const MatrixKey& key) const {
  const auto number = Find(key);
  if (number) return OpenMatrix(*number);
  return Fail(ErrorCode::kNotFound, path().string(), "has no matrix " + key.Text(),
              "Model::matrix() gives the keys of all");
}

Result<std::shared_ptr<const WeightArray>> OpenWeight(const Weight& weight) {
  auto bytes = ReadParts(weight);
  if (!bytes) return tl::make_unexpected(std::move(bytes.error()));
  auto array = weight.open(std::move(*bytes));
  if (!array) array.error().code = ErrorCode::kUnsupported;
  return array;
}

bool Model::complete() const {
  const ModelFiles& files = *parts_->files;
  const bool unmatched = std::ranges::any_of(tensors(), [](const ModelTensor& tensor) {
    return tensor.found.unmatched_reason.has_value();
  });
  return !unmatched && parts_->missing.empty() && parts_->surplus.empty() &&
         files.scan.missing.empty() && !files.scan.incomplete && !files.metadata.unreadable &&
         !parts_->census.ContradictsConfig(facts()) && parts_->compared.missing_tensors.empty();
}

std::vector<std::string> Model::Warnings() const {
  const ModelFiles& files = *parts_->files;
  std::vector<std::string> lines = files.scan.warnings;
  const auto add = [&](const std::vector<std::string>& more) {
    lines.insert(lines.end(), more.begin(), more.end());
  };
  if (const auto text = UnusedIndexWarning(files.index)) lines.push_back(*text);
  for (const TensorWarning& warning : parts_->checkpoint.warnings) lines.push_back(warning.text);
  add(IndexWarnings(files.index, parts_->compared));
  if (files.metadata.unreadable) lines.push_back(files.metadata.warnings.back());
  add(parts_->ExpertWarnings());
  return lines;
}

Result<std::unique_ptr<MatrixSource>> ViewOf(const Weight& weight, const MatrixView& view,
                                             const WeightArray& array) {
  auto opened = array.Matrix(view);
  if (!opened || weight.is_plain()) return opened;
  return std::make_unique<DecodedMatrix>(std::move(*opened), weight.float_dtype);
}

Result<std::shared_ptr<const WeightArray>> Parts::Array(const Weight& weight) const {
  const std::lock_guard lock(last.mutex);
  if (last.weight != &weight) {
    auto opened = OpenWeight(weight);
    if (!opened) return tl::make_unexpected(std::move(opened.error()));
    last.weight = &weight;
    last.array = std::move(*opened);
  }
  return last.array;
}

std::vector<std::string> Parts::ExpertWarnings() const {
  std::vector<std::string> lines = QuantizationWarnings(files->metadata);
  for (const auto& more : {census.Warnings(extractor->facts(), extractor->family()),
                           MissingWarnings(missing), surplus}) {
    lines.insert(lines.end(), more.begin(), more.end());
  }
  return lines;
}

}  // namespace moe

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/checkpoint.h"
#include "moescope/error.h"
#include "moescope/experts.h"
#include "moescope/matrix.h"
#include "moescope/matrix_view.h"
#include "moescope/model_facts.h"
#include "moescope/scan_options.h"
#include "moescope/stop_token.h"
#include "moescope/weight.h"

namespace moe {

/// How a checkpoint is looked at.
struct ModelOptions {
  ScanOptions scan = {.strict_index = true};         ///< which files; missing ones are an error
  ExtractOptions extract = DefaultExtractOptions();  ///< which tensors are experts
  /// config.json, relative to the model's folder; nullopt: looked for there and in model/,
  /// configs/, config/, hf/.
  std::optional<std::string> config_path;
  bool skip_broken_files = false;  ///< go on without them; else the first ends Open()
  StopToken stop;                  ///< must outlive the Model
};

/// What names a matrix of experts in its model.
struct MatrixKey {
  std::string stack;    ///< "encoder", "mtp", ...; "" the model itself
  int64_t layer = -1;   ///< -1: its tensor's name has none
  std::string proj;     ///< "gate_proj", "up_proj", "down_proj", ...
  int64_t expert = -1;  ///< number of a routed expert, -1 unknown; 0 of a shared one
  bool shared = false;
  auto operator<=>(const MatrixKey&) const = default;
  std::string Text() const;  ///< "decoder layer 3 expert 7 down_proj"
};

/// A tensor of a checkpoint and what it is to the model.
struct ModelTensor {
  TensorRef ref;
  /// The weight whose payload it is; null: of none (a companion, refused, or left out).
  std::shared_ptr<const Weight> weight;
  /// Scales, zero points, ... of some weight.
  bool companion = false;
  /// Not listed by the index that is used, a copy elsewhere than it says, or of an adapter (LoRA):
  /// of no use.
  enum class LeftOut { kNo, kUnlisted, kCopy, kAdapter } left_out = LeftOut::kNo;
  /// Not "": a weight's payload that can't be decoded, why.
  std::string refusal;
  /// Refused because its tensors, or they and config.json, contradict each other; else the scheme
  /// is one that is not read.
  bool contradictory = false;
  /// Its role, the experts' matrices in it, and why it has none though it looks like an expert's.
  Extraction found;

  const TensorInfo& info() const { return ref.info(); }
  const std::string& name() const { return weight ? weight->name : info().name; }
  uint64_t elements() const;  ///< of its weight, decoded; else of the tensor
};

/// One matrix of one expert. A view into its Model, which must outlive it.
struct ExpertMatrix {
  const ModelTensor* tensor = nullptr;
  const ExpertBank* bank = nullptr;  ///< of tensor->found.banks
  uint64_t layer_pos = 0, expert_pos = 0;

  MatrixKey key() const;
  MatrixView view() const;  ///< in its weight
  const Weight& weight() const { return *tensor->weight; }
  uint64_t rows() const { return bank->rows; }
  uint64_t cols() const { return bank->cols; }
  uint64_t stored_bytes() const;  ///< with its share of scales and zero points
};

/// A weight outside the experts that runtimes quantize: of attention of any kind, dense MLPs,
/// latent projections, routers and gates, embeddings, the output head. One with more than two axes
/// (MLX's per head matrices of MLA) is the matrix of all of its rows. None are norms, biases,
/// vectors, convolutions, and the towers of images and sound. A view into its Model, which must
/// outlive it.
struct DenseWeight {
  const ModelTensor* tensor = nullptr;
  std::string module;  ///< as the checkpoint calls it: "model.layers.3.self_attn.q_proj"
  uint64_t rows = 0, cols = 0;

  Role role() const { return tensor->found.role; }  ///< attention, embedding, router or other
  int64_t layer() const { return tensor->found.layer.value_or(-1); }  ///< -1: none in its name
  const std::optional<std::string>& stack() const { return tensor->found.stack; }
  MatrixView view() const { return {rows, cols, 0, cols, 1}; }  ///< in its weight
  const Weight& weight() const { return *tensor->weight; }
  uint64_t stored_bytes() const;  ///< with scales and zero points
};

struct ModelFiles;  // src/model/model_files.h

/// A checkpoint, from its headers and config.json: every tensor with what it is, and every expert's
/// matrix. Weights are read when a matrix is opened, and only what it needs.
///
/// Threads:  const members may be called from any thread at once.
/// Lifetime: what it gives out (spans, matrices' keys aside) is valid while the Model lives; opened
///           matrices keep what they need.
/// Memory:   some hundred bytes a tensor.
class Model {
 public:
  /// `path`: a folder, a file, an index, a run directory, or ORG/NAME of the Hub's cache.
  /// kNotFound: nothing of that name, or shards are missing (unless options.scan.keep_going);
  /// kMalformed, kUnsupported: a broken file, files of several models, or none that can be read;
  /// kBadArgument: a rule's pattern; kInterrupted.
  static Result<Model> Open(const std::string& path, const ModelOptions& options = {});

  /// Of files that were found before; settles their doubts.
  static Result<Model> Open(std::shared_ptr<ModelFiles> files, const ModelOptions& options);

  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  const std::filesystem::path& path() const;  ///< absolute, links resolved
  std::string_view family() const;        ///< that its names or config gave; "": of no known one
  const std::string& model_type() const;  ///< config.json's; "": unknown
  const ModelFacts& facts() const;        ///< what config, names and family say of the experts

  /// All, file by file, in the order of the files.
  std::span<const ModelTensor> tensors() const;

  /// The experts' matrices, tensor by tensor, bank by bank, layer by layer.
  uint64_t matrices() const;
  ExpertMatrix matrix(uint64_t number) const;

  /// Number of the matrix, of the first where several have that key (shared experts in several
  /// modules of a layer); nullopt: none.
  std::optional<uint64_t> Find(const MatrixKey& key) const;

  /// Decodes, whatever its storage. The last weight opened stays so: matrices of one tensor are
  /// best opened in their order. kUnsupported: only its values show that it can't be decoded;
  /// kIo, kMalformed: its bytes can't be had.
  Result<std::unique_ptr<MatrixSource>> OpenMatrix(uint64_t number) const;
  Result<std::unique_ptr<MatrixSource>> OpenMatrix(const MatrixKey& key) const;  ///< or kNotFound

  /// The weights outside the experts that runtimes quantize, in the order of their tensors. A head
  /// that config.json ties to the embedding is not told beside it.
  std::span<const DenseWeight> dense() const;
  /// As OpenMatrix(), of dense()[number].
  Result<std::unique_ptr<MatrixSource>> OpenDense(uint64_t number) const;

  /// Nothing is missing, refused or contradicted by config.json, as far as headers tell.
  bool complete() const;
  /// One line each about what is odd or missing.
  std::vector<std::string> Warnings() const;

  /// What the program's own rooms look at as well (src/model/model_parts.h).
  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  explicit Model(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace moe

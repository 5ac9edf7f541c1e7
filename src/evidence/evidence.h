#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moescope/error.h"
#include "moescope/model.h"

namespace moe {

/// What a calibration run left, each kind added up over its files.
struct EvidenceFiles {
  std::vector<std::filesystem::path> imatrix;  ///< llama.cpp's importance matrices: imatrix_file.h
  std::vector<std::filesystem::path> usage;    ///< tokens by layer and expert: usage_file.h

  bool empty() const { return imatrix.empty() && usage.empty(); }
};

/// What is known about the input of one weight.
struct ColumnEvidence {
  /// Mean of the squares of input column c over the tokens seen, for each column of the decoded
  /// matrix (MatrixSource: columns are the input features in their own order, also where storage
  /// lies transposed or reorders them, as GPTQ's g_idx does). Empty: see `missing`.
  std::vector<double> mean_square;
  /// Tokens that the router sent to the expert; of other weights, and of shared experts, all that
  /// they saw. nullopt: no file says so (the older .dat does not).
  std::optional<double> tokens;
  /// `tokens` of those of all routed experts of its layer and projection; nullopt where one of them
  /// is not known, where all are 0, and for what is no routed expert.
  std::optional<double> share;
  std::string missing;  ///< why there is no mean_square: Evidence::kNeverRouted, ...; else ""
};

/// How the files and the model met.
struct EvidenceCoverage {
  uint64_t entries = 0, used = 0;   ///< weights that importance matrices name (over files: once)
  std::vector<std::string> unused;  ///< names of no weight of the model, sorted
  uint64_t matrices = 0;            ///< of the model's experts, routed and shared
  uint64_t with_values = 0, never_routed = 0, no_entry = 0;  ///< of these; together all
  uint64_t modules = 0, modules_with_values = 0;  ///< other weights of two axes or more, no norms
};

/// Evidence from calibration files, mapped to a model. Values are read from the mapped files when
/// they are asked for: memory is some hundred bytes an entry, whatever their size.
///
/// Names are those of llama.cpp, whatever the model's own are ("blk.3.ffn_down_exps.weight" is
/// layer 3's down_proj of all experts), or those of an HF or MLX model of the family. Gate and up
/// of an expert see the same input, so one serves the other; q, k and v likewise.
///
/// Threads:  const members may be called from any thread at once.
/// Lifetime: the Model must outlive it.
class Evidence {
 public:
  static constexpr const char* kNoImatrix = "no imatrix";
  static constexpr const char* kNoEntry = "no entry in the imatrix";
  static constexpr const char* kNeverRouted = "never routed in calibration";
  /// The older form writes ones for experts that no token reached.
  static constexpr const char* kStandInOnes = "never routed in calibration (ones stand in)";

  /// kBadArgument: what contradicts the model (another number of columns or experts, an expert or
  /// layer that it has not, not one name that it has), and files of the older form among others,
  /// whose sums have no count of tokens to be added by. Else the readers' errors.
  static Result<Evidence> Open(const Model& model, const EvidenceFiles& files);

  ~Evidence();
  Evidence(Evidence&&) noexcept;
  Evidence& operator=(Evidence&&) noexcept;

  /// Of a matrix of an expert of the model.
  ColumnEvidence Of(const MatrixKey& key) const;

  /// Of another weight of the model, by its name or its module's
  /// ("model.layers.3.self_attn.o_proj"). Of a weight with several matrices (MLX's embed_q) the
  /// mean over all.
  ColumnEvidence OfModule(std::string_view module) const;

  /// Tokens by routed expert of a layer of the model; empty: no file says so.
  std::vector<double> TokensOfLayer(const std::string& stack, int64_t layer) const;

  const EvidenceCoverage& coverage() const;
  /// One line each: names of no weight, layers without an entry.
  const std::vector<std::string>& warnings() const;

 private:
  struct Parts;
  explicit Evidence(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace moe

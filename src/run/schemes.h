#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "moescope/quantize.h"
#include "run/config.h"

namespace moe {

// Quantization schemes as configs and command lines write them. Each has one name in the tables
// ("affine_q4_g64", "mxfp4_g32"), and a short one ("q4", "q4g32", "mxfp4"), which leaves out the
// usual group: 64 elements of affine, of another mode what it takes where nothing is said. Each
// also with "+search" behind it (QuantScheme::search()).

/// The words of "a, b", without the spaces around them; of "" one that is empty.
std::vector<std::string_view> SplitAtCommas(std::string_view list);

/// "q4" of affine with 4 bits in groups of 64; "" for what no MLX takes.
std::string ShortSchemeName(const QuantScheme& scheme);

/// The scheme that `text` spells in any of its ways: "q4", "q4g64", "Q4_G64", "affine_q4_g64".
std::optional<QuantScheme> ParseScheme(std::string_view text);

/// Schemes to simulate, and the pairs of them worth comparing.
struct SchemeChoice {
  std::vector<QuantScheme> schemes;
  std::vector<DeltaPair> delta_pairs;
};

/// A comma-separated list of schemes and sets of them, each scheme once, in order: "mlx" (what
/// MLX's users choose from), "template" (the three of init-run), "all" (every one there is).
/// Pairs: a bit more against a bit less, smaller against larger groups, and each other mode against
/// affine of as many bits, and what is searched against what is not; of "template" alone those of
/// the template. kBadArgument names an unknown word and the closest one.
Result<SchemeChoice> ParseSchemes(std::string_view list);

/// `choice` for matrices of these numbers of columns. A scheme whose groups divide none of them
/// gives way to one of smaller groups, or is left out; as it is where nothing would be left.
SchemeChoice FittingSchemes(const SchemeChoice& choice, const std::set<uint64_t>& columns);

/// `choice`, which `config` is to have instead of its schemes, with the delta pairs that the user
/// has written into it (those not derived from its schemes), of schemes that `choice` has. They
/// come last, and a derived pair of the same schemes or name gives way. Returns the names of the
/// others.
std::vector<std::string> KeepOwnPairs(const Config& config, SchemeChoice& choice);

/// Whether they are the same schemes in the same order.
bool SameSchemes(const std::vector<QuantScheme>& a, const std::vector<QuantScheme>& b);

/// Whether an entry of quant_schemes counts.
bool IsEnabled(const Json& entry);

/// An entry of quant_schemes, of types that CheckConfigKeys() has accepted. Absent bits and
/// group_size are those of its mode.
QuantScheme SchemeOf(const Json& entry);

/// What `config check` asks of a config besides what every command does: that MLX takes each
/// enabled scheme (else kBadArgument with the JSON pointer). Returns a warning for each delta pair
/// of a scheme that is not there.
Result<std::vector<std::string>> CheckSchemes(const Config& config, std::string_view where);

/// `config` (an analysis_config.json) with the sections quant_schemes and delta_pairs of `choice`.
void PutSchemes(const SchemeChoice& choice, Json& config);

}  // namespace moe

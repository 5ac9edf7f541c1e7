#include "verify/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <set>

namespace moe {
namespace {

using Kind = PairFindingKind;

constexpr double kSame = 0.9;      // cosine: two matrices are one, rounded to 3 bits or more
constexpr double kSketched = 0.8;  // the same of two sketches; 64 elements of others reach 0.5
constexpr double kOwn = 0.5;       // below it a matrix is another one, or in another order

struct Row {
  std::string_view name;
  bool fault;
};
constexpr Row kRows[] = {
    {"", false},
    {"nonfinite", true},
    {"zeroed_codes", true},
    {"zeroed_scales", true},
    {"dead_rows", true},
    {"truncated", true},
    {"wrong_sign_biases", true},
    {"power_of_two", true},
    {"scaled", true},
    {"wrong_sign", true},
    {"swapped_projections", true},
    {"permuted_experts", true},
    {"duplicated_expert", true},
    {"wrong_layer", true},
    {"other_matrix", true},
    {"transposed", true},
    {"reversed_rows", true},
    {"reversed_columns", true},
    {"swapped_nibbles", true},
    {"unrelated", true},
    {"other_shape", true},
    {"codes_differ", true},
    {"changed_copy", true},
    {"large_error", true},
    {"larger_error", false},
    {"rounded_copy", false},
    {"orphaned_scales", true},
    {"contradiction", true},
    {"different_global_scales", false},
    {"rotary_order", false},
    {"dropped", false},
    {"missing_shard", true},
    {"missing_tensor", true},
    {"unlisted_tensor", true},
    {"unlisted_shard", true},
    {"unused_entry", false},
};

std::string Number(const std::optional<double>& value) {
  return value ? fmt::format("{:.3g}", *value) : "beyond measure";
}

// ---- by what is stored ----

/// Whether the bytes of the matrix in this part of its weight are all 0.
Result<bool> IsZero(const WeightItem& item, size_t part) {
  bool any = false;
  for (const PartRange& range : item.weight().ranges_of(item.view)) {
    if (range.part != part) continue;
    const TensorRef& tensor = item.weight().parts[part];
    const auto bytes = tensor.file->Bytes(tensor.index);
    if (!bytes) return tl::make_unexpected(bytes.error());
    const auto stored = bytes->data.subspan(range.begin, range.end - range.begin);
    if (std::ranges::any_of(stored, [](std::byte byte) { return byte != std::byte(); })) {
      return false;
    }
    any = any || !stored.empty();
  }
  return any;
}

Result<PairFinding> ByBytes(const CheckedPair& checked) {
  const WeightItem& item = checked.pair->b;
  const bool scaled = item.weight().parts.size() > 1;
  const auto codes = IsZero(item, 0);
  if (!codes) return tl::make_unexpected(codes.error());
  const auto scales = scaled ? IsZero(item, 1) : Result<bool>(false);
  if (!scales) return tl::make_unexpected(scales.error());
  if (*codes)
    return PairFinding{Kind::kZeroedCodes, scaled ? "all codes are 0" : "all values are 0", ""};
  if (*scales) return PairFinding{Kind::kZeroedScales, "all scales are 0", ""};
  return PairFinding();
}

// ---- by its numbers ----

PairFinding ByNumbers(const CheckedPair& checked) {
  const PairCheck& check = checked.check;
  const PairNumbers& numbers = check.numbers;
  if (numbers.broken > 0) {
    return {Kind::kNonfinite,
            fmt::format("{} values are not finite, the first in row {}, column {}", numbers.broken,
                        numbers.first_broken->first, numbers.first_broken->second),
            ""};
  }
  if (numbers.dead_rows > 0 && numbers.dead_rows == numbers.dead_tail) {
    return {
        Kind::kTruncated,
        fmt::format("the last {} of {} rows are 0", numbers.dead_tail, checked.pair->b.view.rows),
        ""};
  }
  if (numbers.dead_rows > 0) {
    return {Kind::kDeadRows,
            fmt::format("{} rows are 0, the first is row {}", numbers.dead_rows,
                        numbers.first_dead_row),
            ""};
  }
  if (check.codes && check.codes->all_biases > 0 &&
      10 * check.codes->negated_biases > 9 * check.codes->all_biases) {
    return {Kind::kWrongSignBiases, "biases have the wrong sign", ""};
  }
  return {};
}

/// Of values that lie along the original's.
PairFinding ByFactor(const CheckedPair& checked) {
  const PairNumbers& numbers = checked.check.numbers;
  const double cosine = numbers.cosine().value_or(0);
  if (std::abs(cosine) < kSame || !(numbers.sum_aa > 0)) return {};
  if (cosine < 0) return {Kind::kWrongSign, "all values have the wrong sign", ""};
  const double factor = numbers.sum_ab / numbers.sum_aa, power = std::round(std::log2(factor));
  if (power != 0 && std::abs(factor / std::exp2(power) - 1) < 0.05) {
    return {Kind::kPowerOfTwo, fmt::format("its values are 2^{:.0f} times the original's", power),
            ""};
  }
  if (std::abs(factor - 1) > 0.1) {
    return {Kind::kScaled, fmt::format("its values are {:.3g} times the original's", factor), ""};
  }
  return {};
}

/// Of an error that nothing explains.
PairFinding ByError(const CheckedPair& checked) {
  const PairCheck& check = checked.check;
  if (check.method == Method::kCopy) {
    return {Kind::kChangedCopy,
            fmt::format("{} of {} values are not the original's (relative distance {})",
                        check.numbers.elements - check.numbers.equal, check.numbers.elements,
                        Number(check.error())),
            ""};
  }
  return {Kind::kLargeError,
          check.expected ? fmt::format("its error is {}, {:.3g} is expected", Number(check.error()),
                                       *check.expected)
                         : fmt::format("its error is {}, at most {:.3g} is expected",
                                       Number(check.error()), check.allowed),
          ""};
}

// ---- in another order ----

struct Order {
  Kind kind;
  const char* detail;
  /// Where the element at (row, col) of a matrix of this size lies.
  std::pair<uint64_t, uint64_t> (*place)(uint64_t row, uint64_t col, uint64_t rows, uint64_t cols);
};
constexpr Order kTransposed = {
    Kind::kTransposed, "is transposed",
    [](uint64_t row, uint64_t col, uint64_t, uint64_t) { return std::pair(col, row); }};
constexpr Order kOrders[] = {
    {Kind::kReversedRows, "its rows are in reverse order",
     [](uint64_t row, uint64_t col, uint64_t rows, uint64_t) {
       return std::pair(rows - 1 - row, col);
     }},
    {Kind::kReversedColumns, "its columns are in reverse order",
     [](uint64_t row, uint64_t col, uint64_t, uint64_t cols) {
       return std::pair(row, cols - 1 - col);
     }},
    kTransposed,
    {Kind::kSwappedNibbles, "the two codes of each byte changed places",
     [](uint64_t row, uint64_t col, uint64_t, uint64_t) {
       return std::pair(row, col ^ uint64_t{1});
     }},
};

/// The elements of `matrix` at other places than those of a sketch of [rows, cols]; nullopt: they
/// are not all there.
Result<std::optional<Sketch>> SketchOf(const MatrixSource& matrix, uint64_t rows, uint64_t cols,
                                       const Order& order) {
  const SketchPlaces places = PlacesOf(rows, cols);
  Sketch sketch;
  for (size_t i = 0; i < kSketchSize; ++i) {
    const auto [row, col] = order.place(places[i].first, places[i].second, rows, cols);
    if (row >= matrix.rows() || col >= matrix.cols()) return std::optional<Sketch>();
    if (auto read = matrix.Read({row, col, 1, 1}, &sketch[i]); !read) {
      return tl::make_unexpected(read.error());
    }
  }
  return std::optional(sketch);
}

Result<PairFinding> ByOrder(const CheckedPair& checked) {
  const auto matrix = OpenItem(checked.pair->b);
  if (!matrix) return tl::make_unexpected(matrix.error());
  for (const Order& order : kOrders) {
    const auto sketch = SketchOf(**matrix, (*matrix)->rows(), (*matrix)->cols(), order);
    if (!sketch) return tl::make_unexpected(sketch.error());
    if (*sketch && CosineOf(checked.check.a, **sketch) >= kSketched) {
      return PairFinding{order.kind, order.detail, ""};
    }
  }
  return PairFinding();
}

// ---- q and k in llama.cpp's files ----

/// llama.cpp's converter of some architectures interleaves the halves of each head of q and k.
/// Files that name such an architecture were paired in the same order; of others it is tried.
class RotaryOrder {
 public:
  RotaryOrder(const WeightPair& pair, const Encodings& encodings, double tolerance)
      : pair_(pair), encodings_(encodings), tolerance_(tolerance) {}

  bool MayBe() const {
    const WeightKey& key = pair_.a.key;
    const bool of_heads = key.name == "attn_q" || key.name == "attn_k";
    return key.kind == WeightKey::Kind::kMatrix && of_heads && IsGguf(pair_.a) != IsGguf(pair_.b);
  }

  /// kNone: not in this order, whatever the size of a head.
  Result<PairFinding> Find() const {
    for (uint64_t head = kLeastHead; head <= std::min(kMostHead, pair_.a.view.rows); head += 2) {
      if (pair_.a.view.rows % head != 0) continue;
      const auto fits = FitsInHeadsOf(head);
      if (!fits) return tl::make_unexpected(fits.error());
      if (!*fits) continue;
      return PairFinding{Kind::kRotaryOrder,
                         fmt::format("its rows are in llama.cpp's order, in heads of {}", head),
                         ""};
    }
    return PairFinding();
  }

 private:
  static constexpr uint64_t kLeastHead = 16, kMostHead = 512;

  static bool IsGguf(const WeightItem& item) { return item.module.starts_with("blk."); }

  Result<bool> FitsInHeadsOf(uint64_t head) const {
    WeightPair pair = pair_;
    WeightItem& stored = IsGguf(pair.a) ? pair.a : pair.b;
    stored.interleaved_heads = stored.view.rows / head;
    auto a = OpenItem(pair.a);
    if (!a) return tl::make_unexpected(a.error());
    auto b = OpenItem(pair.b);
    if (!b) return tl::make_unexpected(b.error());
    const auto check = CheckPair(pair, {std::move(*a), std::move(*b)}, encodings_, tolerance_);
    return check.map([](const PairCheck& made) { return made.within(); });
  }

  const WeightPair& pair_;
  const Encodings& encodings_;
  const double tolerance_;
};

// ---- elsewhere in the original ----

class Origins {
 public:
  explicit Origins(const std::vector<CheckedPair>& checked) : checked_(checked) {
    for (size_t i = 0; i < checked.size(); ++i) {
      const WeightItem& item = checked[i].pair->a;
      if (item.key.kind == WeightKey::Kind::kOther) continue;
      of_shape_[{item.view.rows, item.view.cols}].push_back({i, UnitOf(checked[i].check.a)});
    }
  }

  /// The original that the sketch of number `i` is nearest to, if it is near and another one.
  std::optional<size_t> Nearest(size_t i) const {
    const WeightItem& item = checked_[i].pair->a;
    const auto shape = of_shape_.find({item.view.rows, item.view.cols});
    if (shape == of_shape_.end()) return std::nullopt;
    std::optional<size_t> nearest;
    double best = std::max(kSketched, CosineOf(checked_[i].check.a, checked_[i].check.b));
    const Sketch unit = UnitOf(checked_[i].check.b);
    for (const auto& [other, original] : shape->second) {
      const double cosine = Dot(original, unit);
      if (other == i || cosine <= best) continue;
      best = cosine;
      nearest = other;
    }
    return nearest;
  }

 private:
  const std::vector<CheckedPair>& checked_;
  /// Number of the pair, and its sketch of length 1.
  std::map<std::pair<uint64_t, uint64_t>, std::vector<std::pair<size_t, Sketch>>> of_shape_;
};

/// `in_place`: the original that it holds is in its own place, too.
PairFinding ByOrigin(const WeightKey& key, const WeightKey& origin, bool in_place) {
  const bool same_stack = key.kind == origin.kind && key.stack == origin.stack;
  const bool same_layer = same_stack && key.layer == origin.layer;
  PairFinding finding{Kind::kOtherMatrix, "holds " + origin.Text(), origin.Text()};
  if (key.kind == WeightKey::Kind::kMatrix || !same_stack) return finding;
  if (same_layer && key.number == origin.number) {
    finding.kind = Kind::kSwappedProjections;
  } else if (same_layer && key.name == origin.name) {
    finding.kind = in_place ? Kind::kDuplicatedExpert : Kind::kPermutedExperts;
    if (in_place) finding.detail += ", which is in its own place, too";
  } else if (key.name == origin.name && key.layer != origin.layer) {
    finding.kind = Kind::kWrongLayer;
  }
  return finding;
}

Result<PairFinding> Explain(const std::vector<CheckedPair>& checked, size_t i,
                            const Origins& origins) {
  const CheckedPair& suspect = checked[i];
  if (suspect.check.numbers.broken == 0) {
    const auto by_bytes = ByBytes(suspect);
    if (!by_bytes || by_bytes->kind != Kind::kNone) return by_bytes;
  }
  for (const auto& by : {ByNumbers, ByFactor}) {
    if (PairFinding finding = by(suspect); finding.kind != Kind::kNone) return finding;
  }
  if (suspect.check.numbers.cosine().value_or(0) < kOwn) {
    if (const auto origin = origins.Nearest(i)) {
      return ByOrigin(suspect.pair->a.key, checked[*origin].pair->a.key,
                      checked[*origin].check.within());
    }
    const auto by_order = ByOrder(suspect);
    if (!by_order || by_order->kind != Kind::kNone) return by_order;
    if (suspect.pair->a.key.kind != WeightKey::Kind::kOther) {
      return PairFinding{Kind::kUnrelated,
                         fmt::format("has nothing of the original (cosine {})",
                                     Number(suspect.check.numbers.cosine())),
                         ""};
    }
  }
  return ByError(suspect);
}

// ---- against the others of the scheme ----

/// Storage schemes of which most weights were re-derived: those that were not are odd.
std::set<std::string> AttestedStorages(const std::vector<CheckedPair>& checked) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> counts;
  for (const CheckedPair& one : checked) {
    if (!one.check.codes || one.check.is_copy()) continue;
    auto& [attested, all] = counts[one.pair->b.weight().storage];
    attested += one.check.attested() ? 1 : 0;
    ++all;
  }
  std::set<std::string> storages;
  for (const auto& [storage, count] : counts) {
    if (2 * count.first >= count.second) storages.insert(storage);
  }
  return storages;
}

/// Of a weight that is no suspect.
PairFinding OfWithin(const CheckedPair& one, bool others_attested) {
  const PairCheck& check = one.check;
  if (check.attested() || check.is_copy()) return {};
  if (check.method == Method::kCopy) {
    return {Kind::kRoundedCopy, fmt::format("relative distance {}", Number(check.error())), ""};
  }
  if (!others_attested || !check.codes) return {};
  const CodeDifferences& codes = *check.codes;
  const std::string first = codes.first ? fmt::format(", the first in row {}, column {}",
                                                      codes.first->first, codes.first->second)
                                        : "";
  return {Kind::kCodesDiffer,
          fmt::format("{} of {} codes, {} scales and {} biases are not the encoder's{}",
                      codes.codes, check.numbers.elements, codes.scales, codes.biases, first),
          ""};
}

/// An error beyond the allowed one that calibrated encoders make.
bool IsLarger(const PairCheck& check) {
  if (check.numbers.broken > 0 || !check.expected || !check.error()) return false;
  return *check.error() <= check.allowed / kAllowedRatio * kWorseRatio;
}

}  // namespace

std::string_view FindingName(PairFindingKind kind) { return kRows[static_cast<size_t>(kind)].name; }
bool IsFault(PairFindingKind kind) { return kRows[static_cast<size_t>(kind)].fault; }

Result<void> Diagnose(std::vector<CheckedPair>& checked, const Encodings& encodings,
                      const VerifyOptions& options) {
  const Origins origins(checked);
  const auto attested = AttestedStorages(checked);
  for (size_t i = 0; i < checked.size(); ++i) {
    CheckedPair& one = checked[i];
    if (auto go_on = options.work.stop.Check(); !go_on) return go_on;
    const bool others_attested = attested.contains(one.pair->b.weight().storage);
    if (one.check.within()) {
      one.finding = OfWithin(one, others_attested);
    } else if (!others_attested && IsLarger(one.check)) {
      one.finding = {Kind::kLargerError,
                     fmt::format("its error is {:.3g}, {:.3g} of plain rounding",
                                 *one.check.error(), *one.check.expected),
                     ""};
    } else {
      const RotaryOrder rotary(*one.pair, encodings, options.tolerance);
      auto finding = rotary.MayBe() ? rotary.Find() : PairFinding();
      if (finding && finding->kind == Kind::kNone) finding = Explain(checked, i, origins);
      if (!finding) return tl::make_unexpected(finding.error());
      one.finding = std::move(*finding);
    }
  }
  return {};
}

Result<PairFinding> DiagnoseShape(const WeightPair& pair) {
  const auto text = [](const WeightItem& item) {
    return fmt::format("{} x {}", item.view.rows, item.view.cols);
  };
  PairFinding finding{Kind::kOtherShape,
                      fmt::format("is {}, the original {}", text(pair.b), text(pair.a)), ""};
  if (pair.a.view.rows != pair.b.view.cols || pair.a.view.cols != pair.b.view.rows) return finding;
  const auto a = OpenItem(pair.a);
  if (!a) return tl::make_unexpected(a.error());
  const auto b = OpenItem(pair.b);
  if (!b) return tl::make_unexpected(b.error());
  constexpr Order kAsIs = {Kind::kNone, "", [](uint64_t row, uint64_t col, uint64_t, uint64_t) {
                             return std::pair(row, col);
                           }};
  const auto original = SketchOf(**a, pair.a.view.rows, pair.a.view.cols, kAsIs);
  if (!original) return tl::make_unexpected(original.error());
  const auto turned = SketchOf(**b, pair.a.view.rows, pair.a.view.cols, kTransposed);
  if (!turned) return tl::make_unexpected(turned.error());
  if (*turned && CosineOf(**original, **turned) >= kSketched) {
    finding.kind = Kind::kTransposed;
    finding.detail = "is transposed: " + finding.detail;
  }
  return finding;
}

}  // namespace moe

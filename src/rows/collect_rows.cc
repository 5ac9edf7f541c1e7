#include "rows/collect_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>

#include "base/pattern.h"
#include "rows/fields.h"

namespace moe {
namespace {

using enum WorseEnd;
using enum Derivation::Form;

// The first three percentiles have columns of their own in the contract; further ones come later.
constexpr size_t kContractPercentiles = 3;

// ---- columns that are no metrics ----

Column File() { return Text("file", "absolute path of the checkpoint file"); }

Column Shape() {
  return {"shape", ColumnType::kInt64List, kNeverNull, "elements",
          "shape, outermost dimension first; in CSV the text of a Python tuple: (2, 8, 64)"};
}

Column Ndim() { return Integer("ndim", "", "number of dimensions"); }

Column Layer() {
  return Integer("layer", "", "layer number parsed from the name or the layer axis; -1 if unknown");
}

Column Block4Column() {
  return Integer("block4", "", "layer div 4; null if the layer is unknown", kNullable);
}

Column Stack() {
  return Text("stack",
              "part of the model that the matrix belongs to (encoder, decoder, mtp, vision, ...); "
              "null if the model has only one",
              kNullable);
}

// ---- cells ----

// The way back; a null leaves what is there.
void Put(const Value& value, std::string& to) {
  if (const auto* text = std::get_if<std::string>(&value)) to = *text;
}
void Put(const Value& value, uint64_t& to) {
  if (const auto* number = std::get_if<int64_t>(&value)) to = static_cast<uint64_t>(*number);
}
void Put(const Value& value, double& to) {
  if (const auto* number = std::get_if<double>(&value)) to = *number;
}
template <class T>
void Put(const Value& value, std::optional<T>& to) {
  if (value.index() != 0) Put(value, to.emplace());
}

/// Cell() of what is measured.
template <class R, class T>
typename Table<R>::Field MeasuredCell(Column column, T R::* member) {
  auto field = Cell(std::move(column), member);
  field.put = [member](R& record, const Value& value) { Put(value, record.*member); };
  return field;
}

/// Columns of a part of R as columns of R.
template <class R, class P>
Fields<R> Lifted(P R::* part, Fields<P> fields) {
  Fields<R> lifted;
  for (auto& field : fields) {
    auto& to = lifted.emplace_back(
        std::move(field.column),
        [part, get = std::move(field.value)](const R& record) { return get(record.*part); });
    if (!field.put) continue;
    to.put = [part, put = std::move(field.put)](R& record, const Value& value) {
      put(record.*part, value);
    };
  }
  return lifted;
}

/// A column of R::matrix. `member`: of it or of its base.
template <class R, class M, class T>
typename Table<R>::Field OfMatrix(Column column, T M::* member) {
  return {std::move(column), [member](const R& record) { return ToValue(record.matrix.*member); }};
}

template <class R>
typename Table<R>::Field Block4Of() {
  return {Block4Column(), [](const R& record) { return Block4(record.matrix.layer); }};
}

template <class R>
typename Table<R>::Field NdimOf() {
  return {Ndim(), [](const R& record) { return ToValue(record.shape.size()); }};
}

// ---- metrics ----

constexpr char kOutlierAdvice[] =
    "how much a few large weights stretch the scale that their neighbours share; weights close to "
    "normal have 5 to 7 for the largest over the mean of a matrix";
constexpr char kSizeAdvice[] =
    "far from the neighbours', or 0: an expert that was never trained, or has a use of its own";
constexpr char kCentreAdvice[] = "close to 0 in nearly all matrices";
constexpr char kStepAdvice[] = "the step between codes: a large one is a coarse one";
constexpr char kTail[] =
    "How heavy the tail is: a large weight over a typical one. Normal weights have 3.8 at 99 % and "
    "4.9 at 99.9 %.";

/// A number of the finite weights of a matrix; null where it has others (D26). `at` gives its place
/// in MatrixStats, which it makes in one that is not const.
template <class At>
Table<MatrixStats>::Field OfFinite(Column column, At at) {
  return {std::move(column),
          [at](const MatrixStats& stats) {
            return stats.nonfinite_count == 0 ? ToValue(at(stats)) : Value();
          },
          [at](MatrixStats& stats, const Value& value) { Put(value, at(stats)); }};
}

template <class At>
Table<MatrixStats>::Field Statistic(Column column, At at) {
  column.doc += "; null if the matrix has non-finite weights";
  return OfFinite(std::move(column), at);
}

/// Element i, which a list that is not const gets if it ends before.
template <class T>
const T& ElementAt(const std::vector<T>& list, size_t i) {
  return list[i];
}
template <class T>
T& ElementAt(std::vector<T>& list, size_t i) {
  if (list.size() <= i) list.resize(i + 1);
  return list[i];
}

Table<MatrixStats>::Field Statistic(Column column, double MatrixStats::* member) {
  return Statistic(std::move(column), [member](auto& stats) -> auto& { return stats.*member; });
}

Table<MatrixStats>::Field Percentile(const MeasureOptions& options, size_t i) {
  const double percentile = options.percentiles_abs[i];
  return Statistic(
      {.name = PercentileColumnName(percentile),
       .unit = "weights",
       .doc = fmt::format("percentile {} of |w|, interpolated linearly; over all elements, or over "
                          "the sample if stats.percentile_method is \"sample\"",
                          percentile),
       .label = fmt::format("{} % of |w| lie below", percentile),
       .plain = fmt::format("The size that {} % of the weights do not exceed.", percentile),
       .advice = "beside max_abs it tells a wide matrix from one with a few large weights"},
      [i](auto& stats) -> auto& { return ElementAt(stats.percentiles, i); });
}

/// The two columns of the i-th group size.
Fields<MatrixStats> GroupOutliers(const MeasureOptions& options, size_t i) {
  using Outlier = MatrixStats::GroupOutlier;
  const int64_t size = options.group_sizes[i];
  const double percentile = options.group_outlier_percentile;
  const auto field = [&](Column column, std::string_view what,
                         std::optional<double> Outlier::* member) {
    column.unit = "ratio";
    column.doc = fmt::format(
        "{} of max |w| / (mean |w| + eps) over all groups of {} consecutive weights of a row; null "
        "if {} does not divide cols, or if the matrix has non-finite weights",
        what, size, size);
    column.advice = kOutlierAdvice;
    column.worse = kHigh;
    return OfFinite(std::move(column), [i, member](auto& stats) -> auto& {
      return ElementAt(stats.groups, i).*member;
    });
  };
  const auto whole = static_cast<int64_t>(percentile);
  const std::string groups = fmt::format("In groups of {} weights that share one scale: ", size);
  return {field({.name = GroupPercentileColumnName(size, percentile),
                 .label = fmt::format("Outliers in groups of {}, {} %", size, whole),
                 .plain = groups + fmt::format("the largest weight over the mean one. {} % of the "
                                               "groups have less.",
                                               whole)},
                fmt::format("percentile {}", percentile), &Outlier::percentile),
          field({.name = GroupMaxColumnName(size),
                 .label = fmt::format("Outliers in groups of {}, worst", size),
                 .plain = groups + "the largest weight over the mean one, in the worst group."},
                "maximum", &Outlier::max)};
}

template <class R>
void Append(Fields<R> more, Fields<R>& fields) {
  for (auto& field : more) fields.push_back(std::move(field));
}

Fields<MatrixStatsRow> IdentityOfStats() {
  using R = MatrixStatsRow;
  using M = MatrixIdentity;
  return {
      OfMatrix<R>(File(), &M::file),
      OfMatrix<R>(Text("source_tensor", "name of the tensor that holds the matrix"),
                  &M::source_tensor),
      OfMatrix<R>(
          Text("derived_tensor",
               "source tensor and projection: NAME::PROJ, or NAME::split[AXIS]::PROJ for one part "
               "of a fused tensor; shared experts stacked in one tensor add their number: [i]"),
          &M::derived_tensor),
      OfMatrix<R>(Layer(), &M::layer),
      Block4Of<R>(),
      OfMatrix<R>(
          Text("proj", "projection: down_proj, gate_proj, up_proj, or as the rule names it"),
          &M::proj),
      OfMatrix<R>(
          Integer("expert_id", "", "number of the expert in its layer; -1 for shared experts"),
          &M::expert_id),
      OfMatrix<R>(Flag("is_routed_expert", "chosen by the router"), &M::is_routed_expert),
      OfMatrix<R>(Flag("is_shared_expert", "used for every token"), &M::is_shared_expert),
      OfMatrix<R>(Integer("rows", "elements", "output features R"), &M::rows),
      OfMatrix<R>(
          Integer("cols", "elements", "input features C; quantization groups run along a row"),
          &M::cols)};
}

Fields<MatrixStats> MomentFields() {
  using S = MatrixStats;
  return {
      Statistic({.name = "mean",
                 .unit = "weights",
                 .doc = "sum w / N, N = rows * cols",
                 .label = "Mean weight",
                 .plain = "Average of the weights. Close to zero in nearly all matrices.",
                 .advice = kCentreAdvice},
                &S::mean),
      Statistic({.name = "std",
                 .unit = "weights",
                 .doc = "sqrt(sum (w - mean)^2 / N)",
                 .label = "Spread of the weights",
                 .plain = "Standard deviation of the weights.",
                 .advice = kSizeAdvice},
                &S::std),
      Statistic({.name = "mean_abs",
                 .unit = "weights",
                 .doc = "sum |w| / N",
                 .label = "Mean magnitude",
                 .plain = "Average size of a weight without its sign.",
                 .advice = kSizeAdvice},
                &S::mean_abs),
      Statistic({.name = "rms",
                 .unit = "weights",
                 .doc = "sqrt(sum w^2 / N)",
                 .label = "RMS",
                 .plain = "Root mean square, the typical size of a weight. An expert far below its "
                          "neighbours may never have been trained.",
                 .advice = kSizeAdvice},
                &S::rms),
      Statistic(
          {.name = "max_abs",
           .unit = "weights",
           .doc = "max |w|",
           .label = "Largest weight",
           .plain = "The largest weight without its sign. One that towers over the rest makes "
                    "its whole group coarse.",
           .advice = kSizeAdvice,
           .worse = kHigh},
          &S::max_abs)};
}

Fields<MatrixStats> OutlierFields() {
  using S = MatrixStats;
  return {
      Statistic({.name = "outlier_max_over_mean",
                 .unit = "ratio",
                 .doc = "max_abs / (mean_abs + eps)",
                 .label = "Largest over mean weight",
                 .plain = "How many times the mean magnitude the largest weight is. Weights close "
                          "to normal have 5 to 7.",
                 .advice = kOutlierAdvice,
                 .worse = kHigh,
                 .derivation = Derivation{kQuotient, {"max_abs", "mean_abs"}}},
                &S::outlier_max_over_mean),
      Statistic({.name = "outlier_p99_over_median",
                 .unit = "ratio",
                 .doc = "p99_abs / (p50_abs + eps)",
                 .label = "99 % percentile over median",
                 .plain = kTail,
                 .advice = kOutlierAdvice,
                 .worse = kHigh,
                 .derivation = Derivation{kQuotient, {"p99_abs", "p50_abs"}}},
                &S::outlier_p99_over_median),
      Statistic({.name = "outlier_p999_over_median",
                 .unit = "ratio",
                 .doc = "p999_abs / (p50_abs + eps)",
                 .label = "99.9 % percentile over median",
                 .plain = kTail,
                 .advice = kOutlierAdvice,
                 .worse = kHigh,
                 .derivation = Derivation{kQuotient, {"p999_abs", "p50_abs"}}},
                &S::outlier_p999_over_median)};
}

Fields<MatrixStats> NonfiniteField() {
  return {MeasuredCell(
      {.name = "nonfinite_count",
       .type = ColumnType::kInt64,
       .nullable = kNeverNull,
       .unit = "elements",
       .doc = "NaN and infinite weights; if not 0, all statistics are null",
       .label = "NaN and infinite weights",
       .plain = "Weights that are no number. A matrix with any has no other statistics.",
       .advice = "anything but 0 is damage, or an overflow when the checkpoint was written",
       .worse = kHigh},
      &MatrixStats::nonfinite_count)};
}

template <class R>
Fields<R> StorageFields() {
  using M = StoredMatrix;
  return {
      OfMatrix<R>(Text("storage", "how the weights are stored in the checkpoint"), &M::storage),
      OfMatrix<R>({.name = "storage_bits_per_weight",
                   .nullable = kNeverNull,
                   .unit = "bits",
                   .doc = "stored bits per weight, scales and zero points included",
                   .label = "Stored bits per weight",
                   .plain = "What one weight costs in the checkpoint as it is, scales included.",
                   .advice = "what storing costs in the checkpoint as it is"},
                  &M::storage_bits_per_weight),
      OfMatrix<R>(Stack(), &M::stack)};
}

template <class R>
Fields<R> IdentityOfDense() {
  using M = DenseIdentity;
  return {
      OfMatrix<R>(File(), &M::file),
      OfMatrix<R>(Text("source_tensor", "name of the tensor that holds the weight"),
                  &M::source_tensor),
      OfMatrix<R>(
          Text("module", "name of the weight without .weight, as the checkpoint calls its module"),
          &M::module),
      OfMatrix<R>(Text("role", "attention, embedding (the output head too), router or other"),
                  &M::role),
      OfMatrix<R>(Integer("layer", "", "layer number parsed from the name; -1 if it has none"),
                  &M::layer),
      OfMatrix<R>(Integer("rows", "elements", "output features R; of all heads"), &M::rows),
      OfMatrix<R>(
          Integer("cols", "elements", "input features C; quantization groups run along a row"),
          &M::cols)};
}

Fields<QuantSimRow> IdentityOfQuant() {
  using R = QuantSimRow;
  using M = MatrixIdentity;
  return {OfMatrix<R>(File(), &M::file),
          OfMatrix<R>(Text("source_tensor", "as in matrix_stats"), &M::source_tensor),
          OfMatrix<R>(Text("derived_tensor", "as in matrix_stats"), &M::derived_tensor),
          OfMatrix<R>(Layer(), &M::layer),
          Block4Of<R>(),
          OfMatrix<R>(Text("proj", "as in matrix_stats"), &M::proj),
          OfMatrix<R>(Integer("expert_id", "", "as in matrix_stats"), &M::expert_id),
          OfMatrix<R>(Flag("is_shared_expert", "used for every token"), &M::is_shared_expert),
          OfMatrix<R>(Integer("rows", "elements", "output features R"), &M::rows),
          OfMatrix<R>(Integer("cols", "elements", "input features C"), &M::cols)};
}

template <class R>
Fields<R> SchemeFields() {
  return {
      Cell(Text("scheme", "name of the scheme in quant_schemes"), &R::scheme, &QuantScheme::name),
      Cell(Text("mode", "affine, mxfp4, mxfp8, nvfp4, or what the config says"), &R::scheme,
           &QuantScheme::mode),
      Cell(Integer("bits", "bits", "bits of one code"), &R::scheme, &QuantScheme::bits),
      Cell(Integer("group_size", "elements", "weights that share one scale"), &R::scheme,
           &QuantScheme::group_size)};
}

Fields<QuantError> ErrorFields() {
  using E = QuantError;
  return {
      MeasuredCell(
          {.name = "w_rel_fro",
           .unit = "ratio",
           .doc = "sqrt(sum d^2) / (sqrt(sum x^2) + eps), where x = the weights in compute_dtype, "
                  "y = their reconstruction and d = x - y; null on error",
           .label = "Relative error",
           .plain = "Size of the quantization error relative to the size of the weights: 0.1 "
                    "means that the error is a tenth as large as what it spoils.",
           .advice = "0.1: the error is a tenth of the size of the weights. For weights that are "
                     "close to normal it depends on the scheme alone (about 0.08 for 4-bit affine "
                     "in groups of 32, 0.12 for mxfp4); an expert far above its neighbours is one "
                     "that the scheme does not suit",
           .worse = kHigh},
          &E::w_rel_fro),
      MeasuredCell(
          {.name = "w_rel_max",
           .unit = "ratio",
           .doc = "max |d| / (max |x| + eps); null on error",
           .label = "Largest error, relative",
           .plain = "The largest error of a single weight, relative to the largest weight.",
           .worse = kHigh},
          &E::w_rel_max),
      MeasuredCell(
          {.name = "scale_mean",
           .unit = "weights",
           .doc = "mean of the decoded scales; affine ones are signed and cancel, see "
                  "scale_abs_mean; null if quantizing failed",
           .label = "Mean scale",
           .plain = "Mean of the scales, the step sizes of the groups. Affine scales have a sign "
                    "and cancel: see the mean size of the scales.",
           .advice = kStepAdvice},
          &E::scale_mean),
      MeasuredCell({.name = "scale_max",
                    .unit = "weights",
                    .doc = "largest decoded scale; null if quantizing failed",
                    .label = "Largest scale",
                    .plain = "The coarsest step of any group.",
                    .advice = kStepAdvice},
                   &E::scale_max),
      MeasuredCell({.name = "bias_mean",
                    .unit = "weights",
                    .doc = "mean of the biases; null unless affine",
                    .label = "Mean bias",
                    .plain = "Mean of the offsets that affine schemes store beside each scale.",
                    .advice = kCentreAdvice},
                   &E::bias_mean),
      MeasuredCell({.name = "bias_max",
                    .unit = "weights",
                    .doc = "largest bias; null unless affine",
                    .label = "Largest bias",
                    .plain = "Largest of the offsets that affine schemes store beside each scale.",
                    .advice = kStepAdvice},
                   &E::bias_max),
      MeasuredCell(
          {.name = "error",
           .type = ColumnType::kString,
           .doc = "why numbers are missing, \"Class: message\"; null if all went well",
           .advice = "not null: the scheme can't be used for this matrix, and the text says why"},
          &E::error)};
}

Fields<QuantError> LaterErrorFields() {
  using E = QuantError;
  return {
      MeasuredCell({.name = "scale_abs_mean",
                    .unit = "weights",
                    .doc = "mean |scale|; null if quantizing failed",
                    .label = "Mean size of the scales",
                    .plain = "How coarse the steps of the groups are on average.",
                    .advice = kStepAdvice},
                   &E::scale_abs_mean),
      MeasuredCell({.name = "scale_abs_max",
                    .unit = "weights",
                    .doc = "max |scale|; null if quantizing failed",
                    .label = "Largest size of a scale",
                    .plain = "The coarsest step of any group, without its sign.",
                    .advice = kStepAdvice},
                   &E::scale_abs_max),
      MeasuredCell(
          {.name = "sqnr_db",
           .unit = "dB",
           .doc = "10 log10(sum x^2 / sum d^2), rounded to 1e-9; null if either sum is 0, or on "
                  "error",
           .label = "Signal to noise",
           .plain = "The relative error in decibels: 20 dB is an error of a tenth, 40 dB of a "
                    "hundredth; each well-spent bit gains about 6.",
           .advice = "more is better: about 6 dB for each bit that is well spent; 20 dB is "
                     "w_rel_fro 0.1",
           .worse = kLow,
           .derivation = Derivation{kDecibels, {"w_rel_fro"}}},
          &E::sqnr_db),
      MeasuredCell(
          {.name = "bits_per_weight",
           .unit = "bits",
           .doc = "8 * (bytes of codes, scales and biases) / N; null if quantizing failed",
           .label = "Bits per weight",
           .plain = "What storing one weight costs, scales and zero points included.",
           .advice = "what storing costs: compare errors only between schemes that cost the same",
           .worse = kHigh},
          &E::bits_per_weight),
      MeasuredCell({.name = "max_abs_err",
                    .unit = "weights",
                    .doc = "max |d|; null on error",
                    .label = "Largest error",
                    .plain = "The largest error of a single weight.",
                    .worse = kHigh,
                    .derivation = Derivation{kProduct, {"w_rel_max", "max_abs"}}},
                   &E::max_abs_err),
      MeasuredCell(
          {.name = "zero_share",
           .unit = "ratio",
           .doc = "share of weights with x != 0 and y = 0; null if quantizing failed",
           .label = "Weights that become zero",
           .plain = "Share of the weights that quantization turns into zero. Near 1, the scale "
                    "was too coarse for the matrix.",
           .advice = "near 1, the scale was too coarse for the matrix; small scales vanish first "
                     "in nvfp4",
           .worse = kHigh},
          &E::zero_share),
      MeasuredCell(
          {.name = "clip_share",
           .unit = "ratio",
           .doc = "share of weights outside the range of the codes before clamping; null if "
                  "quantizing failed",
           .label = "Weights that are clipped",
           .plain = "Share of the weights that lie outside of what the codes reach, and are moved "
                    "to the end of the range.",
           .advice = "weights that were moved to the end of the codes' range",
           .worse = kHigh},
          &E::clip_share)};
}

template <class R>
Fields<R> HowSimulated() {
  return {
      Cell(Text("compute_dtype", "fp32, fp16 or bf16: the type in which x, scales and y are held"),
           &R::compute_dtype),
      Cell(Text("backend", "native: moescope's own quantizer; mlx: the real MLX"), &R::backend),
      Cell(Text("profile", "encoder that was simulated: mlx-cpu, mlx-gpu, ..."), &R::profile),
      Cell({.name = "requantized",
            .type = ColumnType::kBool,
            .nullable = kNeverNull,
            .doc = "the checkpoint held these weights quantized already",
            .advice = "true: the error comes on top of what the first quantization lost"},
           &R::requantized),
      OfMatrix<R>(Stack(), &StoredMatrix::stack)};
}

/// The columns of the numbers behind those that say what a row is about.
template <class R>
Table<R> StatsTable(std::string name, Fields<R> identity, const MeasureOptions& options) {
  assert(options.percentiles_abs.size() >= kContractPercentiles);
  Fields<MatrixStats> numbers = MomentFields();
  for (size_t i = 0; i < kContractPercentiles; ++i) numbers.push_back(Percentile(options, i));
  Append<MatrixStats>(OutlierFields(), numbers);
  for (size_t i = 0; i < options.group_sizes.size(); ++i) {
    Append<MatrixStats>(GroupOutliers(options, i), numbers);
  }
  for (size_t i = kContractPercentiles; i < options.percentiles_abs.size(); ++i) {
    numbers.push_back(Percentile(options, i));
  }
  Append<MatrixStats>(NonfiniteField(), numbers);
  Table<R> table{std::move(name), std::move(identity)};
  table.fields.push_back(
      OfMatrix<R>(Text("dtype", "element type of the source tensor"), &StoredMatrix::dtype));
  Append<R>(Lifted(&R::stats, std::move(numbers)), table.fields);
  Append<R>(StorageFields<R>(), table.fields);
  return table;
}

template <class R>
Table<R> QuantTable(std::string name, Fields<R> identity) {
  Table<R> table{std::move(name), std::move(identity)};
  Append<R>(SchemeFields<R>(), table.fields);
  Append<R>(Lifted(&R::error, ErrorFields()), table.fields);
  Append<R>(Lifted(&R::error, LaterErrorFields()), table.fields);
  Append<R>(HowSimulated<R>(), table.fields);
  return table;
}

Column ActRelFro() {
  return {.name = "act_rel_fro",
          .unit = "ratio",
          .doc =
              "sqrt(sum a_c d^2) / sqrt(sum a_c x^2): the error of what the matrix gives, as "
              "far as the calibration tells; x and d as for w_rel_fro; null without a_c, and "
              "where quant_sim has an error",
          .label = "Activation-weighted error",
          .plain =
              "The relative error where each input column counts by its mean square in "
              "the calibration.",
          .advice = "far above w_rel_fro: the error sits in columns that see large inputs",
          .worse = kHigh};
}

Column Energy() {
  return {.name = "energy",
          .unit = "activations^2",
          .doc =
              "sum a_c x^2: mean squared length of what the matrix gives for a token; null "
              "without a_c",
          .label = "Output energy",
          .plain =
              "Mean squared length of what the matrix gives for a token, as the calibration "
              "tells."};
}

/// `how`: what a_c is taken to be.
Column GuessedEnergy(const std::string& how) {
  return {
      .name = "guessed_energy",
      .unit = "activations^2",
      .doc = fmt::format("the same with a_c guessed from the weights: {} (docs/recipes.md); only "
                         "ratios mean anything; null where it can't be guessed",
                         how),
      .label = "Output energy, guessed",
      .plain = "The same, guessed from the weights alone. Only ratios mean anything."};
}

/// The match of `pattern` with all of `name`.
std::optional<PatternMatch> WholeMatch(std::string_view pattern, std::string_view name) {
  auto match = Pattern::Compile(fmt::format("(?:{})\\Z", pattern), "column")
                   .and_then([&](const Pattern& compiled) { return compiled.Match(name); });
  return match ? std::move(*match) : std::nullopt;
}

std::string Group(const PatternMatch& match, size_t i) {
  return std::string(match.groups[i].value_or(""));
}

}  // namespace

std::string PercentileColumnName(double percentile) {
  std::array<char, 512> digits;  // more than any double needs in fixed notation
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), percentile,
                                 std::chars_format::fixed)
                       .ptr;
  std::string name = "p";
  for (const char* c = digits.data(); c != end; ++c) {
    if (*c != '.') name += *c;
  }
  return name + "_abs";
}

std::string GroupPercentileColumnName(int64_t group_size, double percentile) {
  return fmt::format("g{}_p{}_outlier", group_size, static_cast<int64_t>(percentile));
}

std::string GroupMaxColumnName(int64_t group_size) {
  return fmt::format("g{}_max_outlier", group_size);
}

Value Block4(int64_t layer) { return layer < 0 ? Value() : Value(layer / 4); }

const Table<TensorInventoryRow>& TensorInventoryTable() {
  using R = TensorInventoryRow;
  static const Table<R> kTable = {
      "tensor_inventory",
      {Cell(File(), &R::file),
       Cell(Text("tensor_name", "name of the tensor in its file"), &R::tensor_name),
       Cell(Text("dtype", "element type: NumPy's name, or the container's own text"), &R::dtype),
       Cell(Shape(), &R::shape), NdimOf<R>(),
       Cell(Integer("nbytes", "bytes", "size of the decoded array"), &R::nbytes),
       Cell(Flag("in_index", "the shard index lists this tensor; null without an index", kNullable),
            &R::in_index),
       Cell(Text("index_shard",
                 "file that the shard index names for this tensor; null without an index or if it "
                 "does not list the tensor",
                 kNullable),
            &R::index_shard),
       Cell(
           Text("role",
                "routed_expert, shared_expert, router, attention, embedding, norm, companion (of a "
                "quantized weight) or other"),
           &R::role)}};
  return kTable;
}

Table<MatrixStatsRow> MatrixStatsTable(const MeasureOptions& options) {
  return StatsTable<MatrixStatsRow>("matrix_stats", IdentityOfStats(), options);
}

Table<DenseStatsRow> DenseStatsTable(const MeasureOptions& options) {
  return StatsTable<DenseStatsRow>("dense_stats", IdentityOfDense<DenseStatsRow>(), options);
}

const Table<QuantSimRow>& QuantSimTable() {
  static const Table<QuantSimRow> kTable = QuantTable<QuantSimRow>("quant_sim", IdentityOfQuant());
  return kTable;
}

const Table<DenseQuantSimRow>& DenseQuantSimTable() {
  using R = DenseQuantSimRow;
  static const Table<R> kTable = [] {
    auto table = QuantTable<R>("dense_quant_sim", IdentityOfDense<R>());
    Append<R>(
        Lifted(&R::error, Fields<QuantError>{MeasuredCell(ActRelFro(), &QuantError::act_rel_fro)}),
        table.fields);
    table.fields.push_back(MeasuredCell(Energy(), &R::energy));
    table.fields.push_back(
        MeasuredCell(GuessedEnergy("the square of the norm before; of what makes attention's "
                                   "values, and of gate and up of "
                                   "dense MLPs, alone"),
                     &R::guessed_energy));
    return table;
  }();
  return kTable;
}

const Table<EvidenceRow>& EvidenceTable() {
  using R = EvidenceRow;
  using M = MatrixIdentity;
  static const Table<R> kTable = {
      "evidence",
      {OfMatrix<R>(Text("source_tensor", "as in matrix_stats"), &M::source_tensor),
       OfMatrix<R>(Text("derived_tensor", "as in matrix_stats"), &M::derived_tensor),
       OfMatrix<R>(Layer(), &M::layer), OfMatrix<R>(Text("proj", "as in matrix_stats"), &M::proj),
       OfMatrix<R>(Integer("expert_id", "", "as in matrix_stats"), &M::expert_id),
       OfMatrix<R>(Flag("is_shared_expert", "used for every token"), &M::is_shared_expert),
       Cell(Text("scheme", "as in quant_sim; null if the run has no scheme", kNullable),
            &R::scheme),
       Cell({.name = "tokens",
             .unit = "tokens",
             .doc = "tokens of the calibration that the router sent to the expert; null if no file "
                    "says so",
             .label = "Tokens seen",
             .plain = "How many tokens of the calibration text the router sent to this expert."},
            &R::tokens),
       Cell({.name = "token_share",
             .unit = "ratio",
             .doc = "tokens of the expert / tokens of all routed experts of its layer; null if not "
                    "known, and for shared experts",
             .label = "Share of the tokens",
             .plain = "Share of the tokens of its layer that this expert saw."},
            &R::token_share),
       Cell({.name = "input_mean_square",
             .unit = "activations^2",
             .doc = "mean over the input columns of a_c, the mean square of input column c in the "
                    "calibration; null without it",
             .label = "Mean square input",
             .plain = "How large the inputs of this matrix were in the calibration."},
            &R::input_mean_square),
       MeasuredCell(ActRelFro(), &R::act_rel_fro), MeasuredCell(Energy(), &R::energy),
       MeasuredCell(GuessedEnergy("of gate and up the square of the norm before them, of down what "
                                  "gate and up then give"),
                    &R::guessed_energy),
       Cell(Text("missing", "why there is no a_c: never routed, no entry, no imatrix; else null",
                 kNullable),
            &R::missing),
       OfMatrix<R>(Stack(), &M::stack)}};
  return kTable;
}

const Table<UnmatchedTensorRow>& UnmatchedTensorsTable() {
  using R = UnmatchedTensorRow;
  static const Table<R> kTable = {
      "unmatched_tensors",
      {Cell(File(), &R::file),
       Cell(Text("tensor_name", "name of the tensor in its file"), &R::tensor_name),
       Cell(Text("dtype", "element type, as in tensor_inventory"), &R::dtype),
       Cell(Shape(), &R::shape), NdimOf<R>(),
       Cell(Text("reason", "why a tensor that looks like an expert's was not analysed"),
            &R::reason)}};
  return kTable;
}

const Table<std::string>& WarningsTable() {
  static const Table<std::string> kTable = {
      "warnings",
      {{Text("warning", "one warning, in the order of the run"),
        [](const std::string& text) { return ToValue(text); }}}};
  return kTable;
}

const Table<ProjCanonicalizationRow>& ProjCanonicalizationReportTable() {
  using R = ProjCanonicalizationRow;
  static const Table<R> kTable = {
      "proj_canonicalization_report",
      {Cell(Text("context", "proj_group or packed_split: where the token was found"), &R::context),
       Cell(Text("rule_name", "extract rule that gave the token"), &R::rule_name),
       Cell(Text("raw_proj", "the token"), &R::raw_proj),
       Cell(Text("resolved_proj", "what it became"), &R::resolved_proj),
       Cell(Text("action", "kept_raw or dropped_strict"), &R::action),
       Cell(Integer("count", "tensors", "how often"), &R::count),
       Cell(Text("example_file", "file of the first one"), &R::example_file),
       Cell(Text("example_source_tensor", "tensor of the first one"), &R::example_source_tensor),
       Cell(Text("example_derived_tensor", "derived tensor of the first one"),
            &R::example_derived_tensor),
       Cell(Text("suggested_proj", "canonical projection that might be meant"), &R::suggested_proj),
       Cell(Text("suggested_match", "alias that suggests it"), &R::suggested_match)}};
  return kTable;
}

std::vector<TableSchema> CollectSchemas(const MeasureOptions& options) {
  return {MatrixStatsTable(options).Schema(),
          QuantSimTable().Schema(),
          EvidenceTable().Schema(),
          DenseStatsTable(options).Schema(),
          DenseQuantSimTable().Schema(),
          TensorInventoryTable().Schema(),
          UnmatchedTensorsTable().Schema(),
          WarningsTable().Schema(),
          ProjCanonicalizationReportTable().Schema()};
}

MeasureOptions OptionsWithColumn(const std::string& name) {
  MeasureOptions options;
  if (const auto group = WholeMatch("g(-?[0-9]{1,9})_(?:p([0-9]{1,2})|max)_outlier", name)) {
    options.group_sizes = {std::stoll(Group(*group, 1))};
    if (group->groups[2]) options.group_outlier_percentile = std::stod(Group(*group, 2));
  } else if (const auto share = WholeMatch("p([0-9]{1,2})([0-9]{0,9})_abs", name)) {
    const double percentile = std::stod(Group(*share, 1) + "." + Group(*share, 2));
    const auto& known = options.percentiles_abs;
    if (std::find(known.begin(), known.end(), percentile) == known.end()) {
      options.percentiles_abs.push_back(percentile);
    }
  }
  return options;
}

std::optional<Column> FindMetric(const std::string& name) {
  for (const TableSchema& schema :
       {MatrixStatsTable(OptionsWithColumn(name)).Schema(), QuantSimTable().Schema()}) {
    const auto found = std::ranges::find(schema.columns, name, &Column::name);
    if (found != schema.columns.end()) return *found;
  }
  return std::nullopt;
}

}  // namespace moe

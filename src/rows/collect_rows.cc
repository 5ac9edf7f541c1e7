#include "rows/collect_rows.h"

#include <fmt/format.h>

#include <array>
#include <cassert>
#include <charconv>

namespace moe {
namespace {

constexpr bool kNullable = true;
constexpr bool kNeverNull = false;

// The first three percentiles have columns of their own in the contract; further ones come later.
constexpr size_t kContractPercentiles = 3;

constexpr char kNonFinite[] = "null if the matrix has non-finite weights";

Column Text(std::string name, std::string doc, bool nullable = kNeverNull) {
  return {std::move(name), ColumnType::kString, nullable, "", std::move(doc)};
}

Column Integer(std::string name, std::string unit, std::string doc, bool nullable = kNeverNull) {
  return {std::move(name), ColumnType::kInt64, nullable, std::move(unit), std::move(doc)};
}

Column Flag(std::string name, std::string doc, bool nullable = kNeverNull) {
  return {std::move(name), ColumnType::kBool, nullable, "", std::move(doc)};
}

Column Number(std::string name, std::string unit, std::string doc, bool nullable = kNullable) {
  return {std::move(name), ColumnType::kDouble, nullable, std::move(unit), std::move(doc)};
}

// A statistic of the finite weights of a matrix.
Column Statistic(std::string name, std::string unit, std::string_view doc) {
  return Number(std::move(name), std::move(unit), fmt::format("{}; {}", doc, kNonFinite));
}

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

Column PercentileColumn(double percentile) {
  return Statistic(PercentileColumnName(percentile), "weights",
                   fmt::format("percentile {} of |w|, interpolated linearly; over all elements, or "
                               "over the sample if stats.percentile_method is \"sample\"",
                               percentile));
}

Value IntValue(uint64_t value) { return static_cast<int64_t>(value); }

template <class T>
Value OrNull(const std::optional<T>& value) {
  return value ? Value(*value) : Value();
}

Value ShapeValue(const std::vector<uint64_t>& shape) {
  return std::vector<int64_t>(shape.begin(), shape.end());
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

TableSchema TensorInventorySchema() {
  return {"tensor_inventory",
          {File(), Text("tensor_name", "name of the tensor in its file"),
           Text("dtype", "element type: NumPy's name, or the container's own text"), Shape(),
           Ndim(), Integer("nbytes", "bytes", "size of the decoded array"),
           Flag("in_index", "the shard index lists this tensor; null without an index", kNullable),
           Text("index_shard",
                "file that the shard index names for this tensor; null without an index or if it "
                "does not list the tensor",
                kNullable),
           Text("role",
                "routed_expert, shared_expert, router, attention, embedding, norm, companion (of a "
                "quantized weight) or other")}};
}

TableSchema MatrixStatsSchema(const MeasureOptions& options) {
  assert(options.percentiles_abs.size() >= kContractPercentiles);
  TableSchema schema{
      "matrix_stats",
      {File(), Text("source_tensor", "name of the tensor that holds the matrix"),
       Text(
           "derived_tensor",
           "source tensor and projection: NAME::PROJ, or NAME::split[AXIS]::PROJ for one part of a "
           "fused tensor; shared experts stacked in one tensor add their number: [i]"),
       Layer(), Block4Column(),
       Text("proj", "projection: down_proj, gate_proj, up_proj, or as the rule names it"),
       Integer("expert_id", "", "number of the expert in its layer; -1 for shared experts"),
       Flag("is_routed_expert", "chosen by the router"),
       Flag("is_shared_expert", "used for every token"),
       Integer("rows", "elements", "output features R"),
       Integer("cols", "elements", "input features C; quantization groups run along a row"),
       Text("dtype", "element type of the source tensor"),
       Statistic("mean", "weights", "sum w / N, N = rows * cols"),
       Statistic("std", "weights", "sqrt(sum (w - mean)^2 / N)"),
       Statistic("mean_abs", "weights", "sum |w| / N"),
       Statistic("rms", "weights", "sqrt(sum w^2 / N)"),
       Statistic("max_abs", "weights", "max |w|")}};
  auto& columns = schema.columns;
  for (size_t i = 0; i < kContractPercentiles; ++i) {
    columns.push_back(PercentileColumn(options.percentiles_abs[i]));
  }
  columns.push_back(Statistic("outlier_max_over_mean", "ratio", "max_abs / (mean_abs + eps)"));
  columns.push_back(Statistic("outlier_p99_over_median", "ratio", "p99_abs / (p50_abs + eps)"));
  columns.push_back(Statistic("outlier_p999_over_median", "ratio", "p999_abs / (p50_abs + eps)"));
  for (const int64_t size : options.group_sizes) {
    const std::string ratio = fmt::format(
        "max |w| / (mean |w| + eps) over all groups of {0} consecutive weights of a row; null if "
        "{0} "
        "does not divide cols, or",
        size);
    const double percentile = options.group_outlier_percentile;
    columns.push_back(Number(GroupPercentileColumnName(size, percentile), "ratio",
                             fmt::format("percentile {} of {} if the matrix has non-finite weights",
                                         percentile, ratio)));
    columns.push_back(
        Number(GroupMaxColumnName(size), "ratio",
               fmt::format("maximum of {} if the matrix has non-finite weights", ratio)));
  }
  for (size_t i = kContractPercentiles; i < options.percentiles_abs.size(); ++i) {
    columns.push_back(PercentileColumn(options.percentiles_abs[i]));
  }
  columns.push_back(Integer("nonfinite_count", "elements",
                            "NaN and infinite weights; if not 0, all statistics are null"));
  columns.push_back(Text("storage", "how the weights are stored in the checkpoint"));
  columns.push_back(Number("storage_bits_per_weight", "bits",
                           "stored bits per weight, scales and zero points included", kNeverNull));
  columns.push_back(Stack());
  return schema;
}

TableSchema QuantSimSchema() {
  return {
      "quant_sim",
      {File(),
       Text("source_tensor", "as in matrix_stats"),
       Text("derived_tensor", "as in matrix_stats"),
       Layer(),
       Block4Column(),
       Text("proj", "as in matrix_stats"),
       Integer("expert_id", "", "as in matrix_stats"),
       Flag("is_shared_expert", "used for every token"),
       Integer("rows", "elements", "output features R"),
       Integer("cols", "elements", "input features C"),
       Text("scheme", "name of the scheme in quant_schemes"),
       Text("mode", "affine, mxfp4, mxfp8, nvfp4, or what the config says"),
       Integer("bits", "bits", "bits of one code"),
       Integer("group_size", "elements", "weights that share one scale"),
       Number("w_rel_fro", "ratio",
              "sqrt(sum d^2) / (sqrt(sum x^2) + eps), where x = the weights in compute_dtype, y = "
              "their reconstruction and d = x - y; null on error"),
       Number("w_rel_max", "ratio", "max |d| / (max |x| + eps); null on error"),
       Number("scale_mean", "weights",
              "mean of the decoded scales; affine ones are signed and cancel, see scale_abs_mean; "
              "null if quantizing failed"),
       Number("scale_max", "weights", "largest decoded scale; null if quantizing failed"),
       Number("bias_mean", "weights", "mean of the biases; null unless affine"),
       Number("bias_max", "weights", "largest bias; null unless affine"),
       Text("error", "why numbers are missing, \"Class: message\"; null if all went well",
            kNullable),
       Number("scale_abs_mean", "weights", "mean |scale|; null if quantizing failed"),
       Number("scale_abs_max", "weights", "max |scale|; null if quantizing failed"),
       Number("sqnr_db", "dB",
              "10 log10(sum x^2 / sum d^2), rounded to 1e-9; null if either sum is 0, or on error"),
       Number("bits_per_weight", "bits",
              "8 * (bytes of codes, scales and biases) / N; null if quantizing failed"),
       Number("max_abs_err", "weights", "max |d|; null on error"),
       Number("zero_share", "ratio",
              "share of weights with x != 0 and y = 0; null if quantizing failed"),
       Number("clip_share", "ratio",
              "share of weights outside the range of the codes before clamping; null if quantizing "
              "failed"),
       Text("compute_dtype", "fp32, fp16 or bf16: the type in which x, scales and y are held"),
       Text("backend", "native: moescope's own quantizer; mlx: the real MLX"),
       Text("profile", "encoder that was simulated: mlx-cpu, mlx-gpu, ..."),
       Flag("requantized", "the checkpoint held these weights quantized already"),
       Stack()}};
}

TableSchema UnmatchedTensorsSchema() {
  return {"unmatched_tensors",
          {File(), Text("tensor_name", "name of the tensor in its file"),
           Text("dtype", "element type, as in tensor_inventory"), Shape(), Ndim(),
           Text("reason", "why a tensor that looks like an expert's was not analysed")}};
}

TableSchema WarningsSchema() {
  return {"warnings", {Text("warning", "one warning, in the order of the run")}};
}

TableSchema ProjCanonicalizationReportSchema() {
  return {"proj_canonicalization_report",
          {Text("context", "proj_group or packed_split: where the token was found"),
           Text("rule_name", "extract rule that gave the token"), Text("raw_proj", "the token"),
           Text("resolved_proj", "what it became"), Text("action", "kept_raw or dropped_strict"),
           Integer("count", "tensors", "how often"), Text("example_file", "file of the first one"),
           Text("example_source_tensor", "tensor of the first one"),
           Text("example_derived_tensor", "derived tensor of the first one"),
           Text("suggested_proj", "canonical projection that might be meant"),
           Text("suggested_match", "alias that suggests it")}};
}

Row TensorInventoryRow::ToRow() const {
  return {file,
          tensor_name,
          dtype,
          ShapeValue(shape),
          IntValue(shape.size()),
          IntValue(nbytes),
          OrNull(in_index),
          OrNull(index_shard),
          role};
}

Row MatrixStatsRow::ToRow(const MeasureOptions& options) const {
  const bool finite = stats.nonfinite_count == 0;
  assert(!finite || (stats.percentiles.size() == options.percentiles_abs.size() &&
                     stats.groups.size() == options.group_sizes.size()));
  const auto number = [finite](double value) { return finite ? Value(value) : Value(); };
  // Without finite weights the vectors may be empty.
  const auto percentile = [&](size_t i) { return finite ? Value(stats.percentiles[i]) : Value(); };
  Row row = {matrix.file,           matrix.source_tensor,    matrix.derived_tensor,
             matrix.layer,          Block4(matrix.layer),    matrix.proj,
             matrix.expert_id,      matrix.is_routed_expert, matrix.is_shared_expert,
             IntValue(matrix.rows), IntValue(matrix.cols),   matrix.dtype,
             number(stats.mean),    number(stats.std),       number(stats.mean_abs),
             number(stats.rms),     number(stats.max_abs)};
  for (size_t i = 0; i < kContractPercentiles; ++i) row.push_back(percentile(i));
  row.push_back(number(stats.outlier_max_over_mean));
  row.push_back(number(stats.outlier_p99_over_median));
  row.push_back(number(stats.outlier_p999_over_median));
  for (size_t g = 0; g < options.group_sizes.size(); ++g) {
    row.push_back(finite ? OrNull(stats.groups[g].percentile) : Value());
    row.push_back(finite ? OrNull(stats.groups[g].max) : Value());
  }
  for (size_t i = kContractPercentiles; i < options.percentiles_abs.size(); ++i) {
    row.push_back(percentile(i));
  }
  row.push_back(IntValue(stats.nonfinite_count));
  row.emplace_back(matrix.storage);
  row.emplace_back(matrix.storage_bits_per_weight);
  row.push_back(OrNull(matrix.stack));
  return row;
}

Row QuantSimRow::ToRow() const {
  return {matrix.file,
          matrix.source_tensor,
          matrix.derived_tensor,
          matrix.layer,
          Block4(matrix.layer),
          matrix.proj,
          matrix.expert_id,
          matrix.is_shared_expert,
          IntValue(matrix.rows),
          IntValue(matrix.cols),
          scheme.name,
          scheme.mode,
          scheme.bits,
          scheme.group_size,
          OrNull(error.w_rel_fro),
          OrNull(error.w_rel_max),
          OrNull(error.scale_mean),
          OrNull(error.scale_max),
          OrNull(error.bias_mean),
          OrNull(error.bias_max),
          OrNull(error.error),
          OrNull(error.scale_abs_mean),
          OrNull(error.scale_abs_max),
          OrNull(error.sqnr_db),
          OrNull(error.bits_per_weight),
          OrNull(error.max_abs_err),
          OrNull(error.zero_share),
          OrNull(error.clip_share),
          compute_dtype,
          backend,
          profile,
          requantized,
          OrNull(matrix.stack)};
}

Row UnmatchedTensorRow::ToRow() const {
  return {file, tensor_name, dtype, ShapeValue(shape), IntValue(shape.size()), reason};
}

Row ProjCanonicalizationRow::ToRow() const {
  return {context,
          rule_name,
          raw_proj,
          resolved_proj,
          action,
          count,
          example_file,
          example_source_tensor,
          example_derived_tensor,
          suggested_proj,
          suggested_match};
}

}  // namespace moe

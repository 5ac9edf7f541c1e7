#include <utility>

#include "verify/verify_models.h"

namespace moe {
namespace {

Column Measure(std::string name, std::string doc) {
  return {.name = std::move(name), .unit = "ratio", .doc = std::move(doc)};
}

Fields<VerifyRow> MakeFields() {
  using R = VerifyRow;
  auto fields = FieldsOf(&R::id, IdentityFields("original", "quantized"));
  const auto add = [&](Table<R>::Field field) { fields.push_back(std::move(field)); };
  const auto text = [&](const char* name, const char* doc, auto member) {
    add(Cell(Text(name, doc, kNullable), member));
  };
  const auto number = [&](const char* name, const char* doc, auto member) {
    add(Cell(Measure(name, doc), member));
  };
  const auto count = [&](const char* name, const char* unit, const char* doc, auto member) {
    add(Cell(Integer(name, unit, doc, kNullable), member));
  };
  add(Cell(Text("status",
                "attested (codes and scales made again), copy (the original's values), within "
                "(the error that is expected), differs, or unread"),
           &R::status));
  text("finding", "what is wrong, or notable; null: nothing (docs/verify.md)", &R::finding);
  text("detail", "the finding in words", &R::detail);
  text("origin", "the weight of the original that it holds instead", &R::origin);
  text("method", "copy, re-derived, simulated or ceiling: how it was judged", &R::method);
  text("encoder", "that the codes were made again with", &R::encoder);
  number("error", "|original - quantized| / |original|, Frobenius norms", &R::error);
  number("expected_error", "the same of what the encoder makes; null: there is no encoder",
         &R::expected);
  number("allowed_error", "largest error that is no fault", &R::allowed);
  number("cosine", "of the two; null if a norm is 0", &R::cosine);
  number("norm_ratio", "|quantized| / |original|", &R::norm_ratio);
  number("zero_share", "weights that became 0 without being it", &R::zero_share);
  count("codes_differ", "elements", "codes that are not the encoder's; null: none were made again",
        &R::codes_differ);
  count("scales_differ", "groups", "scales that are not the encoder's", &R::scales_differ);
  count("biases_differ", "groups", "biases that are not the encoder's", &R::biases_differ);
  count("nonfinite", "elements", "NaN and Inf where the original has none", &R::nonfinite);
  count("dead_rows", "rows", "rows of zeros that are none in the original", &R::dead_rows);
  text("reason", "why it could not be read", &R::reason);
  number("clip_share", "weights beyond what stored scales and biases reach; null: not MLX's",
         &R::clip_share);
  return fields;
}

}  // namespace

const Table<VerifyRow>& VerifyTable() {
  static const Table<VerifyRow> table{"verify", MakeFields()};
  return table;
}

}  // namespace moe

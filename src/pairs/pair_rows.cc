#include "pairs/pair_rows.h"

#include <cmath>
#include <utility>

namespace moe {

PairIdentity IdentityOf(const WeightItem& a, const WeightItem& b) {
  PairIdentity id;
  id.role = RoleText(a);
  if (!a.key.stack.empty()) id.stack = a.key.stack;
  id.layer = a.key.layer;
  id.weight = a.key.name;
  id.number = a.key.number;
  id.tensor_a = a.tensor->info().name;
  id.tensor_b = b.tensor->info().name;
  id.storage_a = a.weight().storage;
  id.storage_b = b.weight().storage;
  id.rows = a.view.rows;
  id.cols = a.view.cols;
  id.matrix = a.key.kind != WeightKey::Kind::kOther;
  id.text = a.key.Text();
  return id;
}

Fields<PairIdentity> IdentityFields(const std::string& a, const std::string& b) {
  using I = PairIdentity;
  return {
      Cell(Text("role",
                "what the weight is to the model: routed_expert, shared_expert, router, attention, "
                "embedding (the output head too), norm or other"),
           &I::role),
      Cell(Text("stack", "part of the model (mtp, vision, ...); null: the text model", kNullable),
           &I::stack),
      Cell(Integer("layer", "", "layer number; -1: in none"), &I::layer),
      Cell(Text("weight",
                "projection of an expert; else the module, by llama.cpp's name if it has one"),
           &I::weight),
      Cell(Integer("number", "", "of the expert, or of a head of split MLA weights; else -1 or 0"),
           &I::number),
      Cell(Text("tensor_" + a, "tensor that holds it in " + a), &I::tensor_a),
      Cell(Text("tensor_" + b, "tensor that holds it in " + b), &I::tensor_b),
      Cell(Text("storage_" + a, "how " + a + " stores it"), &I::storage_a),
      Cell(Text("storage_" + b, "how " + b + " stores it"), &I::storage_b),
      Cell(Integer("rows", "elements", "output features"), &I::rows),
      Cell(Integer("cols", "elements", "input features"), &I::cols),
  };
}

namespace {

/// A number of what was read; null where nothing was.
template <class Get>
Table<CompareRow>::Field Number(Column column, Get get) {
  return {std::move(column), [get](const CompareRow& row) {
            return row.status == "unread" ? Value() : ToValue(get(row.numbers));
          }};
}

Column Measure(std::string name, std::string unit, std::string doc) {
  return {.name = std::move(name), .unit = std::move(unit), .doc = std::move(doc)};
}

Fields<CompareRow> MakeFields() {
  using N = const PairNumbers&;
  auto fields = FieldsOf(&CompareRow::id, IdentityFields("a", "b"));
  const auto add = [&](Table<CompareRow>::Field field) { fields.push_back(std::move(field)); };
  add(Cell(Text("status", "identical, changed, nonfinite (NaN or Inf in one alone), or unread"),
           &CompareRow::status));
  add(Number(Measure("rel_distance", "ratio", "|a - b| / |a|, Frobenius norms; null if |a| is 0"),
             [](N n) { return n.rel_distance(); }));
  add(Number(Measure("cosine", "ratio", "sum a b / (|a| |b|); null if a norm is 0"),
             [](N n) { return n.cosine(); }));
  add(Number(Measure("norm_a", "weights", "|a|, of what is finite in both"),
             [](N n) { return std::sqrt(n.sum_aa); }));
  add(Number(Measure("norm_b", "weights", "|b|, of what is finite in both"),
             [](N n) { return std::sqrt(n.sum_bb); }));
  add(Number(Measure("norm_ratio", "ratio", "|b| / |a|; null if |a| is 0"),
             [](N n) { return n.norm_ratio(); }));
  add(Number(Measure("max_abs_diff", "weights", "max |a - b|"),
             [](N n) { return n.max_abs_diff; }));
  add(Number(Integer("changed", "elements", "elements of another value", kNullable),
             [](N n) { return n.elements - n.equal; }));
  add(Number(Integer("nonfinite_a", "elements", "NaN and Inf in a", kNullable),
             [](N n) { return n.nonfinite_a; }));
  add(Number(Integer("nonfinite_b", "elements", "NaN and Inf in b", kNullable),
             [](N n) { return n.nonfinite_b; }));
  add(Cell(Text("reason", "why it could not be read", kNullable), &CompareRow::reason));
  return fields;
}

}  // namespace

const Table<CompareRow>& CompareTable() {
  static const Table<CompareRow> table{"compare", MakeFields()};
  return table;
}

}  // namespace moe

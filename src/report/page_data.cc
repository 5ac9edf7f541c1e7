#include "report/page_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "base/version.h"
#include "insight/findings.h"
#include "insight/rest_of_model.h"
#include "insight/run.h"
#include "report/block.h"
#include "report/choice_data.h"
#include "report/recipe_data.h"
#include "rows/collect_rows.h"
#include "run/config.h"
#include "tables/table_reader.h"

namespace moe {
namespace {

constexpr size_t kMostFindings = 12;    // of each kind
constexpr size_t kMostUnmatched = 200;  // tensors named; all are counted

// ---- columns ----

std::string TextElement(std::string_view id, std::string_view base64) {
  return fmt::format("<script type=\"text/plain\" id=\"{}\">{}</script>\n", id, base64);
}

/// All blocks of a page. Columns with the same content share one.
class Blocks {
 public:
  size_t Add(Block block) {
    const auto found = std::find(blocks_.begin(), blocks_.end(), block);
    if (found != blocks_.end()) return static_cast<size_t>(found - blocks_.begin());
    blocks_.push_back(std::move(block));
    return blocks_.size() - 1;
  }

  Json Described() const {
    Json list = Json::Array();
    for (const Block& block : blocks_) {
      list.push_back({{"kind", block.kind}, {"base", block.base}, {"planes", block.planes}});
    }
    return list;
  }

  std::string Elements() const {
    std::string html;
    for (size_t i = 0; i < blocks_.size(); ++i) {
      html += TextElement(fmt::format("block{}", i), blocks_[i].base64);
    }
    return html;
  }

 private:
  std::vector<Block> blocks_;
};

/// A form of derivation, as the page's data.js has it.
struct DerivationForm {
  const char* name;
  double (*by)(double a, double b);
};
constexpr DerivationForm kForms[] = {
    // the order of Derivation::Form
    {"quotient", [](double a, double b) { return a / (b + 1e-12); }},
    {"product", [](double a, double b) { return a * b; }},
    {"decibels", [](double a, double) { return -20 * std::log10(a); }},
};

const DerivationForm& FormOf(const Derivation& derivation) {
  return kForms[static_cast<size_t>(derivation.form)];
}

/// Whether the table's value is what the page would compute; where that is no number, null.
bool IsDerived(double value, double derived) {
  constexpr double kTolerance = 5e-5;
  if (std::isnan(value)) return !std::isfinite(derived);
  return std::fabs(derived - value) <= kTolerance * std::fabs(value);
}

/// True if the column's derivation gives all values of `metric`.
bool CanBeDerived(const RunMatrices& matrices, const MatrixMetric& metric) {
  if (!metric.column.derivation) return false;
  const auto& of = metric.column.derivation->of;
  const MatrixMetric *a = matrices.Find(of.front()), *b = matrices.Find(of.back());
  if (a == nullptr || b == nullptr) return false;
  const auto by = FormOf(*metric.column.derivation).by;
  for (size_t scheme = 0; scheme < metric.values.size(); ++scheme) {
    const auto& of_a = a->values[a->of_quant ? scheme : 0];
    const auto& of_b = b->values[b->of_quant ? scheme : 0];
    for (size_t i = 0; i < matrices.size(); ++i) {
      if (!IsDerived(metric.values[scheme][i], by(of_a[i], of_b[i]))) return false;
    }
  }
  return true;
}

Json BlockOf(const std::vector<double>& values, Blocks& blocks) {
  const bool any = std::ranges::any_of(values, [](double value) { return std::isfinite(value); });
  return any ? Json(blocks.Add(PackNumbers(values))) : Json();
}

Json MetricsJson(const RunMatrices& matrices, Blocks& blocks) {
  Json list = Json::Array();
  for (const MatrixMetric& metric : matrices.metrics) {
    const Column& column = metric.column;
    Json json = {{"name", column.name},
                 {"of", metric.of_quant ? "quant" : "weights"},
                 {"unit", column.unit},
                 {"doc", column.doc},
                 {"label", column.label},
                 {"plain", column.plain},
                 {"worse", WorseEndName(column.worse)}};
    if (CanBeDerived(matrices, metric)) {
      json["derived"] = {{"form", FormOf(*column.derivation).name}, {"of", column.derivation->of}};
    } else if (metric.of_quant) {
      json["blocks"] = Json::Array();
      for (const auto& values : metric.values) json["blocks"].push_back(BlockOf(values, blocks));
    } else {
      json["block"] = BlockOf(metric.values.front(), blocks);
    }
    list.push_back(std::move(json));
  }
  return list;
}

Json ColumnsJson(const RunMatrices& matrices, Blocks& blocks) {
  const auto index = [&](uint32_t RunMatrices::Place::* of) {
    std::vector<uint32_t> values;
    for (const RunMatrices::Place& place : matrices.places) values.push_back(place.*of);
    return blocks.Add(PackInts(values));
  };
  std::vector<uint32_t> few_huge;
  for (const double share : FewHugeShares(matrices)) few_huge.push_back(share >= kFewHugeShare);
  using Place = RunMatrices::Place;
  const std::string names = Json(matrices.names).Text({.ascii = true});
  return {{"layer", index(&Place::layer)},       {"slot", index(&Place::slot)},
          {"proj", index(&Place::proj)},         {"shape", index(&Place::shape)},
          {"storage", index(&Place::storage)},   {"file", index(&Place::file)},
          {"name", blocks.Add(PackText(names))}, {"few_huge", blocks.Add(PackInts(few_huge))}};
}

// ---- the rest ----

Json LayersJson(const RunMatrices& matrices) {
  Json list = Json::Array();
  for (const StackLayer& layer : matrices.layers) {
    list.push_back({{"label", layer.Label()},
                    {"layer", layer.layer},
                    {"stack", layer.stack.empty() ? Json() : Json(layer.stack)}});
  }
  return list;
}

Json SlotsJson(const RunMatrices& matrices) {
  Json list = Json::Array();
  for (const Slot& slot : matrices.slots) {
    list.push_back({{"label", slot.Label()},
                    {"expert", slot.shared ? Json() : Json(slot.expert)},
                    {"shared", slot.shared}});
  }
  return list;
}

Json StoragesJson(const RunMatrices& matrices) {
  Json list = Json::Array();
  for (const auto& [name, bits] : matrices.storages) {
    list.push_back({{"name", name}, {"bits", OrNull(bits)}});
  }
  return list;
}

Json SchemesJson(const RunMatrices& matrices) {
  Json list = Json::Array();
  for (const SimulatedScheme& scheme : matrices.schemes) {
    list.push_back({{"name", scheme.name},
                    {"mode", scheme.mode},
                    {"bits", scheme.bits},
                    {"group_size", scheme.group_size},
                    {"compute_dtype", scheme.compute_dtype},
                    {"backend", scheme.backend},
                    {"profile", scheme.profile},
                    {"requantized", scheme.requantized}});
  }
  return list;
}

Json FailuresJson(const RunMatrices& matrices) {
  Json list = Json::Array();
  for (const auto& [scheme, error, count] : matrices.failures) {
    list.push_back({{"scheme", scheme}, {"error", error}, {"count", count}});
  }
  return list;
}

/// The pairs of schemes that both were simulated.
Json DeltasJson(const std::vector<DeltaPair>& pairs, const RunMatrices& matrices) {
  const auto number = [&](const std::string& name) {
    return std::ranges::find(matrices.schemes, name, &SimulatedScheme::name) -
           matrices.schemes.begin();
  };
  Json list = Json::Array();
  for (const DeltaPair& pair : pairs) {
    const auto a = number(pair.a), b = number(pair.b), none = std::ssize(matrices.schemes);
    if (a < none && b < none) list.push_back({{"name", pair.name}, {"a", a}, {"b", b}});
  }
  return list;
}

void AddFindings(const RunMatrices& matrices, Json& page) {
  const Findings findings = FindOddities(matrices, kMostFindings);
  page["findings"] = Json::Array();
  for (const Finding& one : findings.list) {
    page["findings"].push_back({{"kind", FindingKindName(one.kind)},
                                {"text", one.text},
                                {"proj", OrNull(one.proj)},
                                {"layer", OrNull(one.layer)},
                                {"slot", OrNull(one.slot)},
                                {"metric", one.metric.empty() ? Json() : Json(one.metric)},
                                {"scheme", OrNull(one.scheme)}});
  }
  page["far"] = kFarZ;
  page["findings_need"] = {{"experts", kLeastExperts}, {"layers", kLeastLayers}};
  page["findings_left_out"] = Json::Object();
  for (const auto& [kind, count] : findings.left_out) {
    page["findings_left_out"][std::string(FindingKindName(kind))] = count;
  }
}

/// A table that not every run has; no rows where it is not there.
Result<Frame> OptionalTable(Run& run, std::string_view name, std::vector<WantedColumn> wanted) {
  if (const RunTable* table = run.Find(name)) {
    return run.Open(table->path).and_then([&](const auto* reader) { return reader->Read(wanted); });
  }
  Frame empty;
  for (const WantedColumn& column : wanted) {
    empty.columns.emplace_back();
    empty.columns.back().name = column.name;
  }
  return empty;
}

Json TextCell(const Frame& frame, std::string_view column, size_t row) {
  const FrameColumn& texts = frame.at(column);
  const uint32_t code = texts.codes[row];
  return code == FrameColumn::kNullCode ? Json() : Json(texts.dictionary[code]);
}

Result<void> AddTexts(Run& run, Json& page) {
  const auto warnings = OptionalTable(run, "warnings", {{"warning", ColumnType::kString}});
  if (!warnings) return tl::make_unexpected(warnings.error());
  const auto unmatched =
      OptionalTable(run, "unmatched_tensors",
                    {{"tensor_name", ColumnType::kString}, {"reason", ColumnType::kString}});
  if (!unmatched) return tl::make_unexpected(unmatched.error());
  page["warnings"] = Json::Array();
  for (size_t i = 0; i < warnings->rows; ++i) {
    page["warnings"].push_back(TextCell(*warnings, "warning", i));
  }
  Json tensors = Json::Array();
  for (size_t i = 0; i < std::min<size_t>(unmatched->rows, kMostUnmatched); ++i) {
    tensors.push_back({{"tensor_name", TextCell(*unmatched, "tensor_name", i)},
                       {"reason", TextCell(*unmatched, "reason", i)}});
  }
  page["unmatched"] = {{"count", unmatched->rows}, {"tensors", tensors}};
  return {};
}

Json DenseGroupJson(const DenseGroup& group) {
  Json json = {{"role", group.role},
               {"layer", group.layer},
               {"matrices", group.matrices},
               {"weights", group.weights},
               {"bytes", group.bytes}};
  json["errors"] = Json::Array();
  for (const DenseErrors& errors : group.schemes) {
    json["errors"].push_back({{"median", OrNull(errors.median)},
                              {"worst", OrNull(errors.worst)},
                              {"worst_module", errors.worst ? Json(errors.worst_module) : Json()},
                              {"failed", errors.failed}});
  }
  return json;
}

/// What the run measured outside the experts, if it did.
Result<void> AddRest(Run& run, Json& page) {
  const auto rest = ReadRestOfModel(run);
  if (!rest) return tl::make_unexpected(rest.error());
  if (!*rest || (*rest)->roles.empty()) return {};
  Json json = {{"schemes", (*rest)->schemes}};
  json["roles"] = Json::Array();
  json["attention"] = Json::Array();
  for (const DenseGroup& role : (*rest)->roles) json["roles"].push_back(DenseGroupJson(role));
  for (const DenseGroup& layer : (*rest)->attention) {
    json["attention"].push_back(DenseGroupJson(layer));
  }
  page["rest"] = std::move(json);
  return {};
}

/// What the logs tell of the run and the model.
void AddLogs(Run& run, Json& page) {
  const Json& health = run.Log("run_health.json");
  page["run"] = run.Names();
  page["run"]["collected_at"] = health["generated_at"];
  page["run"]["duration_seconds"] = health["duration_seconds"];
  page["run"]["incomplete"] = health["incomplete"];
  page["model"] = {{"path", health["run"]["model_path"]},
                   {"family", health["family"]},
                   {"sizes", run.Log("model_shape_budget.json")["shape_budget"]},
                   {"experts", health["experts"]},
                   {"roles", health["roles"]},
                   {"coverage", health["expert_coverage"]}};
  page["config"] = health["config_used"];
}

/// JSON that can stand in a <script>: ASCII, and nothing that looks like markup.
std::string ScriptJson(const Json& json) {
  std::string text;
  for (const char c : json.Text({.ascii = true})) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

void AddLists(const RunMatrices& matrices, Json& page) {
  page["layers"] = LayersJson(matrices);
  page["slots"] = SlotsJson(matrices);
  page["projs"] = matrices.projs;
  page["shapes"] = Json::Array();
  for (const auto& [rows, cols] : matrices.shapes) {
    page["shapes"].push_back(Json::Array({rows, cols}));
  }
  page["files"] = matrices.files;
  page["storages"] = StoragesJson(matrices);
  page["schemes"] = SchemesJson(matrices);
}

std::string PageText(Json page, const RunMatrices& matrices) {
  Blocks blocks;
  page["matrices"] = matrices.size();
  page["columns"] = ColumnsJson(matrices, blocks);
  page["metrics"] = MetricsJson(matrices, blocks);
  page["blocks"] = blocks.Described();
  return "<script type=\"application/json\" id=\"run\">" + ScriptJson(page) + "</script>\n" +
         blocks.Elements();
}

Result<std::string> PageData(Run& run) {
  const auto& matrices = run.Matrices();
  if (!matrices) return tl::make_unexpected(matrices.error());

  Json page = {{"version", kVersion}, {"generated_at", UtcNow(TimePrecision::kSeconds) + "Z"}};
  AddLogs(run, page);
  if (auto added = AddTexts(run, page); !added) return tl::make_unexpected(added.error());
  if (auto added = AddRest(run, page); !added) return tl::make_unexpected(added.error());
  page["failures"] = FailuresJson(*matrices);
  page["orphans"] = matrices->orphans;
  AddLists(*matrices, page);
  page["deltas"] = DeltasJson(run.UsedConfig().delta_pairs, *matrices);
  AddFindings(*matrices, page);
  if (Json recipes = RecipesJson(run.dir()); !recipes.empty()) page["recipes"] = std::move(recipes);
  const std::string choice = PackText(ChoiceJson(*matrices)).base64;
  return PageText(std::move(page), *matrices) + TextElement("choice", choice);
}

}  // namespace moe

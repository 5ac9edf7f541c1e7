#include "model/inspect.h"

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "base/pattern.h"
#include "base/text.h"
#include "base/utf8.h"
#include "model/decide.h"
#include "model/expert_census.h"
#include "model/location.h"
#include "model/nothing_found.h"
#include "model/reading.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Weights that one core measures in a second under the template's config (docs/formats.md).
constexpr double kWeightsPerCoreSecond = 180e6;

/// The parts people think in: roles of the tensors, experts by name.
std::string PartOf(Role role) { return std::string(RoleName(role)); }

struct Part {
  uint64_t tensors = 0, bytes = 0, parameters = 0;
  std::set<std::string> storage;
};

struct Opened {
  fs::path path;
  ModelMetadata metadata;
  ScanOptions options;
  IndexSummary index;
  ScanPlan scan;
  Checkpoint checkpoint;
  std::optional<Extractor> extractor;
};

Search SearchOf(const Opened& opened, const ModelFacts& facts) {
  return {opened.path, opened.options, opened.index,
          opened.scan, facts,          opened.metadata.model_type};
}

Result<Opened> Open(const fs::path& model_path) {
  Opened opened;
  auto located = LocateModel(model_path.string());
  if (!located) return tl::make_unexpected(located.error());
  opened.path = std::move(located->path);
  opened.metadata = ReadModelMetadata(opened.path, std::nullopt);
  opened.options.strict_index = true;  // as the template
  opened.options.keep_going = true;    // what is missing is told, and the rest looked at
  opened.index = FindShardIndex(opened.path, opened.options);
  auto scan = PlanScan(opened.path, opened.options, opened.index);
  if (!scan) return tl::make_unexpected(scan.error());
  opened.scan = std::move(*scan);
  if (!opened.scan.skipped.empty()) return tl::make_unexpected(opened.scan.skipped.front());
  if (opened.scan.files.empty()) {
    return tl::make_unexpected(NothingFound(SearchOf(opened, ModelFacts())));
  }
  auto checkpoint = OpenCheckpoint(opened.scan, opened.index, WordsOf(opened.metadata), false,
                                   [] { return false; });
  if (!checkpoint) return tl::make_unexpected(checkpoint.error());
  opened.checkpoint = std::move(*checkpoint);
  opened.scan.doubtful |= opened.checkpoint.has_empty_file;
  auto extractor = Extractor::Create(
      ExtractOptionsFor(DefaultExtractOptions(), opened.metadata, opened.checkpoint),
      opened.checkpoint.AllShapes());
  if (!extractor) return tl::make_unexpected(extractor.error());
  opened.extractor.emplace(std::move(*extractor));
  return opened;
}

uint64_t Product(const std::vector<uint64_t>& shape) {
  uint64_t product = 1;
  for (const uint64_t size : shape) product *= size;  // checked by the readers
  return product;
}

class Inspector {
 public:
  explicit Inspector(Opened opened) : opened_(std::move(opened)) {}

  Result<Inspection> Run() {
    auto decided = DecideAll(opened_.checkpoint, *opened_.extractor, [] { return false; });
    if (!decided) return tl::make_unexpected(std::move(decided.error()));
    const auto promise = PromiseOf(opened_.checkpoint, opened_.index, *opened_.extractor, *decided);
    if (!promise) return tl::make_unexpected(promise.error());
    missing_ = promise->Missing(opened_.extractor->facts());
    surplus_ = promise->Surplus(opened_.extractor->facts());
    SettleDoubts(missing_.empty() && promise->ConfigTellsAll(opened_.extractor->facts()),
                 opened_.scan, opened_.scan.warnings);
    for (size_t f = 0; f < opened_.checkpoint.files.size(); ++f) {
      for (size_t t = 0; t < opened_.checkpoint.uses[f].size(); ++t) {
        Add(f, t, (*decided)[f][t]);
      }
    }
    Inspection inspection;
    inspection.complete = unmatched_.empty() && missing_.empty() && surplus_.empty() &&
                          opened_.scan.missing.empty() && !opened_.scan.incomplete &&
                          !census_.ContradictsConfig(opened_.extractor->facts()) &&
                          !opened_.metadata.unreadable && AllListedIsThere();
    const uint64_t experts = TensorsOf(Role::kRoutedExpert) + TensorsOf(Role::kSharedExpert);
    if (census_.empty() && experts + unmatched_.size() == 0) {
      Search search = SearchOf(opened_, opened_.extractor->facts());
      search.tensors = Tensors();
      search.routers = TensorsOf(Role::kRouter);
      search.listed = ListedMatrices(missing_);
      inspection.nothing = NothingFound(search);
    }
    inspection.report = Report();
    return inspection;
  }

 private:
  bool AllListedIsThere() const {
    const IndexSummary& index = opened_.index;
    return !index.used_for_scan ||
           CompareWithIndex(index.weight_map, opened_.checkpoint.TensorNames())
               .missing_tensors.empty();
  }

  void Add(size_t file, size_t number, const Extraction& extraction) {
    const TensorInfo& tensor = opened_.checkpoint.files[file]->tensors()[number];
    const TensorUse& use = opened_.checkpoint.uses[file][number];
    if (use.left_out != TensorUse::LeftOut::kNo) return;
    bytes_ += tensor.nbytes;
    if (use.companion) return;  // counted with its weight
    Part& part = parts_[static_cast<size_t>(extraction.role)];
    ++part.tensors;
    part.parameters += Product(use.weight ? use.weight->shape : tensor.shape);
    if (use.weight) {
      for (const TensorRef& piece : use.weight->parts) part.bytes += piece.info().nbytes;
    } else {
      part.bytes += tensor.nbytes;
    }
    part.storage.insert(use.weight ? use.weight->storage : tensor.dtype_text);
    if (extraction.unmatched_reason) {
      unmatched_.push_back({{"tensor", tensor.name}, {"reason", *extraction.unmatched_reason}});
    }
    census_.AddPreset(extraction.preset);
    for (const ExpertBank& bank : extraction.banks) AddBank(bank, *use.weight);
  }

  void AddBank(const ExpertBank& bank, const Weight& weight) {
    census_.Add(bank, weight.storage, weight.bits_per_weight);
    const uint64_t matrices = bank.layers * bank.experts;
    const double weights = static_cast<double>(matrices * bank.rows * bank.cols);
    matrices_ += matrices;
    read_weights_ += weights;
    read_bytes_ += weights * weight.bits_per_weight / 8;
  }

  Json Report() const {
    const ModelFacts& facts = opened_.extractor->facts();
    const std::string_view family = opened_.extractor->family();
    Json warnings = Json::array();
    for (const std::string& text : ScanWarnings()) warnings.push_back(text);
    if (opened_.metadata.unreadable) warnings.push_back(opened_.metadata.warnings.back());
    for (const std::string& text : QuantizationWarnings(opened_.metadata)) warnings.push_back(text);
    for (const std::string& text : census_.Warnings(facts, family)) warnings.push_back(text);
    for (const std::string& text : MissingWarnings(missing_)) warnings.push_back(text);
    for (const std::string& text : surplus_) warnings.push_back(text);
    Json left_out = Json::array();
    for (const LeftOut& file : opened_.scan.left_out) {
      left_out.push_back({{"path", file.path.string()}, {"reason", file.reason}});
    }
    const std::string& type = opened_.metadata.model_type;
    return {{"model", opened_.path.string()},
            {"missing_shards", ShardsJson()},
            {"family", family.empty() ? Json() : Json(family)},
            {"model_type", type.empty() ? Json() : Json(type)},
            {"files", opened_.checkpoint.files.size()},
            {"tensors", Tensors()},
            {"bytes", bytes_},
            {"experts", census_.ToJson(facts)},
            {"parts", PartsJson()},
            {"parameters", ParametersJson(facts)},
            {"analyze", AnalyzeJson()},
            {"unmatched", unmatched_},
            {"missing_experts", MissingJson(missing_)},
            {"left_out_files", left_out},
            {"warnings", warnings}};
  }

  /// null where all is there.
  Json ShardsJson() const {
    const MissingShards& missing = opened_.scan.missing;
    if (missing.empty()) return {};
    return {{"text", missing.Text()},
            {"names", missing.names},
            {"expected", missing.expected},
            {"tensors", missing.tensors ? Json(*missing.tensors) : Json()}};
  }

  std::vector<std::string> ScanWarnings() const {
    const IndexSummary& index = opened_.index;
    std::vector<std::string> texts = opened_.scan.warnings;
    if (const auto text = UnusedIndexWarning(index)) texts.push_back(*text);
    for (const TensorWarning& warning : opened_.checkpoint.warnings) texts.push_back(warning.text);
    if (!index.used_for_scan) return texts;
    const IndexComparison compared =
        CompareWithIndex(index.weight_map, opened_.checkpoint.TensorNames());
    for (const std::string& text : IndexWarnings(index, compared)) texts.push_back(text);
    return texts;
  }

  uint64_t Tensors() const {
    uint64_t count = 0;
    for (const auto& uses : opened_.checkpoint.uses) count += uses.size();
    return count;
  }

  uint64_t TensorsOf(Role role) const { return parts_[static_cast<size_t>(role)].tensors; }

  Json PartsJson() const {
    Json parts = Json::object();
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      if (part.tensors == 0) continue;
      const Json bits =
          part.parameters == 0
              ? Json()
              : Json(8.0 * static_cast<double>(part.bytes) / static_cast<double>(part.parameters));
      parts[PartOf(static_cast<Role>(i))] = {{"tensors", part.tensors},
                                             {"bytes", part.bytes},
                                             {"parameters", part.parameters},
                                             {"bits_per_weight", bits},
                                             {"storage", part.storage}};
    }
    return parts;
  }

  Json ParametersJson(const ModelFacts& facts) const {
    uint64_t total = 0;
    for (const Part& part : parts_) total += part.parameters;
    const uint64_t routed = parts_[static_cast<size_t>(Role::kRoutedExpert)].parameters;
    Json active;
    if (facts.experts && facts.experts_per_token && *facts.experts > 0 &&
        *facts.experts_per_token <= *facts.experts) {
      active = total - routed +
               static_cast<uint64_t>(static_cast<double>(routed) *
                                     static_cast<double>(*facts.experts_per_token) /
                                     static_cast<double>(*facts.experts));
    }
    return {{"total", total}, {"active", active}};
  }

  Json AnalyzeJson() const {
    const double cores = std::max(1u, std::thread::hardware_concurrency());
    return {{"matrices", matrices_},
            {"bytes", static_cast<uint64_t>(read_bytes_)},
            {"estimated_seconds", read_weights_ / (kWeightsPerCoreSecond * cores)},
            {"threads", static_cast<uint64_t>(cores)}};
  }

  Opened opened_;
  ExpertCensus census_;
  std::vector<MissingExperts> missing_;
  std::vector<std::string> surplus_;
  std::array<Part, kRoleCount> parts_;
  Json unmatched_ = Json::array();
  uint64_t bytes_ = 0, matrices_ = 0;
  double read_weights_ = 0, read_bytes_ = 0;
};

Json TensorJson(const TensorFile& file, const TensorInfo& tensor, const TensorUse& use, Role role) {
  Json json = {{"name", tensor.name},        {"file", AsUtf8(file.path().string())},
               {"dtype", tensor.dtype_text}, {"shape", tensor.shape},
               {"bytes", tensor.nbytes},     {"role", RoleName(role)}};
  json["storage"] = use.weight ? Json(use.weight->storage) : Json();
  json["bits_per_weight"] = use.weight ? Json(use.weight->bits_per_weight) : Json();
  return json;
}

}  // namespace

Result<Inspection> InspectModel(const fs::path& model_path) {
  auto opened = Open(model_path);
  if (!opened) return tl::make_unexpected(opened.error());
  return Inspector(std::move(*opened)).Run();
}

Result<Json> ListTensors(const fs::path& model_path, const std::string& pattern) {
  const auto wanted = Pattern::Compile(pattern, "the pattern of --tensors");
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto opened = Open(model_path);
  if (!opened) return tl::make_unexpected(opened.error());
  Json list = Json::array();
  for (size_t f = 0; f < opened->checkpoint.files.size(); ++f) {
    for (size_t t = 0; t < opened->checkpoint.uses[f].size(); ++t) {
      const TensorFile& file = *opened->checkpoint.files[f];
      const auto hit = wanted->Search(file.tensors()[t].name);
      if (!hit) return tl::make_unexpected(hit.error());
      if (!*hit) continue;
      const auto extraction = Decide(opened->checkpoint, *opened->extractor, f, t);
      if (!extraction) return tl::make_unexpected(extraction.error());
      list.push_back(
          TensorJson(file, file.tensors()[t], opened->checkpoint.uses[f][t], extraction->role));
    }
  }
  return list;
}

std::set<uint64_t> ExpertColumns(const fs::path& model_path) {
  std::set<uint64_t> columns;
  const auto opened = Open(model_path);
  if (!opened) return columns;
  const auto decided = DecideAll(opened->checkpoint, *opened->extractor, [] { return false; });
  if (!decided) return columns;
  for (const std::vector<Extraction>& file : *decided) {
    for (const Extraction& tensor : file) {
      for (const ExpertBank& bank : tensor.banks) columns.insert(bank.cols);
    }
  }
  return columns;
}

std::string RecognisePreset(const fs::path& model_path) {
  const auto opened = Open(model_path);
  return opened && !opened->extractor->family().empty() ? std::string(opened->extractor->family())
                                                        : "auto";
}

}  // namespace moe

#include "evidence/evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "evidence/imatrix_file.h"
#include "evidence/input_sums.h"
#include "evidence/model_inputs.h"
#include "evidence/usage_file.h"

namespace moe {
namespace {

using Kind = InputKey::Kind;
using Place = std::pair<std::string, int64_t>;  // stack and layer

}  // namespace

struct Evidence::Parts {
  explicit Parts(ModelInputs the_inputs) : inputs(std::move(the_inputs)) {
    for (const auto& [key, facts] : inputs.all()) {
      if (key.kind != Kind::kRouted) continue;
      uint64_t& most = experts[{key.stack, key.layer}];
      most = std::max(most, facts.experts);
    }
  }

  ModelInputs inputs;
  std::map<Place, uint64_t> experts;  ///< how many the routed layers have
  std::vector<ImatrixFile> files;
  std::map<InputKey, std::vector<InputPart>> parts;
  std::map<Place, std::vector<double>> tokens;  ///< by routed expert
  EvidenceCoverage coverage;
  std::vector<std::string> warnings;

  Result<void> ReadImatrices(const std::vector<std::filesystem::path>& paths);
  Result<void> CheckForms() const;
  Result<void> MapEntries();
  Result<bool> MapEntry(const InputPart& part);
  Result<void> ReadUsage(const std::vector<std::filesystem::path>& paths, const Model& model);
  Result<Place> PlaceOf(int64_t row, const UsageFile& usage, const std::string& path,
                        const Model& model) const;
  Result<void> AddUsage(const Place& place, const std::map<int64_t, double>& counts,
                        const std::string& path);
  void CountTokens();
  void Cover(const Model& model);

  std::optional<InputSource> Find(const InputKey& key) const;
  ColumnEvidence Look(const InputKey& key) const;
};

Result<void> Evidence::Parts::ReadImatrices(const std::vector<std::filesystem::path>& paths) {
  for (const auto& path : paths) {
    auto file = ImatrixFile::Open(path);
    if (!file) return tl::make_unexpected(std::move(file.error()));
    files.push_back(std::move(*file));
  }
  return CheckForms().and_then([&] { return MapEntries(); });
}

Result<void> Evidence::Parts::CheckForms() const {
  const auto older = std::ranges::find(files, true, &ImatrixFile::older);
  const auto newer = std::ranges::find(files, false, &ImatrixFile::older);
  if (older == files.end() || newer == files.end()) return {};
  return Fail(ErrorCode::kBadArgument, older->path.string(),
              fmt::format("is of the older form, which does not count tokens: it can't be added "
                          "to {}",
                          newer->path.string()),
              "give files of one form");
}

Result<void> Evidence::Parts::MapEntries() {
  std::set<std::string> used, unused;
  for (const ImatrixFile& file : files) {
    bool any = false;
    for (const ImatrixEntry& entry : file.entries) {
      const auto fits = MapEntry({&file, &entry});
      if (!fits) return tl::make_unexpected(fits.error());
      (*fits ? used : unused).insert(entry.name);
      any |= *fits;
    }
    if (any) continue;
    return Fail(ErrorCode::kBadArgument, file.path.string(),
                fmt::format("none of its {} names is of a weight of the model, as '{}': an imatrix "
                            "of another model?",
                            file.entries.size(), file.entries.front().name));
  }
  coverage.entries = used.size() + unused.size();
  coverage.used = used.size();
  coverage.unused.assign(unused.begin(), unused.end());
  if (!unused.empty()) {
    warnings.push_back(
        fmt::format("{} of {} names of the imatrix are of no weight of the model, "
                    "as '{}'",
                    unused.size(), coverage.entries, *unused.begin()));
  }
  return {};
}

/// False: no weight of the model is meant, or the file has said it under another name.
Result<bool> Evidence::Parts::MapEntry(const InputPart& part) {
  const auto keys = inputs.KeysOf(part.entry->name);
  if (!keys) return tl::make_unexpected(keys.error());
  bool used = false;
  for (const InputKey& key : *keys) {
    const ModelInputs::Facts* facts = inputs.Find(key);
    if (facts == nullptr) continue;
    if (auto done = CheckFits(part, key, *facts); !done) return tl::make_unexpected(done.error());
    std::vector<InputPart>& list = parts[key];
    if (!list.empty() && list.back().file == part.file) continue;
    list.push_back(part);
    used = true;
  }
  return used;
}

Result<void> Evidence::Parts::ReadUsage(const std::vector<std::filesystem::path>& paths,
                                        const Model& model) {
  for (const auto& path : paths) {
    const auto usage = UsageFile::Open(path);
    if (!usage) return tl::make_unexpected(usage.error());
    for (const auto& [row, counts] : usage->tokens) {
      const auto place = PlaceOf(row, *usage, path.string(), model);
      if (!place) return tl::make_unexpected(place.error());
      if (auto done = AddUsage(*place, counts, path.string()); !done) return done;
    }
  }
  if (paths.empty() || tokens.size() == experts.size()) return {};
  warnings.push_back(fmt::format("usage says nothing of {} of {} layers with experts",
                                 experts.size() - tokens.size(), experts.size()));
  return {};
}

/// Rows are all layers of the model, or those with experts.
Result<Place> Evidence::Parts::PlaceOf(int64_t row, const UsageFile& usage, const std::string& path,
                                       const Model& model) const {
  if (!usage.rows) return inputs.Placed("", row);
  std::vector<Place> sparse;  // of the stack that comes first: the model itself, where it has any
  for (const auto& [place, count] : experts) {
    if (place.first == experts.begin()->first.first) sparse.push_back(place);
  }
  const uint64_t last = sparse.empty() ? 0 : static_cast<uint64_t>(sparse.back().second + 1);
  const uint64_t layers = model.facts().layers.value_or(last);
  if (*usage.rows == layers) return inputs.Placed("", row);
  if (*usage.rows == sparse.size()) return sparse[static_cast<size_t>(row)];
  return Fail(ErrorCode::kBadArgument, path,
              fmt::format("has {} layers, the model {}, {} of them with experts: usage of another "
                          "model?",
                          *usage.rows, layers, sparse.size()));
}

/// Layers and experts that the model has not may only have no tokens.
Result<void> Evidence::Parts::AddUsage(const Place& place, const std::map<int64_t, double>& counts,
                                       const std::string& path) {
  const auto found = experts.find(place);
  const uint64_t there = found == experts.end() ? 0 : found->second;
  std::vector<double> sums(there);
  for (const auto& [expert, count] : counts) {
    if (static_cast<uint64_t>(expert) < there) {
      sums[static_cast<size_t>(expert)] = count;
    } else if (count > 0) {
      return Fail(ErrorCode::kBadArgument, path,
                  fmt::format("has tokens of expert {} in layer {}, which has {} experts: usage of "
                              "another model?",
                              expert, place.second, there));
    }
  }
  if (there == 0) return {};
  std::vector<double>& total = tokens[place];
  total.resize(there);
  for (uint64_t e = 0; e < there; ++e) total[e] += sums[e];
  return {};
}

/// Where no usage file spoke: the counts of the first projection that has all of them.
void Evidence::Parts::CountTokens() {
  if (files.empty() || files.front().older) return;
  for (const auto& [key, facts] : inputs.all()) {
    const Place place(key.stack, key.layer);
    if (key.kind != Kind::kRouted || tokens.contains(place)) continue;
    std::vector<double> counts;
    InputKey one = key;
    for (uint64_t e = 0; e < facts.experts; ++e) {
      one.expert = static_cast<int64_t>(e);
      if (const auto source = Find(one)) counts.push_back(Weigh(*source).total);
    }
    if (facts.experts > 0 && counts.size() == facts.experts) tokens[place] = std::move(counts);
  }
}

/// nullopt: no file has sums that serve this input.
std::optional<InputSource> Evidence::Parts::Find(const InputKey& key) const {
  const auto known = inputs.all().find(key.OfAll());
  if (known == inputs.all().end() || known->second.columns == 0) return std::nullopt;
  std::optional<uint64_t> matrix;
  if (key.expert >= 0) matrix = static_cast<uint64_t>(key.expert);
  for (const InputKey& same : inputs.SameInput(key)) {
    for (const InputKey& place : {same, same.OfAll()}) {
      const auto found = parts.find(place);
      if (found == parts.end()) continue;
      const bool alone = key.expert >= 0 && place.expert >= 0;  // a name of this expert's own
      const InputSource source = {&found->second, known->second.columns,
                                  alone ? std::optional<uint64_t>(0) : matrix};
      const auto serves = [&](const InputPart& part) {
        return part.has_columns(source.columns) &&
               source.matrix.value_or(0) < part.matrices(source.columns);
      };
      if (std::ranges::all_of(found->second, serves)) return source;
    }
  }
  return std::nullopt;
}

ColumnEvidence Evidence::Parts::Look(const InputKey& key) const {
  ColumnEvidence evidence;
  const auto source = Find(key);
  if (!source) {
    evidence.missing = files.empty() ? kNoImatrix : kNoEntry;
    return evidence;
  }
  const Divisor divisor = Weigh(*source);
  if (!files.front().older) evidence.tokens = divisor.tokens;
  if (divisor.total > 0) {
    evidence.mean_square = MeanSquares(*source, divisor.total);
  } else {
    evidence.missing = divisor.stand_in ? kStandInOnes : kNeverRouted;
  }
  return evidence;
}

void Evidence::Parts::Cover(const Model& model) {
  std::optional<MatrixKey> without;
  for (uint64_t i = 0; i < model.matrices(); ++i) {
    const MatrixKey key = model.matrix(i).key();
    const auto source = Find(InputOf(key));
    ++(!source                    ? coverage.no_entry
       : Weigh(*source).total > 0 ? coverage.with_values
                                  : coverage.never_routed);
    if (!source && !without) without = key;
  }
  coverage.matrices = model.matrices();
  for (const auto& [key, facts] : inputs.all()) {
    if (key.kind != Kind::kModule) continue;
    const auto source = Find(key);
    ++coverage.modules;
    coverage.modules_with_values += source && Weigh(*source).total > 0;
  }
  if (!without || files.empty()) return;
  warnings.push_back(fmt::format("the imatrix has no entry for {} of {} matrices of experts, as {}",
                                 coverage.no_entry, coverage.matrices, without->Text()));
}

Result<Evidence> Evidence::Open(const Model& model, const EvidenceFiles& files) {
  auto inputs = ModelInputs::Of(model);
  if (!inputs) return tl::make_unexpected(std::move(inputs.error()));
  auto parts = std::make_unique<Parts>(std::move(*inputs));
  auto done = parts->ReadUsage(files.usage, model).and_then([&] {
    return parts->ReadImatrices(files.imatrix);
  });
  if (!done) return tl::make_unexpected(std::move(done.error()));
  parts->CountTokens();
  parts->Cover(model);
  return Evidence(std::move(parts));
}

Evidence::Evidence(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Evidence::~Evidence() = default;
Evidence::Evidence(Evidence&&) noexcept = default;
Evidence& Evidence::operator=(Evidence&&) noexcept = default;

ColumnEvidence Evidence::Of(const MatrixKey& key) const {
  ColumnEvidence evidence = parts_->Look(InputOf(key));
  const auto found = parts_->tokens.find({key.stack, key.layer});
  const auto expert = static_cast<uint64_t>(key.expert);  // of unknown number: a huge one
  if (key.shared || found == parts_->tokens.end() || expert >= found->second.size()) {
    return evidence;
  }
  const std::vector<double>& tokens = found->second;
  const double all = std::accumulate(tokens.begin(), tokens.end(), 0.0);
  evidence.tokens = tokens[expert];
  if (all > 0) evidence.share = tokens[expert] / all;
  return evidence;
}

ColumnEvidence Evidence::OfModule(std::string_view module) const {
  if (const auto key = parts_->inputs.OfModule(module)) return parts_->Look(*key);
  ColumnEvidence evidence;
  evidence.missing = parts_->files.empty() ? kNoImatrix : kNoEntry;
  return evidence;
}

std::vector<double> Evidence::TokensOfLayer(const std::string& stack, int64_t layer) const {
  const auto found = parts_->tokens.find({stack, layer});
  return found == parts_->tokens.end() ? std::vector<double>{} : found->second;
}

const EvidenceCoverage& Evidence::coverage() const { return parts_->coverage; }
const std::vector<std::string>& Evidence::warnings() const { return parts_->warnings; }

}  // namespace moe

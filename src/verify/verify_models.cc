#include "verify/verify_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "verify/check_pair.h"

namespace moe {
namespace {

constexpr size_t kWorstInJson = 100;

VerifyRow UnreadRow(const WeightPair& pair, const std::string& reason) {
  VerifyRow row;
  row.id = IdentityOf(pair.a, pair.b);
  row.status = "unread";
  row.reason = reason;
  return row;
}

std::optional<std::string> IfAny(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(std::string(text));
}

void PutFinding(const PairFinding& finding, VerifyRow& row) {
  row.finding = IfAny(FindingName(finding.kind));
  row.detail = IfAny(finding.detail);
  row.origin = IfAny(finding.origin);
}

VerifyRow RowOf(const CheckedPair& checked, const Encodings& encodings) {
  const PairCheck& check = checked.check;
  const PairNumbers& numbers = check.numbers;
  VerifyRow row;
  row.id = IdentityOf(checked.pair->a, checked.pair->b);
  row.status = IsFault(checked.finding.kind) ? "differs"
               : check.is_copy()             ? "copy"
               : check.attested()            ? "attested"
                                             : "within";
  PutFinding(checked.finding, row);
  row.method = MethodName(check.method);
  row.error = check.error();
  row.expected = check.expected;
  row.allowed = check.allowed;
  row.cosine = numbers.cosine();
  row.norm_ratio = numbers.norm_ratio();
  row.zero_share = static_cast<double>(numbers.zeroed) / static_cast<double>(numbers.elements);
  row.nonfinite = static_cast<int64_t>(numbers.broken);
  row.dead_rows = static_cast<int64_t>(numbers.dead_rows);
  if (!check.codes) return row;
  row.encoder = encodings.at(row.id.storage_b).Text();
  row.clip_share =
      static_cast<double>(check.codes->clipped) / static_cast<double>(numbers.elements);
  row.codes_differ = static_cast<int64_t>(check.codes->codes);
  row.scales_differ = static_cast<int64_t>(check.codes->scales);
  row.biases_differ = static_cast<int64_t>(check.codes->biases);
  return row;
}

void Count(const VerifyRow& row, VerifyCounts& counts) {
  ++counts.weights;
  constexpr std::pair<std::string_view, uint64_t VerifyCounts::*> kStatuses[] = {
      {"attested", &VerifyCounts::attested}, {"copy", &VerifyCounts::copies},
      {"within", &VerifyCounts::within},     {"differs", &VerifyCounts::differs},
      {"unread", &VerifyCounts::unread},
  };
  for (const auto& [status, count] : kStatuses) {
    if (row.status == status) ++(counts.*count);
  }
}

class Verifying {
 public:
  Verifying(const Model& original, const Model& quantized, const VerifyOptions& options)
      : original_(original), quantized_(quantized), options_(options) {}

  Result<Verification> Run() {
    out_.pairs = PairModels(original_, quantized_);
    auto encodings = FindEncodings(out_.pairs.pairs);
    if (!encodings) return tl::make_unexpected(encodings.error());
    out_.encodings = std::move(*encodings);
    auto done = CheckAll()
                    .and_then([&] { return Diagnose(checked_, out_.encodings, options_); })
                    .and_then([&] { return AddRows(); });
    if (!done) return tl::make_unexpected(done.error());
    out_.others = TakeDropped(original_, quantized_, out_.pairs.only_a);
    for (auto&& list : {FileFindings(quantized_), DifferentScales(checked_)}) {
      out_.others.insert(out_.others.end(), list.begin(), list.end());
    }
    for (const VerifyRow& row : out_.rows) Count(row, out_.roles[row.id.role]);
    return std::move(out_);
  }

 private:
  Result<void> CheckAll() {
    return ForPairs(
        out_.pairs.pairs, options_.work,
        [this](const WeightPair& pair, const OpenPair& opened) {
          return CheckPair(pair, opened, out_.encodings, options_.tolerance);
        },
        [this](const WeightPair& pair, Result<PairCheck> check) -> Result<void> {
          if (check) {
            checked_.push_back({&pair, std::move(*check), {}});
          } else {
            unread_.emplace(&pair, check.error().message);
          }
          return {};
        });
  }

  /// In the order of the pairs.
  Result<void> AddRows() {
    auto next = checked_.begin();
    for (const WeightPair& pair : out_.pairs.pairs) {
      const auto unread = unread_.find(&pair);
      out_.rows.push_back(unread != unread_.end() ? UnreadRow(pair, unread->second)
                                                  : RowOf(*next++, out_.encodings));
    }
    for (const WeightPair& pair : out_.pairs.misshapen) {
      auto finding = DiagnoseShape(pair);
      if (!finding) return tl::make_unexpected(finding.error());
      VerifyRow row;
      row.id = IdentityOf(pair.a, pair.b);
      row.status = "differs";
      PutFinding(*finding, row);
      out_.rows.push_back(std::move(row));
    }
    return {};
  }

  const Model& original_;
  const Model& quantized_;
  const VerifyOptions& options_;
  Verification out_;
  std::vector<CheckedPair> checked_;
  std::map<const WeightPair*, std::string> unread_;
};

Json FindingsJson(const std::vector<FileFinding>& findings) {
  Json json = Json::Array();
  for (const FileFinding& one : findings) {
    json.push_back({{"tensor", one.name},
                    {"finding", FindingName(one.finding.kind)},
                    {"fault", IsFault(one.finding.kind)},
                    {"detail", one.finding.detail}});
  }
  return json;
}

Json RowsJson(const std::vector<const VerifyRow*>& rows) {
  Json json = Json::Array();
  for (const VerifyRow* row : rows) {
    json.push_back({{"weight", row->id.text},
                    {"tensor", row->id.tensor_b},
                    {"original", row->id.tensor_a},
                    {"status", row->status},
                    {"finding", OrNull(row->finding)},
                    {"detail", OrNull(row->detail)},
                    {"origin", OrNull(row->origin)},
                    {"error", OrNull(row->error)},
                    {"expected_error", OrNull(row->expected)},
                    {"allowed_error", OrNull(row->allowed)}});
  }
  return json;
}

/// How far above what is allowed.
double Excess(const VerifyRow& row) {
  const double most = std::numeric_limits<double>::max();
  if (row.status == "differs") return most;
  if (!row.error || !row.allowed || row.status == "copy") return 0;
  return *row.allowed > 0 ? *row.error / *row.allowed : *row.error > 0 ? most : 0;
}

}  // namespace

bool Verification::differs() const {
  return all().differs > 0 ||
         std::ranges::any_of(others, [](const auto& one) { return IsFault(one.finding.kind); });
}

bool Verification::complete() const {
  return pairs.complete() && std::ranges::none_of(rows, [](const VerifyRow& row) {
           return row.status == "unread" && row.id.matrix;
         });
}

VerifyCounts Verification::all() const {
  VerifyCounts sum;
  for (const auto& [role, counts] : roles) {
    sum.weights += counts.weights;
    sum.attested += counts.attested;
    sum.copies += counts.copies;
    sum.within += counts.within;
    sum.differs += counts.differs;
    sum.unread += counts.unread;
  }
  return sum;
}

std::vector<const VerifyRow*> Verification::Worst(size_t most) const {
  std::vector<const VerifyRow*> worst;
  for (const VerifyRow& row : rows) {
    if (row.status == "differs" || row.status == "within") worst.push_back(&row);
  }
  std::ranges::stable_sort(worst,
                           [](const auto* x, const auto* y) { return Excess(*x) > Excess(*y); });
  if (worst.size() > most) worst.resize(most);
  return worst;
}

std::string_view Verification::verdict() const {
  if (differs()) return "differs";
  if (!complete()) return "incomplete";
  return all().within == 0 ? "attested" : "within";
}

Result<Verification> VerifyModels(const Model& original, const Model& quantized,
                                  const VerifyOptions& options) {
  return Verifying(original, quantized, options).Run();
}

Json VerificationJson(const Verification& verification, const Model& original,
                      const Model& quantized, double tolerance) {
  Json roles = Json::Object(), encoders = Json::Object();
  for (const auto& [role, counts] : verification.roles) {
    roles[role] = {{"weights", counts.weights}, {"attested", counts.attested},
                   {"copy", counts.copies},     {"within", counts.within},
                   {"differs", counts.differs}, {"unread", counts.unread}};
  }
  for (const auto& [storage, encoding] : verification.encodings) {
    encoders[storage] = encoding.Text();
  }
  return {{"schema_version", 1},
          {"quantized", quantized.path().string()},
          {"original", original.path().string()},
          {"verdict", verification.verdict()},
          {"complete", verification.complete()},
          {"tolerance", tolerance},
          {"roles", std::move(roles)},
          {"encoders", std::move(encoders)},
          {"worst", RowsJson(verification.Worst(kWorstInJson))},
          {"findings", FindingsJson(verification.others)},
          {"only_original", UnpairedJson(verification.pairs.only_a)},
          {"only_quantized", UnpairedJson(verification.pairs.only_b)},
          {"unread_original", UnpairedJson(verification.pairs.unread_a)},
          {"unread_quantized", UnpairedJson(verification.pairs.unread_b)}};
}

}  // namespace moe

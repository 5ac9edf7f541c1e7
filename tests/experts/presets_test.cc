// Every published family (checkpoints.md 10.2), MLX class (10.1) and GGUF name (8.4): exactly its
// matrices come out, told by the config and by names and shapes alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <ostream>
#include <set>
#include <tuple>

#include "experts/families.h"
#include "experts/preset_cases.h"
#include "experts/shape_judge.h"
#include "moescope/experts.h"

namespace moe {

using preset_cases::GgufCases;
using preset_cases::MlxCases;
using preset_cases::PresetCase;
using preset_cases::PresetCases;
using preset_cases::WantBank;

namespace preset_cases {
void PrintTo(const PresetCase& c, std::ostream* out) { *out << c.row << " " << c.variant; }
}  // namespace preset_cases

namespace {

/// Matrices in words, as a failure shows them.
using Lines = std::vector<std::string>;

using Extractions = std::vector<std::pair<std::string, Extraction>>;

Extractions ExtractCase(const PresetCase& c) {
  std::vector<WeightShape> weights;
  for (const auto& [name, shape] : c.weights) weights.push_back({name, shape, "", ""});

  Extractions found;
  const auto extractor = Extractor::Create(OptionsOf(c), weights);
  EXPECT_TRUE(extractor.has_value()) << extractor.error().Text();
  if (!extractor) return found;
  ShapeJudge judge(extractor->facts());
  for (const WeightShape& weight : weights) {
    auto got = extractor->Extract(weight);
    EXPECT_TRUE(got.has_value()) << weight.name << ": " << got.error().Text();
    if (!got) continue;
    judge.Add(found.size(), weight, false, *got);
    found.emplace_back(weight.name, std::move(*got));
  }
  for (const auto& [number, reason] : judge.Refusals()) {
    ADD_FAILURE() << found[number].first << " is refused: " << reason;
  }
  return found;
}

std::string Line(const std::string& weight, int64_t layer, const std::string& proj, bool shared,
                 int64_t expert, uint64_t rows, uint64_t cols, uint64_t offset, uint64_t row_stride,
                 uint64_t col_stride) {
  return weight + ": layer " + std::to_string(layer) + " " + proj +
         (shared ? " shared" : " expert " + std::to_string(expert)) + " [" + std::to_string(rows) +
         ", " + std::to_string(cols) + "] at " + std::to_string(offset) + " + " +
         std::to_string(row_stride) + " r + " + std::to_string(col_stride) + " c";
}

Lines Wanted(const PresetCase& c) {
  Lines lines;
  for (const WantBank& bank : c.want) {
    for (uint64_t e = 0; e < bank.experts; ++e) {
      const int64_t id = bank.expert_id >= 0 ? bank.expert_id : static_cast<int64_t>(e);
      lines.push_back(Line(bank.weight, bank.layer, bank.proj, bank.shared, id, bank.rows,
                           bank.cols, bank.offset + e * bank.expert_stride, bank.row_stride,
                           bank.col_stride));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

Lines Found(const Extractions& extractions) {
  Lines lines;
  for (const auto& [weight, extraction] : extractions) {
    for (const ExpertBank& bank : extraction.banks) {
      for (uint64_t l = 0; l < bank.layers; ++l) {
        for (uint64_t e = 0; e < bank.experts; ++e) {
          lines.push_back(Line(weight, bank.LayerAt(l), bank.proj, bank.is_shared_expert,
                               bank.ExpertIdAt(e), bank.rows, bank.cols,
                               bank.offset + l * bank.layer_stride + e * bank.expert_stride,
                               bank.row_stride, bank.col_stride));
        }
      }
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

/// Lines of `a` that `b` lacks; both sorted.
std::string Missing(const Lines& a, const Lines& b) {
  Lines lines;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(lines));
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Routed matrices of one checkpoint must be told apart by what the tables show (contract D25).
void ExpectKeysDiffer(const Extractions& extractions) {
  std::set<std::tuple<std::string, int64_t, std::string, int64_t>> keys;
  for (const auto& [weight, extraction] : extractions) {
    for (const ExpertBank& bank : extraction.banks) {
      for (uint64_t e = 0; e < bank.experts && !bank.is_shared_expert; ++e) {
        EXPECT_TRUE(
            keys.emplace(bank.stack.value_or(""), bank.LayerAt(0), bank.proj, bank.ExpertIdAt(e))
                .second)
            << weight << " has the stack, layer, projection and expert of another";
      }
    }
  }
}

void Check(const PresetCase& c) {
  const Extractions extractions = ExtractCase(c);
  const Lines wanted = Wanted(c), found = Found(extractions);
  EXPECT_EQ(Missing(wanted, found), "") << "are missing";
  EXPECT_EQ(Missing(found, wanted), "") << "are not to be";
  EXPECT_EQ(wanted.size(), found.size());
  ExpectKeysDiffer(extractions);
  for (const auto& [weight, extraction] : extractions) {
    if (Has(c.routers, weight)) {
      EXPECT_EQ(RoleName(extraction.role), RoleName(Role::kRouter)) << weight;
    }
    if (Has(c.not_experts, weight)) {
      EXPECT_TRUE(extraction.banks.empty()) << weight << " is no expert";
    }
    if (!Has(c.not_experts, weight)) {
      EXPECT_EQ(extraction.unmatched_reason.value_or(""), "") << weight;
    }
    if (extraction.banks.empty()) continue;
    const bool shared = std::all_of(extraction.banks.begin(), extraction.banks.end(),
                                    [](const ExpertBank& b) { return b.is_shared_expert; });
    EXPECT_EQ(RoleName(extraction.role),
              RoleName(shared ? Role::kSharedExpert : Role::kRoutedExpert))
        << weight;
  }
}

std::string TestName(const testing::TestParamInfo<PresetCase>& info) {
  std::string name =
      "row_" + info.param.row + (info.param.variant.empty() ? "" : "_") + info.param.variant;
  if (info.param.row[0] < '0' || info.param.row[0] > '9') name.erase(0, 4);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

std::vector<PresetCase> AllCases() {
  std::vector<PresetCase> all = PresetCases();
  all.insert(all.end(), MlxCases().begin(), MlxCases().end());
  all.insert(all.end(), GgufCases().begin(), GgufCases().end());
  return all;
}

/// The cases that need neither model_type nor config nor architecture, without them.
std::vector<PresetCase> NamelessCases() {
  std::vector<PresetCase> nameless;
  for (PresetCase& c : AllCases()) {
    if (!c.by_names) continue;
    c.model_type.clear();
    c.gguf_arch.clear();
    c.config_json.clear();
    nameless.push_back(std::move(c));
  }
  return nameless;
}

class PresetsByConfig : public testing::TestWithParam<PresetCase> {};

TEST_P(PresetsByConfig, GiveExactlyTheModelsExperts) { Check(GetParam()); }

INSTANTIATE_TEST_SUITE_P(All, PresetsByConfig, testing::ValuesIn(AllCases()), TestName);

class PresetsByNames : public testing::TestWithParam<PresetCase> {};

TEST_P(PresetsByNames, GiveExactlyTheModelsExperts) { Check(GetParam()); }

INSTANTIATE_TEST_SUITE_P(All, PresetsByNames, testing::ValuesIn(NamelessCases()), TestName);

TEST(PresetCases, CoverEveryRowOfTheCatalogue) {
  std::set<std::string> rows;
  for (const PresetCase& c : PresetCases()) rows.insert(c.row);
  for (int row = 1; row <= 62; ++row) EXPECT_EQ(rows.count(std::to_string(row)), 1U) << row;
  EXPECT_EQ(rows.count("1b"), 1U);
  EXPECT_EQ(rows.count("15b"), 1U);
  for (const Family& family : KnownFamilies().families) {
    EXPECT_EQ(rows.count(family.row), 1U) << family.row;
  }
  EXPECT_EQ(rows.size(), KnownFamilies().families.size());
}

TEST(PresetCases, StayWithinTheirTensorsAndNameEachOnce) {
  for (const PresetCase& c : AllCases()) {
    std::map<std::string, uint64_t> elements;
    for (const auto& [name, shape] : c.weights) {
      uint64_t count = 1;
      for (const uint64_t dim : shape) count *= dim;
      EXPECT_TRUE(elements.emplace(name, count).second) << c.row << ": " << name;
    }
    for (const WantBank& bank : c.want) {
      const uint64_t last = bank.offset + (bank.experts - 1) * bank.expert_stride +
                            (bank.rows - 1) * bank.row_stride + (bank.cols - 1) * bank.col_stride;
      ASSERT_EQ(elements.count(bank.weight), 1U) << c.row << ": " << bank.weight;
      EXPECT_LT(last, elements[bank.weight]) << c.row << ": " << bank.weight;
    }
  }
}

struct HandStrides {
  const char* row;
  const char* variant;
  size_t bank;  // of PresetCase::want
  const char* proj;
  uint64_t offset, expert_stride, row_stride, col_stride;
};

// Calculated by hand for H = 12, I = 10: gate_up has 2 * 10 * 12 = 240 elements an expert.
constexpr HandStrides kHandStrides[] = {
    {"5", "", 4, "up_proj", 120, 240, 12, 1},       // [3, 20, 12], rows 10..19
    {"6", "", 1, "up_proj", 10, 240, 1, 20},        // [3, 12, 20], columns 10..19
    {"6", "", 2, "down_proj", 0, 120, 1, 12},       // [3, 10, 12] turned
    {"19", "mxfp4", 1, "up_proj", 12, 240, 24, 1},  // [3, 20, 12], odd rows
    {"19", "bf16", 1, "up_proj", 1, 240, 2, 20},    // [3, 12, 20], odd columns
    {"27", "", 2, "down_proj", 0, 120, 1, 12},      // [30, 12], slices of 10 rows, turned
    {"33", "", 1, "gate_proj", 120, 240, 12, 1},    // [20, 12], up first
    {"62", "", 1, "up_proj", 12, 240, 24, 1},       // [3, 20, 12], odd rows
};

TEST(PresetCases, HaveTheStridesOfAHandCalculation) {
  for (const HandStrides& hand : kHandStrides) {
    const auto c = std::find_if(PresetCases().begin(), PresetCases().end(), [&](const auto& it) {
      return it.row == hand.row && it.variant == hand.variant;
    });
    ASSERT_NE(c, PresetCases().end()) << hand.row;
    const WantBank& bank = c->want.at(hand.bank);
    EXPECT_EQ(bank.proj, hand.proj) << hand.row;
    EXPECT_EQ(bank.offset, hand.offset) << hand.row;
    EXPECT_EQ(bank.expert_stride, hand.expert_stride) << hand.row;
    EXPECT_EQ(bank.row_stride, hand.row_stride) << hand.row;
    EXPECT_EQ(bank.col_stride, hand.col_stride) << hand.row;
  }
}

}  // namespace
}  // namespace moe

// Evidence of llama-imatrix's own files (tests/data/imatrix), and of files that contradict a model.
#include "evidence/evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "evidence/calibration_files.h"
#include "evidence/imatrix_file.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const fs::path kImatrix = TestData() / "imatrix/imatrix.gguf";
const fs::path kSum = TestData() / "imatrix/imatrix_sum.gguf";
const fs::path kOlder = TestData() / "imatrix/imatrix.dat";

/// The model of tests/data/imatrix, all zeros: Qwen3-MoE of 2 layers, 3 experts, sizes 256.
class OfTheTinyMoe : public testing::Test {
 protected:
  OfTheTinyMoe() : model_(Make()) {}

  Result<Model> Make() const {
    std::vector<std::pair<std::string, std::vector<uint64_t>>> tensors = {
        {"lm_head.weight", {272, 256}}, {"model.embed_tokens.weight", {272, 256}}};
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      tensors.push_back({layer + "mlp.gate.weight", {3, 256}});
      tensors.push_back({layer + "self_attn.q_proj.weight", {128, 256}});
      tensors.push_back({layer + "self_attn.k_proj.weight", {64, 256}});
      tensors.push_back({layer + "self_attn.v_proj.weight", {64, 256}});
      tensors.push_back({layer + "self_attn.o_proj.weight", {256, 128}});
      for (const std::string expert : {"0.", "1.", "2."}) {
        for (const char* proj : {"gate_proj", "up_proj", "down_proj"}) {
          tensors.push_back({layer + "mlp.experts." + expert + proj + ".weight", {256, 256}});
        }
      }
    }
    folder_.Write("model/model.safetensors", ZeroTensors(tensors));
    folder_.Write("model/config.json",
                  R"({"model_type": "qwen3_moe", "num_hidden_layers": 2, "num_experts": 3,
                      "hidden_size": 256, "moe_intermediate_size": 256})");
    return Model::Open((folder_.path() / "model").string());
  }

  Result<Evidence> Open(std::vector<fs::path> imatrix, std::vector<fs::path> usage = {}) const {
    return Evidence::Open(*model_, {std::move(imatrix), std::move(usage)});
  }
  fs::path Write(const std::string& name, const std::string& bytes) const {
    return folder_.Write(name, bytes);
  }

  TempFolder folder_;
  Result<Model> model_;
};

double Total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// NumPy, of gguf's GGUFReader: d[NAME.in_sum2].astype("f8")[e] / d[NAME.counts].astype("f8")[e].
TEST_F(OfTheTinyMoe, MeanSquaresAreNumpys) {
  const auto evidence = Open({kImatrix});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  const auto down = evidence->Of({"", 0, "down_proj", 1});
  ASSERT_EQ(down.mean_square.size(), 256U);
  EXPECT_DOUBLE_EQ(down.mean_square[0], 0.3858220628967887);
  EXPECT_DOUBLE_EQ(down.mean_square[255], 0.08755049997062608);
  EXPECT_NEAR(Total(down.mean_square), 215.99343285287864, 1e-10);
  EXPECT_EQ(down.tokens, 507);
  EXPECT_EQ(down.share, 507.0 / 1536);
  const auto gate = evidence->Of({"", 1, "gate_proj", 0});
  EXPECT_DOUBLE_EQ(gate.mean_square[0], 0.3403788296794967);
  EXPECT_NEAR(Total(gate.mean_square), 259.1780024799801, 1e-10);
  EXPECT_EQ(evidence->Of({"", 1, "up_proj", 0}).mean_square, gate.mean_square);
  const auto output = evidence->OfModule("model.layers.1.self_attn.o_proj");
  ASSERT_EQ(output.mean_square.size(), 128U);
  EXPECT_DOUBLE_EQ(output.mean_square[0], 0.23623259862263998);
  EXPECT_EQ(output.tokens, 1536);
}

TEST_F(OfTheTinyMoe, ExpertsThatNoTokenReachedHaveTokensButNoValues) {
  const auto evidence = Open({kImatrix});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  for (const char* proj : {"gate_proj", "up_proj", "down_proj"}) {
    const auto found = evidence->Of({"", 1, proj, 2});
    EXPECT_THAT(found.mean_square, IsEmpty());
    EXPECT_EQ(found.missing, Evidence::kNeverRouted);
    EXPECT_EQ(found.tokens, 0);
    EXPECT_EQ(found.share, 0);
  }
  EXPECT_THAT(evidence->TokensOfLayer("", 0), ElementsAre(987, 507, 42));
  EXPECT_THAT(evidence->TokensOfLayer("", 1), ElementsAre(1269, 267, 0));
  EXPECT_THAT(evidence->TokensOfLayer("", 2), IsEmpty());
}

TEST_F(OfTheTinyMoe, CoverageCountsWhatMet) {
  const auto evidence = Open({kImatrix});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  const EvidenceCoverage& coverage = evidence->coverage();
  EXPECT_EQ(coverage.entries, 16U);
  EXPECT_EQ(coverage.used, 16U);
  EXPECT_THAT(coverage.unused, IsEmpty());
  EXPECT_EQ(coverage.matrices, 18U);
  EXPECT_EQ(coverage.with_values, 15U);
  EXPECT_EQ(coverage.never_routed, 3U);
  EXPECT_EQ(coverage.no_entry, 0U);
  EXPECT_EQ(coverage.modules, 12U);
  EXPECT_EQ(coverage.modules_with_values, 10U);  // all but embedding and head
  EXPECT_THAT(evidence->warnings(), IsEmpty());
}

/// `a` - `b`, entry by entry: the run that `a` has and `b` has not.
std::string Difference(const fs::path& a, const fs::path& b) {
  const auto sum = ImatrixFile::Open(a), part = ImatrixFile::Open(b);
  std::vector<Sums> entries;
  for (const ImatrixEntry& entry : sum->entries) {
    Sums rest{entry.name, entry.columns, {}, {}};
    const auto other = std::ranges::find(part->entries, entry.name, &ImatrixEntry::name);
    const bool has = other != part->entries.end();
    for (size_t i = 0; i < entry.sums.size(); ++i) {
      rest.sums.push_back(static_cast<float>(entry.sums[i] - (has ? double{other->sums[i]} : 0.0)));
    }
    for (size_t i = 0; i < entry.counts.size(); ++i) {
      rest.counts.push_back(
          static_cast<float>(entry.counts[i] - (has ? double{other->counts[i]} : 0.0)));
    }
    entries.push_back(rest);
  }
  return GgufImatrix(entries);
}

// imatrix_sum.gguf is llama-imatrix's own sum of imatrix.gguf and a second run.
TEST_F(OfTheTinyMoe, FilesAddUpAsLlamaImatrixAddsThem) {
  const fs::path second = Write("second.gguf", Difference(kSum, kImatrix));
  const auto added = Open({kImatrix, second}), sum = Open({kSum}), first = Open({kImatrix});
  ASSERT_TRUE(added.has_value()) << added.error().Text();
  ASSERT_TRUE(sum.has_value()) << sum.error().Text();
  EXPECT_EQ(added->coverage().entries, 17U);
  for (const int64_t layer : {0, 1}) {
    EXPECT_EQ(added->TokensOfLayer("", layer), sum->TokensOfLayer("", layer));
  }
  EXPECT_THAT(added->TokensOfLayer("", 0), ElementsAre(1089, 561, 46));
  for (uint64_t i = 0; i < model_->matrices(); ++i) {
    const MatrixKey key = model_->matrix(i).key();
    const auto a = added->Of(key), b = sum->Of(key);
    ASSERT_EQ(a.mean_square.size(), b.mean_square.size()) << key.Text();
    EXPECT_EQ(a.missing, b.missing);
    for (size_t c = 0; c < a.mean_square.size(); ++c) {  // the file rounded its sums to float32
      ASSERT_NEAR(a.mean_square[c], b.mean_square[c], 1e-6 * b.mean_square[c]) << key.Text();
    }
    if (a.mean_square.empty()) continue;
    EXPECT_NE(a.mean_square, first->Of(key).mean_square);
  }
  EXPECT_EQ(added->OfModule("model.layers.0.self_attn.q_proj").tokens, 1696);
  const auto head = sum->OfModule("lm_head");  // NumPy, as above
  EXPECT_DOUBLE_EQ(head.mean_square.at(0), 0.41537046432495117);
  EXPECT_EQ(head.tokens, 160);
}

TEST_F(OfTheTinyMoe, TheOlderFormGivesTheSameMeansButNoCounts) {
  const auto older = Open({kOlder}), newer = Open({kImatrix});
  ASSERT_TRUE(older.has_value()) << older.error().Text();
  for (uint64_t i = 0; i < model_->matrices(); ++i) {
    const MatrixKey key = model_->matrix(i).key();
    const auto a = older->Of(key), b = newer->Of(key);
    ASSERT_EQ(a.mean_square.size(), b.mean_square.size()) << key.Text();
    EXPECT_FALSE(a.tokens);
    EXPECT_FALSE(a.share);
    for (size_t c = 0; c < a.mean_square.size(); ++c) {
      ASSERT_NEAR(a.mean_square[c], b.mean_square[c], 1e-6 * b.mean_square[c]) << key.Text();
    }
  }
  EXPECT_EQ(older->Of({"", 1, "down_proj", 2}).missing, Evidence::kStandInOnes);
  EXPECT_EQ(older->coverage().never_routed, 3U);
  EXPECT_THAT(older->TokensOfLayer("", 0), IsEmpty());
}

TEST_F(OfTheTinyMoe, OnesThatStandInAreNotAddedToOtherFilesOfTheOlderForm) {
  std::vector<float> values(768, 6);  // mean 3
  std::fill(values.begin() + 512, values.end(), 2.0f);
  const fs::path a = Write("a.dat", OlderImatrix({{"blk.1.ffn_down_exps.weight", 2, values}}));
  std::fill(values.begin(), values.end(), 20.0f);  // 4 calls: mean 5
  const fs::path b = Write("b.dat", OlderImatrix({{"blk.1.ffn_down_exps.weight", 4, values}}));
  const auto evidence = Open({a, b});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  EXPECT_EQ(evidence->Of({"", 1, "down_proj", 0}).mean_square.front(), (6.0 + 20.0) / (2 + 4));
  EXPECT_EQ(evidence->Of({"", 1, "down_proj", 2}).mean_square.front(), 5);
}

TEST_F(OfTheTinyMoe, NamesOfOneExpertServeIt) {
  const fs::path path = Write(
      "old_names.gguf",
      GgufImatrix(
          {{"blk.0.ffn_down.1.weight", 256, std::vector<float>(256, 8), {4}},
           {"model.layers.0.mlp.experts.2.gate_proj", 256, std::vector<float>(256, 9), {3}}}));
  const auto evidence = Open({path});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  EXPECT_EQ(evidence->Of({"", 0, "down_proj", 1}).mean_square.front(), 2);
  EXPECT_EQ(evidence->Of({"", 0, "down_proj", 1}).tokens, 4);
  EXPECT_EQ(evidence->Of({"", 0, "up_proj", 2}).mean_square.front(), 3);
  const auto twice = Open({path, path});
  ASSERT_TRUE(twice.has_value()) << twice.error().Text();
  EXPECT_EQ(twice->Of({"", 0, "down_proj", 1}).mean_square.front(), 2);
  EXPECT_EQ(twice->Of({"", 0, "down_proj", 1}).tokens, 8);
  EXPECT_EQ(evidence->Of({"", 0, "down_proj", 0}).missing, Evidence::kNoEntry);
  EXPECT_EQ(evidence->Of({"", 0, "down_proj", 3}).missing, Evidence::kNoEntry);
  EXPECT_THAT(evidence->TokensOfLayer("", 0), IsEmpty());  // of one expert alone no share is known
  EXPECT_THAT(evidence->warnings(),
              ElementsAre(HasSubstr("no entry for 15 of 18 matrices of experts, as layer")));
}

TEST_F(OfTheTinyMoe, UnknownNamesAreAWarningWithAnExample) {
  const std::vector<float> ones(256, 1);
  const fs::path path = Write("x.gguf", GgufImatrix({{"blk.0.attn_q.weight", 256, ones, {1}},
                                                     {"blk.0.ssm_dt.weight", 256, ones, {1}},
                                                     {"blk.7.ffn_up.weight", 256, ones, {1}}}));
  const auto evidence = Open({path});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  EXPECT_THAT(evidence->coverage().unused,
              ElementsAre("blk.0.ssm_dt.weight", "blk.7.ffn_up.weight"));
  EXPECT_EQ(evidence->coverage().used, 1U);
  EXPECT_THAT(evidence->warnings().front(),
              HasSubstr("2 of 3 names of the imatrix are of no weight of the model, as "
                        "'blk.0.ssm_dt.weight'"));
}

struct Contradiction {
  const char* name;
  std::string bytes;
  const char* part;
};

std::vector<float> Ones(size_t count) { return std::vector<float>(count, 1); }

const Contradiction kContradictions[] = {
    {"Columns", GgufImatrix({{"blk.0.ffn_up_exps.weight", 128, Ones(384), Ones(3)}}),
     "'blk.0.ffn_up_exps.weight' has 3 x 128 values and 3 counts, the model's layer 0 up_proj 3 "
     "experts of 256 "
     "columns"},
    {"Experts", GgufImatrix({{"blk.0.ffn_up_exps.weight", 256, Ones(1024), Ones(4)}}),
     "has 4 x 256 values and 4 counts, the model's layer 0 up_proj 3 experts of 256"},
    {"FusedExperts", GgufImatrix({{"blk.0.ffn_gate_up_exps.weight", 256, Ones(1024), Ones(4)}}),
     "has 4 x 256 values"},
    {"OneCountForAll", GgufImatrix({{"blk.0.ffn_up_exps.weight", 256, Ones(768), Ones(1)}}),
     "has 3 x 256 values and 1 counts"},
    {"ExpertsOfOneName", GgufImatrix({{"blk.0.ffn_up.3.weight", 256, Ones(256), Ones(1)}}),
     "'blk.0.ffn_up.3.weight' has 1 x 256 values"},
    {"Module", GgufImatrix({{"blk.0.attn_output.weight", 256, Ones(256), Ones(1)}}),
     "the model's layer 0 attn_output 128 columns"},
    {"OlderExperts", OlderImatrix({{"blk.0.ffn_up_exps.weight", 2, Ones(1024)}}),
     "has 1024 values, the model's layer 0 up_proj 3 experts of 256 columns"},
    {"OlderColumns", OlderImatrix({{"blk.0.ffn_up_exps.weight", 2, Ones(300)}}), "has 300 values"},
    {"NoName",
     GgufImatrix({{"blk.9.ffn_up_exps.weight", 256, Ones(768), Ones(3)},
                  {"blk.0.else.weight", 256, Ones(256), Ones(1)}}),
     "none of its 2 names is of a weight of the model, as 'blk.9.ffn_up_exps.weight'"},
};

TEST_F(OfTheTinyMoe, ImatricesOfAnotherModelAreRefused) {
  for (const Contradiction& c : kContradictions) {
    const fs::path path = Write("x.gguf", c.bytes);
    const auto evidence = Open({path});
    ASSERT_FALSE(evidence.has_value()) << c.name;
    EXPECT_EQ(evidence.error().code, ErrorCode::kBadArgument) << c.name;
    EXPECT_EQ(evidence.error().where, path.string());
    EXPECT_THAT(evidence.error().message, HasSubstr(c.part)) << c.name;
    EXPECT_THAT(evidence.error().message, HasSubstr("an imatrix of another model?")) << c.name;
  }
  EXPECT_EQ(Open({TestData() / "zoo/imatrix_qwen3_moe/imatrix.gguf"}).error().code,
            ErrorCode::kBadArgument);
}

TEST_F(OfTheTinyMoe, FilesOfBothFormsAreNotAdded) {
  const auto evidence = Open({kImatrix, kOlder});
  ASSERT_FALSE(evidence.has_value());
  EXPECT_EQ(evidence.error().code, ErrorCode::kBadArgument);
  EXPECT_EQ(evidence.error().where, kOlder.string());
  EXPECT_THAT(evidence.error().message, HasSubstr("does not count tokens"));
}

TEST_F(OfTheTinyMoe, UsageAloneGivesTokensAndShares) {
  const auto evidence = Open({}, {Write("a.csv", "layer,expert,tokens\n1,0,5\n1,2,10\n"),
                                  Write("b.json", R"({"1": [1, 4, 0]})")});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  EXPECT_THAT(evidence->TokensOfLayer("", 1), ElementsAre(6, 4, 10));
  const auto found = evidence->Of({"", 1, "up_proj", 2});
  EXPECT_EQ(found.tokens, 10);
  EXPECT_EQ(found.share, 0.5);
  EXPECT_THAT(found.mean_square, IsEmpty());
  EXPECT_EQ(found.missing, Evidence::kNoImatrix);
  EXPECT_FALSE(evidence->Of({"", 0, "up_proj", 2}).tokens);
  EXPECT_THAT(evidence->warnings(),
              ElementsAre("usage says nothing of 1 of 2 layers with experts"));
}

TEST_F(OfTheTinyMoe, UsageCountsInPlaceOfTheImatrixs) {
  const auto evidence = Open({kImatrix}, {Write("a.json", "[[1, 1, 2], [0, 0, 0]]")});
  ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
  EXPECT_EQ(evidence->Of({"", 0, "up_proj", 2}).share, 0.5);
  EXPECT_EQ(evidence->Of({"", 0, "up_proj", 2}).mean_square.size(), 256U);
  EXPECT_EQ(evidence->Of({"", 1, "up_proj", 2}).tokens, 0);
  EXPECT_FALSE(evidence->Of({"", 1, "up_proj", 2}).share);  // of no tokens at all
}

TEST_F(OfTheTinyMoe, UsageOfAnotherModelIsRefused) {
  for (const auto& [text, part] : std::vector<std::pair<std::string, const char*>>{
           {"layer,expert,tokens\n1,3,5\n", "tokens of expert 3 in layer 1, which has 3 experts"},
           {"layer,expert,tokens\n2,0,5\n", "tokens of expert 0 in layer 2, which has 0 experts"},
           {"[[1], [2], [3]]", "has 3 layers, the model 2, 2 of them with experts"}}) {
    const auto evidence = Open({}, {Write("usage", text)});
    ASSERT_FALSE(evidence.has_value()) << text;
    EXPECT_EQ(evidence.error().code, ErrorCode::kBadArgument);
    EXPECT_THAT(evidence.error().message, HasSubstr(part));
  }
  EXPECT_TRUE(Open({}, {Write("usage", "layer,expert,tokens\n2,0,0\n0,9,0\n")}).has_value());
}

TEST(Evidence, TakesRowsOfTheLayersWithExpertsAlone) {
  const auto model =
      Model::Open((TestData() / "zoo/hf4_deepseek_v3").string());  // layer 0 is dense
  ASSERT_TRUE(model.has_value());
  const TempFolder folder;
  for (const char* rows : {"[[1, 2, 3, 4]]", "[[0, 0, 0, 0], [1, 2, 3, 4]]"}) {
    const auto evidence = Evidence::Open(*model, {{}, {folder.Write("usage", rows)}});
    ASSERT_TRUE(evidence.has_value()) << evidence.error().Text();
    EXPECT_THAT(evidence->TokensOfLayer("", 1), ElementsAre(1, 2, 3, 4)) << rows;
    EXPECT_FALSE(evidence->Of({"", 1, "up_proj", 0, true}).tokens) << rows;
  }
}

TEST(Evidence, OfNoFileIsNone) {
  const auto model = Model::Open((TestData() / "zoo/hf4_mixtral").string());
  ASSERT_TRUE(model.has_value());
  const auto evidence = Evidence::Open(*model, {});
  ASSERT_TRUE(evidence.has_value());
  EXPECT_EQ(evidence->Of({"", 0, "up_proj", 0}).missing, Evidence::kNoImatrix);
  EXPECT_EQ(evidence->coverage().no_entry, evidence->coverage().matrices);
  EXPECT_THAT(evidence->warnings(), IsEmpty());
}

TEST(Evidence, OfAFileThatIsNoImatrixIsAnError) {
  const auto model = Model::Open((TestData() / "zoo/hf4_mixtral").string());
  ASSERT_TRUE(model.has_value());
  const auto none = Evidence::Open(*model, {{TestData() / "zoo/gguf_kquants/model.gguf"}, {}});
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(none.error().message, HasSubstr("no importance matrix"));
}

}  // namespace
}  // namespace moe

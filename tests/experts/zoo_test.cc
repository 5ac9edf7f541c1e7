// The checkpoints of tests/data/zoo: exactly the matrices of expected.json, read through the
// strides.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "moescope/experts.h"
#include "moescope/matrix_view.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// layer, proj, expert, shared, stack
using Key = std::tuple<int64_t, std::string, int64_t, bool, std::string>;

struct Sums {
  uint64_t rows = 0, cols = 0;
  double sum = 0, sum_sq = 0, max_abs = 0, row_weighted = 0, col_weighted = 0;
};

fs::path Zoo() { return fs::path(MOE_TEST_DATA) / "zoo"; }

std::vector<fs::path> Containers(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto suffix = entry.path().extension();
    if (suffix == ".safetensors" || suffix == ".npz") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> Folders() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(Zoo())) {
    if (entry.is_directory() && !Containers(entry.path()).empty()) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Json Expected(const std::string& folder) {
  return Json::parse(std::ifstream(Zoo() / folder / "expected.json"));
}

Sums Measure(const MatrixSource& matrix) {
  Sums s;
  s.rows = matrix.rows();
  s.cols = matrix.cols();
  std::vector<float> x(s.rows * s.cols);
  EXPECT_TRUE(matrix.Read({0, 0, s.rows, s.cols}, x.data()).has_value());
  for (uint64_t r = 0; r < s.rows; ++r) {
    for (uint64_t c = 0; c < s.cols; ++c) {
      const double v = x[r * s.cols + c];
      s.sum += v;
      s.sum_sq += v * v;
      s.max_abs = std::max(s.max_abs, std::abs(v));
      s.row_weighted += static_cast<double>(r + 1) * v;
      s.col_weighted += static_cast<double>(c + 1) * v;
    }
  }
  return s;
}

void AddBank(const TensorFile& file, size_t index, const ExpertBank& bank,
             std::map<Key, Sums>& found) {
  for (uint64_t l = 0; l < bank.layers; ++l) {
    for (uint64_t e = 0; e < bank.experts; ++e) {
      const MatrixView view{bank.rows, bank.cols,
                            bank.offset + l * bank.layer_stride + e * bank.expert_stride,
                            bank.row_stride, bank.col_stride};
      auto bytes = file.Bytes(index);
      ASSERT_TRUE(bytes.has_value()) << bytes.error().Text();
      const auto matrix = OpenMatrix(file.tensors()[index], std::move(*bytes), view);
      ASSERT_TRUE(matrix.has_value()) << matrix.error().Text();
      const Key key{bank.LayerAt(l), bank.proj, bank.ExpertIdAt(e), bank.is_shared_expert,
                    bank.stack.value_or("")};
      EXPECT_TRUE(found.emplace(key, Measure(**matrix)).second) << bank.derived_tensor;
    }
  }
}

struct Findings {
  std::map<Key, Sums> matrices;
  std::map<std::string, Extraction> tensors;
};

Findings Analyse(const std::string& folder, const std::string& model_type) {
  ExtractOptions options = DefaultExtractOptions();
  options.model_type = model_type;
  const auto extractor = Extractor::Create(options);
  Findings findings;
  for (const fs::path& path : Containers(Zoo() / folder)) {
    const auto file = OpenTensorFile(path);
    EXPECT_TRUE(file.has_value()) << file.error().Text();
    if (!file) continue;
    for (size_t i = 0; i < (*file)->tensors().size(); ++i) {
      const TensorInfo& tensor = (*file)->tensors()[i];
      const auto got = extractor->Extract(tensor);
      EXPECT_TRUE(got.has_value()) << got.error().Text();
      if (!got) continue;
      findings.tensors[tensor.name] = *got;
      for (const ExpertBank& bank : got->banks) AddBank(**file, i, bank, findings.matrices);
    }
  }
  return findings;
}

void ExpectNear(double got, double want, double scale, const Key& key, const char* what) {
  EXPECT_NEAR(got, want, 1e-6 * std::max(std::abs(want), scale))
      << what << " of layer " << std::get<0>(key) << " " << std::get<1>(key) << " expert "
      << std::get<2>(key);
}

// The sums of signed values nearly cancel: their error is relative to their terms, not to the sum.
void ExpectSameSums(const Sums& got, const Json& want, const Key& key) {
  const double size = std::sqrt(want["sum_sq"].get<double>());
  ExpectNear(got.sum, want["sum"], size, key, "sum");
  ExpectNear(got.sum_sq, want["sum_sq"], 0, key, "sum_sq");
  ExpectNear(got.max_abs, want["max_abs"], 0, key, "max_abs");
  ExpectNear(got.row_weighted, want["row_weighted_sum"], size, key, "row_weighted_sum");
  ExpectNear(got.col_weighted, want["col_weighted_sum"], size, key, "col_weighted_sum");
}

struct ExactCase {
  const char* folder;
  const char* model_type;  // "": nothing but names, as an npz has no config.json
};
constexpr ExactCase kExact[] = {
    {"hf4_qwen3_moe", ""},
    {"hf4_qwen3_moe_sharded", ""},
    {"hf4_qwen2_moe", ""},
    {"hf4_olmoe", ""},
    {"hf4_mixtral", ""},
    {"hf4_deepseek_v2", ""},
    {"hf4_deepseek_v3", ""},
    {"hf4_ernie4_5_moe", ""},
    {"hf4_jamba", ""},
    {"mlx_qwen3_moe_bf16", ""},
    {"npz_numpy_f16", ""},
    {"npz_numpy_compressed_f32", ""},
    {"npz_mlx_savez_f16", ""},
    {"hf4_granitemoe", "granitemoe"},
    {"hf4_granitemoehybrid", ""},
    {"hf4_gpt_oss", "gpt_oss"},
    {"hf5_step3p7", "step3p7"},
    {"hf5_lfm2_moe", ""},
    {"hf5_qwen3_5_moe_vl", ""},
    {"hf5_gemma4_text", "gemma4_text"},
    {"hf5fused_mixtral", "mixtral"},
    {"hf5fused_deepseek_v3", "deepseek_v3"},
    {"hf5fused_nemotron_h", "nemotron_h"},
    {"hf5fused_qwen3_5_moe_vl", "qwen3_5_moe"},
};

class ZooExact : public testing::TestWithParam<ExactCase> {};

TEST_P(ZooExact, GivesTheMatricesOfExpectedJson) {
  const Json expected = Expected(GetParam().folder);
  const Findings findings = Analyse(GetParam().folder, GetParam().model_type);
  EXPECT_EQ(findings.matrices.size(), expected["experts"].size());
  for (const Json& want : expected["experts"]) {
    const Key key{want["layer"], want["proj"], want["expert_id"], want["is_shared_expert"],
                  want.value("stack", "")};
    const auto got = findings.matrices.find(key);
    ASSERT_NE(got, findings.matrices.end()) << want["source_tensor"];
    EXPECT_EQ(got->second.rows, want["rows"]);
    EXPECT_EQ(got->second.cols, want["cols"]);
    ExpectSameSums(got->second, want, key);
  }
  for (const Json& other : expected["other_tensors"]) {
    const Extraction& got = findings.tensors.at(other["name"]);
    EXPECT_TRUE(got.banks.empty()) << other["name"];
    EXPECT_NE(got.role, Role::kRoutedExpert) << other["name"];
    EXPECT_NE(got.role, Role::kSharedExpert) << other["name"];
    EXPECT_FALSE(got.unmatched_reason.has_value()) << other["name"];
  }
}

INSTANTIATE_TEST_SUITE_P(All, ZooExact, testing::ValuesIn(kExact),
                         [](const auto& row) { return std::string(row.param.folder); });

class ZooAny : public testing::TestWithParam<std::string> {};

TEST_P(ZooAny, EveryExpertTensorIsReadOrSaysWhyNot) {
  const Json expected = Expected(GetParam());
  const Findings findings = Analyse(GetParam(), expected.value("model_type", ""));
  for (const Json& want : expected["experts"]) {
    const std::string name = want["source_tensor"];
    const Extraction& got = findings.tensors.at(name);
    EXPECT_TRUE(!got.banks.empty() || got.unmatched_reason) << name;
    EXPECT_TRUE(got.role == Role::kRoutedExpert || got.role == Role::kSharedExpert) << name;
  }
  for (const Json& other : expected["other_tensors"]) {
    EXPECT_TRUE(findings.tensors.at(other["name"]).banks.empty()) << other["name"];
  }
  std::map<std::string, std::pair<uint64_t, uint64_t>> sizes;  // by tensor and projection
  for (const Json& want : expected["experts"]) {
    sizes[want["source_tensor"].get<std::string>() + " " + want["proj"].get<std::string>()] = {
        want["rows"], want["cols"]};
  }
  for (const auto& [name, got] : findings.tensors) {
    for (const ExpertBank& bank : got.banks) {
      EXPECT_EQ(sizes[name + " " + bank.proj], std::make_pair(bank.rows, bank.cols)) << name;
    }
  }
  for (const auto& [name, got] : findings.tensors) {
    if (name.find("experts") == std::string::npos || !got.banks.empty()) continue;
    EXPECT_TRUE(got.unmatched_reason || got.role == Role::kCompanion || got.role == Role::kRouter)
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ZooAny, testing::ValuesIn(Folders()),
                         [](const auto& row) { return row.param; });

}  // namespace
}  // namespace moe

#include "moescope/model.h"

#include <gmock/gmock.h>

#include <atomic>
#include <fstream>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "model/inspect.h"
#include "model/model_parts.h"
#include "model/open_model.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kZoo = TestData() / "zoo";

Json Expected(const std::string& folder) { return JsonOfFile((kZoo / folder / "expected.json")); }

TEST(Model, FindsTheMatricesOfAShardedCheckpoint) {
  const fs::path path = kZoo / "hf4_qwen3_moe_sharded";
  const auto expected = Expected(path.filename());
  const auto model = Model::Open(path.string());
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  EXPECT_EQ(model->parts().checkpoint.files.size(), 6u);
  EXPECT_EQ(model->matrices(), expected["expert_matrices"]);
  EXPECT_EQ(model->tensors().size(), expected["tensor_count"]);
  EXPECT_EQ(model->family(), "qwen3_moe");
  EXPECT_TRUE(model->complete());

  std::vector<std::string> found, wanted;
  for (uint64_t i = 0; i < model->matrices(); ++i) {
    found.push_back(model->matrix(i).tensor->info().name);
  }
  for (const auto& matrix : expected["experts"]) wanted.push_back(matrix["source_tensor"].text());
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(wanted));
}

// The numbers are those of the decoders that made the zoo (tests/data/README.md).
TEST(Model, OpensAMatrixByItsKeyWhateverItsStorage) {
  for (const char* folder : {"hf4_qwen3_moe_sharded", "gguf_kquants", "gptq_int4_sym_qwen3_moe",
                             "mlx_deepseek_v3_q4_g64", "npz_numpy_compressed_f32"}) {
    const auto model = Model::Open((kZoo / folder).string());
    ASSERT_TRUE(model.has_value()) << model.error().Text();
    const auto expected = Expected(folder);
    for (const auto& want : expected["experts"]) {
      if (want["is_shared_expert"].get<bool>()) continue;
      const MatrixKey key{"", want["layer"].get<int64_t>(), want["proj"].text(),
                          want["expert_id"].get<int64_t>(), false};
      const auto matrix = model->OpenMatrix(key);
      ASSERT_TRUE(matrix.has_value()) << matrix.error().Text();
      ASSERT_EQ((*matrix)->rows(), want["rows"]);
      ASSERT_EQ((*matrix)->cols(), want["cols"]);
      float last = 0;
      const Tile corner{(*matrix)->rows() - 1, (*matrix)->cols() - 1, 1, 1};
      ASSERT_TRUE((*matrix)->Read(corner, &last).has_value());
      const double wanted = want["last"].get<double>();
      EXPECT_NEAR(last, wanted, 1e-6 * std::abs(wanted)) << folder << " " << key.Text();
    }
  }
}

TEST(Model, KeysNameEveryMatrixAndTheFirstOfSeveral) {
  const auto model = Model::Open((kZoo / "hf4_qwen2_moe").string());
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  for (uint64_t i = 0; i < model->matrices(); ++i) {
    EXPECT_EQ(model->Find(model->matrix(i).key()), i);
  }
  const MatrixKey none{"", 99, "up_proj", 0, false};
  EXPECT_EQ(model->Find(none), std::nullopt);
  const auto opened = model->OpenMatrix(none);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(opened.error().message, HasSubstr("layer 99 expert 0 up_proj"));
  EXPECT_EQ((MatrixKey{"decoder", 3, "down_proj", 0, true}).Text(),
            "decoder layer 3 shared down_proj");
}

TEST(Model, AMissingShardIsAnErrorUnlessToldToGoOn) {
  const TempFolder folder;
  for (const auto& entry : fs::directory_iterator(kZoo / "hf4_qwen3_moe_sharded")) {
    const std::string name = entry.path().filename().string();
    if (name.find("00002-of") == std::string::npos) fs::copy(entry.path(), folder.path() / name);
  }
  const auto refused = Model::Open(folder.path().string());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(refused.error().message, HasSubstr("00002-of"));

  ModelOptions options;
  options.scan.keep_going = true;
  const auto model = Model::Open(folder.path().string(), options);
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  EXPECT_FALSE(model->complete());
  EXPECT_FALSE(model->parts().missing.empty());
  EXPECT_FALSE(model->Warnings().empty());
}

TEST(Model, SaysWhatLiesThereInstead) {
  const TempFolder folder;
  const auto empty = Model::Open(folder.path().string());
  ASSERT_FALSE(empty.has_value());
  EXPECT_THAT(empty.error().message, HasSubstr("empty"));
  const auto gone = Model::Open((folder.path() / "gone").string());
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code, ErrorCode::kNotFound);
}

TEST(Model, EndsWhenItIsStopped) {
  const std::atomic<bool> stopped = true;
  ModelOptions options;
  options.stop = StopToken(stopped);
  const auto model = Model::Open((kZoo / "hf4_mixtral").string(), options);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kInterrupted);
}

TEST(Inspect, CountsWhatIsThere) {
  const auto model = OpenForInspection((kZoo / "hf4_qwen2_moe").string());
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  const Inspection inspection = Inspect(*model);
  const auto expected = Expected("hf4_qwen2_moe");
  EXPECT_EQ(inspection.tensors, expected["tensor_count"]);
  EXPECT_EQ(inspection.work.matrices, expected["expert_matrices"]);
  uint64_t matrices = 0;
  for (const ExpertGroup& group : inspection.experts) matrices += group.matrices;
  EXPECT_EQ(matrices, expected["expert_matrices"]);
  EXPECT_TRUE(inspection.complete);
  EXPECT_FALSE(inspection.nothing.has_value());
}

}  // namespace
}  // namespace moe

#include "model/mlx_plan.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "base/float_convert.h"
#include "base/json_text.h"
#include "base/temp_folder.h"
#include "base/test_files.h"
#include "model/model_parts.h"

namespace moe {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::vector<uint64_t> ShapeIn(const Json& json) { return json.get<std::vector<uint64_t>>(); }

uint64_t ElementsOf(const std::vector<uint64_t>& shape) {
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;
  return count;
}

std::string Bytes(uint64_t bits, size_t count) {
  return {reinterpret_cast<const char*>(&bits), count};
}

/// The values of tests/acceptance/tiny_models.py.
std::string ValuesOf(uint64_t place, const std::string& name, const std::string& dtype,
                     uint64_t count) {
  const size_t size = dtype == "float32" ? 4 : dtype == "uint8" ? 1 : 2;
  const bool is_scale = size == 1 && name.ends_with("_scales");
  std::string bytes(count * size, '\0');
  for (uint64_t i = 0; i < count; ++i) {
    const auto number = static_cast<uint32_t>(i * 2654435761 + place * 40503) >> 24;
    const auto bits = std::bit_cast<uint32_t>((static_cast<float>(number) - 128) / 256);
    const uint32_t stored = size == 4   ? bits
                            : size == 2 ? bits >> 16
                            : is_scale  ? 120 + number % 8
                                        : number;
    std::memcpy(bytes.data() + i * size, &stored, size);
  }
  return bytes;
}

/// A safetensors file of those tensors (name -> [dtype, shape]), of zeros or of ValuesOf().
std::string FileOf(const Json& tensors, bool zeros = false) {
  const std::map<std::string, std::pair<std::string, size_t>> codes = {{"uint8", {"U8", 1}},
                                                                       {"float64", {"F64", 8}},
                                                                       {"float32", {"F32", 4}},
                                                                       {"bfloat16", {"BF16", 2}}};
  Json header = Json::Object();
  std::string data;
  uint64_t place = 0;
  for (const auto& [name, tensor] : tensors.items()) {
    const uint64_t begin = data.size();
    const uint64_t count = ElementsOf(ShapeIn(tensor[1]));
    const auto& [code, size] = codes.at(tensor[0].text());
    data +=
        zeros ? std::string(count * size, '\0') : ValuesOf(place++, name, tensor[0].text(), count);
    header[name] = Json({{"dtype", code},
                         {"shape", tensor[1]},
                         {"data_offsets", Json::Array({begin, data.size()})}});
  }
  const std::string text = header.Text();
  return Bytes(text.size(), 8) + text + data;
}

uint32_t BitsOf(float value, DType dtype) {
  if (dtype == DType::kF32) return std::bit_cast<uint32_t>(value);
  return dtype == DType::kF16 ? FloatToHalf(value) : FloatToBFloat16(value);
}

float Rounded(float value, DType dtype) {
  if (dtype == DType::kF32) return value;
  return dtype == DType::kF16 ? RoundToHalf(value) : RoundToBFloat16(value);
}

std::vector<float> ValuesOf(const Model& model, const MlxPlan::Tensor& tensor) {
  std::vector<float> all;
  for (const MlxPlan::Part& part : tensor.parts) {
    const auto array = model.parts().Array(*part.source->weight);
    const auto matrix = (*array)->Matrix(part.view);
    std::vector<float> values(part.view.rows * part.view.cols);
    EXPECT_TRUE((*matrix)->Read({0, 0, part.view.rows, part.view.cols}, values.data()));
    for (const float value : values) {
      const DType dtype = part.source->weight->float_dtype;
      all.push_back(tensor.plus_one ? Rounded(value + 1, dtype) : value);
    }
  }
  return all;
}

/// digest() of tiny_models.py.
uint64_t DigestOf(const std::vector<float>& values, DType dtype) {
  uint64_t sum = 0, place = 0;
  for (const float value : values) {
    sum += BitsOf(value, dtype) * ((place++ * 2654435761 % (1ULL << 32) >> 16) + 1);
  }
  return sum;
}

std::vector<std::string> Records() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(TestData() / "mlx_modules")) {
    names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

class MlxRecord : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto path = TestData() / "mlx_modules" / (GetParam() + ".json");
    record_ = *ParseLenientJson(ReadText(path), path.string());
    auto folder = TestData() / "zoo" / GetParam();
    if (!exists(folder)) {
      folder = made_.path();
      made_.Write("model.safetensors", FileOf(record_["tensors"]));
      made_.Write("config.json", record_["config"].Text());
    }
    auto model = Model::Open(folder.string());
    ASSERT_TRUE(model) << model.error().Text();
    model_ = std::move(*model);
  }

  TempFolder made_;
  Json record_;
  std::optional<Model> model_;
};

// What mlx-lm's convert() writes of a checkpoint that it doesn't quantize: tests/data/mlx_modules.
TEST_P(MlxRecord, IsWhatThePlanSays) {
  const auto plan = PlanForMlx(*model_);
  ASSERT_TRUE(plan) << plan.error().Text();
  EXPECT_EQ(plan->why_not_loaded.empty(), !record_["refused"].get<bool>()) << plan->why_not_loaded;
  const auto all = [&](const char* key) {
    const auto list = record_[key].get<std::vector<std::string>>();
    return std::set<std::string>(list.begin(), list.end());
  };
  std::set<std::string> names, modules, eight_bits;
  for (const MlxPlan::Tensor& tensor : plan->tensors) {
    SCOPED_TRACE(tensor.name);
    names.insert(tensor.name);
    if (tensor.rule != MlxRule::kFloat) modules.insert(tensor.module());
    if (tensor.rule == MlxRule::kEightBits) eight_bits.insert(tensor.module());
    const Json& made = record_["result"][tensor.name];
    EXPECT_EQ(tensor.shape, ShapeIn(made[1]));
    if (made[0].is_null()) continue;  // left as it is stored, or refused
    EXPECT_EQ(DTypeName(tensor.dtype), made[0].text());
    EXPECT_EQ(DigestOf(ValuesOf(*model_, tensor), tensor.dtype), made[2].get<uint64_t>());
  }
  std::set<std::string> expected;
  for (const auto& [name, made] : record_["result"].items()) expected.insert(name);
  EXPECT_EQ(names, expected);
  EXPECT_EQ(modules, all("modules"));
  EXPECT_EQ(eight_bits, all("eight_bits"));
}

TEST_P(MlxRecord, IsLeftAsItIsByThePlanOfWhatMlxLmWrote) {
  const Json& made = record_["result"];
  const auto is_stored = [](const auto& member) { return member.value[0].is_null(); };
  if (!record_.contains("tensors") || std::ranges::any_of(made.items(), is_stored)) return;
  const TempFolder folder;
  folder.Write("model.safetensors", FileOf(made, true));
  folder.Write("config.json", record_["config"].Text());
  const auto model = Model::Open(folder.path().string());
  ASSERT_TRUE(model) << model.error().Text();
  const auto plan = PlanForMlx(*model);
  ASSERT_TRUE(plan) << plan.error().Text();
  EXPECT_THAT(plan->dropped, IsEmpty());
  EXPECT_EQ(plan->tensors.size(), made.size());
  for (const MlxPlan::Tensor& tensor : plan->tensors) {
    EXPECT_EQ(tensor.shape, ShapeIn(made[tensor.name][1])) << tensor.name;
    EXPECT_FALSE(tensor.plus_one) << tensor.name;
    uint64_t place = 0;
    for (const auto& [source, view] : tensor.parts) {
      EXPECT_EQ(source->info().name, tensor.name);
      const bool next =
          view.offset == place && view.row_stride == view.cols && view.col_stride == 1;
      EXPECT_TRUE(next) << tensor.name;
      place += view.rows * view.cols;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MlxRecord, testing::ValuesIn(Records()),
                         [](const auto& row) { return row.param; });

Model ZooModel(const std::string& name) {
  return *Model::Open((TestData() / "zoo" / name).string());
}

TEST(MlxPlan, StacksExpertsInTheOrderOfTheirNumbers) {
  const Model model = ZooModel("hf4_qwen3_moe");
  const auto plan = PlanForMlx(model);
  ASSERT_TRUE(plan) << plan.error().Text();
  EXPECT_EQ(plan->why_not_loaded, "");
  EXPECT_THAT(plan->dropped, IsEmpty());
  const auto stack = std::ranges::find(
      plan->tensors, "model.layers.0.mlp.switch_mlp.up_proj.weight", &MlxPlan::Tensor::name);
  ASSERT_NE(stack, plan->tensors.end());
  EXPECT_TRUE(stack->routed_experts);
  EXPECT_EQ(stack->module(), "model.layers.0.mlp.switch_mlp.up_proj");
  ASSERT_EQ(stack->parts.size(), stack->shape[0]);
  for (size_t e = 0; e < stack->parts.size(); ++e) {
    EXPECT_THAT(stack->parts[e].source->info().name,
                HasSubstr("mlp.experts." + std::to_string(e) + ".up_proj"));
  }
}

TEST(MlxPlan, SaysWhyMlxLmCannotLoadTheCheckpointAsItIs) {
  const std::map<std::string, std::string> reasons = {
      {"mlx_mixtral_q3_g32", ""},
      {"fp8_deepseek_v3", ""},
      {"hf5fused_mixtral", "no experts that lie as model.layers.0.mlp.experts.down_proj"},
      {"ct_w4a16_qwen3_moe", "stored as int4_g32"},
      {"npz_numpy_f16", "reads model*.safetensors"}};
  for (const auto& [name, part] : reasons) {
    const Model model = ZooModel(name);
    const auto plan = PlanForMlx(model);
    ASSERT_TRUE(plan) << name << ": " << plan.error().Text();
    EXPECT_EQ(plan->why_not_loaded.empty(), part.empty()) << name << ": " << plan->why_not_loaded;
    EXPECT_THAT(plan->why_not_loaded, HasSubstr(part)) << name;
  }
}

// Of one model, by the gguf package of llama.cpp.
TEST(MlxPlan, OfGgufIsThatOfTheCheckpointThatItWasMadeFrom) {
  const TempFolder folder;
  const auto zoo = TestData() / "zoo";
  copy(zoo / "gguf_qwen3moe_bf16_split", folder.path());
  auto config = *ParseLenientJson(ReadText(zoo / "hf4_qwen3_moe/config.json"), "config");
  config["torch_dtype"] = "bfloat16";  // else its norms would stay float32, as GGUF has them
  folder.Write("config.json", config.Text());
  const Model gguf = *Model::Open(folder.path().string()), hf = ZooModel("hf4_qwen3_moe");
  const auto of_gguf = PlanForMlx(gguf), of_hf = PlanForMlx(hf);
  ASSERT_TRUE(of_gguf) << of_gguf.error().Text();
  EXPECT_THAT(of_gguf->why_not_loaded, HasSubstr("no model-00001-of-00005.gguf"));
  ASSERT_EQ(of_gguf->tensors.size(), of_hf->tensors.size());
  for (size_t i = 0; i < of_hf->tensors.size(); ++i) {
    const MlxPlan::Tensor &a = of_gguf->tensors[i], &b = of_hf->tensors[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(std::tuple(a.shape, a.dtype, a.rule), std::tuple(b.shape, b.dtype, b.rule)) << a.name;
    const std::vector<float> values = ValuesOf(gguf, a), expected = ValuesOf(hf, b);
    for (size_t n = 0; n < expected.size(); ++n) {
      // Of float32, each library rounded by itself.
      ASSERT_NEAR(values[n], expected[n], std::abs(expected[n]) / 128) << a.name;
    }
  }
}

TEST(MlxPlan, OfGgufHasTheNamesAndShapesOfMlxLmsModel) {
  const TempFolder folder;
  const auto zoo = TestData() / "zoo";
  copy(zoo / "gguf_olmoe_mixed", folder.path());
  copy(zoo / "gptq_int3_olmoe/config.json", folder.path());  // of the same model
  const Model gguf = *Model::Open(folder.path().string());
  const auto plan = PlanForMlx(gguf);
  ASSERT_TRUE(plan) << plan.error().Text();
  const auto record =
      *ParseLenientJson(ReadText(TestData() / "mlx_modules/gptq_int3_olmoe.json"), "record");
  EXPECT_EQ(plan->tensors.size(), record["result"].size());
  for (const MlxPlan::Tensor& tensor : plan->tensors) {
    EXPECT_EQ(tensor.shape, ShapeIn(record["result"][tensor.name][1])) << tensor.name;
  }
}

TEST(MlxPlan, TellsOfFloat64WhichMlxHasNot) {
  const auto path = TestData() / "mlx_modules/mixtral.json";
  auto record = *ParseLenientJson(ReadText(path), path.string());
  record["tensors"]["model.norm.weight"] = Json::Array({"float64", Json::Array({128})});
  record["config"].erase("torch_dtype");
  const TempFolder folder;
  folder.Write("model.safetensors", FileOf(record["tensors"], true));
  folder.Write("config.json", record["config"].Text());
  const Model model = *Model::Open(folder.path().string());
  const auto plan = PlanForMlx(model);
  ASSERT_TRUE(plan) << plan.error().Text();
  EXPECT_THAT(plan->why_not_loaded, HasSubstr("no float64, which model.norm.weight is"));
  EXPECT_EQ(plan->tensors.back().name, "model.norm.weight");
  EXPECT_EQ(plan->tensors.back().dtype, DType::kF32);
}

TEST(MlxPlan, RefusesWhatMlxLmHasNoNamesFor) {
  EXPECT_THAT(PlanForMlx(ZooModel("hf4_dbrx")).error().Text(), HasSubstr("model_type dbrx"));
  EXPECT_THAT(PlanForMlx(ZooModel("gguf_glm4moe_f16_shared")).error().Text(), HasSubstr("GGUF"));
  EXPECT_THAT(PlanForMlx(ZooModel("hf4_qwen2_moe")).error().Text(), HasSubstr("layer 0"));
  EXPECT_THAT(PlanForMlx(ZooModel("hf5_lfm2_moe")).error().Text(), HasSubstr("lm_head.weight"));
}

}  // namespace
}  // namespace moe

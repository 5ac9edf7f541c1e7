// Every statement about a payload against every other (docs/formats.md, "What must agree"): a small
// module of each scheme, configs that agree with it, and one contradiction each of config,
// companion or shape. Values are zeros: only what headers tell decides here.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <map>

#include "base/test_json.h"
#include "codec/memory_file.h"

namespace moe {
namespace {

using testing::HasSubstr;

void Add(MemoryFile& file, const std::string& name, DType dtype,
         const std::vector<uint64_t>& shape) {
  uint64_t bits = DTypeBits(dtype);
  for (const uint64_t size : shape) bits *= size;
  file.Add(name, dtype, shape, std::vector<uint8_t>(bits / 8));
}

struct Part {
  const char* name;
  DType dtype;
  std::vector<uint64_t> shape;
};

MemoryFile Make(const std::vector<Part>& parts) {
  MemoryFile file;
  for (const Part& part : parts) {
    if (std::string_view(part.name) == "x.weight_shape") {
      file.Add(part.name, part.dtype, part.shape, std::vector<int64_t>{64, 128});
    } else {
      Add(file, part.name, part.dtype, part.shape);
    }
  }
  return file;
}

void AddState(MemoryFile& file, const std::string& type, const std::string& more) {
  const std::string text = R"({"quant_type": ")" + type +
                           R"(", "blocksize": 64, "dtype": "float16", "shape": [64, 128])" + more +
                           "}";
  file.Add("x.weight.quant_state.bitsandbytes__" + type, DType::kU8, {text.size()},
           std::vector<char>(text.begin(), text.end()));
}

constexpr DType kU8 = DType::kU8, kU32 = DType::kU32, kI32 = DType::kI32, kF16 = DType::kF16,
                kF32 = DType::kF32, kE4m3 = DType::kF8E4M3, kI8 = DType::kI8;

/// A matrix of 64 x 128 in each scheme; the payload first.
MemoryFile ModuleOfScheme(const std::string& scheme) {
  static const std::map<std::string, std::vector<Part>> kModules = {
      {"affine",
       {{"x.weight", kU32, {64, 16}}, {"x.scales", kF16, {64, 2}}, {"x.biases", kF16, {64, 2}}}},
      {"mlx_mxfp4", {{"x.weight", kU32, {64, 16}}, {"x.scales", kU8, {64, 4}}}},
      {"mlx_nvfp4",
       {{"x.weight", kU32, {64, 16}}, {"x.scales", kU8, {64, 8}}, {"x.global_scale", kF32, {}}}},
      {"gpt_oss", {{"x_blocks", kU8, {2, 64, 4, 16}}, {"x_scales", kU8, {2, 64, 4}}}},
      {"ct_int",
       {{"x.weight_packed", kI32, {64, 16}},
        {"x.weight_scale", kF16, {64, 4}},
        {"x.weight_shape", DType::kI64, {2}}}},
      {"ct_int_asym",
       {{"x.weight_packed", kI32, {64, 16}},
        {"x.weight_scale", kF16, {64, 4}},
        {"x.weight_shape", DType::kI64, {2}},
        {"x.weight_zero_point", kI32, {8, 4}}}},
      {"ct_int_ordered",
       {{"x.weight_packed", kI32, {64, 16}},
        {"x.weight_scale", kF16, {64, 4}},
        {"x.weight_shape", DType::kI64, {2}},
        {"x.weight_g_idx", kI32, {128}}}},
      {"ct_nvfp4",
       {{"x.weight_packed", kU8, {64, 64}},
        {"x.weight_scale", kE4m3, {64, 8}},
        {"x.weight_global_scale", kF32, {1}}}},
      {"ct_mxfp4", {{"x.weight_packed", kU8, {64, 64}}, {"x.weight_scale", kU8, {64, 4}}}},
      {"modelopt_nvfp4",
       {{"x.weight", kU8, {64, 64}},
        {"x.weight_scale", kE4m3, {64, 8}},
        {"x.weight_scale_2", kF32, {}}}},
      {"fp4_expert", {{"x.weight", kI8, {64, 64}}, {"x.scale", DType::kF8E8M0, {64, 4}}}},
      {"fp8_block", {{"x.weight", kE4m3, {64, 128}}, {"x.weight_scale_inv", kF32, {2, 4}}}},
      {"fp8_channel", {{"x.weight", kE4m3, {64, 128}}, {"x.weight_scale", kF32, {64, 1}}}},
      {"fp8_tensor", {{"x.weight", kE4m3, {64, 128}}, {"x.weight_scale", kF32, {1}}}},
      {"fp8_stack", {{"x.up_proj", kE4m3, {3, 64, 128}}, {"x.up_proj_scale_inv", kF32, {3, 2, 4}}}},
      {"fp8_columns", {{"x.up_proj", kE4m3, {3, 64, 128}}, {"x.up_proj_scale", kF32, {3, 1, 128}}}},
      {"mxfp8", {{"x.weight", kE4m3, {64, 128}}, {"x.weight_scale", kU8, {64, 4}}}},
      {"int8", {{"x.weight", kI8, {64, 128}}, {"x.weight_scale", kF32, {64, 1}}}},
      {"int8_asym",
       {{"x.weight", kI8, {64, 128}},
        {"x.weight_scale", kF32, {64, 1}},
        {"x.weight_zero_point", kI8, {64, 1}}}},
      {"bnb_int8", {{"x.weight", kI8, {64, 128}}, {"x.SCB", kF32, {64}}}},
      {"gptq",
       {{"x.qweight", kI32, {16, 64}},
        {"x.qzeros", kI32, {4, 8}},
        {"x.scales", kF16, {4, 64}},
        {"x.g_idx", kI32, {128}}}},
      {"gptq_in_order",
       {{"x.qweight", kI32, {16, 64}}, {"x.qzeros", kI32, {4, 8}}, {"x.scales", kF16, {4, 64}}}},
      {"awq",
       {{"x.qweight", kI32, {128, 8}}, {"x.qzeros", kI32, {4, 8}}, {"x.scales", kF16, {4, 64}}}},
      {"bnb4",
       {{"x.weight", kU8, {4096, 1}},
        {"x.weight.absmax", kF32, {128}},
        {"x.weight.quant_map", kF32, {16}}}},
  };
  MemoryFile file = Make(kModules.at(scheme));
  if (scheme == "bnb4") AddState(file, "nf4", "");
  return file;
}

Result<std::optional<Weight>> Find(const MemoryFile& file, const char* config) {
  TensorIndex tensors;
  tensors.Add(file);
  return FindWeight({&file, 0}, tensors, QuantConfig(AsJson(config)));
}

/// weights of compressed-tensors' only group, and other keys.
std::string Group(const std::string& weights, const std::string& format = "null") {
  return R"({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets":
      ["Linear"], "format": )" +
         format + R"(, "weights": )" + weights + "}}}";
}

struct Agreement {
  const char* scheme;
  std::string config;
  const char* storage;
};

const char* const kMxfp4 = R"({"group_size": 32, "bits": 4, "mode": "mxfp4"})";
const char* const kBlock32 = R"({"quant_method": "fp8", "weight_block_size": [32, 32]})";
const std::string kInt4 = Group(
    R"({"num_bits": 4, "type": "int", "group_size": 32, "strategy": "group", "symmetric": true})",
    R"("pack-quantized")");
const std::string kChannel8 =
    Group(R"({"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true})");
const std::string kInt8 =
    Group(R"({"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": true})");
const std::string kNvfp4 =
    Group(R"({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16})",
          R"("nvfp4-pack-quantized")");

const Agreement kAgree[] = {
    {"affine", R"({"group_size": 64, "bits": 4, "mode": "affine"})", "affine_q4_g64"},
    {"affine", R"({"group_size": 32, "bits": 8})", "affine_q8_g32"},
    {"affine", R"({"group_size": 64})", "affine_q4_g64"},
    {"affine", R"({"group_size": 32, "bits": 4, "mode": "mxfp4",
        "x": {"group_size": 64, "bits": 4}})",
     "affine_q4_g64"},
    {"mlx_mxfp4", kMxfp4, "mxfp4"},
    {"mlx_mxfp4", "null", "mxfp4"},
    {"mlx_nvfp4", R"({"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": true})",
     "nvfp4"},
    {"gpt_oss", R"({"quant_method": "mxfp4"})", "mxfp4"},
    {"ct_int", kInt4, "int4_g32"},
    {"ct_int", R"({"quant_method": "compressed-tensors", "ignore": ["x"], "config_groups":
        {"g": {"weights": {"num_bits": 8, "symmetric": false}}}})",
     "int4_g32"},
    {"ct_int_asym", Group(R"({"num_bits": 4, "symmetric": false})"), "int4_g32_asym"},
    {"ct_int_ordered", Group(R"({"num_bits": 4, "group_size": 32, "actorder": "group"})"),
     "int4_g32"},
    {"ct_int", R"({"quant_method": "compressed-tensors", "version": "0.19.0", "config_groups":
        {"g": {"weights": {"num_bits": 4, "actorder": "group"}}}})",
     "int4_g32"},
    {"ct_nvfp4", kNvfp4, "nvfp4"},
    {"ct_mxfp4",
     Group(R"({"num_bits": 4, "type": "float", "strategy": "group",
        "group_size": 32})",
           R"("mxfp4-pack-quantized")"),
     "mxfp4"},
    {"modelopt_nvfp4", R"({"quantization": {"quant_algo": "NVFP4", "group_size": 16}})", "nvfp4"},
    {"modelopt_nvfp4", R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "config_groups":
        {"group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}}})",
     "nvfp4"},
    {"fp4_expert", R"({"quant_method": "fp8", "weight_block_size": [128, 128],
        "expert_dtype": "fp4"})",
     "mxfp4"},
    {"fp8_block", kBlock32, "fp8_block32"},
    {"fp8_block", Group(R"({"num_bits": 8, "type": "float", "strategy": "block",
        "block_structure": [32, 32]})"),
     "fp8_block32"},
    {"fp8_block", Group(R"({"strategy": "block", "block_structure": "32x32"})"), "fp8_block32"},
    {"affine", R"({"group_size": 64.0, "bits": 4.0})", "affine_q4_g64"},
    {"gptq", R"({"quant_method": "gptq", "bits": 4, "sym": 0, "desc_act": 1})", "gptq_int4_g32"},
    {"fp8_stack", kBlock32, "fp8_block32"},
    {"fp8_channel", kChannel8, "fp8_channel"},
    {"fp8_channel", R"({"quant_method": "fbgemm_fp8"})", "fp8_channel"},
    {"fp8_tensor", R"({"quant_method": "modelopt", "quant_algo": "FP8"})", "fp8_tensor"},
    {"fp8_tensor", R"({"quant_method": "fp8", "fmt": "float8_e4m3fn"})", "fp8_tensor"},
    {"fp8_tensor", R"({"quant_method": "modelopt", "quant_algo": "FP8", "config_groups": {"group_0":
        {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float"}}}})",
     "fp8_tensor"},
    {"fp8_columns", R"({"quant_method": "fbgemm_fp8"})", "fp8_column"},
    {"fp8_columns", kChannel8, "fp8_column"},
    {"fp8_tensor", R"({"quant_method": "fp8", "weight_block_size": null})", "fp8_tensor"},
    {"mxfp8", R"({"quant_method": "mxfp8"})", "mxfp8"},
    {"mxfp8", kBlock32, "mxfp8"},
    {"int8", kInt8, "int8_channel"},
    {"int8_asym", Group(R"({"num_bits": 8, "symmetric": false})"), "int8_channel_asym"},
    {"bnb_int8", R"({"quant_method": "bitsandbytes", "load_in_8bit": true,
        "load_in_4bit": false})",
     "bnb_int8"},
    {"gptq", R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": true})",
     "gptq_int4_g32"},
    {"gptq_in_order", R"({"bits": 4, "group_size": 32, "desc_act": false})", "gptq_int4_g32"},
    {"gptq_in_order", R"({"quant_method": "gptq_marlin", "bits": 4, "group_size": 32})",
     "gptq_int4_g32"},
    {"awq", R"({"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": true})",
     "awq_int4_g32"},
    {"awq", R"({"quant_method": "awq_marlin", "bits": 4, "group_size": 32})", "awq_int4_g32"},
    // GPTQModel's words.
    {"awq", R"({"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": false,
        "version": "gemm", "format": "gemm", "checkpoint_format": "gemm", "desc_act": false,
        "pack_dtype": "int32"})",
     "awq_int4_g32"},
    {"gptq", R"({"quant_method": "gptq", "format": "gptq_v2", "checkpoint_format": "gptq_v2"})",
     "gptq_int4_g32"},
    {"gpt_oss", R"({"mode": "mxfp4", "bits": 4, "group_size": 32})", "mxfp4"},
    {"bnb4", R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": false})",
     "bnb_nf4"},
    // A method that no codec knows says nothing.
    {"fp8_tensor", R"({"quant_method": "new", "format": "newer"})", "fp8_tensor"},
};

TEST(Statements, ThatAgreeTakeThePayload) {
  for (const Agreement& row : kAgree) {
    const MemoryFile file = ModuleOfScheme(row.scheme);
    const auto found = Find(file, row.config.c_str());
    ASSERT_TRUE(found.has_value()) << row.scheme << row.config << found.error().Text();
    ASSERT_TRUE(found->has_value()) << row.scheme;
    EXPECT_EQ((*found)->storage, row.storage) << row.config;
  }
}

/// Header number `part`: none (0) is the payload's.
using Break = void (*)(MemoryFile&);
void Nothing(MemoryFile&) {}
template <size_t kPart>
void Lose(MemoryFile& file) {
  file.info(kPart).name = "lost";
}
template <size_t kPart, uint64_t... kShape>
void Reshape(MemoryFile& file) {
  file.info(kPart).shape = {kShape...};
}

struct Contradiction {
  const char* scheme;
  std::string config;
  Break breaks;
  const char *expected, *found;  // parts of the reason
};

const Contradiction kContradict[] = {
    // MLX: mode, bits, group_size, global_scale; scales, biases, global_scale
    {"mlx_mxfp4", kMxfp4, Reshape<1, 64, 8>, "mode mxfp4", "not nvfp4"},
    {"mlx_mxfp4", kMxfp4, Reshape<1, 64, 2>, "mode mxfp4", "not mxfp8"},
    {"mlx_mxfp4", R"({"group_size": 32, "bits": 4, "mode": "nvfp4"})", Nothing, "mode nvfp4",
     "not mxfp4"},
    {"mlx_mxfp4", R"({"group_size": 64, "bits": 4, "mode": "affine"})", Nothing, "mode affine",
     "not mxfp4"},
    {"mlx_mxfp4", R"({"group_size": 64, "mode": "mxfp4"})", Nothing, "group_size 64", "not 32"},
    {"mlx_mxfp4", R"({"bits": 8})", Nothing, "bits 8", "not 4"},
    {"mlx_mxfp4", R"({"mode": "mxfp4", "x": false})", Nothing, "quantized false", "x.scales"},
    {"mlx_mxfp4", R"({"quant_method": "gptq"})", Nothing, "quant_method gptq", "x.scales"},
    {"mlx_nvfp4", R"({"mode": "nvfp4", "global_scale": true})", Lose<2>, "global_scale true",
     "x.scales"},
    {"mlx_nvfp4", R"({"mode": "nvfp4", "x": {"mode": "nvfp4", "global_scale": true}})", Lose<2>,
     "global_scale true", "x.scales"},
    {"mlx_nvfp4", R"({"mode": "nvfp4", "global_scale": false})", Nothing, "global_scale false",
     "not true"},
    {"mlx_nvfp4", "null", Reshape<2, 3>, "one float32 global_scale", "[3]"},
    {"affine", R"({"group_size": 32, "bits": 4, "mode": "mxfp4"})", Nothing,
     "4 bits in groups of 32", "256 by the shapes (2 x 128, 4 x 64, 8 x 32)"},
    {"affine", R"({"group_size": 64, "bits": 4, "mode": "nvfp4"})", Nothing, "mode nvfp4",
     "not affine"},
    {"affine", R"({"group_size": 64, "bits": 3})", Nothing, "3 bits in groups of 64", "256"},
    {"affine", R"({"group_size": 64, "bits": 4})", Reshape<1, 64, 4>, "biases of their shape",
     "[64, 2]"},
    {"affine", "null", Nothing, "bits and group_size", "256"},
    {"affine", R"({"group_size": 64, "bits": 4})", Lose<2>, "x.biases", "x.scales"},
    // gpt-oss
    {"gpt_oss", R"({"quant_method": "gptq"})", Nothing, "quant_method gptq", "x_scales"},
    {"gpt_oss", "null", Reshape<1, 1, 64, 4>, "first three axes", "[1, 64, 4]"},
    {"gpt_oss", R"({"mode": "mxfp8"})", Nothing, "mode mxfp8", "not mxfp4"},
    {"gpt_oss", R"({"bits": 8})", Nothing, "bits 8", "not 4"},
    {"gpt_oss", R"({"group_size": 16})", Nothing, "group_size 16", "not 32"},
    // compressed-tensors' integers: method, format, type, num_bits, strategy, group_size,
    // symmetric, actorder; weight_scale, weight_shape, zero points, g_idx
    {"ct_int", kInt4, Reshape<1, 64, 1>, "64 x 4 for strategy group 32", "not 64 x 1"},
    {"ct_int", kInt4, Reshape<1, 64, 2>, "64 x 4 for strategy group 32", "not 64 x 2"},
    {"ct_int", kInt4, Reshape<1, 32, 4>, "weight_scale", "[32, 4]"},
    {"ct_int", Group(R"({"num_bits": 4, "strategy": "channel"})"), Nothing,
     "64 x 1 for strategy channel", "not 64 x 4"},
    {"ct_int", Group(R"({"num_bits": 4, "group_size": -1})"), Nothing, "64 x 1", "not 64 x 4"},
    {"ct_int", Group(R"({"num_bits": 4, "group_size": 128})"), Nothing, "64 x 1", "not 64 x 4"},
    {"ct_int", Group(R"({"num_bits": 4, "strategy": "block"})"), Nothing, "strategy block",
     "not 64 x 4"},
    {"ct_int", Group(R"({"strategy": "group", "group_size": 32, "block_structure": [16, 16]})"),
     Nothing, "block_structure 16 x 16", "not strategy group 32"},
    {"ct_int", Group(R"({"num_bits": 8})"), Nothing, "one packing of 8 bits", "16 words"},
    {"ct_int", Group(R"({"num_bits": 4, "type": "float"})"), Nothing, "type float", "not int"},
    {"ct_int", Group(R"({"num_bits": 4})", R"("nvfp4-pack-quantized")"), Nothing,
     "format nvfp4-pack-quantized", "not pack-quantized"},
    {"ct_int", R"({"quant_method": "awq"})", Nothing, "quant_method awq", "not compressed-tensors"},
    {"ct_int", Group(R"({"num_bits": 4, "symmetric": false})"), Nothing, "symmetric false",
     "without zero points"},
    {"ct_int_asym", kInt4, Nothing, "symmetric true", "with zero points"},
    {"ct_int_asym", "null", Reshape<3, 64, 4>, "weight_zero_point I32 [.., 8, 4]", "[64, 4]"},
    {"ct_int", R"({"version": "0.15.0", "config_groups": {"g": {"weights":
        {"num_bits": 4, "actorder": "group"}}}})",
     Nothing, "actorder group", "without weight_g_idx"},
    {"ct_int_ordered", Group(R"({"num_bits": 4, "actorder": "weight"})"), Nothing,
     "actorder not by group", "with weight_g_idx"},
    {"ct_int_ordered", "null", Reshape<3, 127>, "weight_g_idx I32 [128]", "[127]"},
    {"ct_int", R"({"mode": "affine", "bits": 4, "group_size": 32})", Nothing, "mode affine",
     "not compressed-tensors"},
    // floats of compressed-tensors and ModelOpt
    {"ct_nvfp4", kNvfp4, Reshape<1, 64, 1>, "scales [.., 64, 8]", "[64, 1]"},
    {"ct_nvfp4", kNvfp4, Lose<2>, "global scale", "none"},
    {"ct_nvfp4", kNvfp4, Reshape<2, 2>, "global scale", "[2]"},
    {"ct_nvfp4", Group(R"({"group_size": 32, "strategy": "group"})"), Nothing,
     "64 x 4 for strategy group 32", "not 64 x 8"},
    {"ct_nvfp4", Group(R"({"num_bits": 8, "type": "float"})"), Nothing, "bits 8", "not 4"},
    {"ct_nvfp4", Group(R"({"num_bits": 4, "type": "int"})"), Nothing, "type int", "not float"},
    {"ct_nvfp4", Group("{}", R"("mxfp4-pack-quantized")"), Nothing, "format mxfp4-pack-quantized",
     "not nvfp4-pack-quantized"},
    {"ct_nvfp4", R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})", Nothing,
     "quant_method modelopt", "not compressed-tensors"},
    {"ct_nvfp4", Group(R"({"num_bits": 4, "symmetric": false})"), Nothing, "symmetric false",
     "without zero points"},
    {"ct_mxfp4", kNvfp4, Nothing, "format nvfp4-pack-quantized", "not mxfp4-pack-quantized"},
    {"ct_mxfp4", Group(R"({"num_bits": 6, "type": "float"})"), Nothing, "bits 6", "not 4"},
    {"modelopt_nvfp4", R"({"quant_algo": "FP8"})", Nothing, "bits 8", "not 4"},
    {"modelopt_nvfp4", R"({"quant_algo": "NVFP4", "group_size": 32})", Nothing, "64 x 4",
     "not 64 x 8"},
    {"modelopt_nvfp4", R"({"quant_algo": "NVFP4"})", Lose<2>, "global scale", "none"},
    {"modelopt_nvfp4", R"({"quant_method": "compressed-tensors"})", Nothing,
     "quant_method compressed-tensors", "not modelopt"},
    {"fp4_expert", R"({"quant_method": "fp8", "expert_dtype": "fp8"})", Nothing, "expert_dtype fp8",
     "not fp4"},
    {"fp4_expert", R"({"quant_method": "fp8"})", Reshape<1, 64, 1>, "scales [.., 64, 4]",
     "[64, 1]"},
    // FP8: blocks, strategy, algorithm, fmt
    {"fp8_block", kBlock32, Reshape<1, 1, 1>, "2 x 4 for strategy block 32 x 32", "not 1 x 1"},
    {"fp8_block", kBlock32, Reshape<1, 64, 1>, "2 x 4 for strategy block 32 x 32", "not 64 x 1"},
    {"fp8_block", kBlock32, Reshape<1>, "2 x 4", "not 1 x 1"},
    {"fp8_block", R"({"quant_method": "fp8", "weight_block_size": [128, 128]})", Nothing, "1 x 1",
     "not 2 x 4"},
    {"fp8_block", R"({"quant_method": "fp8", "fmt": "e5m2"})", Nothing, "fmt e5m2", "not e4m3"},
    {"fp8_block", kChannel8, Nothing, "64 x 1 for strategy channel", "not 2 x 4"},
    {"fp8_stack", kBlock32, Reshape<1, 1, 2, 4>, "each of 3 matrices", "[1, 2, 4]"},
    {"fp8_stack", kBlock32, Reshape<1, 2, 2, 4>, "each of 3 matrices", "[2, 2, 4]"},
    {"fp8_stack", kBlock32, Reshape<1, 1>, "each of 3 matrices", "[1]"},
    {"fp8_stack", kBlock32, Reshape<1, 3, 1, 1>, "2 x 4", "not 1 x 1"},
    {"fp8_stack", kChannel8, Reshape<1, 1, 1, 1>, "each of 3 matrices", "[1, 1, 1]"},
    {"fp8_channel", kChannel8, Reshape<1, 1, 1>, "64 x 1 for strategy channel", "not 1 x 1"},
    {"fp8_channel", kBlock32, Nothing, "2 x 4", "not 64 x 1"},
    {"fp8_channel", Group(R"({"strategy": "tensor"})"), Nothing, "1 x 1 for strategy tensor",
     "not 64 x 1"},
    {"fp8_channel", kInt8, Nothing, "type int", "not float"},
    {"fp8_channel", Group(R"({"strategy": "block"})"), Nothing, "strategy block", "not 64 x 1"},
    {"fp8_channel", Group(R"({"strategy": "channel", "group_size": 32})"), Nothing, "group_size 32",
     "not strategy channel"},
    {"fp8_channel", Group(R"({"symmetric": false})"), Nothing, "symmetric false",
     "without zero points"},
    {"fp8_tensor", Group(R"({"strategy": "group"})"), Nothing, "strategy group", "not 1 x 1"},
    {"fp8_block", Group(R"({"strategy": "tensor", "block_structure": [32, 32]})"), Nothing,
     "block_structure 32 x 32", "not strategy tensor"},
    {"fp8_channel", Group(R"({"num_bits": 4, "type": "float"})"), Nothing, "bits 4", "not 8"},
    {"fp8_channel", R"({"quant_method": "gptq"})", Nothing, "quant_method gptq", "not fp8"},
    {"fp8_tensor",
     R"({"quant_algo": "NVFP4", "config_groups": {"g": {"weights": {"num_bits": 8,
        "type": "float"}}}})",
     Nothing, "one quant_algo and num_bits", "nvfp4 and 8"},
    {"fp8_tensor", R"({"quant_algo": "FP8_PB_WO"})", Reshape<1, 64, 1>, "1 x 1", "not 64 x 1"},
    {"fp8_channel", R"({"quant_algo": "FP8"})", Nothing, "1 x 1 for strategy tensor", "not 64 x 1"},
    {"fp8_columns", kChannel8, Reshape<1, 3, 1, 1>, "64 x 1 for strategy channel", "not 1 x 1"},
    {"fp8_channel", R"({"quant_method": "fbgemm_fp8"})", Reshape<1, 1>,
     "64 x 1 for strategy channel", "not 1 x 1"},
    {"mxfp8", R"({"quant_method": "mxfp8"})", Reshape<1, 64, 1>, "64 x 4 for strategy group 32",
     "not 64 x 1"},
    {"fp8_channel", kChannel8, [](MemoryFile& file) { file.info(1).dtype = kU8; },
     "float scales by channel", "[64, 1] float32"},
    {"fp8_tensor", R"({"quant_algo": "FP8"})",
     [](MemoryFile& file) { file.info(1).dtype = DType::kF8E8M0; }, "float scales by tensor",
     "[1] float32"},
    {"fp8_columns", "null", [](MemoryFile& file) { file.info(1).dtype = kU8; },
     "float scales by column", "[3, 1, 128]"},
    {"mxfp8", R"({"mode": "mxfp8", "bits": 8})", Nothing, "mode mxfp8", "not fp8"},
    // int8
    {"int8", kInt8, Reshape<1, 1, 1>, "64 x 1 for strategy channel", "not 1 x 1"},
    {"int8", Group(R"({"strategy": "tensor"})"), Nothing, "1 x 1 for strategy tensor",
     "not 64 x 1"},
    {"int8", Group(R"({"strategy": "group", "group_size": 32})"), Nothing, "64 x 4", "not 64 x 1"},
    {"int8", Group(R"({"num_bits": 4, "type": "int"})"), Nothing, "bits 4", "not 8"},
    {"int8", Group(R"({"num_bits": 8, "type": "float"})"), Nothing, "type float", "not int"},
    {"int8", Group(R"({"symmetric": false})"), Nothing, "symmetric false", "without zero points"},
    {"int8_asym", kInt8, Nothing, "symmetric true", "with zero points"},
    {"int8", Group("{}", R"("pack-quantized")"), Nothing, "format pack-quantized",
     "not int-quantized"},
    {"int8", R"({"quant_method": "bitsandbytes"})", Nothing, "quant_method bitsandbytes",
     "not compressed-tensors"},
    {"bnb_int8", R"({"quant_method": "bitsandbytes", "load_in_8bit": false})", Nothing,
     "load_in_8bit false", "not true"},
    {"bnb_int8", R"({"quant_method": "bitsandbytes", "load_in_4bit": true})", Nothing,
     "load_in_4bit true", "not false"},
    {"bnb_int8", kInt8, Nothing, "quant_method compressed-tensors", "not bitsandbytes"},
    // GPTQ and AWQ
    {"gptq", R"({"bits": 8, "group_size": 32})", Nothing, "bits 8", "not 4"},
    {"gptq", R"({"bits": 4, "group_size": 128})", Nothing, "64 x 1 for strategy group 128",
     "not 64 x 4"},
    {"gptq", R"({"bits": 4, "group_size": -1})", Nothing, "64 x 1", "not 64 x 4"},
    {"gptq", R"({"bits": 4})", Reshape<3, 127>, "X.g_idx I32 [128]", "[127]"},
    {"gptq", R"({"bits": 4})", Reshape<3, 129>, "X.g_idx I32 [128]", "[129]"},
    {"gptq", R"({"bits": 4, "desc_act": true})", Lose<3>, "X.g_idx I32 [128] (desc_act true",
     "none"},
    {"gptq", R"({"quant_method": "awq"})", Nothing, "awq", "fit neither"},
    {"awq", R"({"quant_method": "gptq"})", Nothing, "gptq", "fit neither"},
    {"awq", R"({"bits": 8})", Nothing, "bits 8", "not 4"},
    {"awq", R"({"group_size": 64})", Nothing, "64 x 2 for strategy group 64", "not 64 x 4"},
    {"awq", R"({"group_size": 32})", Reshape<2, 1, 64>, "4 groups", "X.scales 1"},
    {"awq", kInt4, Nothing, "compressed-tensors", "gptq, awq, auto-round"},
    {"gptq", R"({"mode": "affine", "bits": 4})", Nothing, "mode affine", "not none"},
    {"gptq", R"({"bits": 4, "is_marlin_format": true})", Nothing, "is_marlin_format true",
     "not false"},
    {"gptq", R"({"quant_method": "gptq", "format": "marlin"})", Nothing, "format 'marlin'",
     "gptq, gptq_v2"},
    {"gptq", R"({"quant_method": "gptq", "format": "gptq_v2", "checkpoint_format": "gptq"})",
     Nothing, "format gptq_v2", "not gptq"},
    {"gptq", R"({"quant_method": "auto-round", "packing_format": "auto_round:auto_awq"})", Nothing,
     "fit neither", "'awq'"},
    {"awq", R"({"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq"})", Nothing,
     "fit neither", "'gptq'"},
    {"awq", R"({"quant_method": "auto-round", "packing_format": "auto_round"})", Nothing,
     "fit neither", "'gptq'"},
    {"awq", R"({"quant_method": "awq", "format": "gemv"})", Nothing, "format 'gemv'", "gemm"},
    // bitsandbytes
    {"bnb4", R"({"quant_method": "bitsandbytes", "load_in_8bit": true})", Nothing,
     "load_in_8bit true", "not false"},
    {"bnb4", R"({"quant_method": "bitsandbytes", "bnb_4bit_quant_type": "fp4"})", Nothing,
     "bnb_4bit_quant_type fp4", "not nf4"},
    {"bnb4", R"({"quant_method": "bitsandbytes", "load_in_4bit": false})", Nothing,
     "load_in_4bit false", "not true"},
    {"bnb4", R"({"quant_method": "bitsandbytes", "bnb_4bit_use_double_quant": true})", Nothing,
     "bnb_4bit_use_double_quant true", "not false"},
    {"bnb4", R"({"quant_method": "gptq"})", Nothing, "quant_method gptq", "not bitsandbytes"},
    {"bnb4", "null", Reshape<1, 64>, "must have 128 of float32", "[64]"},
    {"bnb4", "null", Lose<3>, "X.weight.absmax", "no X.weight.quant_state"},
};

TEST(Statements, ThatContradictRefuseThePayloadWithBothSides) {
  for (const Contradiction& row : kContradict) {
    SCOPED_TRACE(fmt::format("{} {} {}", row.scheme, row.config, row.expected));
    MemoryFile file = ModuleOfScheme(row.scheme);
    row.breaks(file);
    const auto found = Find(file, row.config.c_str());
    ASSERT_FALSE(found.has_value());
    EXPECT_THAT(found.error().message, HasSubstr(row.expected));
    EXPECT_THAT(found.error().message, HasSubstr(row.found));
    EXPECT_EQ(found.error().where, fmt::format("tensor '{}'", file.tensors()[0].name));
  }
}

/// A value that is none of its key's kind can't agree with anything.
TEST(Statements, ThatCanNotBeReadRefuseThePayload) {
  const struct {
    const char *scheme, *config, *expected;
  } rows[] = {
      {"affine", R"({"bits": "8", "group_size": 64})", "bits, not \"8\" (quantization config)"},
      {"affine", R"({"bits": 4, "x": {"bits": 4, "group_size": "64"}})", "group_size, not \"64\""},
      {"mlx_mxfp4", R"({"mode": 4})", "mode, not 4"},
      {"mlx_nvfp4", R"({"global_scale": "yes"})", "global_scale, not \"yes\""},
      {"gpt_oss", R"({"bits": 4.5})", "bits, not 4.5"},
      {"gptq", R"({"bits": 4, "group_size": -2})", "group_size, not -2"},
      {"gptq", R"({"bits": 4, "group_size": 0})", "group_size, not 0"},
      {"gptq", R"({"bits": 4, "sym": "true"})", "sym, not \"true\""},
      {"gptq_in_order", R"({"bits": 4, "desc_act": "true"})", "desc_act"},
      {"awq", R"({"zero_point": []})", "zero_point, not []"},
      {"fp8_block", R"({"quant_method": "fp8", "weight_block_size": [32]})", "weight_block_size"},
      {"fp8_block", R"({"quant_method": "fp8", "weight_block_size": [-32, 32]})", "[-32,32]"},
      {"fp8_block", R"({"quant_method": "fp8", "weight_block_size": "32"})", "\"32\""},
      {"bnb4", R"({"quant_method": "bitsandbytes", "load_in_4bit": "no"})", "load_in_4bit"},
  };
  for (const auto& row : rows) {
    const auto found = Find(ModuleOfScheme(row.scheme), row.config);
    ASSERT_FALSE(found.has_value()) << row.config;
    EXPECT_THAT(found.error().message, HasSubstr("needs a readable "));
    EXPECT_THAT(found.error().message, HasSubstr(row.expected));
  }
  for (const char* weights :
       {R"({"num_bits": "8"})", R"({"symmetric": "no"})", R"({"group_size": {}})",
        R"({"strategy": 1})", R"({"block_structure": [0, 1]})"}) {
    EXPECT_FALSE(Find(ModuleOfScheme("int8"), Group(weights).c_str()).has_value()) << weights;
  }
  // AutoRound's, and null.
  EXPECT_TRUE(Find(ModuleOfScheme("fp8_tensor"),
                   R"({"quant_method": "auto-round", "bits": 8, "group_size": 0})"));
  EXPECT_TRUE(Find(ModuleOfScheme("fp8_block"),
                   R"({"quant_method": "auto-round", "bits": 8, "group_size": [32, 32]})"));
  EXPECT_TRUE(Find(ModuleOfScheme("fp8_tensor"),
                   R"({"quant_method": "fp8", "bits": null, "weight_block_size": null})"));
}

TEST(Statements, APlainWeightIsNotQuantizedByItsOwnEntry) {
  const MemoryFile plain = Make({{"x.weight", kF16, {64, 128}}});
  for (const char* config :
       {R"({"bits": 4, "x": {"bits": 8, "group_size": 64}})", R"({"bits": 4, "x": true})"}) {
    const auto found = Find(plain, config);
    ASSERT_FALSE(found.has_value()) << config;
    EXPECT_THAT(found.error().message, HasSubstr("needs scales as it is quantized (quantization "
                                                 "config, x), found none"));
  }
  for (const char* config :
       {R"({"bits": 4, "x": false})", R"({"bits": 4})",
        R"({"quant_method": "auto-round", "extra_config": {"x": {"bits": 16}}})"}) {
    EXPECT_TRUE(Find(plain, config).has_value()) << config;
  }
}

TEST(Statements, OfTwoGroupsForOneClassOneMustAgree) {
  const char* config = R"({"config_groups": {
      "a": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}},
      "b": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}}}})";
  EXPECT_TRUE(Find(ModuleOfScheme("ct_int"), config).has_value());
  EXPECT_TRUE(Find(ModuleOfScheme("fp8_channel"), config).has_value());
  EXPECT_FALSE(Find(ModuleOfScheme("fp8_block"), config).has_value());
}

/// desc_act and g_idx: what only the values tell.
TEST(Statements, OfGroupsInOrderHoldForTheValuesOfGIdx) {
  for (const bool in_order : {true, false}) {
    MemoryFile file = ModuleOfScheme("gptq_in_order");
    std::vector<int32_t> groups(128);
    for (int32_t i = 0; i < 128; ++i) groups[static_cast<size_t>(i)] = i / 32;
    if (!in_order) std::swap(groups[0], groups[127]);
    file.Add("x.g_idx", kI32, {128}, groups);
    const auto opened = [&](const char* config) { return OpenParts(**Find(file, config)); };
    EXPECT_TRUE(opened(R"({"bits": 4, "group_size": 32, "desc_act": true})").has_value());
    EXPECT_TRUE(opened(R"({"bits": 4, "group_size": 32})").has_value());
    EXPECT_TRUE(opened(R"({"bits": 4, "group_size": 32, "desc_act": false,
                           "act_group_aware": true})")
                    .has_value());
    const auto said = opened(R"({"bits": 4, "group_size": 32, "desc_act": false})");
    EXPECT_EQ(said.has_value(), in_order);
    if (!said) {
      EXPECT_THAT(said.error().message, HasSubstr("input 0 into group 3"));
    }
  }
}

/// Groups of as many inputs, and zero points that are as symmetric as the config says.
struct ValuesRow {
  const char *scheme, *config, *part;
  std::vector<int32_t> values;
  std::vector<uint64_t> shape;
  const char* refusal;  ///< part of it; null: it opens
};

std::vector<int32_t> Repeat(std::vector<int32_t> values, size_t times) {
  std::vector<int32_t> all;
  for (size_t i = 0; i < times; ++i) all.insert(all.end(), values.begin(), values.end());
  return all;
}

std::vector<int32_t> Words(uint32_t word, std::optional<uint32_t> last = std::nullopt) {
  std::vector<int32_t> words(32, static_cast<int32_t>(word));
  if (last) words.back() = static_cast<int32_t>(*last);
  return words;
}

TEST(Statements, OfGroupsAndZeroPointsHoldForTheirValues) {
  const char* const kActOrder = R"({"bits": 4, "group_size": 32, "desc_act": true})";
  const char* const kSym = R"({"bits": 4, "sym": true})";
  const char* const kAsym = R"({"bits": 4, "sym": false})";
  const char* const kV2 = R"({"bits": 4, "sym": true, "checkpoint_format": "gptq_v2"})";
  const char* const kV2Format = R"({"quant_method": "gptq", "format": "gptq_v2"})";
  const char* const kAwq = R"({"quant_method": "awq", "zero_point": false})";
  const char* const kAwqAsym = R"({"quant_method": "awq", "zero_point": true, "sym": true})";
  const char* const kByGroup =
      R"({"config_groups": {"g": {"weights": {"num_bits": 4, "actorder": "group"}}}})";
  const std::vector<int32_t> mixed = Repeat({0, 1, 2, 3}, 32);
  std::vector<int32_t> uneven = mixed, no_last = mixed, unset(128, -1), half_set = mixed;
  uneven[0] = 1;
  for (int32_t& group : no_last) group %= 3;
  half_set[5] = -1;
  const ValuesRow rows[] = {
      {"gptq_in_order", kActOrder, "x.g_idx", mixed, {128}, nullptr},
      {"gptq_in_order", kActOrder, "x.g_idx", Repeat({0}, 128), {128}, "group 0 of 4, found 128"},
      {"gptq_in_order", "null", "x.g_idx", Repeat({0}, 128), {128}, "needs 32 inputs"},
      {"gptq_in_order", kActOrder, "x.g_idx", uneven, {128}, "32 inputs in group 0 of 4, found 31"},
      {"gptq_in_order", kActOrder, "x.g_idx", no_last, {128}, "found 64"},
      {"ct_int", kByGroup, "x.weight_g_idx", mixed, {128}, nullptr},
      {"ct_int", kByGroup, "x.weight_g_idx", unset, {128}, nullptr},
      {"ct_int", kByGroup, "x.weight_g_idx", half_set, {128}, "below 4, not -1"},
      {"ct_int", kByGroup, "x.weight_g_idx", Repeat({0}, 128), {128}, "group 0 of 4, not 128"},
      {"ct_int", kByGroup, "x.weight_g_idx", uneven, {128}, "group 0 of 4, not 31"},
      {"gptq_in_order", kSym, "x.qzeros", Words(0x77777777), {4, 8}, nullptr},
      {"gptq_in_order", kSym, "x.qzeros", Words(0x77777777, 0x77777776), {4, 8}, "found several"},
      {"gptq_in_order", kSym, "x.qzeros", Words(0x33333333), {4, 8}, "points of 8 as it is sym"},
      {"gptq_in_order", kSym, "x.qzeros", Words(0x88888888), {4, 8}, "zero points are 9"},
      {"gptq_in_order", "null", "x.qzeros", Words(0x88888888), {4, 8}, "zero points are 9"},
      {"gptq_in_order", kAsym, "x.qzeros", Words(0x88888888), {4, 8}, nullptr},
      {"gptq_in_order", kAsym, "x.qzeros", Words(0x77777777, 1), {4, 8}, nullptr},
      {"gptq_in_order", kV2, "x.qzeros", Words(0x88888888), {4, 8}, nullptr},
      {"gptq_in_order", kV2Format, "x.qzeros", Words(0x88888888), {4, 8}, nullptr},
      {"gptq_in_order", kV2Format, "x.qzeros", Words(0x77777777), {4, 8}, "zero points are 7"},
      {"gptq_in_order", kV2, "x.qzeros", Words(0x88888888, 0x88888887), {4, 8}, "found several"},
      // AutoRound and GPTQModel write zero_point false of what is symmetric, with zero points of 8.
      {"awq", kAwq, "x.qzeros", Words(0x88888888), {4, 8}, nullptr},
      {"awq", kAwq, "x.qzeros", Words(0x88888888, 0x18888888), {4, 8}, "found several"},
      {"awq", kAwq, "x.qzeros", Words(0x77777777), {4, 8}, "points of 8 as it is sym"},
      {"awq", kAwqAsym, "x.qzeros", Words(0x77777777), {4, 8}, nullptr},
  };
  for (const ValuesRow& row : rows) {
    SCOPED_TRACE(fmt::format("{} {} {}", row.scheme, row.config, row.refusal ? row.refusal : "-"));
    MemoryFile file = ModuleOfScheme(row.scheme);
    if (std::string_view(row.part) == "x.qzeros") Lose<1>(file);
    file.Add(row.part, kI32, row.shape, row.values);
    const auto found = Find(file, row.config);
    ASSERT_TRUE(found.has_value()) << found.error().Text();
    const auto opened = OpenParts(**found);
    EXPECT_EQ(opened.has_value(), row.refusal == nullptr);
    if (!opened) {
      EXPECT_THAT(opened.error().message, HasSubstr(row.refusal ? row.refusal : ""));
    }
  }
}

TEST(Statements, OfTheGlobalScaleOfMlxHoldForItsValue) {
  for (const float value : {2.0f, 0.0f, -1.0f, HUGE_VALF, std::nanf("")}) {
    MemoryFile file = ModuleOfScheme("mlx_nvfp4");
    Lose<2>(file);
    file.Add("x.global_scale", kF32, {}, std::vector<float>{value});
    const auto found = Find(file, R"({"mode": "nvfp4", "global_scale": true})");
    ASSERT_TRUE(found.has_value()) << found.error().Text();
    EXPECT_EQ(OpenParts(**found).has_value(), value >= 0 && value < HUGE_VALF) << value;
  }
}

/// What a scheme has no use for would be left out of the values in silence.
TEST(Statements, CompanionsThatASchemeDoesNotUseRefuseThePayload) {
  const struct {
    const char* scheme;
    Part part;
  } rows[] = {
      {"affine", {"x.weight_scale", kF32, {64, 1}}},
      {"mlx_mxfp4", {"x.qzeros", kU8, {64, 4}}},
      {"mlx_nvfp4", {"x.weight_scale_2", kF32, {}}},
      {"gpt_oss", {"x_weight_scale", kF32, {2}}},
      {"ct_int", {"x.weight_global_scale", kF32, {1}}},
      {"ct_nvfp4", {"x.weight_zero_point", kI8, {64, 8}}},
      {"ct_mxfp4", {"x.weight_global_scale", kF32, {1}}},
      {"modelopt_nvfp4", {"x.weight_global_scale", kF32, {1}}},
      {"fp4_expert", {"x.weight_scale_inv", kU8, {64, 4}}},
      {"fp8_block", {"x.weight_scale", kF32, {64, 1}}},
      {"fp8_block", {"x.scale", kF32, {2, 4}}},
      {"fp8_channel", {"x.weight_scale_2", kF32, {}}},
      {"fp8_tensor", {"x.weight_zero_point", kI8, {1}}},
      {"fp8_stack", {"x.up_proj_scale", kF32, {3, 1, 1}}},
      {"int8", {"x.weight_g_idx", kI32, {128}}},
      {"bnb_int8", {"x.weight_scale", kF32, {64, 1}}},
      {"gptq", {"x.biases", kF16, {4, 64}}},
      {"awq", {"x.g_idx", kI32, {128}}},
      {"bnb4", {"x.SCB", kF32, {64}}},
  };
  for (const auto& row : rows) {
    MemoryFile file = ModuleOfScheme(row.scheme);
    const char* config = std::string_view(row.scheme) == "affine" ? R"({"bits": 4})" : "null";
    ASSERT_TRUE(Find(file, config).has_value()) << row.scheme;
    Add(file, row.part.name, row.part.dtype, row.part.shape);
    const auto found = Find(file, config);
    ASSERT_FALSE(found.has_value()) << row.scheme << row.part.name;
    EXPECT_THAT(found.error().message, HasSubstr("needs no other companions than"));
    EXPECT_THAT(found.error().message, HasSubstr(std::string("found ") + row.part.name + " ["));
  }
  MemoryFile harmless = ModuleOfScheme("fp8_tensor");
  for (const char* name : {"x.input_scale", "x.k_scale", "x.bias", "x.scale"}) {
    Add(harmless, name, kF32, {1});
  }
  EXPECT_TRUE(Find(harmless, "null").has_value());
}

// FP8, MLX, LLM.int8, ... cast to floats without their scales.
TEST(Statements, PlainWeightsHaveNoScales) {
  const std::vector<std::vector<Part>> kCast = {
      {{"x.weight", DType::kBF16, {64, 128}}, {"x.weight_scale_inv", kF32, {1, 1}}},
      {{"x.weight", kF16, {64, 128}}, {"x.weight_scale", kF32, {}}},
      {{"x.weight", kF32, {64, 128}}, {"x.qscale_weight", kF32, {1}}},
      {{"x.weight", kF16, {2, 64, 128}}, {"x.scales", kF16, {2, 64, 2}}},
      {{"x.weight", kF16, {64, 128}}, {"x.SCB", kF32, {64}}},
      {{"x.weight", kF16, {64, 128}}, {"x.scale", kF32, {1, 1}}},
      {{"x.down_proj", DType::kBF16, {2, 64, 128}}, {"x.down_proj_scale_inv", kF32, {2, 1, 1}}},
      {{"x.down_proj", DType::kBF16, {2, 64, 128}}, {"x.down_proj_scale", kF32, {2, 1, 1}}},
      {{"x.down_proj", DType::kBF16, {2, 64, 128}}, {"x.down_proj_scales", kU8, {2, 64, 4}}},
  };
  for (const std::vector<Part>& parts : kCast) {
    const auto found = Find(Make(parts), "null");
    ASSERT_FALSE(found.has_value()) << parts[1].name;
    EXPECT_THAT(found.error().Text(), HasSubstr("needs no scales"));
    EXPECT_THAT(found.error().Text(), HasSubstr(std::string("found ") + parts[1].name + " ["));
  }
}

TEST(Statements, CodebooksAreNoWeights) {
  for (const char* name : {"x.centroids.weight", "x.res_centroids.weight"}) {
    const auto found = Find(Make({{name, kF16, {1, 4096}}}), "null");
    ASSERT_FALSE(found.has_value());
    EXPECT_THAT(found.error().message, HasSubstr("codebook"));
  }
}

TEST(Statements, PlainWeightsMayHaveOtherNeighbours) {
  const std::vector<std::vector<Part>> kPlain = {
      {{"x.weight", kF32, {64}}, {"x.weight_scale", kF32, {1}}},
      {{"x.weight", kF16, {64, 128}}, {"x.scale", kF32, {64}}},
      {{"x.weight", kF16, {64, 128}}, {"x.input_scale", kF32, {1}}},
      {{"x.weight", kF16, {64, 128}}, {"x.k_scale", kF32, {1}}},
      {{"x.weight", kF16, {64, 128}}, {"y.weight_scale", kF32, {1}}},
  };
  for (const std::vector<Part>& parts : kPlain) {
    const auto found = Find(Make(parts), "null");
    ASSERT_TRUE(found.has_value() && found->has_value()) << parts[1].name;
    EXPECT_EQ((*found)->storage, DTypeName(parts[0].dtype));
  }
  const MemoryFile dense = Make({{"x.weight", kF16, {64, 128}}, {"x.weight_scale", kF16, {64, 1}}});
  EXPECT_TRUE(Find(dense, R"({"quant_method": "compressed-tensors", "format": "dense"})"));
}

}  // namespace
}  // namespace moe

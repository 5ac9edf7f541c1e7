// GGUF headers built by hand after checkpoints.md 8.1, and what must be refused of them.
#include "checkpoint/gguf.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "checkpoint/discovery.h"
#include "checkpoint/ggml_types.h"
#include "checkpoint/mutations.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::string Number(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string String(const std::string& text) { return Number<uint64_t>(text.size()) + text; }

std::string Text(const std::string& key, const std::string& value) {
  return String(key) + Number<uint32_t>(8) + String(value);
}

std::string Unsigned(const std::string& key, uint32_t value) {
  return String(key) + Number<uint32_t>(4) + Number(value);
}

std::string Tensor(const std::string& name, std::vector<uint64_t> ne, uint32_t type,
                   uint64_t offset) {
  std::string bytes = String(name) + Number(static_cast<uint32_t>(ne.size()));
  for (const uint64_t size : ne) bytes += Number(size);
  return bytes + Number(type) + Number(offset);
}

struct Parts {
  uint32_t version = 3;
  std::vector<std::string> pairs, tensors;
  size_t data_bytes = 0, alignment = 32;
};

std::string Build(const Parts& parts) {
  std::string bytes = "GGUF" + Number(parts.version) + Number<uint64_t>(parts.tensors.size()) +
                      Number<uint64_t>(parts.pairs.size());
  for (const std::string& pair : parts.pairs) bytes += pair;
  for (const std::string& tensor : parts.tensors) bytes += tensor;
  bytes.resize((bytes.size() + parts.alignment - 1) / parts.alignment * parts.alignment);
  for (size_t i = 0; i < parts.data_bytes; ++i) bytes += static_cast<char>(i);
  return bytes;
}

/// Two tensors, a Q8_0 stack {32, 2, 3} and a float vector, and a few keys.
Parts Good() {
  Parts parts;
  parts.pairs = {Text("general.architecture", "qwen3moe"), Unsigned("qwen3moe.expert_count", 3),
                 String("tags") + Number<uint32_t>(9) + Number<uint32_t>(8) + Number<uint64_t>(2) +
                     String("a") + String("b")};
  parts.tensors = {Tensor("blk.0.ffn_up_exps.weight", {32, 2, 3}, 8, 0),
                   Tensor("output_norm.weight", {5}, 0, 224)};  // 6 * 34 = 204, padded
  parts.data_bytes = 224 + 20;
  return parts;
}

Result<std::unique_ptr<TensorFile>> Open(const Parts& parts) {
  const TempFolder folder;
  return OpenTensorFile(folder.Write("model.gguf", Build(parts)));
}

TEST(Gguf, GivesTensorsInCOrderAndItsKeys) {
  const auto file = Open(Good());
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  const auto tensors = (*file)->tensors();
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_THAT(tensors[0].shape, ElementsAre(3, 2, 32));
  EXPECT_EQ(tensors[0].ggml_type, 8U);
  EXPECT_EQ(tensors[0].dtype_text, "Q8_0");
  EXPECT_EQ(tensors[0].nbytes, 204U);
  EXPECT_EQ(tensors[1].dtype, DType::kF32);
  EXPECT_EQ((*file)->metadata().at("general.architecture"), "\"qwen3moe\"");
  EXPECT_EQ((*file)->metadata().at("qwen3moe.expert_count"), "3");
  EXPECT_EQ((*file)->metadata().at("tags"), "[\"a\",\"b\"]");
  const auto bytes = (*file)->Bytes(1);
  ASSERT_EQ(bytes->data.size(), 20U);
  EXPECT_EQ(std::to_integer<int>(bytes->data[0]), 224);
}

TEST(Gguf, ReadsVersion2) {
  Parts parts = Good();
  parts.version = 2;
  EXPECT_TRUE(Open(parts).has_value());
}

TEST(Gguf, HonoursItsAlignment) {
  Parts parts = Good();
  parts.alignment = 64;
  parts.pairs.push_back(Unsigned("general.alignment", 64));
  parts.tensors[1] = Tensor("output_norm.weight", {5}, 0, 256);  // 204, padded to 64s
  parts.data_bytes = 256 + 20;
  const auto file = Open(parts);
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_EQ(std::to_integer<int>((*file)->Bytes(0)->data[1]), 1);
}

TEST(Gguf, LeavesLongArraysOut) {
  Parts parts = Good();
  std::string vocabulary =
      String("vocab") + Number<uint32_t>(9) + Number<uint32_t>(8) + Number<uint64_t>(2000);
  for (int i = 0; i < 2000; ++i) vocabulary += String("t");
  parts.pairs.push_back(vocabulary);
  const auto file = Open(parts);
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_FALSE((*file)->metadata().contains("vocab"));
}

TEST(Gguf, TypesThatAreUnknownTakeTheRoomUpToTheNextTensorOrTheEnd) {
  for (const uint32_t type : {4u, 137u}) {  // removed; of a fork
    Parts parts = Good();
    parts.tensors[0] = Tensor("blk.0.ffn_up_exps.weight", {32, 2, 3}, type, 0);
    parts.tensors[1] = Tensor("output_norm.weight", {5}, type, 96);
    const auto file = Open(parts);
    ASSERT_TRUE(file.has_value()) << file.error().Text();
    EXPECT_EQ((*file)->tensors()[0].nbytes, 96U);
    EXPECT_EQ((*file)->tensors()[1].nbytes, 148U);  // of 244
    EXPECT_EQ((*file)->tensors()[1].ggml_type, type);
    EXPECT_EQ(std::to_integer<int>((*file)->Bytes(1)->data[0]), 96);
  }
}

TEST(Gguf, BytesOfNamesThatAreNoUtf8AreEscaped) {
  Parts parts = Good();
  parts.tensors[0] = Tensor("blk.0.\xff", {32, 2, 3}, 8, 0);
  parts.pairs[0] = Text("general.architecture", "qwen3\xffmoe");
  const auto file = Open(parts);
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_EQ((*file)->tensors()[0].name, "blk.0.\\xff");
  EXPECT_EQ((*file)->metadata().at("general.architecture"), "\"qwen3\ufffdmoe\"");
  parts.tensors[1] = Tensor("blk.0.\\xff", {5}, 0, 224);
  EXPECT_FALSE(Open(parts).has_value());  // two of one name
}

struct Bad {
  const char* name;
  void (*spoil)(Parts& parts);
  ErrorCode code;
  const char* message;
};

const Bad kBad[] = {
    {"Version1", [](Parts& p) { p.version = 1; }, ErrorCode::kUnsupported, "version 1"},
    {"BigEndian", [](Parts& p) { p.version = 0x03000000; }, ErrorCode::kUnsupported, "big-endian"},
    {"DuplicateKey", [](Parts& p) { p.pairs.push_back(p.pairs[0]); }, ErrorCode::kMalformed,
     "stands twice"},
    {"EmptyKey", [](Parts& p) { p.pairs.push_back(Text("", "x")); }, ErrorCode::kMalformed,
     "empty key"},
    {"UnknownValueType", [](Parts& p) { p.pairs[0] = String("k") + Number<uint32_t>(13); },
     ErrorCode::kMalformed, "unknown type 13"},
    {"NestedArray",
     [](Parts& p) {
       p.pairs[0] = String("k") + Number<uint32_t>(9) + Number<uint32_t>(9) + Number<uint64_t>(0);
     },
     ErrorCode::kMalformed, "array of type 9"},
    {"HugeArray",
     [](Parts& p) {
       p.pairs[0] =
           String("k") + Number<uint32_t>(9) + Number<uint32_t>(0) + Number<uint64_t>(1ull << 40);
     },
     ErrorCode::kMalformed, "ends in the middle"},
    {"HugeString",
     [](Parts& p) { p.pairs[0] = String("k") + Number<uint32_t>(8) + Number<uint64_t>(~0ull); },
     ErrorCode::kMalformed, "ends in the middle"},
    {"Alignment", [](Parts& p) { p.pairs.push_back(Unsigned("general.alignment", 24)); },
     ErrorCode::kMalformed, "power of two"},
    {"AlignmentOfAnotherType",
     [](Parts& p) {
       p.pairs.push_back(String("general.alignment") + Number<uint32_t>(10) + Number<uint64_t>(32));
     },
     ErrorCode::kMalformed, "type 10, not u32"},
    {"AlignmentAsLongArray",
     [](Parts& p) {
       p.pairs.push_back(String("general.alignment") + Number<uint32_t>(9) + Number<uint32_t>(0) +
                         Number<uint64_t>(2000) + std::string(2000, 'x'));
     },
     ErrorCode::kMalformed, "type 9, not u32"},
    {"AlignmentZero", [](Parts& p) { p.pairs.push_back(Unsigned("general.alignment", 0)); },
     ErrorCode::kMalformed, "power of two"},
    {"DuplicateTensor", [](Parts& p) { p.tensors[1] = p.tensors[0]; }, ErrorCode::kMalformed,
     "stands twice"},
    {"FiveAxes", [](Parts& p) { p.tensors[0] = Tensor("x", {32, 1, 1, 1, 1}, 8, 0); },
     ErrorCode::kMalformed, "5 axes"},
    {"LongName", [](Parts& p) { p.tensors[0] = Tensor(std::string(64, 'x'), {32}, 8, 0); },
     ErrorCode::kMalformed, "63 bytes"},
    {"PartialBlock", [](Parts& p) { p.tensors[0] = Tensor("x", {33}, 8, 0); },
     ErrorCode::kMalformed, "no multiple"},
    {"UnknownTypeBehindTheNext", [](Parts& p) { p.tensors[0] = Tensor("x", {32}, 137, 448); },
     ErrorCode::kMalformed, "what follows it at"},
    {"UnknownTypeBehindTheFile",
     [](Parts& p) { p.tensors[1] = Tensor("x", {32}, 137, 1ull << 60); }, ErrorCode::kMalformed,
     "what follows it at"},
    {"HugeAxisOfNoElements", [](Parts& p) { p.tensors[1] = Tensor("x", {0, 1ull << 63}, 0, 224); },
     ErrorCode::kMalformed, "above the limit of 2^63 - 1"},
    {"Overflow", [](Parts& p) { p.tensors[0] = Tensor("x", {1ull << 32, 1ull << 32}, 0, 0); },
     ErrorCode::kMalformed, "overflows"},
    {"Offset", [](Parts& p) { p.tensors[1] = Tensor("x", {5}, 0, 192); }, ErrorCode::kMalformed,
     "expected 224"},
    {"CutData", [](Parts& p) { p.data_bytes -= 1; }, ErrorCode::kMalformed, "behind the file"},
};

class GgufRules : public testing::TestWithParam<Bad> {};

TEST_P(GgufRules, AreCheckedByName) {
  Parts parts = Good();
  GetParam().spoil(parts);
  const auto file = Open(parts);
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, GetParam().code) << file.error().Text();
  EXPECT_THAT(file.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, GgufRules, testing::ValuesIn(kBad),
                         [](const auto& row) { return row.param.name; });

TEST(Gguf, SurvivesEveryCutAndFlip) { ForEachMutation(Build(Good()), ".gguf"); }

TEST(Gguf, CountsThatNoFileCanHoldAreRefusedBeforeAnythingIsAllocated) {
  for (const size_t at : {8, 16}) {
    std::string bytes = Build(Good());
    bytes.replace(at, 8, Number<uint64_t>(1ull << 60));
    const TempFolder folder;
    const auto file = OpenTensorFile(folder.Write("model.gguf", bytes));
    ASSERT_FALSE(file.has_value());
    EXPECT_THAT(file.error().message, HasSubstr("can't hold"));
  }
}

/// The name that gguf gives the tensor's type.
std::string TypeName(const TensorInfo& info) {
  if (info.dtype == DType::kOpaque) return info.dtype_text;
  for (uint32_t id = 0; id < 64; ++id) {
    const auto type = FindGgmlType(id);
    if (type && type->dtype == info.dtype) return std::string(type->name);
  }
  return "";
}

// Every tensor that expected.json lists, by its type; and as many as it counts.
class GgufZoo : public testing::TestWithParam<const char*> {};

TEST_P(GgufZoo, HeadersSayWhatIsExpected) {
  const fs::path folder = TestData() / "zoo" / GetParam();
  const auto expected = JsonOfFile((folder / "expected.json"));
  std::map<std::string, TensorInfo> found;
  for (const auto& name : expected["files"].get<std::vector<std::string>>()) {
    const auto file = OpenTensorFile(folder / name);
    ASSERT_TRUE(file.has_value()) << file.error().Text();
    for (const TensorInfo& info : (*file)->tensors()) found[info.name] = info;
  }
  EXPECT_EQ(found.size(), expected["tensor_count"]);
  for (const auto& tensor : expected["other_tensors"]) {
    const TensorInfo& info = found[tensor["name"].text()];
    EXPECT_EQ(TypeName(info), tensor["dtype"]) << info.name;
    EXPECT_EQ(Json(info.shape), tensor["shape"]) << info.name;
  }
  for (const auto& matrix : expected["experts"]) {
    const TensorInfo& info = found[matrix["source_tensor"].text()];
    EXPECT_EQ(TypeName(info), matrix["storage_dtype"]) << info.name;
    ASSERT_GE(info.shape.size(), 2U) << info.name;
    EXPECT_EQ(info.shape[info.shape.size() - 2], matrix["rows"]) << info.name;
    EXPECT_EQ(info.shape.back(), matrix["cols"]) << info.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufZoo,
                         testing::Values("gguf_deepseek2_q8_0_shared", "gguf_glm4moe_f16_shared",
                                         "gguf_gpt_oss_mxfp4", "gguf_kquants", "gguf_olmoe_mixed",
                                         "gguf_qwen3moe_bf16_split"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Imatrix, IsNamedInBothItsForms) {
  const fs::path folder = TestData() / "zoo/imatrix_qwen3_moe";
  for (const char* name : {"imatrix.gguf", "imatrix.dat"}) {
    EXPECT_EQ(NoCheckpointReason(folder / name), "importance matrix (imatrix), not a checkpoint");
    const auto file = OpenTensorFile(folder / name);
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(file.error().message, "is an importance matrix (imatrix), not a checkpoint");
    EXPECT_FALSE(file.error().hint.empty());
  }
}

TEST(NoCheckpointReason, TellsKindsOfGgufFiles) {
  const TempFolder folder;
  EXPECT_EQ(NoCheckpointReason(folder.Write("x.dat", "no imatrix at all")), "");
  EXPECT_EQ(NoCheckpointReason(folder.Write("x.gguf", Build(Good()))), "");
  EXPECT_EQ(NoCheckpointReason(folder.Write("mmproj-x.gguf", Build(Good()))),
            "mmproj sidecar, a separate model");
  EXPECT_EQ(NoCheckpointReason(folder.Write("mtp-x.gguf", "")), "mtp sidecar, a separate model");
  Parts parts = Good();
  parts.pairs.push_back(Text("general.type", "adapter"));
  EXPECT_EQ(NoCheckpointReason(folder.Write("lora.gguf", Build(parts))),
            "adapter, not a checkpoint");
  EXPECT_EQ(Open(parts).error().message, "is an adapter, not a checkpoint");
  parts.pairs.back() = Text("general.type", "mmproj");
  EXPECT_EQ(Open(parts).error().message, "is a multimodal projector (mmproj), a separate model");
}

/// Writes part `number` of `count` parts, each with one tensor.
fs::path WritePart(const TempFolder& folder, const std::string& name, uint32_t number,
                   uint32_t count) {
  Parts parts;
  parts.pairs = {Unsigned("split.no", number), Unsigned("split.count", count)};
  parts.tensors = {Tensor("t" + std::to_string(number), {8}, 0, 0)};
  parts.data_bytes = 32;
  return folder.Write(name, Build(parts));
}

TEST(GgufSplit, AnyPartMeansAllParts) {
  const TempFolder folder;
  const fs::path first = WritePart(folder, "m-00001-of-00003.gguf", 0, 3);
  const fs::path third = WritePart(folder, "m-00003-of-00003.gguf", 2, 3);
  WritePart(folder, "n-00002-of-00003.gguf", 1, 3);    // of another model
  folder.Write("._m-00002-of-00003.gguf", "no GGUF");  // macOS
  const auto incomplete = PlanScan(third, {}, {});
  ASSERT_TRUE(incomplete.has_value() && incomplete->fault);
  EXPECT_EQ(incomplete->fault->code, ErrorCode::kNotFound);
  EXPECT_EQ(incomplete->fault->message, "1 of 3 shards is missing: m-00002-of-00003.gguf");
  const fs::path second = WritePart(folder, "m-00002-of-00003.gguf", 1, 3);
  for (const fs::path& part : {first, second, third}) {
    const auto plan = PlanScan(part, {}, {});
    ASSERT_TRUE(plan.has_value()) << plan.error().Text();
    EXPECT_THAT(plan->files, testing::ElementsAre(first, second, third));
    EXPECT_TRUE(plan->model_path_is_file);
  }
}

TEST(GgufSplit, KeepsGoingWithoutAFaultyFileWhenToldTo) {
  const TempFolder folder;
  const fs::path whole = folder.Write("a.gguf", Build(Good()));
  WritePart(folder, "b.gguf", 0, 2);
  const auto refused = PlanScan(folder.path(), {}, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().where, HasSubstr("b.gguf"));
  ScanOptions options;
  options.keep_going = true;
  const auto plan = PlanScan(folder.path(), options, {});
  ASSERT_TRUE(plan.has_value()) << plan.error().Text();
  EXPECT_THAT(plan->files, testing::ElementsAre(whole));
  ASSERT_EQ(plan->skipped.size(), 1u);
  EXPECT_THAT(plan->skipped[0].where, HasSubstr("b.gguf"));
}

TEST(GgufSplit, RefusesAPartWhoseKeysContradictItsName) {
  Parts parts = Good();
  parts.pairs.push_back(Unsigned("split.no", 1));
  parts.pairs.push_back(Unsigned("split.count", 3));
  const TempFolder folder;
  EXPECT_TRUE(OpenTensorFile(folder.Write("m-00002-of-00003.gguf", Build(parts))).has_value());
  const auto wrong = OpenTensorFile(folder.Write("m-00003-of-00003.gguf", Build(parts)));
  ASSERT_FALSE(wrong.has_value());
  EXPECT_THAT(wrong.error().message, HasSubstr("part 3 of 3"));
}

// Two parts of one tensor each; what is done to the second, and what a scan says of it.
struct SplitCase {
  const char* name;
  const char* second_name;
  uint32_t second_no, count, tensors;
  const char* message;  // "": nothing is wrong
};

const SplitCase kSplitCases[] = {
    {"Whole", "m-00002-of-00002.gguf", 1, 2, 2, ""},
    {"TooFewTensors", "m-00002-of-00002.gguf", 1, 2, 3, "says 3 tensors, the 2 parts hold 2"},
    {"WrongNumber", "m-00002-of-00002.gguf", 0, 2, 2, "its keys say part 0 (from 0) of 2"},
    {"WrongCount", "m-00002-of-00002.gguf", 1, 5, 2, "its keys say part 1 (from 0) of 5"},
    {"PastTheLast", "m-00003-of-00002.gguf", 2, 2, 2,
     "1 of 2 shards is missing: m-00002-of-00002.gguf"},
    {"Missing", "m.txt", 1, 2, 2, "1 of 2 shards is missing: m-00002-of-00002.gguf"},
};

class GgufSet : public testing::TestWithParam<SplitCase> {};

TEST_P(GgufSet, IsCheckedBeforeTheScan) {
  const SplitCase& test = GetParam();
  const TempFolder folder;
  const auto part = [&](const char* name, const char* tensor, uint32_t no, uint32_t count) {
    Parts parts;
    parts.pairs = {Unsigned("split.no", no), Unsigned("split.count", count),
                   Unsigned("split.tensors.count", test.tensors)};
    parts.tensors = {Tensor(tensor, {8}, 0, 0)};
    parts.data_bytes = 32;
    folder.Write(name, Build(parts));
  };
  part("m-00001-of-00002.gguf", "a", 0, 2);
  part(test.second_name, "b", test.second_no, test.count);
  const auto plan = PlanScan(folder.path(), {}, FindShardIndex(folder.path(), {}));
  const auto error = plan ? plan->fault : plan.error();
  ASSERT_EQ(error.has_value(), *test.message != '\0');
  if (!error) return;
  EXPECT_THAT(error->message, HasSubstr(test.message));
  const bool is_missing = std::string(test.message).find("is missing") != std::string::npos;
  EXPECT_EQ(error->code, is_missing ? ErrorCode::kNotFound : ErrorCode::kMalformed);
  EXPECT_THAT(error->where, HasSubstr(folder.path().string()));
}

INSTANTIATE_TEST_SUITE_P(All, GgufSet, testing::ValuesIn(kSplitCases),
                         [](const auto& test) { return test.param.name; });

TEST(GgufSplit, TellsAPartThatLostItsName) {
  Parts parts = Good();
  parts.pairs.push_back(Unsigned("split.count", 3));
  const TempFolder folder;
  const auto path = folder.Write("model.gguf", Build(parts));
  const auto plan = PlanScan(folder.path(), {}, {});
  ASSERT_FALSE(plan.has_value());
  EXPECT_THAT(plan.error().message, HasSubstr("one of 3 parts"));
  EXPECT_FALSE(PlanScan(path, {}, {}).has_value());  // a third of a model is no model
}

TEST(GgufSplit, RefusesANumberPastTheLast) {
  const TempFolder folder;
  for (const char* name : {"m-00003-of-00002.gguf", "m-00000-of-00002.gguf"}) {
    const auto file = OpenTensorFile(folder.Write(name, Build(Good())));
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error().code, ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace moe

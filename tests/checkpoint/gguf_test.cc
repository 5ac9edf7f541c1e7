// GGUF headers built by hand after formats.md 8.1, and what must be refused of them.
#include "checkpoint/gguf.h"

#include <gmock/gmock.h>

#include <cstring>
#include <fstream>

#include "checkpoint/ggml_types.h"
#include "checkpoint/mutations.h"

namespace moe {
namespace {

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
    {"RemovedType", [](Parts& p) { p.tensors[0] = Tensor("x", {32}, 4, 0); },
     ErrorCode::kUnsupported, "ggml type 4"},
    {"ForkType", [](Parts& p) { p.tensors[0] = Tensor("x", {256}, 137, 0); },
     ErrorCode::kUnsupported, "ggml type 137"},
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

TEST(Imatrix, IsNamedInBothItsForms) {
  const std::filesystem::path folder =
      std::filesystem::path(MOE_TEST_DATA) / "zoo/imatrix_qwen3_moe";
  for (const char* name : {"imatrix.gguf", "imatrix.dat"}) {
    EXPECT_EQ(NoCheckpointReason(folder / name), "importance matrix (imatrix), not a checkpoint");
    EXPECT_THAT(OpenTensorFile(folder / name).error().message, HasSubstr("imatrix"));
  }
  const TempFolder other;
  EXPECT_EQ(NoCheckpointReason(other.Write("x.dat", "no imatrix at all")), "");
  EXPECT_EQ(NoCheckpointReason(other.Write("x.gguf", Build(Good()))), "");
  EXPECT_EQ(NoCheckpointReason(other.Write("mmproj-x.gguf", Build(Good()))),
            "mmproj sidecar, a separate model");
}

TEST(GgufSplit, NamesTheFirstPartThatIsMissing) {
  const TempFolder folder;
  const auto first = folder.Write("m-00001-of-00003.gguf", "");
  EXPECT_EQ(MissingGgufPart(first), "m-00002-of-00003.gguf");
  folder.Write("m-00002-of-00003.gguf", "");
  folder.Write("m-00003-of-00003.gguf", "");
  EXPECT_EQ(MissingGgufPart(first), "");
  EXPECT_EQ(MissingGgufPart(folder.Write("model.gguf", "")), "");
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

}  // namespace
}  // namespace moe

#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "checkpoint/mutations.h"

namespace moe {
namespace {

using testing::HasSubstr;

std::string Framed(std::string_view header, size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

Result<std::unique_ptr<TensorFile>> OpenBytes(std::string_view bytes) {
  const TempFolder folder;
  return OpenSafetensors(*MappedFile::Open(folder.Write("a.safetensors", bytes)));
}

std::vector<int> Values(const TensorBytes& bytes) {
  std::vector<int> values;
  for (const std::byte value : bytes.data) values.push_back(std::to_integer<int>(value));
  return values;
}

// Headers that hold; the data section has `data_bytes` bytes.
struct GoodHeader {
  const char* name;
  std::string json;
  size_t data_bytes;
  size_t tensors;
};

std::string Nested(int levels) {
  return R"({"w":{"x":)" + std::string(levels, '[') + std::string(levels, ']') +
         R"(,"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
}

const GoodHeader kGoodHeaders[] = {
    {"Empty", "{}", 0, 0},
    {"NullMetadata", R"({"__metadata__":null})", 0, 0},
    {"StringMetadata", R"({"__metadata__":{"format":"mlx"}})", 0, 0},
    {"WhitespaceAround", " \t\r\n{}  \n", 0, 0},
    {"Scalar", R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4, 1},
    {"ZeroSizeAtTheEndOfTheHeader",
     R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
     R"("z":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}})",
     2, 2},
    {"ZeroBeforeHuge",
     R"({"w":{"dtype":"F32","shape":[0,9223372036854775808,8],"data_offsets":[0,0]}})", 0, 1},
    {"AnyJsonOrder",
     R"({"b":{"data_offsets":[2,3],"dtype":"U8","shape":[1]},)"
     R"("a":{"shape":[2],"data_offsets":[0,2],"dtype":"U8"}})",
     3, 2},
    {"Unaligned",
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
     5, 2},
    {"HalfBytes", R"({"w":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2, 1},
    {"UnknownDType", R"({"w":{"dtype":"F8_E3M4","shape":[3],"data_offsets":[0,7]}})", 7, 1},
    {"ExtraField",
     R"({"w":{"x":{"y":[1.5,null,{}]},"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, 1},
    {"NestedToTheLimit", Nested(125), 1, 1},
    {"EmptyName", R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, 1},
    {"NulInName", R"({"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, 1},
};

class SafetensorsGood : public testing::TestWithParam<GoodHeader> {};

TEST_P(SafetensorsGood, IsOpened) {
  const auto file = OpenBytes(Framed(GetParam().json, GetParam().data_bytes));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_EQ((*file)->tensors().size(), GetParam().tensors);
}

INSTANTIATE_TEST_SUITE_P(All, SafetensorsGood, testing::ValuesIn(kGoodHeaders),
                         [](const auto& test) { return test.param.name; });

// Each differs from a good one in one way; the data section has 8 bytes.
struct BrokenHeader {
  const char* name;
  std::string json;
  const char* expected_part;  // must occur in the error's text
};

std::string OneTensor(const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
  return R"({"w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

std::string TwoTensors(const char* second_name, const char* second_offsets) {
  return std::string(R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},")") + second_name +
         R"(":{"dtype":"U8","shape":[4],"data_offsets":)" + second_offsets + "}}";
}

std::string TenOverlapping() {
  std::string json = "{";
  for (char name = 'a'; name <= 'j'; ++name) {
    json += std::string(name == 'a' ? "" : ",") + '"' + name +
            R"(":{"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  }
  return json + "}";
}

std::string Shape65() {
  std::string shape = "[1";
  for (int i = 0; i < 64; ++i) shape += ",1";
  return shape + "]";
}

const BrokenHeader kBrokenHeaders[] = {
    {"NotJson", "{", "no valid JSON"},
    {"NoHeader", "", "no valid JSON"},
    {"BadUtf8", "\xff{}", "no valid JSON"},
    {"BadUtf8InAName", "{\"\xff\":1}", "UTF-8"},
    {"LoneSurrogate", R"({"\ud800":1})", "no valid JSON"},
    {"ByteOrderMark", "\xef\xbb\xbf{}", "byte order mark"},
    {"NulPadding", std::string("{}\0\0", 4), "NUL at its byte 2"},
    {"Comment", "{/**/}", "no valid JSON"},
    {"TrailingComma", R"({"__metadata__":null,})", "no valid JSON"},
    {"SecondDocument", "{}{}", "no valid JSON"},
    {"BareNan", R"({"w":NaN})", "no valid JSON"},
    {"RawControlCharacter", "{\"a\nb\":null}", "no valid JSON"},
    {"NotAnObject", "[]", "not an object"},
    {"NestedTooDeep", Nested(126), "deeper than 127 levels"},
    {"MetadataNumber", R"({"__metadata__":{"n":1}})", "`__metadata__` holds a number"},
    {"MetadataNested", R"({"__metadata__":{"n":{}}})", "`__metadata__` holds an object"},
    {"MetadataString", R"({"__metadata__":"x"})", "`__metadata__` is a string"},
    {"MetadataTwice", R"({"__metadata__":null,"__metadata__":null})", "twice"},
    {"MetadataKeyTwice", R"({"__metadata__":{"a":"","\u0061":""}})", "'a' twice"},
    {"EntryIsAnArray", R"({"w":["U8",[8],[0,8]]})", "is an array, not an object"},
    {"EntryIsNull", R"({"w":null})", "is null, not an object"},
    {"NoDType", R"({"w":{"shape":[8],"data_offsets":[0,8]}})", "has no `dtype`"},
    {"NoShape", R"({"w":{"dtype":"U8","data_offsets":[0,8]}})", "has no `shape`"},
    {"NoOffsets", R"({"w":{"dtype":"U8","shape":[8]}})", "has no `data_offsets`"},
    {"DTypeTwice", R"({"w":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
     "has `dtype` twice"},
    {"DTypeIsANumber", OneTensor("8", "[8]", "[0,8]"), "`dtype` is a number"},
    {"ShapeIsANumber", OneTensor(R"("U8")", "8", "[0,8]"), "`shape` is a number"},
    {"ShapeHoldsAString", OneTensor(R"("U8")", R"(["8"])", "[0,8]"), "`shape` holds a string"},
    {"ShapeHoldsAnArray", OneTensor(R"("U8")", "[[8]]", "[0,8]"), "`shape` holds an array"},
    {"Fraction", OneTensor(R"("U8")", "[8.0]", "[0,8]"), "holds 8.0"},
    {"Exponent", OneTensor(R"("U8")", "[8e0]", "[0,8]"), "holds 8e0"},
    {"Negative", OneTensor(R"("U8")", "[-8]", "[0,8]"), "holds -8"},
    {"NegativeZero", OneTensor(R"("U8")", "[8]", "[-0,8]"), "holds -0"},
    {"LeadingZero", OneTensor(R"("U8")", "[08]", "[0,8]"), "no valid JSON"},
    {"Above64Bits", OneTensor(R"("U8")", "[8]", "[0,18446744073709551616]"),
     "holds 18446744073709551616"},
    {"RankAbove64", OneTensor(R"("U8")", Shape65(), "[0,8]"), "more than 64 numbers"},
    {"OneOffset", OneTensor(R"("U8")", "[8]", "[0]"), "1 numbers instead of 2"},
    {"ThreeOffsets", OneTensor(R"("U8")", "[8]", "[0,8,8]"), "more than 2 numbers"},
    {"EndBeforeBegin", OneTensor(R"("F32")", "[2]", "[8,0]"), "ends before it begins"},
    {"ShapeNeedsMore", OneTensor(R"("F32")", "[3]", "[0,8]"), "needs 12 bytes, has 8"},
    {"ElementsOverflow", OneTensor(R"("U8")", "[2,18446744073709551614]", "[0,8]"),
     "more than 2^64 elements"},
    {"HugeBeforeZero", OneTensor(R"("U8")", "[9223372036854775808,9223372036854775808,0]", "[0,8]"),
     "more than 2^64 elements"},
    {"BitsOverflow", OneTensor(R"("U8")", "[2,9223372036854775807]", "[0,8]"),
     "more than 2^64 bits"},
    {"HalfAByte", OneTensor(R"("F4")", "[17]", "[0,8]"), "needs 68 bits, not whole bytes"},
    {"Hole", TwoTensors("x", "[5,9]"), "leaves a hole"},
    {"HoleAtTheStart", OneTensor(R"("U8")", "[7]", "[1,8]"), "leaves a hole"},
    {"Overlap", TwoTensors("x", "[3,7]"), "overlaps"},
    {"TenOverlapping", TenOverlapping(), "overlaps"},
    {"EndLeavesTheFile", OneTensor(R"("U8")", "[10]", "[0,10]"), "need 10 bytes of data"},
    {"TrailingBytes", OneTensor(R"("U8")", "[6]", "[0,6]"), "2 bytes follow the last tensor"},
    {"NameTwice", TwoTensors("w", "[4,8]"), "'w': stands in the header twice"},
    {"EscapedNameTwice", TwoTensors(R"(\u0077)", "[4,8]"), "'w': stands in the header twice"},
};

class SafetensorsBroken : public testing::TestWithParam<BrokenHeader> {};

TEST_P(SafetensorsBroken, IsRefusedWithTheReason) {
  const auto opened = OpenBytes(Framed(GetParam().json, 8));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(opened.error().Text(), HasSubstr(GetParam().expected_part));
  EXPECT_THAT(opened.error().where, HasSubstr("a.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(All, SafetensorsBroken, testing::ValuesIn(kBrokenHeaders),
                         [](const auto& test) { return test.param.name; });

struct BrokenFraming {
  const char* name;
  std::string bytes;
  const char* expected_part;
};

const BrokenFraming kBrokenFramings[] = {
    {"EmptyFile", "", "has 0 bytes"},
    {"SevenBytes", "1234567", "has 7 bytes"},
    {"OnlyALength", std::string("\x02\0\0\0\0\0\0\0", 8), "leaves the file"},
    {"LengthOneTooLong", std::string("\x03\0\0\0\0\0\0\0{}", 10), "header length 3 leaves"},
    {"HugeLength", std::string("\x3c\0\0\0\0\xff\xff\xff{}", 10), "above the limit"},
    {"LengthAboveTheLimit", std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10),
     "100000001 is above the limit of 100000000"},
    {"LengthAtTheLimit", std::string("\0\xe1\xf5\x05\0\0\0\0{}", 10), "leaves the file"},
    {"LfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
     "LFS pointer, not downloaded"},
};

class SafetensorsFraming : public testing::TestWithParam<BrokenFraming> {};

TEST_P(SafetensorsFraming, IsRefusedWithTheReason) {
  const auto opened = OpenBytes(GetParam().bytes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(opened.error().message, HasSubstr(GetParam().expected_part));
}

INSTANTIATE_TEST_SUITE_P(All, SafetensorsFraming, testing::ValuesIn(kBrokenFramings),
                         [](const auto& test) { return test.param.name; });

TEST(Safetensors, ListsTensorsByNameWithTheirOwnBytes) {
  const auto file = OpenBytes(Framed(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                     R"("a":{"dtype":"F16","shape":[1,2],"data_offsets":[2,6]}})",
                                     6));
  ASSERT_TRUE(file.has_value());
  const auto tensors = (*file)->tensors();
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].dtype_text, "float16");
  EXPECT_THAT(tensors[0].shape, testing::ElementsAre(1, 2));
  EXPECT_THAT(Values(*(*file)->Bytes(0)), testing::ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Values(*(*file)->Bytes(1)), testing::ElementsAre(0, 1));
}

TEST(Safetensors, BytesOutliveTheFile) {
  auto file = OpenBytes(Framed(OneTensor(R"("U8")", "[3]", "[0,3]"), 3));
  ASSERT_TRUE(file.has_value());
  const TensorBytes bytes = *(*file)->Bytes(0);
  file->reset();
  EXPECT_THAT(Values(bytes), testing::ElementsAre(0, 1, 2));
}

TEST(Safetensors, AnUnknownDTypeKeepsItsNameAndTheSizeOfItsOffsets) {
  const auto file = OpenBytes(Framed(OneTensor(R"("I4")", "[3]", "[0,5]"), 5));
  ASSERT_TRUE(file.has_value());
  const TensorInfo& tensor = (*file)->tensors()[0];
  EXPECT_EQ(tensor.dtype, DType::kOpaque);
  EXPECT_EQ(tensor.dtype_text, "I4");
  EXPECT_EQ(tensor.nbytes, 5u);
}

// First and last 16-bit word of lm_head.weight, by numpy:
//   h = json.loads(d[8:8+n])['lm_head.weight']; np.frombuffer(data[0:12800], np.uint16)[[0, -1]]
TEST(Safetensors, ReadsWhatTransformersWrote) {
  const auto file = OpenTensorFile(TestData() / "zoo/hf4_qwen3_moe/model.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  ASSERT_EQ((*file)->tensors().size(), 66u);
  const TensorInfo& first = (*file)->tensors().front();
  EXPECT_EQ(first.name, "lm_head.weight");
  EXPECT_EQ(first.dtype, DType::kBF16);
  EXPECT_THAT(first.shape, testing::ElementsAre(100, 64));
  const std::vector<int> bytes = Values(*(*file)->Bytes(0));
  ASSERT_EQ(bytes.size(), 12800u);
  EXPECT_EQ(bytes[0] + 256 * bytes[1], 0x3c9e);
  EXPECT_EQ(bytes[12798] + 256 * bytes[12799], 0xbc3f);
}

TEST(Safetensors, OpensEveryFileOfTheZoo) {
  size_t opened = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(TestData() / "zoo")) {
    if (entry.path().extension() != ".safetensors") continue;
    const auto file = OpenTensorFile(entry.path());
    EXPECT_TRUE(file.has_value()) << file.error().Text();
    ++opened;
  }
  EXPECT_GE(opened, 50u);
}

TEST(Safetensors, SurvivesEveryCutAndFlippedByte) {
  ForEachMutation(Framed(R"({"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},)"
                         R"("b":{"x":[1],"dtype":"U8","shape":[1],"data_offsets":[8,9]}})",
                         9),
                  ".safetensors");
}

}  // namespace
}  // namespace moe

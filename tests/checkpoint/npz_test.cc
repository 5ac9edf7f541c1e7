#include "checkpoint/npz.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "checkpoint/inflate.h"
#include "checkpoint/mutations.h"
#include "checkpoint/npy.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Little(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

/// An array file of version `major` with this header text and data.
std::string Npy(const std::string& header, const std::string& data, int major = 1) {
  return std::string("\x93NUMPY") + static_cast<char>(major) + '\0' +
         Little(header.size(), major == 1 ? 2 : 4) + header + data;
}

std::string Dict(const std::string& descr, const std::string& shape, const char* order = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

/// One member, and what its two records say about it where that is not the truth.
struct Member {
  std::string name, data;
  uint16_t method = 0, flags = 0;
  std::optional<uint32_t> crc = {}, bytes = {}, stored_bytes = {}, local_offset = {};
  std::optional<std::string> local_name = {};
};

std::string Record(const Member& member, uint32_t crc) {
  return Little(20, 2) + Little(member.flags, 2) + Little(member.method, 2) + Little(0, 4) +
         Little(member.crc.value_or(crc), 4) +
         Little(member.stored_bytes.value_or(static_cast<uint32_t>(member.data.size())), 4) +
         Little(member.bytes.value_or(static_cast<uint32_t>(member.data.size())), 4);
}

std::string Zip(const std::vector<Member>& members) {
  std::string file, directory;
  for (const Member& member : members) {
    const uint32_t crc = *Crc32(std::as_bytes(std::span(member.data)), {});
    const std::string local_name = member.local_name.value_or(member.name);
    directory += Little(0x02014b50, 4) + Little(20, 2) + Record(member, crc) +
                 Little(member.name.size(), 2) + std::string(12, '\0') +
                 Little(member.local_offset.value_or(static_cast<uint32_t>(file.size())), 4) +
                 member.name;
    file += Little(0x04034b50, 4) + Record(member, crc) + Little(local_name.size(), 2) +
            Little(0, 2) + local_name + member.data;
  }
  return file + directory + Little(0x06054b50, 4) + Little(0, 4) + Little(members.size(), 2) +
         Little(members.size(), 2) + Little(directory.size(), 4) + Little(file.size(), 4) +
         Little(0, 2);
}

Result<std::unique_ptr<TensorFile>> OpenBytes(std::string_view bytes) {
  const TempFolder folder;
  return OpenNpz(*MappedFile::Open(folder.Write("a.npz", bytes)));
}

template <class T>
std::vector<T> Values(const TensorFile& file, size_t index) {
  const auto bytes = file.Bytes(index);
  EXPECT_TRUE(bytes.has_value()) << bytes.error().Text();
  if (!bytes) return {};
  std::vector<T> values(bytes->data.size() / sizeof(T));
  std::memcpy(values.data(), bytes->data.data(), values.size() * sizeof(T));
  return values;
}

const std::string kArray = Npy(Dict("'|u1'", "(3,)"), "abc");

TEST(Npz, ListsTensorsInArchiveOrderWithoutTheSuffix) {
  const auto file = OpenBytes(Zip({{"z.npy", kArray}, {"folder/a.b.npy", kArray}}));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  ASSERT_EQ((*file)->tensors().size(), 2u);
  EXPECT_EQ((*file)->tensors()[0].name, "z");
  EXPECT_EQ((*file)->tensors()[1].name, "folder/a.b");
  EXPECT_EQ((*file)->tensors()[1].dtype_text, "uint8");
  EXPECT_THAT(Values<char>(**file, 1), ElementsAre('a', 'b', 'c'));
}

TEST(Npz, InventoriesOtherMembersAsOpaqueBytes) {
  const auto file = OpenBytes(Zip({{"readme.txt", "hello"}, {"folder/", ""}}));
  ASSERT_TRUE(file.has_value());
  ASSERT_EQ((*file)->tensors().size(), 1u);
  EXPECT_EQ((*file)->tensors()[0].name, "readme.txt");
  EXPECT_EQ((*file)->tensors()[0].dtype, DType::kOpaque);
  EXPECT_EQ((*file)->tensors()[0].nbytes, 5u);
}

TEST(Npz, RefusesOnlyTheBytesOfAnObjectArray) {
  const auto file =
      OpenBytes(Zip({{"o.npy", Npy(Dict("'|O'", "(1,)"), "\x80\x04pickle")}, {"a.npy", kArray}}));
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ((*file)->tensors()[0].dtype_text, "object");
  EXPECT_EQ((*file)->tensors()[0].nbytes, 8u);
  const auto bytes = (*file)->Bytes(0);
  ASSERT_FALSE(bytes.has_value());
  EXPECT_EQ(bytes.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(bytes.error().message, HasSubstr("pickle"));
  EXPECT_TRUE((*file)->Bytes(1).has_value());
}

struct BrokenArchive {
  const char* name;
  std::string bytes;
  const char* expected_part;
};

std::string WithoutLast(const std::string& text, size_t bytes) {
  return text.substr(0, text.size() - bytes);
}

std::string OnDisk2() {
  std::string zip = Zip({{"a.npy", kArray}});
  zip[zip.size() - 18] = 2;  // "number of this disk"
  return zip;
}

const BrokenArchive kBrokenArchives[] = {
    {"Empty", "", "not a zip file"},
    {"BarePickle", "\x80\x04\x95 garbage that is much longer than an end record", "not a zip file"},
    {"CutOff", WithoutLast(Zip({{"a.npy", kArray}}), 1), "not a zip file"},
    {"TrailingBytes", Zip({{"a.npy", kArray}}) + "x", "not a zip file"},
    {"PrefixedBytes", "x" + Zip({{"a.npy", kArray}}), "does not end at the end record"},
    {"SeveralDisks", OnDisk2(), "several disks"},
    {"Encrypted", Zip({{"a.npy", kArray, 0, 1}}), "encrypted"},
    {"Bzip2", Zip({{"a.npy", kArray, 12}}), "method 12 (bzip2)"},
    {"Lzma", Zip({{"a.npy", kArray, 14}}), "method 14 (LZMA)"},
    {"Zstd", Zip({{"a.npy", kArray, 93}}), "method 93 (zstd)"},
    {"UnknownMethod", Zip({{"a.npy", kArray, 77}}), "method 77 (unknown)"},
    {"NameTwice", Zip({{"a.npy", kArray}, {"a.npy", kArray}}), "two members called 'a.npy'"},
    {"TensorTwice", Zip({{"a.npy", kArray}, {"a", kArray}}), "'a': stands in the archive twice"},
    {"NameNotUtf8", Zip({{"\xff.npy", kArray}}), "not UTF-8"},
    {"OtherLocalName", Zip({{"a.npy", kArray, 0, 0, {}, {}, {}, {}, "b.npy"}}),
     "called 'b.npy' in its local header"},
    {"Overlap", Zip({{"a.npy", kArray}, {"b.npy", kArray, 0, 0, {}, {}, {}, 0, {}}}),
     "called 'a.npy' in its local header"},
    {"OverlapWithItsOwnName",
     Zip({{"a.npy", kArray, 0, 0, {}, 120, 120, {}, {}}, {"b.npy", kArray}}), "overlaps"},
    {"LeavesTheFile", Zip({{"a.npy", kArray, 0, 0, {}, 9999, 9999, {}, {}}}), "leave the"},
    {"LocalHeaderElsewhere", Zip({{"a.npy", kArray, 0, 0, {}, {}, {}, 1, {}}}),
     "no local header at byte 1"},
    {"StoredInTwoSizes", Zip({{"a.npy", kArray, 0, 0, {}, 5, {}, {}, {}}}), "is stored, but as"},
    {"Zip64FieldMissing", Zip({{"a.npy", kArray, 0, 0, {}, 0xffffffff, {}, {}, {}}}),
     "ZIP64 field is missing"},
    {"NotAnArray", Zip({{"a.npy", "plain text"}}), "does not start with"},
    {"PickleMember", Zip({{"a.npy", "\x80\x04pickle"}}), "is a pickle"},
    {"DeflateGarbage", Zip({{"a.npy", "\xff\xff\xff\xff", 8}}), "deflate stream is broken"},
};

class NpzBroken : public testing::TestWithParam<BrokenArchive> {};

TEST_P(NpzBroken, IsRefusedWithTheReason) {
  const auto opened = OpenBytes(GetParam().bytes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().Text(), HasSubstr(GetParam().expected_part));
  EXPECT_THAT(opened.error().where, HasSubstr("a.npz"));
}

INSTANTIATE_TEST_SUITE_P(All, NpzBroken, testing::ValuesIn(kBrokenArchives),
                         [](const auto& test) { return test.param.name; });

TEST(Npz, CallsWhatIsNoArchiveABadZipFile) {
  EXPECT_EQ(OpenBytes("garbage").error().TypeName(), "BadZipFile");
}

TEST(Npz, FindsAWrongChecksumWhenTheBytesAreRead) {
  const auto file = OpenBytes(Zip({{"a.npy", kArray, 0, 0, 0x12345678, {}, {}, {}, {}}}));
  ASSERT_TRUE(file.has_value());
  const auto bytes = (*file)->Bytes(0);
  ASSERT_FALSE(bytes.has_value());
  EXPECT_THAT(bytes.error().message, HasSubstr("not 12345678"));
}

// A deflate stream of one stored block (RFC 1951, 3.2.4) that holds `data`.
std::string Deflated(const std::string& data) {
  return '\x01' + Little(data.size(), 2) + Little(~data.size(), 2) + data;
}

Member DeflatedMember(const std::string& name, const std::string& data, uint32_t bytes) {
  return {name, Deflated(data), 8, 0, *Crc32(std::as_bytes(std::span(data)), {}), bytes, {}, {},
          {}};
}

TEST(Npz, InflatesOnceForAllWhoHoldTheBytes) {
  const auto file =
      OpenBytes(Zip({DeflatedMember("a.npy", kArray, static_cast<uint32_t>(kArray.size()))}));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  const TensorBytes first = *(*file)->Bytes(0);
  std::vector<const std::byte*> seen(4);
  std::vector<std::thread> threads;
  for (auto& data : seen) {
    threads.emplace_back([&data, &file] { data = (*file)->Bytes(0)->data.data(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(seen, testing::Each(first.data.data()));
  EXPECT_THAT(Values<char>(**file, 0), ElementsAre('a', 'b', 'c'));
}

TEST(Npz, StopsAMemberThatInflatesToMoreThanItSays) {
  const auto bytes = static_cast<uint32_t>(kArray.size());
  const auto file = OpenBytes(Zip({DeflatedMember("a.npy", kArray + "bomb", bytes)}));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  const auto read = (*file)->Bytes(0);
  ASSERT_FALSE(read.has_value());
  EXPECT_THAT(read.error().message, HasSubstr("inflates to more"));
}

TEST(Npz, RefusesAMemberThatInflatesToMoreThanItsHeaderNeeds) {
  const std::string padded = kArray + std::string(100, '\0');
  const auto file =
      OpenBytes(Zip({DeflatedMember("a.npy", padded, static_cast<uint32_t>(padded.size()))}));
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().message, HasSubstr("needs 3 bytes, has 103"));
}

TEST(Npz, ReadsWhatNumpyWroteToAPipe) {
  const auto file = OpenNpz(*MappedFile::Open(TestData() / "archives/streamed_deflated.npz"));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_THAT(Values<float>(**file, 0), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(Values<double>(**file, 1), ElementsAre(0.5, 1.5, 2.5, 3.5));
}

TEST(Npz, ReadsAZip64EndRecord) {
  const auto file = OpenNpz(*MappedFile::Open(TestData() / "archives/zip64_end.npz"));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_THAT(Values<float>(**file, 0), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT((*file)->tensors()[0].shape, ElementsAre(2, 3));
}

TEST(Npz, SurvivesEveryCutAndFlippedByte) {
  const std::string swapped = Npy(Dict("'>f4'", "(1, 1)", "True"), "1234");
  ForEachMutation(Zip({{"a.npy", kArray},
                       {"b.npy", swapped},
                       DeflatedMember("c.npy", kArray, static_cast<uint32_t>(kArray.size()))}),
                  ".npz");
  for (const char* archive : {"streamed_deflated.npz", "zip64_end.npz"}) {
    ForEachMutation(ReadText(TestData() / "archives" / archive), ".npz");
  }
}

// By numpy: f = np.load(...); len(f.files), f.files[0], f.files[-1], f[f.files[0]].shape
struct ZooArchive {
  const char* folder;
  size_t tensors;
  const char* first;
  const char* last;
  DType dtype;
  std::vector<uint64_t> first_shape;
  bool first_is_fortran;
};

const ZooArchive kZooArchives[] = {
    {"npz_numpy_f16",
     39,
     "lm_head.weight",
     "model.layers.1.self_attn.v_proj.weight",
     DType::kF16,
     {100, 64},
     false},
    {"npz_numpy_compressed_f32",
     25,
     "lm_head.weight",
     "model.norm.weight",
     DType::kF32,
     {100, 64},
     false},
    {"npz_mlx_savez_f16",
     41,
     "model.norm.weight",
     "model.layers.1.mlp.experts.3.up_proj.weight",
     DType::kF16,
     {64},
     true},
};

class NpzZoo : public testing::TestWithParam<ZooArchive> {};

TEST_P(NpzZoo, IsReadWithEveryChecksumRight) {
  const ZooArchive& zoo = GetParam();
  const auto file = OpenTensorFile(TestData() / "zoo" / zoo.folder / "weights.npz");
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  const auto tensors = (*file)->tensors();
  ASSERT_EQ(tensors.size(), zoo.tensors);
  EXPECT_EQ(tensors.front().name, zoo.first);
  EXPECT_EQ(tensors.back().name, zoo.last);
  EXPECT_EQ(tensors.front().shape, zoo.first_shape);
  EXPECT_EQ(tensors.front().fortran_order, zoo.first_is_fortran);
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(tensors[i].dtype, zoo.dtype);
    EXPECT_TRUE((*file)->Bytes(i).has_value()) << tensors[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, NpzZoo, testing::ValuesIn(kZooArchives),
                         [](const auto& test) { return test.param.folder; });

Result<NpyHeader> Parse(const std::string& file) {
  return ParseNpyHeader(std::as_bytes(std::span(file)), file.size(), "x.npy");
}

struct GoodArray {
  const char* name;
  std::string file;
  DType dtype;
  std::string dtype_text;
  std::vector<uint64_t> shape;
  bool fortran_order = false, byte_swapped = false, is_object = false;
};

const std::string kEight = "12345678";

const GoodArray kGoodArrays[] = {
    {"Version1", Npy(Dict("'<f4'", "(2,)"), kEight), DType::kF32, "float32", {2}},
    {"Version2", Npy(Dict("'<f4'", "(2,)"), kEight, 2), DType::kF32, "float32", {2}},
    {"Version3", Npy(Dict("'<f4'", "(2,)"), kEight, 3), DType::kF32, "float32", {2}},
    {"Scalar", Npy(Dict("'<f8'", "()"), kEight), DType::kF64, "float64", {}},
    {"NoElements", Npy(Dict("'<f8'", "(0, 7)"), ""), DType::kF64, "float64", {0, 7}},
    {"FortranOrder",
     Npy(Dict("'<f2'", "(2, 2)", "True"), kEight),
     DType::kF16,
     "float16",
     {2, 2},
     true},
    {"BigEndian", Npy(Dict("'>f4'", "(2,)"), kEight), DType::kF32, ">f4", {2}, false, true},
    {"BigEndianByte", Npy(Dict("'>i1'", "(8,)"), kEight), DType::kI8, "int8", {8}},
    {"NativeOrder", Npy(Dict("'=i8'", "(1,)"), kEight), DType::kI64, "int64", {1}},
    {"Bool", Npy(Dict("'|b1'", "(8,)"), kEight), DType::kBool, "bool", {8}},
    {"Complex", Npy(Dict("'<c8'", "(1,)"), kEight), DType::kC64, "complex64", {1}},
    {"MlTypesBFloat16", Npy(Dict("'<V2'", "(4,)"), kEight), DType::kBF16, "bfloat16", {4}},
    {"VoidBFloat16", Npy(Dict("'|V2'", "(4,)"), kEight), DType::kBF16, "bfloat16", {4}},
    {"SomeEightBitFloat", Npy(Dict("'<V1'", "(8,)"), kEight), DType::kOpaque, "|V1", {8}},
    {"Text", Npy(Dict("'<U2'", "(1,)"), kEight), DType::kOpaque, "<U2", {1}},
    {"Dates", Npy(Dict("'<M8[ns]'", "(1,)"), kEight), DType::kOpaque, "<M8[ns]", {1}},
    {"LongDouble", Npy(Dict("'<f16'", "(1,)"), kEight + kEight), DType::kOpaque, "<f16", {1}},
    {"Letter", Npy(Dict("'f'", "(2,)"), kEight), DType::kF32, "float32", {2}},
    {"LetterWithOrder", Npy(Dict("'<e'", "(4,)"), kEight), DType::kF16, "float16", {4}},
    {"BigEndianLetter", Npy(Dict("'>d'", "(1,)"), kEight), DType::kF64, ">f8", {1}, false, true},
    {"BoolLetter", Npy(Dict("'?'", "(8,)"), kEight), DType::kBool, "bool", {8}},
    {"Name", Npy(Dict("'float32'", "(2,)"), kEight), DType::kF32, "float32", {2}},
    {"NameOfC", Npy(Dict("'half'", "(4,)"), kEight), DType::kF16, "float16", {4}},
    {"PythonsFloat", Npy(Dict("'float'", "(1,)"), kEight), DType::kF64, "float64", {1}},
    {"NameWithOrder", Npy(Dict("'<float32'", "(2,)"), kEight), DType::kOpaque, "<float32", {2}},
    {"LongDoubleLetter", Npy(Dict("'g'", "(1,)"), kEight + kEight), DType::kOpaque, "g", {1}},
    {"NamedObject",
     Npy(Dict("'object'", "(5,)"), kEight),
     DType::kOpaque,
     "object",
     {5},
     false,
     false,
     true},
    {"Objects",
     Npy(Dict("'|O'", "(5,)"), kEight),
     DType::kOpaque,
     "object",
     {5},
     false,
     false,
     true},
    {"Structure",
     Npy(Dict("[('a', '<f4'), (('t', 'b'), '<f4', (1,))]", "(1,)"), kEight),
     DType::kOpaque,
     "[('a', '<f4'), (('t', 'b'), '<f4', (1,))]",
     {1}},
    {"StructureWithObjects",
     Npy(Dict("[('a', '|O')]", "(1,)"), kEight),
     DType::kOpaque,
     "object",
     {1},
     false,
     false,
     true},
    {"DoubleQuotesAndOtherOrder",
     Npy(R"({"shape": (1, 1,), "fortran_order": False, "descr": "<f8"})", kEight),
     DType::kF64,
     "float64",
     {1, 1}},
    {"Python2",
     Npy("{u'descr': b'<f4', 'fortran_order': False, 'shape': (1L, 2L), }", kEight),
     DType::kF32,
     "float32",
     {1, 2}},
    {"Mlx",
     Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, )}   \n", kEight),
     DType::kF32,
     "float32",
     {1, 2}},
};

class NpyGood : public testing::TestWithParam<GoodArray> {};

TEST_P(NpyGood, IsUnderstood) {
  const GoodArray& array = GetParam();
  const auto header = Parse(array.file);
  ASSERT_TRUE(header.has_value()) << header.error().Text();
  EXPECT_EQ(header->info.dtype, array.dtype);
  EXPECT_EQ(header->info.dtype_text, array.dtype_text);
  EXPECT_EQ(header->info.shape, array.shape);
  EXPECT_EQ(header->info.fortran_order, array.fortran_order);
  EXPECT_EQ(header->info.byte_swapped, array.byte_swapped);
  EXPECT_EQ(header->is_object, array.is_object);
  EXPECT_EQ(header->info.nbytes, array.file.size() - header->data_begin);
}

INSTANTIATE_TEST_SUITE_P(All, NpyGood, testing::ValuesIn(kGoodArrays),
                         [](const auto& test) { return test.param.name; });

const BrokenArchive kBrokenArrays[] = {
    {"Empty", "", "does not start with"},
    {"OnlyTheMagic", "\x93NUMPY", "ends within"},
    {"OnlyTheVersion", std::string("\x93NUMPY\x01\0", 8), "ends within"},
    {"HeaderCutOff", WithoutLast(Npy(Dict("'<f4'", "(2,)"), ""), 1), "ends within"},
    {"Version4", Npy(Dict("'<f4'", "(2,)"), kEight, 4), "npy version 4.0"},
    {"HeaderTooLong", Npy(std::string(10001, ' '), "", 2), "10001 bytes is above the limit"},
    {"NoDict", Npy("[]", ""), "no `{`"},
    {"UnclosedDict", Npy("{'descr': '<f4'", ""), "neither `,` nor `}`"},
    {"MissingKey", Npy("{'descr': '<f4', 'shape': (2,)}", kEight), "is missing"},
    {"ExtraKey", Npy("{'descr': '<f4', 'x': 1}", ""), "repeated key 'x'"},
    {"KeyTwice", Npy("{'descr': '<f4', 'descr': '<f4'}", ""), "repeated key 'descr'"},
    {"TextAfterTheDict", Npy(Dict("'<f4'", "(2,)") + "x", kEight), "text after"},
    {"OrderIsANumber", Npy(Dict("'<f4'", "(2,)", "0"), kEight), "neither True nor False"},
    {"ShapeIsANumber", Npy(Dict("'<f4'", "2"), kEight), "no tuple"},
    {"ShapeWithoutComma", Npy(Dict("'<f4'", "(2)"), kEight), "no tuple"},
    {"NegativeShape", Npy(Dict("'<f4'", "(-2,)"), kEight), "no tuple"},
    {"ShapeAbove64Bits", Npy(Dict("'<f4'", "(18446744073709551616,)"), kEight), "no tuple"},
    {"ElementsOverflow", Npy(Dict("'|u1'", "(4294967296, 4294967296)"), kEight), "over 2^64"},
    {"BytesOverflow", Npy(Dict("'<f8'", "(2305843009213693952,)"), kEight), "over 2^64"},
    {"TooFewBytes", Npy(Dict("'<f8'", "(2,)"), kEight), "needs 16 bytes, has 8"},
    {"TooManyBytes", Npy(Dict("'<f4'", "(1,)"), kEight), "needs 4 bytes, has 8"},
    {"NoDescr", Npy(Dict("''", "(2,)"), kEight), "no usable `descr`"},
    {"DeepDescr", Npy(Dict(std::string(5000, '['), "(2,)"), kEight), "no usable `descr`"},
};

class NpyBroken : public testing::TestWithParam<BrokenArchive> {};

TEST_P(NpyBroken, IsRefusedWithTheReason) {
  const auto header = Parse(GetParam().bytes);
  ASSERT_FALSE(header.has_value());
  EXPECT_THAT(header.error().message, HasSubstr(GetParam().expected_part));
}

INSTANTIATE_TEST_SUITE_P(All, NpyBroken, testing::ValuesIn(kBrokenArrays),
                         [](const auto& test) { return test.param.name; });

TEST(Npy, IsOneTensorNamedByTheStem) {
  const TempFolder folder;
  const auto file = OpenTensorFile(folder.Write("w.1.npy", kArray));
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  ASSERT_EQ((*file)->tensors().size(), 1u);
  EXPECT_EQ((*file)->tensors()[0].name, "w.1");
  EXPECT_THAT(Values<char>(**file, 0), ElementsAre('a', 'b', 'c'));
}

TEST(Npy, SurvivesEveryCutAndFlippedByte) { ForEachMutation(kArray, ".npy"); }

}  // namespace
}  // namespace moe

// Every container from bytes that are not mapped: the same tensors, and a clean error for each
// fault, wherever it lies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/test_files.h"
#include "checkpoint/containers.h"
#include "checkpoint/faulty_source.h"

namespace moe {
namespace {

using testing::HasSubstr;

struct Sample {
  const char* name;
  std::string path;
  std::string bytes;
};

std::string NpyOfBytes(size_t count) {
  std::string header =
      "{'descr': '|u1', 'fortran_order': False, 'shape': (" + std::to_string(count) + ",), }\n";
  std::string file("\x93NUMPY\x01\x00", 8);
  file += {static_cast<char>(header.size()), '\0'};
  file += header;
  for (size_t i = 0; i < count; ++i) file += static_cast<char>(i);
  return file;
}

Sample OfZoo(const char* name, const std::string& file) {
  const std::filesystem::path path = TestData() / "zoo" / file;
  return {name, path.string(), ReadText(path)};
}

std::vector<Sample> Samples() {
  return {OfZoo("Safetensors", "hf4_qwen3_moe/model.safetensors"),
          OfZoo("Gguf", "gguf_kquants/model.gguf"),
          OfZoo("NpzStored", "npz_numpy_f16/weights.npz"),
          OfZoo("NpzDeflated", "npz_numpy_compressed_f32/weights.npz"),
          {"Npy", "memory/m.npy", NpyOfBytes(1000)}};
}

Result<std::unique_ptr<TensorFile>> Open(const Sample& sample, ReadFault fault = {}) {
  return OpenContainer(std::make_shared<FaultySource>(sample.path, sample.bytes, fault));
}

std::string Text(const TensorBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data.data()), bytes.data.size()};
}

class UnmappedFile : public testing::TestWithParam<Sample> {};

TEST_P(UnmappedFile, GivesWhatTheMappedOneGives) {
  const Sample& sample = GetParam();
  if (sample.path.starts_with("memory")) GTEST_SKIP() << "there is no such file";
  const auto mapped = OpenTensorFile(sample.path), unmapped = Open(sample);
  ASSERT_TRUE(mapped.has_value()) << mapped.error().Text();
  ASSERT_TRUE(unmapped.has_value()) << unmapped.error().Text();
  ASSERT_EQ((*unmapped)->tensors().size(), (*mapped)->tensors().size());
  EXPECT_EQ((*unmapped)->metadata(), (*mapped)->metadata());
  for (size_t i = 0; i < (*mapped)->tensors().size(); ++i) {
    EXPECT_EQ((*unmapped)->tensors()[i].name, (*mapped)->tensors()[i].name);
    EXPECT_EQ((*unmapped)->tensors()[i].shape, (*mapped)->tensors()[i].shape);
    const auto bytes = (*unmapped)->Bytes(i);
    ASSERT_TRUE(bytes.has_value()) << bytes.error().Text();
    EXPECT_EQ(Text(*bytes), Text(*(*mapped)->Bytes(i)));
  }
}

/// Opens `sample` and reads all of it; each failure must be kIo and name the path. Returns how many
/// there were.
size_t FailuresUnder(const Sample& sample, ReadFault fault, const TensorFile& whole) {
  size_t failures = 0;
  const auto expect_clean = [&](const Error& error) {
    ++failures;
    EXPECT_EQ(error.code, ErrorCode::kIo) << error.Text();
    EXPECT_THAT(error.Text(), HasSubstr(sample.path));
  };
  const auto file = Open(sample, fault);
  if (!file) {
    expect_clean(file.error());
    return failures;
  }
  for (size_t i = 0; i < (*file)->tensors().size(); ++i) {
    const auto bytes = (*file)->Bytes(i);
    if (!bytes) {
      expect_clean(bytes.error());
    } else {
      EXPECT_EQ(Text(*bytes), Text(*whole.Bytes(i)));
    }
  }
  return failures;
}

std::vector<uint64_t> Offsets(uint64_t size) {
  constexpr uint64_t kEdge = 40, kPieces = 30;
  std::set<uint64_t> offsets;
  for (uint64_t i = 0; i < kEdge; ++i) offsets.insert({i, size - 1 - i});
  for (uint64_t i = 1; i < kPieces; ++i) offsets.insert(size / kPieces * i);
  return {offsets.begin(), offsets.end()};
}

TEST_P(UnmappedFile, ThatEndsEarlyIsACleanErrorWhereverItEnds) {
  const Sample& sample = GetParam();
  const auto whole = Open(sample);
  ASSERT_TRUE(whole.has_value());
  for (const uint64_t offset : Offsets(sample.bytes.size())) {
    SCOPED_TRACE(offset);
    EXPECT_GT(FailuresUnder(sample, {ReadFault::Kind::kEndsEarly, offset}, **whole), 0u);
  }
}

TEST_P(UnmappedFile, WithAByteThatCannotBeReadFailsOnlyWhereThatIsRead) {
  const Sample& sample = GetParam();
  const auto whole = Open(sample);
  ASSERT_TRUE(whole.has_value());
  for (const uint64_t offset : Offsets(sample.bytes.size())) {
    SCOPED_TRACE(offset);
    EXPECT_LE(FailuresUnder(sample, {ReadFault::Kind::kBrokenByte, offset}, **whole), 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(All, UnmappedFile, testing::ValuesIn(Samples()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(UnmappedFile, IsTriedOfEveryContainer) {
  std::set<std::string> tried, known;
  for (const Sample& sample : Samples()) {
    tried.insert(std::filesystem::path(sample.path).extension().string());
  }
  for (const Container& container : Containers()) known.emplace(container.suffix);
  EXPECT_EQ(tried, known);
}

TEST(ByteWindow, SeesAnyBytesInAnyOrder) {
  std::string bytes;
  for (size_t i = 0; i < 200'000; ++i) bytes += static_cast<char>(i % 251);
  const FaultySource source("x", bytes, {});
  ByteWindow window(source);
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 1}, {65'530, 20}, {199'999, 1}, {10, 190'000}, {131'071, 2}, {5, 0}}) {
    const auto seen = window.At(offset, size);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(seen.data()), seen.size()),
              bytes.substr(offset, size));
  }
  EXPECT_FALSE(window.fault().has_value());
}

}  // namespace
}  // namespace moe

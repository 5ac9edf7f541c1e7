#include "collect/sample_cache.h"

#include <gmock/gmock.h>

#include <thread>

#include "base/temp_folder.h"
#include "base/test_files.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

template <class T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// An .npy file, version 1.0, of the given header fields.
std::string Npy(const std::string& descr, const std::string& shape, const std::string& data) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize(117, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + data;
}

std::string NpyOf(const std::vector<int64_t>& values) {
  return Npy("<i8", "(" + std::to_string(values.size()) + ",)", Bytes(values));
}

// NumPy 2.4.6: default_rng(0).choice(20, 5, replace=False), and all bytes that numpy.save writes.
TEST(SampleCache, WritesWhatNumPyDrawsAsNumPySavesIt) {
  const TempFolder folder;
  SampleCache cache(folder.path() / "cache/sampled_indices", 5, 0);
  const auto indices = cache.Get(20);
  ASSERT_TRUE(indices.has_value()) << indices.error().Text();
  EXPECT_THAT(**indices, ElementsAre(5, 6, 9, 10, 13));  // ascending, to read them in order
  const fs::path path = folder.path() / "cache/sampled_indices/idx_N20_k5_seed0.npy";
  const std::string header = "\x93NUMPY\x01" + std::string("\0v\0", 3) +
                             "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }"
                             "                                                            \n";
  EXPECT_EQ(ReadText(path), header + Bytes<int64_t>({10, 9, 5, 6, 13}));
  EXPECT_THAT(cache.TakeWarnings(), IsEmpty());
}

// NumPy 2.4.6: the file of default_rng(0).choice(50000, 3000, replace=False) has 24128 bytes.
TEST(SampleCache, AlignsTheDataWhateverTheLengthOfTheHeader) {
  const TempFolder folder;
  for (const auto& [k, size] : {std::pair<uint64_t, uint64_t>{3000, 24128}, {10, 208}}) {
    ASSERT_TRUE(SampleCache(folder.path(), k, 0).Get(50000).has_value());
    const auto name = "idx_N50000_k" + std::to_string(k) + "_seed0.npy";
    EXPECT_EQ(fs::file_size(folder.path() / name), size);
  }
}

TEST(SampleCache, TakesTheWholeMatrixWhenItIsNotLargerThanTheSample) {
  const TempFolder folder;
  SampleCache cache(folder.path() / "cache", 20, 0);
  EXPECT_EQ(*cache.Get(20), nullptr);
  EXPECT_EQ(*cache.Get(19), nullptr);
  EXPECT_FALSE(fs::exists(folder.path() / "cache"));
  EXPECT_NE(*cache.Get(21), nullptr);
}

// Contract section 8: a test of the reference plants a sentinel.
TEST(SampleCache, UsesAFileThatIsThere) {
  const TempFolder folder;
  const fs::path path = folder.Write("idx_N1000_k4_seed7.npy", NpyOf({999, 1, 0, 500}));
  SampleCache cache(folder.path(), 4, 7);
  const auto indices = cache.Get(1000);
  ASSERT_TRUE(indices.has_value()) << indices.error().Text();
  EXPECT_THAT(**indices, ElementsAre(0, 1, 500, 999));
  EXPECT_EQ(ReadText(path), NpyOf({999, 1, 0, 500}));
  EXPECT_THAT(cache.TakeWarnings(), IsEmpty());
}

TEST(SampleCache, MakesAnUnfitFileAnewAndSaysSo) {
  const std::vector<int64_t> good = {10, 9, 5, 6, 13};
  const std::pair<const char*, std::string> unfit[] = {
      {"Empty", ""},
      {"NoNpy", "no .npy file"},
      {"Truncated", NpyOf(good).substr(0, 160)},
      {"TooShort", NpyOf({10, 9, 5, 6})},
      {"TooLong", NpyOf({10, 9, 5, 6, 13, 1})},
      {"Repeated", NpyOf({10, 9, 5, 5, 13})},
      {"Negative", NpyOf({10, 9, 5, -1, 13})},
      {"OutOfRange", NpyOf({10, 9, 5, 20, 13})},
      {"Int32", Npy("<i4", "(5,)", Bytes<int32_t>({10, 9, 5, 6, 13}))},
      {"Float", Npy("<f8", "(5,)", Bytes<double>({10, 9, 5, 6, 13}))},
      {"BigEndian", Npy(">i8", "(5,)", Bytes(good))},
      {"TwoDimensions", Npy("<i8", "(5, 1)", Bytes(good))},
      {"Scalar", Npy("<i8", "()", Bytes<int64_t>({3}))},
      {"Object", Npy("|O", "(5,)", Bytes(good))},
      {"HugeShape", Npy("<i8", "(4611686018427387904,)", Bytes(good))},
  };
  for (const auto& [name, bytes] : unfit) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    const fs::path path = folder.Write("idx_N20_k5_seed0.npy", bytes);
    SampleCache cache(folder.path(), 5, 0);
    const auto indices = cache.Get(20);
    ASSERT_TRUE(indices.has_value()) << indices.error().Text();
    EXPECT_THAT(**indices, ElementsAre(5, 6, 9, 10, 13));
    EXPECT_THAT(cache.TakeWarnings(),
                ElementsAre(AllOf(StartsWith("[sample] "), HasSubstr(path.string()))));
    EXPECT_EQ(ReadText(path), NpyOf(good));
    EXPECT_TRUE(cache.Get(20).has_value());
    EXPECT_THAT(cache.TakeWarnings(), IsEmpty());
  }
}

TEST(SampleCache, FailsWhereItCantWrite) {
  const TempFolder folder;
  folder.Write("cache");
  const auto indices = SampleCache(folder.path() / "cache", 5, 0).Get(20);
  ASSERT_FALSE(indices.has_value());
  EXPECT_EQ(indices.error().code, ErrorCode::kIo);
}

TEST(SampleCache, GivesAllThreadsTheSameIndices) {
  const TempFolder folder;
  SampleCache cache(folder.path(), 5, 0);
  std::vector<SampleCache::Indices> seen(8);
  std::vector<std::thread> threads;
  for (auto& indices : seen) threads.emplace_back([&] { indices = *cache.Get(20); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& indices : seen) EXPECT_EQ(indices, seen[0]);
}

}  // namespace
}  // namespace moe

#include "checkpoint/safetensors_writer.h"

#include <gtest/gtest.h>

#include <string>

#include "base/temp_folder.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string TextOf(const TensorFile& file, size_t index) {
  const TensorBytes read = file.Bytes(index).value();
  return {reinterpret_cast<const char*>(read.data.data()), read.data.size()};
}

std::vector<PlannedTensor> Three() {
  return {{"b", DType::kU8, {2, 3}}, {"a", DType::kBF16, {2}}, {"c", DType::kU32, {1, 1}}};
}

std::vector<std::string> NamesOf(const std::vector<SafetensorsPlan>& files) {
  std::vector<std::string> names;
  for (const SafetensorsPlan& file : files) names.push_back(file.name);
  return names;
}

TEST(SafetensorsPlan, CutsBeforeATensorThatDoesNotFit) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(NamesOf(PlanSafetensors(Three())), Names({"model.safetensors"}));
  EXPECT_EQ(NamesOf(PlanSafetensors(Three(), 14)), Names({"model.safetensors"}));
  const auto two = PlanSafetensors(Three(), 10);
  EXPECT_EQ(NamesOf(two),
            Names({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}));
  EXPECT_EQ(two[1].first, 2u);
  EXPECT_EQ(two[1].size, two[1].header.size() + 4);
  EXPECT_EQ(PlanSafetensors(Three(), 1).size(), 3u);  // a tensor is never split
  EXPECT_EQ(two[0].header.size() % 8, 0u);
}

TEST(SafetensorsWriter, PiecesInAnyOrderMakeFilesThatCanBeRead) {
  const TempFolder folder;
  const auto plans = PlanSafetensors(Three(), 10);
  auto writer = SafetensorsWriter::Open(folder.path(), plans);
  ASSERT_TRUE(writer.has_value()) << writer.error().Text();
  ASSERT_TRUE((*writer)->Write(2, 0, Bytes("wxyz")));
  ASSERT_TRUE((*writer)->Write(0, 4, Bytes("56")));
  ASSERT_TRUE((*writer)->Write(0, 0, Bytes("1234")));
  ASSERT_TRUE((*writer)->Write(1, 0, Bytes("abcd")));
  std::string read(3, ' ');
  ASSERT_TRUE((*writer)->Read(0, 2, std::as_writable_bytes(std::span(read))));
  EXPECT_EQ(read, "345");
  ASSERT_TRUE((*writer)->Finish());
  const auto first = OpenTensorFile(folder.path() / plans[0].name);
  ASSERT_TRUE(first.has_value()) << first.error().Text();
  ASSERT_EQ((*first)->tensors().size(), 2u);  // sorted by name
  EXPECT_EQ((*first)->tensors()[0].name, "a");
  EXPECT_EQ((*first)->tensors()[1].shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(TextOf(**first, 0), "abcd");
  EXPECT_EQ(TextOf(**first, 1), "123456");
  const auto second = OpenTensorFile(folder.path() / plans[1].name);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(TextOf(**second, 0), "wxyz");
}

TEST(SafetensorsWriter, WhatAnEarlierWriterLeftStays) {
  const TempFolder folder;
  const auto plans = PlanSafetensors(Three());
  {
    const auto writer = SafetensorsWriter::Open(folder.path(), plans);
    ASSERT_TRUE((*writer)->Write(0, 0, Bytes("123456")));
  }
  const auto writer = SafetensorsWriter::Open(folder.path(), plans);
  std::string read(6, ' ');
  ASSERT_TRUE((*writer)->Read(0, 0, std::as_writable_bytes(std::span(read))));
  EXPECT_EQ(read, "123456");
}

TEST(SafetensorsWriter, AFullDiskIsToldBeforeAnythingIsWritten) {
  const TempFolder folder;
  const std::vector<PlannedTensor> huge = {{"w", DType::kU8, {uint64_t{1} << 60}}};
  const auto writer = SafetensorsWriter::Open(folder.path(), PlanSafetensors(huge));
  ASSERT_FALSE(writer.has_value());
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
  EXPECT_NE(writer.error().message.find("are free"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const auto nowhere = SafetensorsWriter::Open(folder.path() / "none", PlanSafetensors(Three()));
  EXPECT_EQ(nowhere.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace moe

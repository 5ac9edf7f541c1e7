#include "collect/tensor_counts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/test_files.h"
#include "base/test_json.h"
#include "collect/tensor_rows.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

const fs::path kZoo = TestData() / "zoo";

TEST(TensorCounts, CountsEveryTensorInOneRole) {
  const fs::path file = kZoo / "hf4_qwen2_moe/model.safetensors";
  const auto model = Model::Open(file.string());
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  TensorCounts counts;
  for (const ModelTensor& tensor : model->tensors()) counts.Add(tensor);
  RoleTotals sum;
  for (const RoleTotals& role : counts.Roles()) {
    sum.tensors += role.tensors;
    sum.bytes += role.bytes;
  }
  const auto expected = JsonOfFile((file.parent_path() / "expected.json"));
  EXPECT_EQ(sum.tensors, counts.observed);
  EXPECT_EQ(counts.observed, expected["tensor_count"]);
  uint64_t elements = 0, bytes = 0;
  for (const auto& matrix : expected["experts"]) {
    elements += matrix["rows"].get<uint64_t>() * matrix["cols"].get<uint64_t>();
  }
  for (uint64_t i = 0; i < model->matrices(); ++i) bytes += model->matrix(i).stored_bytes();
  EXPECT_EQ(counts.planned_parameters, elements);
  EXPECT_EQ(counts.ExpertParameters(), elements);
  EXPECT_EQ(bytes, 2 * elements);  // bfloat16
  EXPECT_EQ(counts.unmatched, 0u);
}

TEST(InventoryRow, LeavesIndexColumnsNullWithoutAnIndex) {
  const auto model = Model::Open((kZoo / "hf4_mixtral/model.safetensors").string());
  const Row row =
      TensorInventoryTable().RowOf(InventoryRowOf(model->tensors().front(), IndexSummary()));
  const TableSchema schema = TensorInventoryTable().Schema();
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    const bool of_index =
        schema.columns[i].name == "in_index" || schema.columns[i].name == "index_shard";
    EXPECT_EQ(row.at(i).index() == 0, of_index) << schema.columns[i].name;
  }
}

}  // namespace
}  // namespace moe

#include "codec/zoo_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/test_files.h"
#include "base/test_json.h"
#include "checkpoint/containers.h"
#include "codec/companions.h"

namespace moe {
namespace {

/// Compares the sums of `matrix` with those of its entry `expected`, to 1e-6 of what sums add up.
void ExpectSums(const MatrixSource& matrix, const Json& expected) {
  const uint64_t rows = matrix.rows(), cols = matrix.cols();
  ASSERT_EQ(rows, expected["rows"].get<uint64_t>());
  ASSERT_EQ(cols, expected["cols"].get<uint64_t>());
  std::vector<float> values(rows * cols);
  ASSERT_TRUE(matrix.Read({0, 0, rows, cols}, values.data()).has_value());
  double sum = 0, sum_sq = 0, max_abs = 0, by_row = 0, by_col = 0, size = 0;
  for (uint64_t i = 0; i < values.size(); ++i) {
    const double x = values[i];
    sum += x;
    sum_sq += x * x;
    size += std::abs(x);
    max_abs = std::max(max_abs, std::abs(x));
    by_row += static_cast<double>(i / cols + 1) * x;
    by_col += static_cast<double>(i % cols + 1) * x;
  }
  EXPECT_NEAR(sum, expected["sum"].get<double>(), 1e-6 * size);
  EXPECT_NEAR(sum_sq, expected["sum_sq"].get<double>(), 1e-6 * sum_sq);
  EXPECT_NEAR(max_abs, expected["max_abs"].get<double>(), 1e-6 * max_abs);
  EXPECT_NEAR(by_row, expected["row_weighted_sum"].get<double>(),
              1e-6 * size * static_cast<double>(rows));
  EXPECT_NEAR(by_col, expected["col_weighted_sum"].get<double>(),
              1e-6 * size * static_cast<double>(cols));
}

}  // namespace

ZooCheckpoint::ZooCheckpoint(const std::string& name) {
  const std::filesystem::path folder = TestData() / "zoo" / name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!IsScanned(entry.path())) continue;
    auto file = OpenTensorFile(entry.path());
    EXPECT_TRUE(file.has_value()) << file.error().Text();
    if (file) files.push_back(std::move(*file));
  }
  for (const auto& file : files) tensors.Add(*file);
  expected = JsonOfFile((folder / "expected.json"));
  if (!std::filesystem::exists(folder / "config.json")) return;
  const auto config = JsonOfFile((folder / "config.json"));
  for (const char* key : {"quantization", "quantization_config"}) {
    if (config.contains(key)) quantization = config[key];
  }
}

MatrixView ViewOf(const Json& steps, std::vector<uint64_t> shape) {
  std::vector<uint64_t> strides(shape.size(), 1);
  for (size_t i = shape.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * shape[i];
  uint64_t offset = 0;
  for (const auto& step : steps) {
    const auto axis = step["axis"].get<ptrdiff_t>();
    const size_t at = static_cast<size_t>(axis);
    if (step["op"] == "transpose") {
      std::swap(shape[0], shape[1]);
      std::swap(strides[0], strides[1]);
    } else if (step["op"] == "index") {
      offset += step["i"].get<uint64_t>() * strides[at];
      shape.erase(shape.begin() + axis);
      strides.erase(strides.begin() + axis);
    } else {
      const auto start = step["start"].get<uint64_t>(), stop = step["stop"].get<uint64_t>(),
                 every = step["step"].get<uint64_t>();
      offset += start * strides[at];
      shape[at] = (stop - start + every - 1) / every;
      strides[at] *= every;
    }
  }
  EXPECT_EQ(shape.size(), 2u);
  return {shape[0], shape[1], offset, strides[0], strides[1]};
}

void ExpectZooDecodes(const std::string& name, FindCodec find) {
  const ZooCheckpoint zoo(name);
  const QuantConfig config(zoo.quantization);
  size_t decoded = 0;
  for (const auto& expert : zoo.expected["experts"]) {
    SCOPED_TRACE(name + ": " + expert.Text().substr(0, 300));
    const auto payload = zoo.tensors.Find(expert["source_tensor"].get<std::string>());
    ASSERT_TRUE(payload.has_value());
    const auto words = config.Of(ModuleOf(payload->info().name));
    const auto weight = FindUnder(words, find, *payload, zoo.tensors);
    ASSERT_TRUE(weight.has_value()) << weight.error().Text();
    if (!weight->has_value()) continue;
    const MatrixView view = ViewOf(expert["view"], (*weight)->shape);
    const auto matrix = OpenMatrix(**weight, view);
    ASSERT_TRUE(matrix.has_value()) << matrix.error().Text();
    ExpectSums(**matrix, expert);
    ++decoded;
  }
  EXPECT_GT(decoded, 0u);
}

}  // namespace moe

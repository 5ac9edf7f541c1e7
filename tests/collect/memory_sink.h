#pragma once

#include <vector>

#include "rows/schema.h"

namespace moe {

/// Keeps the rows it gets; fails at row `fails_at`.
struct MemorySink : RowSink {
  Result<void> Append(Row row) override {
    if (rows.size() == fails_at) return Fail(ErrorCode::kIo, "sink", "is full");
    rows.push_back(std::move(row));
    return {};
  }

  std::vector<Row> rows;
  size_t fails_at = SIZE_MAX;
};

}  // namespace moe

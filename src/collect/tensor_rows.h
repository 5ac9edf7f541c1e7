#pragma once

#include <string>

#include "checkpoint/discovery.h"
#include "moescope/model.h"
#include "rows/collect_rows.h"

namespace moe {

/// `path` as the tables show it: valid UTF-8, other bytes as \\xNN.
std::string PathText(const std::filesystem::path& path);

/// Columns of the index are filled where it was used for the scan.
TensorInventoryRow InventoryRowOf(const ModelTensor& tensor, const IndexSummary& index);

UnmatchedTensorRow UnmatchedRowOf(const ModelTensor& tensor, const std::string& reason);

MatrixIdentity IdentityOf(const ExpertMatrix& matrix);
DenseIdentity IdentityOf(const DenseWeight& dense);

}  // namespace moe

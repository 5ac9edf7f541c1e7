#include "collect/tensor_rows.h"

#include "base/utf8.h"

namespace moe {
namespace {

/// What its tensor alone tells of a matrix.
void PutStored(const ModelTensor& tensor, StoredMatrix& to) {
  to.file = PathText(tensor.ref.file->path());
  to.source_tensor = tensor.info().name;
  to.dtype = tensor.info().dtype_text;
  to.storage = tensor.weight->storage;
  to.storage_bits_per_weight = tensor.weight->bits_per_weight;
}

}  // namespace

std::string PathText(const std::filesystem::path& path) { return AsUtf8(path.string()); }

TensorInventoryRow InventoryRowOf(const ModelTensor& tensor, const IndexSummary& index) {
  const TensorInfo& info = tensor.info();
  TensorInventoryRow row{PathText(tensor.ref.file->path()),
                         info.name,
                         info.dtype_text,
                         info.shape,
                         info.nbytes,
                         {},
                         {},
                         std::string(RoleName(tensor.found.role))};
  if (index.used_for_scan) {
    const auto shard = index.weight_map.find(info.name);
    row.in_index = shard != index.weight_map.end();
    if (*row.in_index) row.index_shard = shard->second;
  }
  return row;
}

UnmatchedTensorRow UnmatchedRowOf(const ModelTensor& tensor, const std::string& reason) {
  const TensorInfo& info = tensor.info();
  return {PathText(tensor.ref.file->path()), info.name, info.dtype_text, info.shape, reason};
}

MatrixIdentity IdentityOf(const ExpertMatrix& matrix) {
  const ExpertBank& bank = *matrix.bank;
  MatrixIdentity id;
  PutStored(*matrix.tensor, id);
  id.derived_tensor = bank.derived_tensor;
  id.layer = bank.LayerAt(matrix.layer_pos);
  id.proj = bank.proj;
  id.expert_id = bank.ExpertIdAt(matrix.expert_pos);
  id.is_routed_expert = !bank.is_shared_expert;
  id.is_shared_expert = bank.is_shared_expert;
  id.rows = bank.rows;
  id.cols = bank.cols;
  id.stack = bank.stack;
  return id;
}

DenseIdentity IdentityOf(const DenseWeight& dense) {
  DenseIdentity id;
  PutStored(*dense.tensor, id);
  id.module = dense.module;
  id.role = RoleName(dense.role());
  id.layer = dense.layer();
  id.rows = dense.rows;
  id.cols = dense.cols;
  id.stack = dense.stack();
  return id;
}

}  // namespace moe

#include "collect/tensor_rows.h"

#include "base/utf8.h"

namespace moe {

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
  id.file = PathText(matrix.tensor->ref.file->path());
  id.source_tensor = matrix.tensor->info().name;
  id.derived_tensor = bank.derived_tensor;
  id.layer = bank.LayerAt(matrix.layer_pos);
  id.proj = bank.proj;
  id.expert_id = bank.ExpertIdAt(matrix.expert_pos);
  id.is_routed_expert = !bank.is_shared_expert;
  id.is_shared_expert = bank.is_shared_expert;
  id.rows = bank.rows;
  id.cols = bank.cols;
  id.dtype = matrix.tensor->info().dtype_text;
  id.storage = matrix.weight().storage;
  id.storage_bits_per_weight = matrix.weight().bits_per_weight;
  id.stack = bank.stack;
  return id;
}

}  // namespace moe

#include "codec/weight.h"

namespace moe {

void TensorIndex::Add(const TensorRef& tensor) { tensors_.try_emplace(tensor.info().name, tensor); }

void TensorIndex::Add(const TensorFile& file) {
  for (size_t i = 0; i < file.tensors().size(); ++i) Add({&file, i});
}

std::optional<TensorRef> TensorIndex::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second;
}

std::optional<TensorRef> TensorIndex::Find(std::string_view stem, std::string_view suffix) const {
  return Find(std::string(stem) + std::string(suffix));
}

Result<std::vector<TensorBytes>> ReadParts(const Weight& weight) {
  std::vector<TensorBytes> bytes;
  for (const TensorRef& part : weight.parts) {
    auto read = part.file->Bytes(part.index);
    if (!read) return tl::make_unexpected(read.error());
    bytes.push_back(std::move(*read));
  }
  return bytes;
}

Result<std::unique_ptr<MatrixSource>> OpenMatrix(const Weight& weight, const MatrixView& view) {
  auto bytes = ReadParts(weight);
  if (!bytes) return tl::make_unexpected(bytes.error());
  const auto array = weight.open(std::move(*bytes));
  if (!array) return tl::make_unexpected(array.error());
  return (*array)->Matrix(view);
}

}  // namespace moe

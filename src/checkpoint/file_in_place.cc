#include "checkpoint/file_in_place.h"

#include <cassert>
#include <utility>

namespace moe {
namespace {

class FileInPlace : public TensorFile {
 public:
  FileInPlace(std::shared_ptr<const ByteSource> file, TensorsInPlace tensors)
      : file_(std::move(file)), in_place_(std::move(tensors)) {}

  const std::filesystem::path& path() const override { return file_->path(); }
  Result<void> CheckWhole() const override { return file_->CheckWhole(); }
  std::span<const TensorInfo> tensors() const override { return in_place_.tensors; }
  const std::map<std::string, std::string>& metadata() const override { return in_place_.metadata; }

  Result<TensorBytes> Bytes(size_t index) const override {
    assert(index < in_place_.tensors.size());
    return BytesAt(file_, in_place_.begins[index], in_place_.tensors[index].nbytes);
  }
  std::optional<uint64_t> PositionOf(size_t index) const override {
    return in_place_.begins[index];
  }

 private:
  std::shared_ptr<const ByteSource> file_;
  TensorsInPlace in_place_;
};

}  // namespace

Result<TensorBytes> BytesAt(const std::shared_ptr<const ByteSource>& file, uint64_t begin,
                            uint64_t size) {
  if (const auto mapped = file->Map()) return TensorBytes{mapped->subspan(begin, size), file};
  auto copy = std::make_shared<std::vector<std::byte>>(size);
  if (auto read = file->Read(begin, *copy); !read) return tl::make_unexpected(read.error());
  return TensorBytes{*copy, copy};
}

std::unique_ptr<TensorFile> MakeFileInPlace(std::shared_ptr<const ByteSource> file,
                                            TensorsInPlace tensors) {
  return std::make_unique<FileInPlace>(std::move(file), std::move(tensors));
}

}  // namespace moe

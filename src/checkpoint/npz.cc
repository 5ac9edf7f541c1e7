#include "checkpoint/npz.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "checkpoint/file_in_place.h"
#include "checkpoint/inflate.h"
#include "checkpoint/names.h"
#include "checkpoint/npy.h"
#include "checkpoint/zip_directory.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// What is remembered about a member between calls of Bytes().
struct MemberState {
  std::mutex mutex;
  bool stored_crc_is_right = false;
  std::weak_ptr<const MappedFile> inflated;  // shared by all who hold its bytes at one time
};

class NpzFile : public TensorFile {
 public:
  NpzFile(std::shared_ptr<const ByteSource> file, const StopToken& stop)
      : file_(std::move(file)), stop_(stop) {}

  /// Fills in the members; before this, the file has no tensors.
  Result<void> ReadMembers() {
    auto members = ReadZipDirectory(*file_);
    if (!members) return tl::make_unexpected(members.error());
    for (ZipMember& member : *members) {
      const bool is_folder = member.name.ends_with('/') && member.bytes == 0;
      if (is_folder) continue;
      if (auto added = AddMember(std::move(member)); !added) return added;
    }
    states_ = std::make_unique<MemberState[]>(members_.size());
    return CheckNames();
  }

  const fs::path& path() const override { return file_->path(); }
  Result<void> CheckWhole() const override { return file_->CheckWhole(); }
  std::span<const TensorInfo> tensors() const override { return tensors_; }

  Result<TensorBytes> Bytes(size_t index) const override {
    assert(index < tensors_.size());
    if (headers_[index].is_object) return RefuseObjectArray(PlaceOf(index));
    auto member =
        members_[index].method == ZipMethod::kStored ? CheckStored(index) : Inflate(index);
    if (!member) return member;
    member->data = member->data.subspan(headers_[index].data_begin, tensors_[index].nbytes);
    return member;
  }

 private:
  struct Header {
    uint64_t data_begin = 0;  // from the start of the member
    bool is_object = false;
  };

  std::string PlaceOf(size_t index) const { return TensorPlace(path(), tensors_[index].name); }

  DeflateStream StreamOf(const ZipMember& member) const {
    return {*file_, member.data_begin, member.stored_bytes};
  }

  Result<void> AddMember(ZipMember member) {
    constexpr std::string_view kSuffix = ".npy";
    NpyHeader header;
    std::string name = member.name;
    if (name.ends_with(kSuffix)) {
      name.resize(name.size() - kSuffix.size());
      auto parsed = ReadHeader(member, TensorPlace(path(), name));
      if (!parsed) return tl::make_unexpected(parsed.error());
      header = *std::move(parsed);
    } else {
      header.info.dtype_text = "bytes";
      header.info.shape = {member.bytes};
      header.info.nbytes = member.bytes;
    }
    header.info.name = std::move(name);
    headers_.push_back({header.data_begin, header.is_object});
    tensors_.push_back(std::move(header.info));
    members_.push_back(std::move(member));
    return {};
  }

  /// `a` and `a.npy` are two members, but one tensor name.
  Result<void> CheckNames() const {
    std::set<std::string_view> names;
    for (const TensorInfo& tensor : tensors_) {
      if (names.insert(tensor.name).second) continue;
      return BadZip(TensorPlace(path(), tensor.name), "stands in the archive twice");
    }
    return {};
  }

  Result<NpyHeader> ReadHeader(const ZipMember& member, const std::string& where) const {
    const uint64_t prefix_bytes = std::min(member.bytes, kNpyPrefixBytes);
    if (member.method == ZipMethod::kStored) {
      const auto prefix = BytesAt(file_, member.data_begin, prefix_bytes);
      if (!prefix) return tl::make_unexpected(prefix.error());
      return ParseNpyHeader(prefix->data, member.bytes, where);
    }
    const auto prefix = InflatePrefix(StreamOf(member), prefix_bytes, where);
    if (!prefix) return tl::make_unexpected(prefix.error());
    return ParseNpyHeader(*prefix, member.bytes, where);
  }

  Result<TensorBytes> CheckStored(size_t index) const {
    const ZipMember& member = members_[index];
    auto bytes = BytesAt(file_, member.data_begin, member.stored_bytes);
    if (!bytes) return bytes;
    MemberState& state = states_[index];
    const std::lock_guard lock(state.mutex);
    if (!state.stored_crc_is_right) {
      const auto crc = Crc32(bytes->data, stop_);
      if (!crc) return tl::make_unexpected(crc.error());
      if (*crc != member.crc32) {
        return BadZip(PlaceOf(index),
                      fmt::format("CRC-32 is {:08x}, not {:08x}", *crc, member.crc32),
                      "the file is damaged: copy or download it again");
      }
      state.stored_crc_is_right = true;
    }
    return bytes;
  }

  Result<TensorBytes> Inflate(size_t index) const {
    MemberState& state = states_[index];
    const std::lock_guard lock(state.mutex);
    auto inflated = state.inflated.lock();
    if (!inflated) {
      const ZipMember& member = members_[index];
      auto made =
          InflateToFile(StreamOf(member), member.bytes, member.crc32, PlaceOf(index), stop_);
      if (!made) return tl::make_unexpected(made.error());
      inflated = *std::move(made);
      state.inflated = inflated;
    }
    return TensorBytes{inflated->bytes(), inflated};
  }

  std::shared_ptr<const ByteSource> file_;
  StopToken stop_;
  std::vector<TensorInfo> tensors_;
  std::vector<Header> headers_;     // of each tensor
  std::vector<ZipMember> members_;  // of each tensor
  std::unique_ptr<MemberState[]> states_;
};

}  // namespace

Result<std::unique_ptr<TensorFile>> OpenNpz(std::shared_ptr<const ByteSource> file,
                                            const StopToken& stop) {
  auto npz = std::make_unique<NpzFile>(std::move(file), stop);
  if (auto read = npz->ReadMembers(); !read) return tl::make_unexpected(read.error());
  return npz;
}

}  // namespace moe

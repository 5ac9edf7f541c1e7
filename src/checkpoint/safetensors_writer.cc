#include "checkpoint/safetensors_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "base/little_endian.h"
#include "base/system_fail.h"
#include "base/text.h"
#include "checkpoint/safetensors.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// The length, the JSON, and spaces up to a multiple of 8.
std::string HeaderText(std::span<const PlannedTensor> tensors) {
  Json::Members members = {{"__metadata__", {{"format", "mlx"}}}};
  uint64_t begin = 0;
  for (const PlannedTensor& tensor : tensors) {
    const uint64_t end = begin + tensor.bytes();
    members.push_back({tensor.name,
                       {{"dtype", SafetensorsName(tensor.dtype)},
                        {"shape", tensor.shape},
                        {"data_offsets", Json::Array({begin, end})}}});
    begin = end;
  }
  std::string text = Json::Object(std::move(members)).Text();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::array<std::byte, 8> length;
  StoreLittleEndian(uint64_t{text.size()}, length.data());
  return std::string(reinterpret_cast<const char*>(length.data()), length.size()) + text;
}

SafetensorsPlan PlanFile(std::span<const PlannedTensor> tensors, size_t first) {
  SafetensorsPlan file;
  file.header = HeaderText(tensors);
  file.first = first;
  file.size = file.header.size();
  for (const PlannedTensor& tensor : tensors) {
    file.positions.push_back(file.size);
    file.size += tensor.bytes();
  }
  return file;
}

/// kIo where less is free than the files lack.
Result<void> CheckRoom(const fs::path& folder, std::span<const SafetensorsPlan> files) {
  uint64_t lacking = 0;
  for (const SafetensorsPlan& file : files) {
    struct stat there = {};
    const bool exists = ::stat((folder / file.name).c_str(), &there) == 0;
    const auto held = exists ? static_cast<uint64_t>(there.st_blocks) * 512 : 0;
    lacking += file.size - std::min(held, file.size);
  }
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  if (unknown || space.available >= lacking) return {};
  return Fail(ErrorCode::kIo, folder.string(),
              fmt::format("needs {} more, and {} are free", HumanBytes(lacking),
                          HumanBytes(space.available)),
              "free some space and run again");
}

/// All of `bytes` by calls of `transfer(bytes, position)`, as ::pwrite.
template <class Bytes, class Transfer>
bool TransferAll(Bytes bytes, uint64_t position, const Transfer& transfer) {
  while (!bytes.empty()) {
    const ssize_t done = transfer(bytes, static_cast<off_t>(position));
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = EIO;
    if (done <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(done));
    position += static_cast<uint64_t>(done);
  }
  return true;
}

bool WriteAll(int descriptor, uint64_t position, std::span<const std::byte> bytes) {
  return TransferAll(bytes, position, [&](auto rest, off_t at) {
    return ::pwrite(descriptor, rest.data(), rest.size(), at);
  });
}

}  // namespace

uint64_t PlannedTensor::bytes() const {
  uint64_t elements = 1;
  for (const uint64_t size : shape) elements *= size;
  return elements * DTypeBits(dtype) / 8;
}

std::vector<SafetensorsPlan> PlanSafetensors(std::span<const PlannedTensor> tensors,
                                             uint64_t most) {
  std::vector<SafetensorsPlan> files;
  for (size_t begin = 0; begin < tensors.size();) {
    size_t end = begin;
    uint64_t bytes = 0;
    do {
      bytes += tensors[end++].bytes();
    } while (end < tensors.size() && bytes + tensors[end].bytes() <= most);
    files.push_back(PlanFile(tensors.subspan(begin, end - begin), begin));
    begin = end;
  }
  for (size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1
                        ? "model.safetensors"
                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size());
  }
  return files;
}

Result<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Open(
    const fs::path& folder, std::vector<SafetensorsPlan> files) {
  if (auto room = CheckRoom(folder, files); !room) return tl::make_unexpected(room.error());
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(std::move(files)));
  for (const SafetensorsPlan& plan : writer->plans_) {
    if (auto done = writer->OpenFile(folder, plan); !done) {
      return tl::make_unexpected(done.error());
    }
  }
  return writer;
}

Result<void> SafetensorsWriter::OpenFile(const fs::path& folder, const SafetensorsPlan& plan) {
  const fs::path path = folder / plan.name;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return SystemFail(path, "can't be created");
  files_.push_back({path, descriptor});
  const bool sized = ::ftruncate(descriptor, static_cast<off_t>(plan.size)) == 0;
  const auto header = std::as_bytes(std::span(plan.header));
  if (!sized || !WriteAll(descriptor, 0, header)) return SystemFail(path, "writing failed");
  return {};
}

SafetensorsWriter::~SafetensorsWriter() {
  for (const File& file : files_) {
    if (file.descriptor >= 0) ::close(file.descriptor);
  }
}

SafetensorsWriter::Place SafetensorsWriter::PlaceOf(size_t tensor) const {
  const auto after = std::ranges::upper_bound(plans_, tensor, {}, &SafetensorsPlan::first);
  const auto file = static_cast<size_t>(after - plans_.begin()) - 1;
  return {files_[file], plans_[file].positions[tensor - plans_[file].first]};
}

Result<void> SafetensorsWriter::Write(size_t tensor, uint64_t offset,
                                      std::span<const std::byte> bytes) const {
  const Place place = PlaceOf(tensor);
  if (WriteAll(place.file.descriptor, place.position + offset, bytes)) return {};
  return SystemFail(place.file.path, "writing failed");
}

Result<void> SafetensorsWriter::Read(size_t tensor, uint64_t offset,
                                     std::span<std::byte> bytes) const {
  const Place place = PlaceOf(tensor);
  const bool done = TransferAll(bytes, place.position + offset, [&](auto rest, off_t at) {
    return ::pread(place.file.descriptor, rest.data(), rest.size(), at);
  });
  if (done) return {};
  return SystemFail(place.file.path, "reading failed");
}

Result<void> SafetensorsWriter::Finish() {
  for (File& file : files_) {
    if (::fsync(file.descriptor) != 0) return SystemFail(file.path, "flushing failed");
    if (::close(std::exchange(file.descriptor, -1)) != 0) {
      return SystemFail(file.path, "closing failed");
    }
  }
  return {};
}

}  // namespace moe

#include "checkpoint/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/json.h"
#include "base/little_endian.h"
#include "base/mapped_file.h"
#include "checkpoint/file_in_place.h"
#include "checkpoint/ggml_types.h"
#include "checkpoint/imatrix.h"
#include "checkpoint/names.h"
#include "checkpoint/part_names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kMaxKept = 1024;      // elements of an array that is kept
constexpr uint64_t kMaxLength = uint64_t{1} << 30;
constexpr uint64_t kMaxNameBytes = 64;
constexpr uint64_t kDefaultAlignment = 32;
constexpr std::string_view kAlignmentKey = "general.alignment";

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
  kValueTypes,
};
constexpr uint64_t kValueBytes[kValueTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/// Takes bytes from the front; once too few are left, `ok` is false and everything taken is 0.
class Cursor {
 public:
  explicit Cursor(const ByteSource& file) : size_(file.size()), window_(file) {}

  template <class T>
  T Take() {
    const auto bytes = TakeBytes(sizeof(T));
    return bytes.empty() ? T{} : LoadLittleEndian<T>(bytes);
  }

  /// Valid until the next call.
  std::string_view TakeString() {
    const auto length = Take<uint64_t>();
    if (length > left() || length > kMaxLength) {
      ok_ = false;
      return {};
    }
    const auto text = TakeBytes(length);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  void Skip(uint64_t count) {
    ok_ = ok_ && count <= left();
    at_ = ok_ ? at_ + count : size_;
  }

  uint64_t left() const { return size_ - at_; }
  uint64_t at() const { return at_; }
  bool ok() const { return ok_; }
  const std::optional<Error>& fault() const { return window_.fault(); }

 private:
  std::span<const std::byte> TakeBytes(uint64_t count) {
    if (count > left()) {
      ok_ = false;
      at_ = size_;
      return {};
    }
    const auto bytes = window_.At(at_, count);
    ok_ = ok_ && bytes.size() == count;
    at_ += count;
    return bytes;
  }

  uint64_t size_;
  ByteWindow window_;
  uint64_t at_ = 0;
  bool ok_ = true;
};

Json TakeScalar(Cursor& cursor, uint32_t type) {
  switch (type) {
    case kU8:
      return cursor.Take<uint8_t>();
    case kI8:
      return static_cast<int8_t>(cursor.Take<uint8_t>());
    case kU16:
      return cursor.Take<uint16_t>();
    case kI16:
      return static_cast<int16_t>(cursor.Take<uint16_t>());
    case kU32:
      return cursor.Take<uint32_t>();
    case kI32:
      return static_cast<int32_t>(cursor.Take<uint32_t>());
    case kF32:
      return std::bit_cast<float>(cursor.Take<uint32_t>());
    case kBool:
      return cursor.Take<uint8_t>() != 0;
    case kU64:
      return cursor.Take<uint64_t>();
    case kI64:
      return static_cast<int64_t>(cursor.Take<uint64_t>());
    case kF64:
      return std::bit_cast<double>(cursor.Take<uint64_t>());
    default:
      return cursor.TakeString();
  }
}

std::string Text(const Json& value) { return value.Text(); }

using Metadata = std::map<std::string, std::string>;  // a key's value as JSON text

class HeaderReader {
 public:
  explicit HeaderReader(const ByteSource& file) : path_(file.path()), file_(file), cursor_(file) {}

  Result<TensorsInPlace> Read() {
    auto header = ReadAll();
    if (cursor_.fault()) return tl::make_unexpected(*cursor_.fault());
    return header;
  }

 private:
  Result<TensorsInPlace> ReadAll() {
    if (auto done = ReadStart(); !done) return tl::make_unexpected(done.error());
    for (uint64_t i = 0; i < pairs_; ++i) {
      if (auto done = ReadPair(); !done) return tl::make_unexpected(done.error());
    }
    if (auto done = ReadAlignment(); !done) return tl::make_unexpected(done.error());
    for (uint64_t i = 0; i < tensors_; ++i) {
      if (auto done = ReadTensor(); !done) return tl::make_unexpected(done.error());
    }
    if (auto done = PlaceTensors(); !done) return tl::make_unexpected(done.error());
    return std::move(header_);
  }

  tl::unexpected<Error> Bad(const std::string& what) const {
    return Malformed(path_.string(), what);
  }
  tl::unexpected<Error> CutOff() const {
    return Bad(
        fmt::format("the header ends in the middle, at byte {} of {}", cursor_.at(), file_.size()));
  }

  Result<void> ReadStart() {
    const auto magic = cursor_.Take<uint32_t>();
    const auto version = cursor_.Take<uint32_t>();
    tensors_ = cursor_.Take<uint64_t>();
    pairs_ = cursor_.Take<uint64_t>();
    if (magic != kMagic) return Bad("is no GGUF file (it does not start with \"GGUF\")");
    if ((version & 0xffff) == 0) {
      return Fail(ErrorCode::kUnsupported, path_.string(), "is a big-endian GGUF file",
                  "convert it to little-endian (gguf_convert_endian.py)");
    }
    if (version != 2 && version != 3) {
      return Fail(ErrorCode::kUnsupported, path_.string(),
                  fmt::format("GGUF version {} is not read", version), "versions 2 and 3 are");
    }
    if (!cursor_.ok()) return CutOff();
    // The least that a pair and a tensor take: key length and type; name, axes, type, offset.
    if (pairs_ > cursor_.left() / 13 || tensors_ > cursor_.left() / 24) {
      return Bad(fmt::format("says it has {} tensors and {} keys, which {} bytes can't hold",
                             tensors_, pairs_, file_.size()));
    }
    return {};
  }

  Result<void> ReadPair() {
    const std::string key(cursor_.TakeString());
    const auto type = cursor_.Take<uint32_t>();
    if (!cursor_.ok()) return CutOff();
    if (key.empty()) return Bad("has an empty key");
    if (type >= kValueTypes) {
      return Bad(fmt::format("key '{}' has the unknown type {}", Printable(key), type));
    }
    if (!keys_.insert(key).second) {
      return Bad(fmt::format("key '{}' stands twice", Printable(key)));
    }
    if (key == kAlignmentKey && type != kU32) {
      return Bad(fmt::format("{} has the type {}, not u32 ({})", key, type, uint32_t{kU32}));
    }
    if (type == kArray) return ReadArray(key);
    header_.metadata[key] = Text(TakeScalar(cursor_, type));
    if (!cursor_.ok()) return CutOff();
    return {};
  }

  Result<void> ReadArray(const std::string& key) {
    const auto type = cursor_.Take<uint32_t>();
    const auto count = cursor_.Take<uint64_t>();
    if (type >= kValueTypes || type == kArray) {
      return Bad(fmt::format("key '{}' is an array of type {}, which GGUF does not have",
                             Printable(key), type));
    }
    const uint64_t least = type == kString ? 8 : kValueBytes[type];
    if (!cursor_.ok() || count > kMaxLength || count > cursor_.left() / least) return CutOff();
    if (count > kMaxKept && type != kString) {
      cursor_.Skip(count * least);
      return {};
    }
    Json values = Json::Array();
    for (uint64_t i = 0; i < count; ++i) {
      if (count > kMaxKept) {
        cursor_.TakeString();
      } else {
        values.push_back(TakeScalar(cursor_, type));
      }
      if (!cursor_.ok()) return CutOff();
    }
    if (count <= kMaxKept) header_.metadata[key] = Text(values);
    return {};
  }

  Result<void> ReadAlignment() {
    const auto found = header_.metadata.find(std::string(kAlignmentKey));
    if (found == header_.metadata.end()) return {};
    alignment_ = Json::Parse(found->second)->get<uint32_t>();  // ReadPair() lets only u32 pass
    if (!std::has_single_bit(alignment_)) {
      return Bad(fmt::format("{} {} is no power of two", kAlignmentKey, alignment_));
    }
    return {};
  }

  Result<void> ReadTensor() {
    TensorInfo info;
    const std::string_view name = cursor_.TakeString();
    info.name = AsUtf8(name);
    const auto ndim = cursor_.Take<uint32_t>();
    const std::string place = TensorPlace(path_, info.name);
    if (!cursor_.ok()) return CutOff();
    if (name.size() >= kMaxNameBytes) return Malformed(place, "its name has over 63 bytes");
    if (ndim > 4) return Malformed(place, fmt::format("has {} axes, at most 4 are allowed", ndim));
    if (!names_.insert(info.name).second) return Malformed(place, "stands twice");
    info.shape.resize(ndim);
    for (uint32_t i = ndim; i-- > 0;) info.shape[i] = cursor_.Take<uint64_t>();
    const auto type_id = cursor_.Take<uint32_t>();
    offsets_.push_back(cursor_.Take<uint64_t>());
    if (!cursor_.ok()) return CutOff();
    const auto type = FindGgmlType(type_id);
    const auto elements = CheckedProduct(info.shape);
    const uint64_t row = info.shape.empty() ? 1 : info.shape.back();
    if (!elements || *elements > INT64_MAX) return Malformed(place, "its shape overflows");
    if (!type) {  // how many bytes it has follows from what comes next: PlaceTensors()
      info.dtype_text = fmt::format("ggml type {}", type_id);
      info.ggml_type = type_id;
      header_.tensors.push_back(std::move(info));
      return {};
    }
    if (row % type->block_elements != 0) {
      return Malformed(place, fmt::format("rows of {} values are no multiple of {}'s blocks of {}",
                                          row, type->name, type->block_elements));
    }
    const auto bytes = CheckedMul(*elements / type->block_elements, type->block_bytes);
    if (!bytes) return Malformed(place, "its size overflows");
    info.nbytes = *bytes;
    info.dtype = type->dtype;
    info.dtype_text =
        std::string(type->dtype == DType::kOpaque ? type->name : DTypeName(type->dtype));
    if (type->dtype == DType::kOpaque) info.ggml_type = type_id;
    header_.tensors.push_back(std::move(info));
    return {};
  }

  /// A tensor of unknown type has no known size: it takes the room up to the next one, the last up
  /// to the end of the file.
  Result<void> SizeUnknownType(size_t i, uint64_t data) {
    TensorInfo& info = header_.tensors[i];
    const bool known = !info.ggml_type || FindGgmlType(*info.ggml_type);
    if (known) return {};
    const bool last = i + 1 == header_.tensors.size();
    const uint64_t room = file_.size() > data ? file_.size() - data : 0;
    const uint64_t end = last ? room : offsets_[i + 1];
    if (offsets_[i] > end || end % (last ? 1 : alignment_) != 0) {
      return Malformed(TensorPlace(path_, info.name),
                       fmt::format("lies at offset {}, what follows it at {}", offsets_[i], end));
    }
    info.nbytes = end - offsets_[i];
    return {};
  }

  /// Tensors lie in the order of the header, each at the next multiple of the alignment.
  Result<void> PlaceTensors() {
    const uint64_t data = (cursor_.at() + alignment_ - 1) / alignment_ * alignment_;
    uint64_t expected = 0;
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
      if (auto done = SizeUnknownType(i, data); !done) return done;
      const TensorInfo& info = header_.tensors[i];
      const std::string place = TensorPlace(path_, info.name);
      if (offsets_[i] != expected) {
        return Malformed(place,
                         fmt::format("lies at offset {}, expected {}", offsets_[i], expected));
      }
      const auto begin = CheckedAdd(data, expected);
      const auto end = begin ? CheckedAdd(*begin, info.nbytes) : std::nullopt;
      if (!end || *end > file_.size()) {
        return Malformed(
            place, fmt::format("its {} bytes end behind the file's {}", info.nbytes, file_.size()),
            "the file is cut off: download it again");
      }
      header_.begins.push_back(*begin);
      const auto padded = CheckedAdd(expected, info.nbytes + alignment_ - 1);
      if (!padded) return Malformed(place, "its size overflows");
      expected = *padded / alignment_ * alignment_;
    }
    return {};
  }

  const fs::path& path_;
  const ByteSource& file_;
  Cursor cursor_;
  uint64_t tensors_ = 0, pairs_ = 0, alignment_ = kDefaultAlignment;
  std::set<std::string> keys_, names_;
  std::vector<uint64_t> offsets_;
  TensorsInPlace header_;
};

constexpr std::string_view kImatrix = "importance matrix (imatrix), not a checkpoint";

struct FileKind {
  std::string_view type, article, reason;
};
constexpr FileKind kNoCheckpoints[] = {
    {"\"imatrix\"", "an", kImatrix},
    {"\"adapter\"", "an", "adapter, not a checkpoint"},
    {"\"mmproj\"", "a", "multimodal projector (mmproj), a separate model"},
};

/// nullptr for a checkpoint.
const FileKind* NoCheckpoint(const Metadata& metadata) {
  const auto type = metadata.find("general.type");
  if (type == metadata.end()) return nullptr;
  const auto found = std::find_if(std::begin(kNoCheckpoints), std::end(kNoCheckpoints),
                                  [&](const FileKind& kind) { return kind.type == type->second; });
  return found == std::end(kNoCheckpoints) ? nullptr : &*found;
}

/// split.no and split.count against the file's own name.
Result<void> CheckPart(const fs::path& path, const Metadata& metadata) {
  const auto part = ParsePartName(path.filename().string());
  if (!part) return {};
  if (part->number < 1 || part->number > part->count) {
    return Malformed(path.string(),
                     fmt::format("its name says part {} of {}", part->number, part->count));
  }
  const auto number = metadata.find("split.no"), count = metadata.find("split.count");
  if (number == metadata.end() || count == metadata.end()) return {};
  if (number->second == std::to_string(part->number - 1) &&
      count->second == std::to_string(part->count)) {
    return {};
  }
  return Malformed(path.string(), fmt::format("its name says part {} of {}, its keys say part {} "
                                              "(from 0) of {}",
                                              part->number, part->count, Printable(number->second),
                                              Printable(count->second)));
}

/// A part that has lost its name would be read as if it were the whole model.
Result<void> CheckNamedAsPart(const fs::path& path, const Metadata& metadata) {
  const auto count = metadata.find("split.count");
  if (count == metadata.end() || count->second == "0" || count->second == "1") return {};
  return Malformed(path.string(),
                   fmt::format("its keys say it is one of {} parts, its name does not",
                               Printable(count->second)),
                   "name the parts PREFIX-00001-of-0000N.gguf, as they were published");
}

/// The parts of one model, what they hold together, and what one of them says they should.
struct PartSet {
  std::vector<fs::path> parts;
  uint64_t tensors = 0;
  std::optional<std::string> declared;  // split.tensors.count
};

Result<void> CheckTotal(const PartSet& set, uint64_t parts) {
  if (set.parts.size() != parts || !set.declared) return {};
  if (*set.declared == std::to_string(set.tensors)) return {};
  return Malformed(set.parts.front().string(),
                   fmt::format("split.tensors.count says {} tensors, the {} parts hold {}",
                               Printable(*set.declared), parts, set.tensors),
                   "the parts are of different models: download them again");
}

}  // namespace

Result<std::unique_ptr<TensorFile>> OpenGguf(std::shared_ptr<const ByteSource> file) {
  const fs::path& path = file->path();
  auto header = HeaderReader(*file).Read();
  if (!header) return tl::make_unexpected(header.error());
  if (const FileKind* kind = NoCheckpoint(header->metadata)) {
    return Fail(ErrorCode::kUnsupported, path.string(),
                fmt::format("is {} {}", kind->article, kind->reason), "give the model's own file");
  }
  if (auto done = CheckPart(path, header->metadata); !done) {
    return tl::make_unexpected(done.error());
  }
  return MakeFileInPlace(std::move(file), *std::move(header));
}

Result<std::unique_ptr<TensorFile>> OpenGgufImatrix(std::shared_ptr<const ByteSource> file) {
  auto header = HeaderReader(*file).Read();
  if (!header) return tl::make_unexpected(header.error());
  const FileKind* kind = NoCheckpoint(header->metadata);
  if (kind == nullptr || kind->reason != kImatrix) {
    return Fail(ErrorCode::kUnsupported, file->path().string(),
                "is a GGUF file of another kind, no importance matrix (imatrix)",
                "llama-imatrix makes one");
  }
  return MakeFileInPlace(std::move(file), *std::move(header));
}

std::string NoCheckpointReason(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const std::string_view sidecar : {"mmproj-", "mtp-"}) {
    if (name.starts_with(sidecar) && name.ends_with(".gguf")) {
      return fmt::format("{} sidecar, a separate model", sidecar.substr(0, sidecar.size() - 1));
    }
  }
  if (SuffixOf(path) == ".dat") {
    return std::string(LooksLikeLegacyImatrix(path) ? kImatrix : "");
  }
  const auto mapping = MappedFile::Open(path);
  if (!mapping) return "";
  const auto header = HeaderReader(**mapping).Read();
  const FileKind* kind = header ? NoCheckpoint(header->metadata) : nullptr;
  return std::string(kind == nullptr ? "" : kind->reason);
}

std::vector<GgufFault> FindGgufFaults(std::span<const fs::path> files) {
  std::vector<GgufFault> faults;
  std::map<std::pair<fs::path, uint64_t>, PartSet> sets;  // by folder / text before, and count
  for (const fs::path& path : files) {
    if (SuffixOf(path) != ".gguf") continue;
    const auto mapping = MappedFile::Open(path);
    if (!mapping) continue;  // whoever reads it says why
    const auto header = HeaderReader(**mapping).Read();
    if (!header) continue;
    const auto part = ParsePartName(path.filename().string());
    auto done = part ? CheckPart(path, header->metadata) : CheckNamedAsPart(path, header->metadata);
    if (!done) faults.push_back({{path}, done.error()});
    if (!done || !part) continue;
    PartSet& set = sets[{path.parent_path() / part->before, part->count}];
    set.parts.push_back(path);
    set.tensors += header->tensors.size();
    const auto declared = header->metadata.find("split.tensors.count");
    if (!set.declared && declared != header->metadata.end()) set.declared = declared->second;
  }
  for (const auto& [key, set] : sets) {
    if (auto done = CheckTotal(set, key.second); !done) faults.push_back({set.parts, done.error()});
  }
  return faults;
}

}  // namespace moe

#include "checkpoint/zip_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/checked.h"
#include "base/little_endian.h"
#include "checkpoint/names.h"

// Numbers and layouts: PKWARE APPNOTE.TXT, sections 4.3.7 to 4.3.16 and 4.5.3.

namespace moe {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56;
constexpr uint64_t kLocator64Bytes = 20;
constexpr uint64_t kLongestComment = 0xffff;
constexpr uint16_t kZip64ExtraId = 1;
constexpr uint16_t kIn64Bits16 = 0xffff;  // "look into the ZIP64 field"
constexpr uint32_t kIn64Bits32 = 0xffffffff;

struct NamedMethod {
  uint16_t id;
  std::string_view name;
};
constexpr NamedMethod kOtherMethods[] = {
    {1, "shrink"}, {6, "implode"}, {9, "deflate64"}, {12, "bzip2"},
    {14, "LZMA"},  {93, "zstd"},   {95, "xz"},       {98, "PPMd"},
};

/// Reads the archive step by step; the members stay in the order of the directory.
class DirectoryReader {
 public:
  explicit DirectoryReader(const ByteSource& file)
      : size_(file.size()), window_(file), where_(file.path().string()) {}

  Result<std::vector<ZipMember>> Read() {
    auto done = FindDirectory();
    if (done) done = ReadMembers();
    if (done) done = CheckNames();
    if (done) done = CheckOverlaps();
    if (window_.fault()) return tl::make_unexpected(*window_.fault());
    if (!done) return tl::make_unexpected(done.error());
    return std::move(members_);
  }

 private:
  /// 0 once a read has failed.
  template <class Unsigned>
  Unsigned At(uint64_t position) const {
    const auto bytes = window_.At(position, sizeof(Unsigned));
    return bytes.empty() ? Unsigned{} : LoadLittleEndian<Unsigned>(bytes);
  }

  Result<void> FindDirectory() {
    const std::optional<uint64_t> end = FindEnd();
    if (!end) {
      return BadZip(where_, "is not a zip file: it has no end-of-directory record",
                    "if it is a download, it is cut off or a web page: download it again");
    }
    directory_end_ = *end;
    const auto this_disk = At<uint16_t>(*end + 4), first_disk = At<uint16_t>(*end + 6);
    const auto here = At<uint16_t>(*end + 8), entries = At<uint16_t>(*end + 10);
    const auto bytes = At<uint32_t>(*end + 12), begin = At<uint32_t>(*end + 16);
    entries_ = entries;
    directory_bytes_ = bytes;
    directory_begin_ = begin;
    const bool has_locator =
        *end >= kLocator64Bytes && At<uint32_t>(*end - kLocator64Bytes) == kLocator64Signature;
    if (has_locator) {
      if (auto done = ReadEnd64(*end - kLocator64Bytes); !done) return done;
      const auto agree = [](uint64_t small, uint64_t large, uint64_t see_large) {
        return small == large || small == see_large;
      };
      if (!agree(entries, entries_, kIn64Bits16) || !agree(bytes, directory_bytes_, kIn64Bits32) ||
          !agree(begin, directory_begin_, kIn64Bits32)) {
        return BadZip(where_, "its two end-of-directory records contradict each other");
      }
    }
    const auto is_first = [&](uint16_t disk) {
      return disk == 0 || (has_locator && disk == kIn64Bits16);
    };
    if (!is_first(this_disk) || !is_first(first_disk) || here != entries) return RefuseDisks();
    return CheckDirectoryRange();
  }

  /// The end record's comment must reach the end of the file exactly: nothing may follow it.
  std::optional<uint64_t> FindEnd() const {
    if (size_ < kEndBytes) return std::nullopt;
    const uint64_t last = size_ - kEndBytes;
    const uint64_t first = last - std::min(last, kLongestComment);
    for (uint64_t at = last + 1; at-- > first;) {
      if (At<uint32_t>(at) == kEndSignature && At<uint16_t>(at + 20) == last - at) return at;
    }
    return std::nullopt;
  }

  Result<void> ReadEnd64(uint64_t locator) {
    const auto at = At<uint64_t>(locator + 8);
    if (At<uint32_t>(locator + 4) != 0 || At<uint32_t>(locator + 16) > 1) return RefuseDisks();
    if (locator < kEnd64Bytes || at > locator - kEnd64Bytes ||
        At<uint32_t>(at) != kEnd64Signature) {
      return BadZip(where_, fmt::format("has no ZIP64 end-of-directory record at byte {}", at));
    }
    if (At<uint32_t>(at + 16) != 0 || At<uint32_t>(at + 20) != 0 ||
        At<uint64_t>(at + 24) != At<uint64_t>(at + 32)) {
      return RefuseDisks();
    }
    entries_ = At<uint64_t>(at + 32);
    directory_bytes_ = At<uint64_t>(at + 40);
    directory_begin_ = At<uint64_t>(at + 48);
    directory_end_ = at;
    return {};
  }

  tl::unexpected<Error> RefuseDisks() const {
    return Fail(ErrorCode::kUnsupported, where_, "is one part of a zip archive on several disks",
                "join the parts first", "BadZipFile");
  }

  Result<void> CheckDirectoryRange() const {
    const auto end = CheckedAdd(directory_begin_, directory_bytes_);
    if (!end || *end != directory_end_) {
      return BadZip(where_, fmt::format("its directory of {} bytes at byte {} does not end at the "
                                        "end record, byte {}",
                                        directory_bytes_, directory_begin_, directory_end_));
    }
    if (entries_ > directory_bytes_ / kCentralBytes) {
      return BadZip(where_, fmt::format("{} members do not fit its directory of {} bytes", entries_,
                                        directory_bytes_));
    }
    return {};
  }

  Result<void> ReadMembers() {
    members_.reserve(entries_);
    local_begins_.reserve(entries_);
    uint64_t at = directory_begin_;
    for (uint64_t i = 0; i < entries_; ++i) {
      const auto next = ReadMember(at);
      if (!next) return tl::make_unexpected(next.error());
      at = *next;
    }
    if (at == directory_end_) return {};
    return BadZip(where_, fmt::format("{} bytes of its directory follow the last of {} members",
                                      directory_end_ - at, entries_));
  }

  /// Reads the directory's record at `at`; returns where the next one begins.
  Result<uint64_t> ReadMember(uint64_t at) {
    if (directory_end_ - at < kCentralBytes || At<uint32_t>(at) != kCentralSignature) {
      return BadZip(where_, fmt::format("has no member record at byte {} of the file", at));
    }
    const uint64_t name_bytes = At<uint16_t>(at + 28), extra_bytes = At<uint16_t>(at + 30);
    const uint64_t comment_bytes = At<uint16_t>(at + 32);
    const uint64_t next = at + kCentralBytes + name_bytes + extra_bytes + comment_bytes;
    if (next > directory_end_) {
      return BadZip(where_, fmt::format("the member record at byte {} leaves the directory", at));
    }
    ZipMember member;
    member.name = Text(at + kCentralBytes, name_bytes);
    if (!IsUtf8(member.name)) {
      return BadZip(where_,
                    fmt::format("a member's name is not UTF-8: '{}'", Printable(member.name)));
    }
    member.crc32 = At<uint32_t>(at + 16);
    member.stored_bytes = At<uint32_t>(at + 20);
    member.bytes = At<uint32_t>(at + 24);
    const auto method = ReadMethod(member, At<uint16_t>(at + 8), At<uint16_t>(at + 10));
    if (!method) return tl::make_unexpected(method.error());
    member.method = *method;
    uint64_t local = At<uint32_t>(at + 42);
    uint64_t disk = At<uint16_t>(at + 34);
    const uint64_t extra = at + kCentralBytes + name_bytes;
    if (auto done = ReadZip64Extra(extra, extra + extra_bytes, member, local, disk); !done) {
      return tl::make_unexpected(done.error());
    }
    if (disk != 0) return RefuseDisks();
    if (auto done = Locate(local, member); !done) return tl::make_unexpected(done.error());
    members_.push_back(std::move(member));
    local_begins_.push_back(local);
    return next;
  }

  std::string Text(uint64_t at, uint64_t bytes) const {
    const auto text = window_.At(at, bytes);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  std::string PlaceOf(const ZipMember& member) const {
    return fmt::format("{}: member '{}'", where_, Printable(member.name));
  }

  Result<ZipMethod> ReadMethod(const ZipMember& member, uint16_t flags, uint16_t method) const {
    constexpr uint16_t kEncrypted = 1;
    const auto refuse = [&](std::string message) {
      return Fail(ErrorCode::kUnsupported, PlaceOf(member), std::move(message),
                  "numpy.savez writes stored or deflated members");
    };
    if ((flags & kEncrypted) != 0) return refuse("is encrypted");
    if (method == 0) return ZipMethod::kStored;
    if (method == 8) return ZipMethod::kDeflated;
    const auto known = std::find_if(std::begin(kOtherMethods), std::end(kOtherMethods),
                                    [&](const NamedMethod& row) { return row.id == method; });
    return refuse(fmt::format("is compressed with method {} ({}), which is not read", method,
                              known == std::end(kOtherMethods) ? "unknown" : known->name));
  }

  /// Of the four numbers, the extra field holds those that are all ones, in this order.
  Result<void> ReadZip64Extra(uint64_t at, uint64_t end, ZipMember& member, uint64_t& local,
                              uint64_t& disk) const {
    std::vector<uint64_t*> wanted;
    for (uint64_t* number : {&member.bytes, &member.stored_bytes, &local}) {
      if (*number == kIn64Bits32) wanted.push_back(number);
    }
    const bool wants_disk = disk == kIn64Bits16;
    if (wanted.empty() && !wants_disk) return {};
    while (end - at >= 4) {
      const auto id = At<uint16_t>(at);
      const uint64_t bytes = At<uint16_t>(at + 2);
      at += 4;
      if (bytes > end - at) break;
      if (id == kZip64ExtraId && bytes >= 8 * wanted.size() + (wants_disk ? 4 : 0)) {
        for (uint64_t* number : wanted) {
          *number = At<uint64_t>(at);
          at += 8;
        }
        if (wants_disk) disk = At<uint32_t>(at);
        return {};
      }
      at += bytes;
    }
    return BadZip(PlaceOf(member), "its ZIP64 field is missing or too short");
  }

  /// Finds the member's data behind its local header, which must be about the same member.
  Result<void> Locate(uint64_t local, ZipMember& member) const {
    const auto leaves = [&] {
      return BadZip(PlaceOf(member),
                    fmt::format("its {} bytes at byte {} leave the {} bytes before "
                                "the directory",
                                member.stored_bytes, local, directory_begin_));
    };
    if (directory_begin_ < kLocalBytes || local > directory_begin_ - kLocalBytes) return leaves();
    if (At<uint32_t>(local) != kLocalSignature) {
      return BadZip(PlaceOf(member), fmt::format("has no local header at byte {}", local));
    }
    const uint64_t name_bytes = At<uint16_t>(local + 26), extra_bytes = At<uint16_t>(local + 28);
    member.data_begin = local + kLocalBytes + name_bytes + extra_bytes;
    if (member.data_begin > directory_begin_ ||
        member.stored_bytes > directory_begin_ - member.data_begin) {
      return leaves();
    }
    const std::string local_name = Text(local + kLocalBytes, name_bytes);
    if (local_name != member.name) {
      return BadZip(PlaceOf(member),
                    fmt::format("is called '{}' in its local header", Printable(local_name)));
    }
    if (member.method == ZipMethod::kStored && member.stored_bytes != member.bytes) {
      return BadZip(PlaceOf(member), fmt::format("is stored, but as {} bytes of {}",
                                                 member.stored_bytes, member.bytes));
    }
    return {};
  }

  Result<void> CheckNames() const {
    std::vector<std::string_view> names;
    names.reserve(members_.size());
    for (const ZipMember& member : members_) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twin = std::adjacent_find(names.begin(), names.end());
    if (twin == names.end()) return {};
    return BadZip(where_, fmt::format("has two members called '{}'", Printable(*twin)));
  }

  Result<void> CheckOverlaps() const {
    std::vector<size_t> order(members_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return local_begins_[a] < local_begins_[b]; });
    for (size_t i = 1; i < order.size(); ++i) {
      const ZipMember& before = members_[order[i - 1]];
      const ZipMember& member = members_[order[i]];
      if (before.data_begin + before.stored_bytes > local_begins_[order[i]]) {
        return BadZip(PlaceOf(member), fmt::format("overlaps member '{}'", Printable(before.name)));
      }
    }
    return {};
  }

  uint64_t size_;
  mutable ByteWindow window_;
  std::string where_;
  uint64_t entries_ = 0, directory_begin_ = 0, directory_bytes_ = 0;
  uint64_t directory_end_ = 0;  // where the end record (the ZIP64 one, if any) begins
  std::vector<ZipMember> members_;
  std::vector<uint64_t> local_begins_;  // of each member's local header
};

}  // namespace

Result<std::vector<ZipMember>> ReadZipDirectory(const ByteSource& file) {
  return DirectoryReader(file).Read();
}

tl::unexpected<Error> BadZip(std::string where, std::string message, std::string hint) {
  return Fail(ErrorCode::kMalformed, std::move(where), std::move(message), std::move(hint),
              "BadZipFile");
}

}  // namespace moe

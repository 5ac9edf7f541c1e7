#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/json.h"
#include "base/little_endian.h"
#include "checkpoint/file_in_place.h"
#include "checkpoint/limits.h"
#include "checkpoint/names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLengthBytes = 8;     // the header's length stands before it
constexpr size_t kDeepestNesting = 127;  // of JSON values, as in the reference reader

struct NamedDType {
  std::string_view name;
  DType dtype;
};

constexpr NamedDType kDTypeNames[] = {
    {"BOOL", DType::kBool},
    {"F4", DType::kF4},
    {"F6_E2M3", DType::kF6E2M3},
    {"F6_E3M2", DType::kF6E3M2},
    {"U8", DType::kU8},
    {"I8", DType::kI8},
    {"F8_E5M2", DType::kF8E5M2},
    {"F8_E4M3", DType::kF8E4M3},
    {"F8_E8M0", DType::kF8E8M0},
    {"F8_E4M3FNUZ", DType::kF8E4M3Fnuz},
    {"F8_E5M2FNUZ", DType::kF8E5M2Fnuz},
    {"I16", DType::kI16},
    {"U16", DType::kU16},
    {"F16", DType::kF16},
    {"BF16", DType::kBF16},
    {"I32", DType::kI32},
    {"U32", DType::kU32},
    {"F32", DType::kF32},
    {"C64", DType::kC64},
    {"F64", DType::kF64},
    {"I64", DType::kI64},
    {"U64", DType::kU64},
};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// One tensor of the header; its bytes are [begin, end) of the data section.
struct Entry {
  TensorInfo info;
  std::vector<uint64_t> offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;

  uint64_t begin() const { return offsets[0]; }
  uint64_t end() const { return offsets[1]; }
};

/// What is wrong with the header; `tensor` is set when it is about one.
struct HeaderFault {
  std::string message;
  std::optional<std::string> tensor;
};

/// Receives the JSON of a header event by event and refuses what a header may not hold.
class HeaderReader : public JsonEvents {
 public:
  std::vector<Entry>& entries() { return entries_; }
  const HeaderFault& fault() const { return fault_; }

  bool Null() override {
    if (within_ == Within::kIgnored) return IgnoreScalar();
    if (within_ != Within::kMetadataValue) return WrongType("null");
    within_ = Within::kRoot;
    return true;
  }

  bool Bool(bool) override {
    return within_ == Within::kIgnored ? IgnoreScalar() : WrongType("a boolean");
  }

  bool Integer(int64_t value) override {
    if (within_ == Within::kIgnored) return IgnoreScalar();
    if (!in_numbers_) return WrongType("a number");
    return Refuse(fmt::format("`{}` holds {}; only plain digits without a sign are allowed", field_,
                              value == 0 ? "-0" : std::to_string(value)));
  }

  bool Unsigned(uint64_t value) override {
    if (within_ == Within::kIgnored) return IgnoreScalar();
    if (!in_numbers_) return WrongType("a number");
    const size_t most = within_ == Within::kShape ? kMaxTensorRank : 2;
    if (numbers_->size() == most) {
      return Refuse(fmt::format("`{}` has more than {} numbers", field_, most));
    }
    numbers_->push_back(value);
    return true;
  }

  bool Float(double, std::string_view text) override {
    if (within_ == Within::kIgnored) return IgnoreScalar();
    if (!in_numbers_) return WrongType("a number");
    return Refuse(fmt::format("`{}` holds {}; only plain digits below 2^64 are allowed", field_,
                              Printable(text)));
  }

  bool Text(std::string& text) override {
    if (within_ == Within::kIgnored) return IgnoreScalar();
    if (within_ == Within::kMetadata) return true;
    if (within_ != Within::kDType) return WrongType("a string");
    SetDType(text);
    within_ = Within::kTensor;
    return true;
  }

  bool BeginObject() override {
    switch (within_) {
      case Within::kStart:
        within_ = Within::kRoot;
        return true;
      case Within::kMetadataValue:
        within_ = Within::kMetadata;
        return true;
      case Within::kTensorValue:
        within_ = Within::kTensor;
        return true;
      case Within::kIgnored:
        return BeginIgnored();
      default:
        return WrongType("an object");
    }
  }

  bool Key(std::string& name) override {
    switch (within_) {
      case Within::kRoot:
        return BeginEntry(name);
      case Within::kTensor:
        return BeginField(name);
      case Within::kMetadata:
        if (metadata_keys_.insert(name).second) return true;
        return Refuse(fmt::format("`__metadata__` has the key '{}' twice", Printable(name)));
      default:
        return true;  // within an ignored field
    }
  }

  bool EndObject() override {
    if (within_ == Within::kIgnored) return EndIgnored();
    if (within_ == Within::kTensor && !CheckComplete()) return false;
    within_ = Within::kRoot;
    in_tensor_ = false;
    return true;
  }

  bool BeginArray() override {
    if (within_ == Within::kIgnored) return BeginIgnored();
    if (numbers_ == nullptr || in_numbers_) return WrongType("an array");
    in_numbers_ = true;
    return true;
  }

  bool EndArray() override {
    if (within_ == Within::kIgnored) return EndIgnored();
    if (within_ == Within::kOffsets && numbers_->size() != 2) {
      return Refuse(fmt::format("`data_offsets` has {} numbers instead of 2", numbers_->size()));
    }
    numbers_ = nullptr;
    in_numbers_ = false;
    within_ = Within::kTensor;
    return true;
  }

 private:
  /// Which value comes next, or which object or array it comes in.
  enum class Within {
    kStart,
    kRoot,
    kMetadataValue,
    kMetadata,
    kTensorValue,
    kTensor,
    kDType,
    kShape,
    kOffsets,
    kIgnored,
  };

  bool Refuse(std::string message) {
    fault_ = {std::move(message), std::nullopt};
    if (in_tensor_) fault_.tensor = entries_.back().info.name;
    return false;
  }

  bool WrongType(const char* actual) {
    switch (within_) {
      case Within::kStart:
        return Refuse(fmt::format("the header is {}, not an object", actual));
      case Within::kMetadataValue:
        return Refuse(fmt::format("`__metadata__` is {}, not an object or null", actual));
      case Within::kMetadata:
        return Refuse(fmt::format("`__metadata__` holds {}; only strings are allowed", actual));
      case Within::kTensorValue:
        return Refuse(fmt::format("the entry is {}, not an object", actual));
      case Within::kDType:
        return Refuse(fmt::format("`dtype` is {}, not a string", actual));
      default:
        return Refuse(fmt::format("`{}` {} {}, not {}", field_, in_numbers_ ? "holds" : "is",
                                  actual, in_numbers_ ? "a number" : "an array of numbers"));
    }
  }

  bool BeginEntry(const std::string& name) {
    if (name == "__metadata__") {
      if (std::exchange(has_metadata_, true)) return Refuse("`__metadata__` stands there twice");
      within_ = Within::kMetadataValue;
      return true;
    }
    entries_.emplace_back().info.name = name;
    in_tensor_ = true;
    within_ = Within::kTensorValue;
    return true;
  }

  bool BeginField(const std::string& name) {
    Entry& entry = entries_.back();
    field_ = name;
    if (name == "dtype") return Begin(Within::kDType, entry.has_dtype, nullptr);
    if (name == "shape") return Begin(Within::kShape, entry.has_shape, &entry.info.shape);
    if (name == "data_offsets") return Begin(Within::kOffsets, entry.has_offsets, &entry.offsets);
    within_ = Within::kIgnored;
    ignored_depth_ = 0;
    return true;
  }

  bool Begin(Within place, bool& seen, std::vector<uint64_t>* numbers) {
    if (std::exchange(seen, true)) return Refuse(fmt::format("has `{}` twice", field_));
    within_ = place;
    numbers_ = numbers;
    return true;
  }

  bool IgnoreScalar() {
    if (ignored_depth_ == 0) within_ = Within::kTensor;
    return true;
  }

  bool BeginIgnored() {
    ++ignored_depth_;
    const size_t nesting = ignored_depth_ + 2;  // in the header's object and the entry's
    if (nesting <= kDeepestNesting) return true;
    return Refuse(fmt::format("the header nests deeper than {} levels", kDeepestNesting));
  }

  bool EndIgnored() {
    --ignored_depth_;
    return IgnoreScalar();
  }

  void SetDType(std::string_view name) {
    TensorInfo& info = entries_.back().info;
    const auto known = std::find_if(std::begin(kDTypeNames), std::end(kDTypeNames),
                                    [&](const NamedDType& row) { return row.name == name; });
    info.dtype = known == std::end(kDTypeNames) ? DType::kOpaque : known->dtype;
    info.dtype_text = info.dtype == DType::kOpaque ? name : DTypeName(info.dtype);
  }

  bool CheckComplete() {
    const Entry& entry = entries_.back();
    if (!entry.has_dtype) return Refuse("has no `dtype`");
    if (!entry.has_shape) return Refuse("has no `shape`");
    if (!entry.has_offsets) return Refuse("has no `data_offsets`");
    return true;
  }

  Within within_ = Within::kStart;
  bool in_tensor_ = false, in_numbers_ = false, has_metadata_ = false;
  std::string field_;
  std::vector<uint64_t>* numbers_ = nullptr;
  size_t ignored_depth_ = 0;
  std::set<std::string> metadata_keys_;
  std::vector<Entry> entries_;
  HeaderFault fault_;
};

/// The bytes of the header's text, once its length is plausible.
Result<TensorBytes> HeaderText(const std::shared_ptr<const ByteSource>& file) {
  constexpr std::string_view kLfsPointer = "version https://git-lfs";
  const std::string where = file->path().string();
  const uint64_t size = file->size();
  const auto start = BytesAt(file, 0, std::min<uint64_t>(size, kLfsPointer.size()));
  if (!start) return tl::make_unexpected(start.error());
  if (AsText(start->data) == kLfsPointer) {
    return Malformed(where, "LFS pointer, not downloaded: this is a git-lfs text, not the weights",
                     "run `git lfs pull` in the model's folder");
  }
  if (size < kLengthBytes) {
    return Malformed(
        where, fmt::format("has {} bytes; a safetensors file has at least {}", size, kLengthBytes));
  }
  const auto length = LoadLittleEndian<uint64_t>(start->data);
  if (length > kMaxSafetensorsHeaderBytes) {
    return Malformed(where, fmt::format("header length {} is above the limit of {}", length,
                                        kMaxSafetensorsHeaderBytes));
  }
  if (length > size - kLengthBytes) {
    return Malformed(
        where, fmt::format("header length {} leaves the file, which has {} bytes", length, size),
        "the file is cut off: download it again");
  }
  return BytesAt(file, kLengthBytes, length);
}

Result<std::vector<Entry>> ParseHeader(const fs::path& path, std::string_view header) {
  // What nlohmann's lexer would let pass: it skips a byte order mark and takes NUL as the end.
  if (header.starts_with("\xef\xbb\xbf")) {
    return Malformed(path.string(), "the header starts with a byte order mark");
  }
  if (const size_t nul = header.find('\0'); nul != header.npos) {
    return Malformed(path.string(), fmt::format("the header holds a NUL at its byte {}", nul));
  }
  HeaderReader reader;
  if (const auto fault = ReadJson(header, reader)) {
    return Malformed(path.string(), fmt::format("the header is no valid JSON (byte {}): {}",
                                                fault->byte, Printable(fault->message)));
  }
  if (const HeaderFault& fault = reader.fault(); !fault.message.empty()) {
    return Malformed(fault.tensor ? TensorPlace(path, *fault.tensor) : path.string(),
                     fault.message);
  }
  return std::move(reader.entries());
}

/// Checks the entry's shape and dtype against its offsets and fills in its size.
Result<void> CheckEntry(const fs::path& path, Entry& entry) {
  const auto fail = [&](std::string message) {
    return Malformed(TensorPlace(path, entry.info.name), std::move(message));
  };
  if (entry.begin() > entry.end()) {
    return fail(
        fmt::format("ends before it begins: data_offsets [{}, {}]", entry.begin(), entry.end()));
  }
  entry.info.nbytes = entry.end() - entry.begin();
  const std::string shape = fmt::format("[{}]", fmt::join(entry.info.shape, ", "));
  const std::optional<uint64_t> elements = CheckedProduct(entry.info.shape);
  if (!elements) return fail(fmt::format("shape {} has more than 2^64 elements", shape));
  if (entry.info.dtype == DType::kOpaque) return {};
  const std::optional<uint64_t> bits = CheckedMul(*elements, DTypeBits(entry.info.dtype));
  if (!bits) return fail(fmt::format("shape {} needs more than 2^64 bits", shape));
  if (*bits % 8 != 0) {
    return fail(fmt::format("shape {} of {} needs {} bits, not whole bytes", shape,
                            entry.info.dtype_text, *bits));
  }
  if (*bits / 8 != entry.info.nbytes) {
    return fail(fmt::format("shape {} of {} needs {} bytes, has {}", shape, entry.info.dtype_text,
                            *bits / 8, entry.info.nbytes));
  }
  return {};
}

/// Tensors must cover the data section, each byte once (so nothing hides between or behind them).
Result<void> CheckTiling(const fs::path& path, const std::vector<Entry>& entries,
                         uint64_t data_bytes) {
  std::vector<const Entry*> by_place;
  by_place.reserve(entries.size());
  for (const Entry& entry : entries) by_place.push_back(&entry);
  std::sort(by_place.begin(), by_place.end(),
            [](const Entry* a, const Entry* b) { return a->offsets < b->offsets; });
  uint64_t position = 0;
  for (const Entry* entry : by_place) {
    if (entry->begin() != position) {
      const char* fault = entry->begin() < position ? "overlaps" : "leaves a hole after";
      return Malformed(TensorPlace(path, entry->info.name),
                       fmt::format("begins at byte {} of the data and {} what stands before it, "
                                   "which ends at byte {}",
                                   entry->begin(), fault, position));
    }
    position = entry->end();
  }
  if (position > data_bytes) {
    return Malformed(
        path.string(),
        fmt::format("the tensors need {} bytes of data, the file has {}", position, data_bytes),
        "the file is cut off: download it again");
  }
  if (position < data_bytes) {
    return Malformed(path.string(),
                     fmt::format("{} bytes follow the last tensor", data_bytes - position));
  }
  return {};
}

Result<void> SortByName(const fs::path& path, std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.info.name < b.info.name; });
  const auto twin =
      std::adjacent_find(entries.begin(), entries.end(),
                         [](const Entry& a, const Entry& b) { return a.info.name == b.info.name; });
  if (twin == entries.end()) return {};
  return Malformed(TensorPlace(path, twin->info.name), "stands in the header twice");
}

}  // namespace

Result<std::unique_ptr<TensorFile>> OpenSafetensors(std::shared_ptr<const ByteSource> file) {
  const fs::path& path = file->path();
  const auto header = HeaderText(file);
  if (!header) return tl::make_unexpected(header.error());
  auto entries = ParseHeader(path, AsText(header->data));
  if (!entries) return tl::make_unexpected(entries.error());
  for (Entry& entry : *entries) {
    if (auto checked = CheckEntry(path, entry); !checked) {
      return tl::make_unexpected(checked.error());
    }
  }
  const uint64_t data_begin = kLengthBytes + header->data.size();
  auto checked = SortByName(path, *entries);
  if (checked) checked = CheckTiling(path, *entries, file->size() - data_begin);
  if (!checked) return tl::make_unexpected(checked.error());
  TensorsInPlace in_place;
  in_place.tensors.reserve(entries->size());
  in_place.begins.reserve(entries->size());
  for (Entry& entry : *entries) {
    in_place.begins.push_back(data_begin + entry.begin());
    in_place.tensors.push_back(std::move(entry.info));
  }
  return MakeFileInPlace(std::move(file), std::move(in_place));
}

std::string_view SafetensorsName(DType dtype) {
  const auto* known = std::ranges::find(kDTypeNames, dtype, &NamedDType::dtype);
  return known == std::end(kDTypeNames) ? "" : known->name;
}

}  // namespace moe

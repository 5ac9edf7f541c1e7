#include "checkpoint/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/little_endian.h"
#include "checkpoint/file_in_place.h"
#include "checkpoint/limits.h"
#include "checkpoint/names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr int kDeepestNesting = 32;  // of lists and tuples in a structured descr

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<uint64_t> ParseNumber(std::string_view digits) {
  std::optional<uint64_t> value = 0;
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), IsDigit)) return std::nullopt;
  for (const char digit : digits) {
    value = CheckedMul(*value, 10);
    if (value) value = CheckedAdd(*value, static_cast<uint64_t>(digit - '0'));
    if (!value) return std::nullopt;
  }
  return value;
}

/// Walks over a Python literal. Each Read returns nothing, and moves on nowhere useful, when the
/// text has something else there.
class Literal {
 public:
  explicit Literal(std::string_view text) : text_(text) {}

  bool Accept(char c) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool AtEnd() {
    SkipSpace();
    return at_ == text_.size();
  }

  size_t position() const { return at_; }
  std::string_view Since(size_t begin) const { return text_.substr(begin, at_ - begin); }

  void SkipSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  bool AcceptWord(std::string_view word) {
    SkipSpace();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  std::optional<bool> ReadBool() {
    if (AcceptWord("True")) return true;
    if (AcceptWord("False")) return false;
    return std::nullopt;
  }

  /// A non-negative integer, with the suffix L that Python 2 wrote.
  std::optional<uint64_t> ReadInt() {
    SkipSpace();
    const size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    const auto value = ParseNumber(Since(begin));
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;
    return value;
  }

  /// A string in either kind of quotes, with a Python 2 prefix. A backslash only quotes the next
  /// character: dtype texts and the three keys have no other escapes.
  std::optional<std::string> ReadString() {
    SkipSpace();
    if (at_ < text_.size() && std::string_view("uUbB").find(text_[at_]) != text_.npos) ++at_;
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) return std::nullopt;
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      value += text_[at_++];
    }
    if (!Accept(quote)) return std::nullopt;
    return value;
  }

  std::optional<std::vector<uint64_t>> ReadTupleOfInts() {
    if (!Accept('(')) return std::nullopt;
    std::vector<uint64_t> values;
    while (!Accept(')')) {
      const auto value = ReadInt();
      if (!value) return std::nullopt;
      values.push_back(*value);
      if (Accept(',')) continue;
      // One number in parentheses is no tuple.
      if (values.size() < 2 || !Accept(')')) return std::nullopt;
      break;
    }
    return values;
  }

  /// Skips a list, tuple, string or integer and notes whether a string in it is the object type.
  bool SkipValue(bool& has_object, int depth = 0) {
    if (depth > kDeepestNesting) return false;
    for (const auto& [open, close] : {std::pair{'[', ']'}, std::pair{'(', ')'}}) {
      if (!Accept(open)) continue;
      while (!Accept(close)) {
        if (!SkipValue(has_object, depth + 1)) return false;
        if (!Accept(',')) return Accept(close);
      }
      return true;
    }
    if (ReadInt()) return true;
    const auto text = ReadString();
    has_object = has_object || (text && (*text == "O" || *text == "|O"));
    return text.has_value();
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

/// What the `descr` of a header says about one element.
struct ElementType {
  DType dtype = DType::kOpaque;
  std::string text;
  bool byte_swapped = false, is_object = false;
  std::optional<uint64_t> bytes;  // of one element, where the text tells
};

struct NumberType {
  std::string_view code;
  DType dtype;
};

constexpr NumberType kNumberTypes[] = {
    {"b1", DType::kBool}, {"i1", DType::kI8},    {"i2", DType::kI16},  {"i4", DType::kI32},
    {"i8", DType::kI64},  {"u1", DType::kU8},    {"u2", DType::kU16},  {"u4", DType::kU32},
    {"u8", DType::kU64},  {"f2", DType::kF16},   {"f4", DType::kF32},  {"f8", DType::kF64},
    {"c8", DType::kC64},  {"c16", DType::kC128}, {"V2", DType::kBF16},
};

/// Other texts that numpy.load takes for these types, and numpy.save never writes: letters, which
/// may follow a byte order, and names, which may not (C's `long` as on 64-bit Unix).
struct Spelling {
  std::string_view text, code;
};

constexpr Spelling kSpellings[] = {
    {"?", "b1"},         {"b", "i1"},        {"B", "u1"},           {"h", "i2"},
    {"H", "u2"},         {"i", "i4"},        {"I", "u4"},           {"l", "i8"},
    {"L", "u8"},         {"q", "i8"},        {"Q", "u8"},           {"p", "i8"},
    {"P", "u8"},         {"n", "i8"},        {"N", "u8"},           {"e", "f2"},
    {"f", "f4"},         {"d", "f8"},        {"F", "c8"},           {"D", "c16"},
    {"bool", "b1"},      {"bool_", "b1"},    {"int8", "i1"},        {"int16", "i2"},
    {"int32", "i4"},     {"int64", "i8"},    {"uint8", "u1"},       {"uint16", "u2"},
    {"uint32", "u4"},    {"uint64", "u8"},   {"byte", "i1"},        {"ubyte", "u1"},
    {"short", "i2"},     {"ushort", "u2"},   {"intc", "i4"},        {"uintc", "u4"},
    {"int", "i8"},       {"uint", "u8"},     {"int_", "i8"},        {"long", "i8"},
    {"ulong", "u8"},     {"longlong", "i8"}, {"ulonglong", "u8"},   {"intp", "i8"},
    {"uintp", "u8"},     {"float16", "f2"},  {"float32", "f4"},     {"float64", "f8"},
    {"half", "f2"},      {"single", "f4"},   {"double", "f8"},      {"float", "f8"},
    {"complex64", "c8"}, {"csingle", "c8"},  {"complex128", "c16"}, {"cdouble", "c16"},
    {"complex", "c16"},  {"object", "O"},
};

/// `text` as numpy.save writes it; text that has no other spelling stays.
std::string_view UsualCode(std::string_view text, bool has_order) {
  const auto found = std::find_if(std::begin(kSpellings), std::end(kSpellings),
                                  [&](const Spelling& row) { return row.text == text; });
  const bool fits = found != std::end(kSpellings) && (text.size() == 1 || !has_order);
  return fits ? found->code : text;
}

/// Bytes of one element of a type that is no number: "V3", "S7", "U2", "M8[ns]", "f16".
std::optional<uint64_t> OpaqueBytes(std::string_view code) {
  const auto size = ParseNumber(code.substr(1, code.find('[', 1) - 1));
  return size && code[0] == 'U' ? CheckedMul(*size, 4) : size;
}

/// A `descr` that is a string: an optional byte order, a kind, a size.
std::optional<ElementType> SimpleType(std::string_view descr) {
  ElementType type;
  std::string_view code = descr;
  const bool has_order =
      !code.empty() && std::string_view("<>|=").find(code[0]) != std::string_view::npos;
  if (has_order) code.remove_prefix(1);
  code = UsualCode(code, has_order);
  if (code.empty() || std::isalpha(static_cast<unsigned char>(code[0])) == 0) return std::nullopt;
  const auto number = std::find_if(std::begin(kNumberTypes), std::end(kNumberTypes),
                                   [&](const NumberType& row) { return row.code == code; });
  if (number == std::end(kNumberTypes)) {
    type.is_object = code == "O";
    type.text = type.is_object ? "object" : Printable(descr);
    if (code[0] == 'V') type.text = "|" + Printable(code);
    if (!type.is_object) type.bytes = OpaqueBytes(code);
    return type;
  }
  type.dtype = number->dtype;
  type.bytes = DTypeBits(type.dtype) / 8;
  type.byte_swapped = descr[0] == '>' && *type.bytes > 1;
  type.text = type.byte_swapped ? ">" + std::string(code) : DTypeName(type.dtype);
  return type;
}

std::optional<ElementType> ReadDescr(Literal& literal) {
  if (const auto simple = literal.ReadString()) return SimpleType(*simple);
  ElementType type;
  const size_t begin = literal.position();
  if (!literal.SkipValue(type.is_object)) return std::nullopt;
  type.text = type.is_object ? "object" : Printable(literal.Since(begin));
  return type;
}

struct HeaderFields {
  std::optional<ElementType> element;
  std::optional<bool> fortran_order;
  std::optional<std::vector<uint64_t>> shape;
};

/// The dict of the header; an error text if it is not what numpy writes.
tl::expected<HeaderFields, std::string> ReadDict(std::string_view text) {
  Literal literal(text);
  HeaderFields fields;
  const auto fault = [&](std::string_view what) {
    return tl::make_unexpected(fmt::format("{} at byte {} of its dict", what, literal.position()));
  };
  if (!literal.Accept('{')) return fault("no `{`");
  while (!literal.Accept('}')) {
    const auto key = literal.ReadString();
    if (!key || !literal.Accept(':')) return fault("no key");
    if (*key == "descr" && !fields.element) {
      fields.element = ReadDescr(literal);
      if (!fields.element) return fault("no usable `descr`");
    } else if (*key == "fortran_order" && !fields.fortran_order) {
      fields.fortran_order = literal.ReadBool();
      if (!fields.fortran_order) return fault("`fortran_order` is neither True nor False");
    } else if (*key == "shape" && !fields.shape) {
      fields.shape = literal.ReadTupleOfInts();
      if (!fields.shape) return fault("`shape` is no tuple of sizes");
    } else {
      return fault(fmt::format("unexpected or repeated key '{}'", Printable(*key)));
    }
    if (literal.Accept(',')) continue;
    if (!literal.Accept('}')) return fault("neither `,` nor `}`");
    break;
  }
  if (!literal.AtEnd()) return fault("text after `}`");
  if (!fields.element || !fields.fortran_order || !fields.shape) {
    return fault("one of the keys descr, fortran_order, shape is missing");
  }
  return fields;
}

/// Bytes before the header's text: magic, version, and the text's length in 2 or 4 bytes.
struct Framing {
  uint64_t text_begin, text_bytes;
};

Result<Framing> ReadFraming(std::span<const std::byte> prefix, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(prefix.data()), prefix.size());
  if (!text.starts_with(kMagic)) {
    const bool pickle = text.starts_with('\x80');
    return Malformed(where, pickle ? "is a pickle, which is never read, not an npy array"
                                   : "is no npy array: it does not start with \\x93NUMPY");
  }
  if (prefix.size() < kMagic.size() + 2) return Malformed(where, "ends within its npy header");
  const auto major = std::to_integer<unsigned>(prefix[kMagic.size()]);
  const auto minor = std::to_integer<unsigned>(prefix[kMagic.size() + 1]);
  if (major < 1 || major > 3 || minor != 0) {
    return Fail(ErrorCode::kUnsupported, where,
                fmt::format("npy version {}.{} is not known (1.0 to 3.0 are)", major, minor));
  }
  const size_t length_begin = kMagic.size() + 2;
  const size_t length_bytes = major == 1 ? 2 : 4;
  if (prefix.size() < length_begin + length_bytes) {
    return Malformed(where, "ends within its npy header");
  }
  const uint64_t text_bytes = major == 1 ? LoadLittleEndian<uint16_t>(prefix, length_begin)
                                         : LoadLittleEndian<uint32_t>(prefix, length_begin);
  if (text_bytes > kMaxNpyHeaderBytes) {
    return Malformed(where, fmt::format("npy header of {} bytes is above the limit of {}",
                                        text_bytes, kMaxNpyHeaderBytes));
  }
  return Framing{length_begin + length_bytes, text_bytes};
}

/// Fills in the size, which the shape and the bytes that follow the header must agree on.
Result<void> CheckSize(NpyHeader& header, const ElementType& element, uint64_t rest,
                       const std::string& where) {
  TensorInfo& info = header.info;
  const std::string shape = fmt::format("({})", fmt::join(info.shape, ", "));
  if (info.shape.size() > kMaxTensorRank) {
    return Malformed(
        where, fmt::format("has {} axes; at most {} are read", info.shape.size(), kMaxTensorRank));
  }
  const auto elements = CheckedProduct(info.shape);
  if (!elements) return Malformed(where, fmt::format("shape {} has over 2^64 elements", shape));
  info.nbytes = rest;
  if (!element.bytes) return {};
  const auto needed = CheckedMul(*elements, *element.bytes);
  if (!needed || *needed != rest) {
    return Malformed(where,
                     fmt::format("shape {} of {} needs {} bytes, has {}", shape, info.dtype_text,
                                 needed ? std::to_string(*needed) : "over 2^64", rest));
  }
  return {};
}

}  // namespace

Result<NpyHeader> ParseNpyHeader(std::span<const std::byte> prefix, uint64_t file_bytes,
                                 const std::string& where) {
  const auto framing = ReadFraming(prefix, where);
  if (!framing) return tl::make_unexpected(framing.error());
  const uint64_t data_begin = framing->text_begin + framing->text_bytes;
  if (data_begin > prefix.size()) return Malformed(where, "ends within its npy header");
  const std::string_view text(reinterpret_cast<const char*>(prefix.data()) + framing->text_begin,
                              framing->text_bytes);
  auto fields = ReadDict(text);
  if (!fields) return Malformed(where, "its npy header is broken: " + fields.error());

  NpyHeader header;
  header.data_begin = data_begin;
  header.is_object = fields->element->is_object;
  header.info.dtype = fields->element->dtype;
  header.info.dtype_text = fields->element->text;
  header.info.byte_swapped = fields->element->byte_swapped;
  header.info.shape = std::move(*fields->shape);
  header.info.fortran_order = *fields->fortran_order;
  const auto checked = CheckSize(header, *fields->element, file_bytes - data_begin, where);
  if (!checked) return tl::make_unexpected(checked.error());
  return header;
}

tl::unexpected<Error> RefuseObjectArray(std::string where) {
  return Fail(ErrorCode::kUnsupported, std::move(where),
              "is an array of Python objects, stored as a pickle, which is never read",
              "save it again with a numeric dtype");
}

Result<std::unique_ptr<TensorFile>> OpenNpy(std::shared_ptr<const ByteSource> file) {
  const fs::path& path = file->path();
  const auto prefix = BytesAt(file, 0, std::min(file->size(), kNpyPrefixBytes));
  if (!prefix) return tl::make_unexpected(prefix.error());
  auto header = ParseNpyHeader(prefix->data, file->size(), path.string());
  if (!header) return tl::make_unexpected(header.error());
  if (header->is_object) return RefuseObjectArray(path.string());
  header->info.name = AsUtf8(path.stem().string());
  return MakeFileInPlace(std::move(file),
                         {.tensors = {std::move(header->info)}, .begins = {header->data_begin}});
}

}  // namespace moe

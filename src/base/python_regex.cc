#include "base/python_regex.h"

#include <cstdint>
#include <optional>

namespace moe {
namespace {

using Fault = std::optional<RegexFault>;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsOctal(char c) { return c >= '0' && c <= '7'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsNameChar(char c) { return IsLetter(c) || IsDigit(c) || c == '_'; }

// Letters that may follow a backslash in both syntaxes with one meaning.
constexpr std::string_view kPlainEscapes = "AbBdDsSwWafnrt";
constexpr std::string_view kPlainClassEscapes = "bdDsSwWafnrt";

// Walks once over the text; every step reads one construct and writes its twin.
class Translator {
 public:
  explicit Translator(std::string_view text) : text_(text) {}

  tl::expected<TranslatedRegex, RegexFault> Run() {
    while (at_ < text_.size()) {
      if (Fault fault = Step()) return tl::make_unexpected(std::move(*fault));
    }
    return std::move(out_);
  }

 private:
  // What stands before a quantifier decides whether Python takes it.
  enum class Item { kNothing, kAssertion, kAtom, kQuantified };

  Fault Step() {
    switch (text_[at_]) {
      case '\\':
        return Escape();
      case '[':
        return Class();
      case '(':
        return OpenGroup();
      case ')':
        return CloseGroup();
      case '|':
        Copy(1);
        last_ = Item::kNothing;
        return {};
      case '^':
      case '$':
        Copy(1);
        last_ = Item::kAssertion;
        return {};
      case '*':
      case '+':
      case '?':
        return Quantifier(1);
      case '{':
        return Brace();
      default:
        Copy(1);
        last_ = Item::kAtom;
        return {};
    }
  }

  char Peek(size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  Fault FaultHere(std::string message) const { return RegexFault{at_, std::move(message)}; }

  void Write(std::string_view piece) {
    out_.pcre2 += piece;
    out_.origin.resize(out_.pcre2.size(), at_);
  }

  void Copy(size_t count) {
    for (; count > 0 && at_ < text_.size(); --count, ++at_) Write(text_.substr(at_, 1));
  }

  // Writes `piece` for the next `count` bytes of the text.
  void Replace(size_t count, std::string_view piece) {
    Write(piece);
    at_ += count;
  }

  void ReplaceByCodePoint(size_t count, uint32_t code) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string piece = "\\x{";
    for (int shift = 28; shift >= 0; shift -= 4) piece += kHex[(code >> shift) & 15];
    Replace(count, piece + "}");
  }

  // \xHH, \uHHHH and \UHHHHHHHH: Python wants exactly that many digits.
  Fault HexEscape(size_t digits) {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = Peek(2 + i);
      if (!IsHex(c)) {
        return FaultHere(std::string("\\") + Peek(1) + " needs " + std::to_string(digits) +
                         " hex digits");
      }
      code = code * 16 + static_cast<uint32_t>(IsDigit(c) ? c - '0' : (c | 32) - 'a' + 10);
    }
    ReplaceByCodePoint(2 + digits, code);
    return {};
  }

  // \0, \07, \012, \123: up to `digits` octal digits after the backslash.
  Fault OctalEscape(size_t digits) {
    uint32_t code = 0;
    size_t used = 0;
    for (; used < digits && IsOctal(Peek(1 + used)); ++used) {
      code = code * 8 + static_cast<uint32_t>(Peek(1 + used) - '0');
    }
    if (used == 0) return FaultHere(std::string("bad escape \\") + Peek(1));
    if (code > 0377) return FaultHere("octal escape value outside of range 0-0o377");
    ReplaceByCodePoint(1 + used, code);
    return {};
  }

  // \1 to \99: group references; with three octal digits, a character.
  Fault BackReference() {
    if (IsOctal(Peek(1)) && IsOctal(Peek(2)) && IsOctal(Peek(3))) return OctalEscape(3);
    const size_t digits = IsDigit(Peek(2)) ? 2 : 1;
    const std::string number(text_.substr(at_ + 1, digits));
    const size_t group = std::stoul(number);
    if (group >= closed_.size() || !closed_[group]) {
      return FaultHere("invalid group reference " + number);
    }
    Replace(1 + digits, "\\g{" + number + "}");
    return {};
  }

  Fault UnknownEscape(std::string_view where) {
    return FaultHere(std::string("\\") + Peek(1) + " is not an escape of Python's re" +
                     std::string(where));
  }

  Fault Escape() {
    if (at_ + 1 >= text_.size()) return FaultHere("bad escape (end of pattern)");
    const char c = Peek(1);
    last_ = Item::kAtom;
    if (IsDigit(c)) return c == '0' ? OctalEscape(3) : BackReference();
    if (!IsLetter(c)) return Copy(2), Fault{};
    switch (c) {
      case 'Z':
        last_ = Item::kAssertion;
        return Replace(2, "\\z"), Fault{};
      case 'v':
        return Replace(2, "\\x0b"), Fault{};
      case 'x':
        return HexEscape(2);
      case 'u':
        return HexEscape(4);
      case 'U':
        return HexEscape(8);
      default:
        break;
    }
    if (kPlainEscapes.find(c) == std::string_view::npos) return UnknownEscape("");
    if (c == 'A' || c == 'b' || c == 'B') last_ = Item::kAssertion;
    Copy(2);
    return {};
  }

  Fault ClassEscape() {
    if (at_ + 1 >= text_.size()) return FaultHere("bad escape (end of pattern)");
    const char c = Peek(1);
    if (IsDigit(c)) return OctalEscape(3);
    if (!IsLetter(c)) return Copy(2), Fault{};
    if (c == 'v') return Replace(2, "\\x0b"), Fault{};
    if (c == 'x') return HexEscape(2);
    if (c == 'u') return HexEscape(4);
    if (c == 'U') return HexEscape(8);
    if (kPlainClassEscapes.find(c) == std::string_view::npos) return UnknownEscape(" in a set");
    Copy(2);
    return {};
  }

  Fault Class() {
    Copy(1);
    if (Peek(0) == '^') Copy(1);
    if (Peek(0) == ']') Replace(1, "\\]");  // first in a set: a literal
    while (at_ < text_.size() && Peek(0) != ']') {
      Fault fault;
      if (Peek(0) == '\\') {
        fault = ClassEscape();
      } else if (Peek(0) == '[') {
        const char mark = Peek(1);
        const bool posix = mark == ':' || mark == '.' || mark == '=';
        if (posix && text_.find(std::string{mark, ']'}, at_ + 2) != std::string_view::npos) {
          return FaultHere("POSIX classes such as [:alpha:] are not known to Python's re");
        }
        Replace(1, "\\[");
      } else {
        Copy(1);
      }
      if (fault) return fault;
    }
    if (at_ >= text_.size()) return FaultHere("unterminated character set");
    Copy(1);
    last_ = Item::kAtom;
    return {};
  }

  Fault Quantifier(size_t length) {
    if (last_ == Item::kNothing || last_ == Item::kAssertion) return FaultHere("nothing to repeat");
    if (last_ == Item::kQuantified) return FaultHere("multiple repeat");
    Copy(length);
    if (Peek(0) == '?' || Peek(0) == '+') Copy(1);  // lazy, possessive
    last_ = Item::kQuantified;
    return {};
  }

  // {n}, {n,}, {n,m} are quantifiers; {,n} differs between the two; any other brace is a literal.
  Fault Brace() {
    size_t i = 1;
    while (IsDigit(Peek(i))) ++i;
    const bool has_min = i > 1;
    const bool has_comma = Peek(i) == ',';
    if (has_comma) {
      ++i;
      while (IsDigit(Peek(i))) ++i;
    }
    if (Peek(i) != '}' || (!has_min && !has_comma)) {
      Replace(1, "\\{");
      last_ = Item::kAtom;
      return {};
    }
    if (!has_min)
      return FaultHere("write {0,n} for {,n}: libraries read the short form differently");
    return Quantifier(i + 1);
  }

  Fault CloseGroup() {
    if (open_.empty()) return FaultHere("unbalanced parenthesis");
    const Open group = open_.back();
    open_.pop_back();
    if (group.number > 0) closed_[group.number] = true;
    Copy(1);
    last_ = Item::kAtom;
    return {};
  }

  // Opens a group by copying `length` bytes; number 0 captures nothing.
  Fault Open_(size_t length, bool captures) {
    size_t number = 0;
    if (captures) {
      number = closed_.size();
      closed_.push_back(false);
    }
    open_.push_back({number});
    Copy(length);
    last_ = Item::kNothing;
    return {};
  }

  Fault OpenGroup() {
    if (Peek(1) == '*') return FaultHere("(* is not Python's syntax: nothing to repeat");
    if (Peek(1) != '?') return Open_(1, true);
    switch (Peek(2)) {
      case ':':
      case '=':
      case '!':
      case '>':
        return Open_(3, false);
      case '<':
        if (Peek(3) == '=' || Peek(3) == '!') return Open_(4, false);
        return FaultHere("unknown extension ?<; Python writes named groups (?P<name>...)");
      case 'P':
        return NamedConstruct();
      case '(':
        return Conditional();
      case '#':
        return Comment();
      default:
        return Flags();
    }
  }

  Fault NamedConstruct() {
    size_t end = 4;
    while (IsNameChar(Peek(end))) ++end;
    const bool named = end > 4 && !IsDigit(Peek(4));
    if (Peek(3) == '<' && Peek(end) == '>' && named) return Open_(end + 1, true);
    if (Peek(3) == '=' && Peek(end) == ')' && named) {
      Copy(end + 1);
      last_ = Item::kAtom;
      return {};
    }
    return FaultHere("after (?P Python's re expects <name> or =name)");
  }

  // (?(1)yes|no) and (?(name)yes|no); PCRE2 gives (?(R) and (?(DEFINE) other meanings, so a name
  // goes over in angle brackets.
  Fault Conditional() {
    size_t end = 3;
    while (IsNameChar(Peek(end))) ++end;
    if (Peek(end) != ')' || end == 3) return FaultHere("(?( needs the number or name of a group");
    const std::string ref(text_.substr(at_ + 3, end - 3));
    const bool number = ref.find_first_not_of("0123456789") == std::string::npos;
    open_.push_back({0});
    Replace(end + 1, number ? "(?(" + ref + ")" : "(?(<" + ref + ">)");
    last_ = Item::kNothing;
    return {};
  }

  Fault Comment() {
    const size_t close = text_.find(')', at_);
    if (close == std::string_view::npos) return FaultHere("missing ), unterminated comment");
    at_ = close + 1;
    return {};
  }

  // (?ims) at the start of the pattern, (?ims-ims:...) anywhere. Python's u is always on here.
  Fault Flags() {
    constexpr std::string_view kShared = "ims";
    std::string flags;
    size_t i = 2;
    for (; IsLetter(Peek(i)) || Peek(i) == '-'; ++i) {
      const char c = Peek(i);
      if (c == 'a' || c == 'L' || c == 'x') {
        return FaultHere(std::string("the flag ") + c + " is not supported");
      }
      if (c == 'u') continue;
      if (c != '-' && kShared.find(c) == std::string_view::npos) {
        return FaultHere(std::string("unknown extension ?") + c);
      }
      flags += c;
    }
    if (i == 2) return FaultHere(std::string("unknown extension ?") + Peek(2));
    if (!flags.empty() && flags.back() == '-') return FaultHere("missing flag");
    if (Peek(i) == ':') {
      open_.push_back({0});
      Replace(i + 1, "(?" + flags + ":");
      last_ = Item::kNothing;
      return {};
    }
    if (Peek(i) != ')') return FaultHere("missing ), : or - in inline flags");
    if (at_ != 0) return FaultHere("global flags not at the start of the expression");
    if (flags.find('-') != std::string::npos) return FaultHere("missing : after inline flags");
    Replace(i + 1, flags.empty() ? "" : "(?" + flags + ")");
    return {};
  }

  struct Open {
    size_t number;
  };

  std::string_view text_;
  size_t at_ = 0;
  TranslatedRegex out_;
  Item last_ = Item::kNothing;
  std::vector<Open> open_;
  std::vector<bool> closed_ = {false};  // by group number; group 0 is the whole pattern
};

}  // namespace

tl::expected<TranslatedRegex, RegexFault> TranslatePythonRegex(std::string_view text) {
  return Translator(text).Run();
}

}  // namespace moe

#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <mutex>

#include "base/python_regex.h"

namespace moe {
namespace {

// Bounds of one match. A million steps take some 15 ms; no sane pattern comes near.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr uint32_t kDepthLimit = 10'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

template <auto kFree>
struct Freer {
  template <class T>
  void operator()(T* p) const {
    kFree(p);
  }
};
using Code = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string Pcre2Message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

bool IsUtfError(int rc) { return rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21; }

// `text` with '?' in place of every byte that is not part of valid UTF-8; same length.
std::string WithoutInvalidUtf8(std::string_view text) {
  static const Code kAny = [] {
    int error = 0;
    PCRE2_SIZE offset = 0;
    return Code(pcre2_compile(Units(""), 0, PCRE2_UTF, &error, &offset, nullptr));
  }();
  std::string clean(text);
  const MatchData data(pcre2_match_data_create_from_pattern(kAny.get(), nullptr));
  while (
      IsUtfError(pcre2_match(kAny.get(), Units(clean), clean.size(), 0, 0, data.get(), nullptr))) {
    clean[pcre2_get_startchar(data.get())] = '?';
  }
  return clean;
}

Code CompileSource(std::string_view source, uint32_t options, int* error, PCRE2_SIZE* offset) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  return Code(pcre2_compile(Units(source), source.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_ALT_CIRCUMFLEX | options, error, offset,
                            context.get()));
}

// Compiled as `re.match` or `re.search` when that is first asked for: as an option of a match,
// anchoring would keep the compiled program from running.
class Program {
 public:
  explicit Program(uint32_t options) : options_(options) {}

  const pcre2_code* Get(const std::string& source) {
    std::call_once(once_, [&] {
      int error = 0;
      PCRE2_SIZE offset = 0;
      code_ = CompileSource(source, options_, &error, &offset);
      // Where that fails, the interpreter runs.
      pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    });
    return code_.get();
  }

 private:
  uint32_t options_;
  std::once_flag once_;
  Code code_;
};

}  // namespace

struct Pattern::Impl {
  std::string text, what;
  std::string source;  // for PCRE2, known to compile
  MatchContext limits;
  mutable Program matching = Program(PCRE2_ANCHORED), searching = Program(0);

  int Run(const pcre2_code* code, std::string_view subject, pcre2_match_data* data) const {
    const int rc = pcre2_match(code, Units(subject), subject.size(), 0, 0, data, limits.get());
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
    return pcre2_match(code, Units(subject), subject.size(), 0, PCRE2_NO_JIT, data, limits.get());
  }

  Result<std::optional<PatternMatch>> Find(Program& program, std::string_view subject) const;
};

Result<std::optional<PatternMatch>> Pattern::Impl::Find(Program& program,
                                                        std::string_view subject) const {
  const pcre2_code* code = program.Get(source);
  const MatchData data(pcre2_match_data_create_from_pattern(code, nullptr));
  int rc = Run(code, subject, data.get());
  if (IsUtfError(rc)) rc = Run(code, WithoutInvalidUtf8(subject), data.get());
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) {
    const std::string cause = rc == PCRE2_ERROR_MATCHLIMIT   ? "hit the match limit"
                              : rc == PCRE2_ERROR_DEPTHLIMIT ? "hit the depth limit"
                              : rc == PCRE2_ERROR_HEAPLIMIT  ? "hit the memory limit"
                                                             : "failed (" + Pcre2Message(rc) + ")";
    return Fail(ErrorCode::kBadArgument, what,
                fmt::format("pattern '{}' {} on tensor '{}'", text, cause, subject),
                "write the pattern with less nested repetition");
  }
  PatternMatch match;
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
  const uint32_t count = pcre2_get_ovector_count(data.get());
  match.groups.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (i >= static_cast<uint32_t>(rc) || ends[2 * i] == PCRE2_UNSET) continue;
    match.groups[i] = subject.substr(ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
  }
  match.end = ends[1];
  return match;
}

Result<Pattern> Pattern::Compile(std::string_view text, std::string_view what) {
  const auto fail = [&](std::string_view message, size_t offset) {
    return Fail(ErrorCode::kBadArgument, std::string(what),
                fmt::format("pattern '{}': {} at offset {}", text, message, offset));
  };
  auto translated = TranslatePythonRegex(text);
  if (!translated) return fail(translated.error().message, translated.error().offset);

  int error = 0;
  PCRE2_SIZE offset = 0;
  auto impl = std::make_unique<Impl>();
  impl->text = text;
  impl->what = what;
  impl->source = std::move(translated->pcre2);
  if (!CompileSource(impl->source, 0, &error, &offset)) {
    const size_t origin = offset < impl->source.size() ? translated->origin[offset] : text.size();
    return fail(Pcre2Message(error), origin);
  }
  impl->limits.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(impl->limits.get(), kMatchLimit);
  pcre2_set_depth_limit(impl->limits.get(), kDepthLimit);
  pcre2_set_heap_limit(impl->limits.get(), kHeapLimitKib);
  return Pattern(std::move(impl));
}

Pattern::Pattern(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

Result<std::optional<PatternMatch>> Pattern::Match(std::string_view subject) const {
  return impl_->Find(impl_->matching, subject);
}

Result<std::optional<PatternMatch>> Pattern::Search(std::string_view subject) const {
  return impl_->Find(impl_->searching, subject);
}

}  // namespace moe

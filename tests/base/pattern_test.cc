#include "base/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moe {
namespace {

using testing::HasSubstr;

// "<group 0>,<group 1>,None", or "-" where nothing matched.
std::string Show(const Result<std::optional<PatternMatch>>& result) {
  if (!result) return "error: " + result.error().Text();
  if (!*result) return "-";
  std::string text;
  for (const auto& group : (*result)->groups) {
    if (!text.empty()) text += ",";
    text += group ? "<" + std::string(*group) + ">" : "None";
  }
  return text;
}

// Expected by Python 3.11's re: for each row, m = re.match(pattern, subject), re.search(...),
// shown as (m.group(0),) + m.groups().
struct PythonCase {
  const char *pattern, *subject, *match, *search;
};
constexpr PythonCase kPythonCases[] = {
    {"a", "ba", "-", "<a>"},
    {".*experts.*\\.(down_proj|gate_proj)\\.weight$", "m.experts.down_proj.weight",
     "<m.experts.down_proj.weight>,<down_proj>", "<m.experts.down_proj.weight>,<down_proj>"},
    {"w1$", "w1\012", "<w1>", "<w1>"},
    {"w1\\Z", "w1\012", "-", "-"},
    {"w1\\Z", "w1", "<w1>", "<w1>"},
    {"a.b", "a\012b", "-", "-"},
    {"(?s)a.b", "a\012b", "<a\012b>", "<a\012b>"},
    {"a.b", "a\015b", "<a\015b>", "<a\015b>"},
    {"(?m)^b", "a\012b", "-", "<b>"},
    {"(?m)a$", "a\012b", "<a>", "<a>"},
    {"(?m)\\n^", "a\012", "-", "<\012>"},
    {"(?i)EXPERTS", "experts", "<experts>", "<experts>"},
    {"(?i:E)x", "ex", "<ex>", "<ex>"},
    {"(?i:E)x", "eX", "-", "-"},
    {"(a)|(b)", "b", "<b>,None,<b>", "<b>,None,<b>"},
    {"(?P<e>\\d+)-(?P=e)", "12-12", "<12-12>,<12>", "<12-12>,<12>"},
    {"(\\d)\\1", "33", "<33>,<3>", "<33>,<3>"},
    {"(a)?b\\1", "b", "-", "-"},
    {"(?:a|b)+?", "abab", "<a>", "<a>"},
    {"a{2}", "aaa", "<aa>", "<aa>"},
    {"a{2,}", "aaa", "<aaa>", "<aaa>"},
    {"a{1,2}", "aaa", "<aa>", "<aa>"},
    {"a{x}", "a{x}", "<a{x}>", "<a{x}>"},
    {"a{", "a{", "<a{>", "<a{>"},
    {"a{ 1}", "a{ 1}", "<a{ 1}>", "<a{ 1}>"},
    {"a{1, 2}", "aa", "-", "-"},
    {"a++a", "aaa", "-", "-"},
    {"(?>a+)a", "aaa", "-", "-"},
    {"(?<=x)y", "xy", "-", "<y>"},
    {"(?=.*q)x", "xq", "<x>", "<x>"},
    {"x(?!y)", "xy", "-", "-"},
    {"(?<!\\d)1", "1", "<1>", "<1>"},
    {"[]a]+", "]a", "<]a>", "<]a>"},
    {"[^]a]", "b", "<b>", "<b>"},
    {"[a[]+", "[a", "<[a>", "<[a>"},
    {"[\\w.]+", "a_1.b", "<a_1.b>", "<a_1.b>"},
    {"[\\b]", "\010", "<\010>", "<\010>"},
    {"\\v", "\013", "<\013>", "<\013>"},
    {"\\v", "\014", "-", "-"},
    {"[\\v]", "\012", "-", "-"},
    {"\\x41\\u0042", "AB", "<AB>", "<AB>"},
    {"\\101", "A", "<A>", "<A>"},
    {"[\\101]", "A", "<A>", "<A>"},
    {"\\d", "\331\243", "<\331\243>", "<\331\243>"},
    {"\\w+", "\303\251a", "<\303\251a>", "<\303\251a>"},
    {"\\w", "-", "-", "-"},
    {"\\s", "\302\240", "<\302\240>", "<\302\240>"},
    {"\\bfoo\\b", "foo.bar", "<foo>", "<foo>"},
    {"a(?#x)*b", "aab", "<aab>", "<aab>"},
    {"(a)?(?(1)b|c)", "ab", "<ab>,<a>", "<ab>,<a>"},
    {"(a)?(?(1)b|c)", "c", "<c>,None", "<c>,None"},
    {"(?P<n>a)?(?(n)b|c)", "ab", "<ab>,<a>", "<ab>,<a>"},
    {"\\$", "$", "<$>", "<$>"},
    {"\\.", ".", "<.>", "<.>"},
    {"", "x", "<>", "<>"},
    {"a|", "b", "<>", "<>"},
    {"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\\10", "abcdefghijj",
     "<abcdefghijj>,<a>,<b>,<c>,<d>,<e>,<f>,<g>,<h>,<i>,<j>",
     "<abcdefghijj>,<a>,<b>,<c>,<d>,<e>,<f>,<g>,<h>,<i>,<j>"},
    {"(?:)*", "", "<>", "<>"},
    {"a\\\\", "a", "-", "-"},
    {"\\_", "_", "<_>", "<_>"},
    {"[\\d-]+", "1-", "<1->", "<1->"},
    {"x*?y?+", "xy", "<>", "<>"},
};

TEST(Pattern, MatchesAndSearchesAsPythonDoes) {
  for (const PythonCase& row : kPythonCases) {
    const auto pattern = Pattern::Compile(row.pattern, "rule 'x'");
    ASSERT_TRUE(pattern.has_value()) << pattern.error().Text();
    EXPECT_EQ(Show(pattern->Match(row.subject)), row.match) << row.pattern;
    EXPECT_EQ(Show(pattern->Search(row.subject)), row.search) << row.pattern;
  }
}

// Refused by Python 3.11 too; the comment is its message.
constexpr const char* kNotPython[] = {
    "a\\Kb",        // bad escape \K at position 1
    "\\R",          // bad escape \R at position 0
    "\\h",          // bad escape \h at position 0
    "\\p{L}",       // bad escape \p at position 0
    "\\Qa\\E",      // bad escape \Q at position 0
    "(?<n>a)",      // unknown extension ?<n at position 1
    "(?|(a)|(b))",  // unknown extension ?| at position 1
    "(?R)",         // unknown extension ?R at position 1
    "(?1)(a)",      // unknown extension ?1 at position 1
    "(?&n)",        // unknown extension ?& at position 1
    "(?'n'a)",      // unknown extension ?' at position 1
    "(*FAIL)",      // nothing to repeat at position 1
    "a**",          // multiple repeat at position 2
    "a{2}{3}",      // multiple repeat at position 4
    "*a",           // nothing to repeat at position 0
    "^*",           // nothing to repeat at position 1
    "(a\\1)",       // cannot refer to an open group at position 2
    "\\1(a)",       // invalid group reference 1 at position 1
    "\\8",          // invalid group reference 8 at position 1
    "\\x4",         // incomplete escape \x4 at position 0
    "\\x{41}",      // incomplete escape \x at position 0
    "\\400",        // octal escape value \400 outside of range 0-0o377 at position 0
    "(",            // missing ), unterminated subpattern at position 0
    ")",            // unbalanced parenthesis at position 0
    "[a",           // unterminated character set at position 0
    "a\\",          // bad escape (end of pattern) at position 1
    "a(?i)b",       // global flags not at the start of the expression at position 1
    "[z-a]",        // bad character range z-a at position 1
    "(?Px)",        // unknown extension ?Px at position 1
    "\\G",          // bad escape \G at position 0
    "\\X",          // bad escape \X at position 0
    "\\e",          // bad escape \e at position 0
    "\\N",          // missing { at position 2
    "\\cA",         // bad escape \c at position 0
    "[\\Z]",        // bad escape \Z at position 1
    "(?P<1a>x)",    // bad character in group name '1a' at position 4
    "(?i-:a)",      // missing flag at position 4
};

TEST(Pattern, RefusesWhatPythonRefuses) {
  for (const char* text : kNotPython) {
    const auto pattern = Pattern::Compile(text, "rule 'x'");
    ASSERT_FALSE(pattern.has_value()) << text;
    EXPECT_EQ(pattern.error().code, ErrorCode::kBadArgument) << text;
    EXPECT_EQ(pattern.error().where, "rule 'x'") << text;
    EXPECT_THAT(pattern.error().message, HasSubstr("at offset")) << text;
  }
}

// Python takes these, but the two libraries, or two versions of PCRE2, read them differently.
TEST(Pattern, RefusesWhatTheLibrariesReadDifferently) {
  for (const char* text : {"a{,2}b", "a{,}", "[[:alpha:]]", "(?x)a b", "(?a)\\w"}) {
    EXPECT_FALSE(Pattern::Compile(text, "rule 'x'").has_value()) << text;
  }
}

TEST(Pattern, TellsTheOffsetOfAFault) {
  const auto pattern = Pattern::Compile("\\Zab\\h", "rule 'x'");
  ASSERT_FALSE(pattern.has_value());
  EXPECT_THAT(pattern.error().message, HasSubstr("at offset 4"));
}

TEST(Pattern, GivesUpOnRunawayBacktrackingAndNamesRuleAndTensor) {
  const auto pattern = Pattern::Compile("(a+)+$", "rule 'slow'");
  ASSERT_TRUE(pattern.has_value());
  const auto match = pattern->Match(std::string(40, 'a') + "!");
  ASSERT_FALSE(match.has_value());
  EXPECT_THAT(match.error().Text(), HasSubstr("rule 'slow'"));
  EXPECT_THAT(match.error().Text(), HasSubstr("hit the match limit on tensor 'aaaa"));
}

TEST(Pattern, TakesBytesThatAreNotUtf8AsOneCharacterEach) {
  const auto pattern = Pattern::Compile("(.*)\\.experts\\.(..)x", "rule 'x'");
  ASSERT_TRUE(pattern.has_value());
  const std::string name = "m\xff\xfe.experts.\xc3\x28x";
  const auto match = pattern->Match(name);
  ASSERT_TRUE(match.has_value() && match->has_value());
  EXPECT_EQ((*match)->groups[1], "m\xff\xfe");
  EXPECT_EQ((*match)->groups[2], "\xc3\x28");
}

TEST(Pattern, SurvivesDeepNesting) {
  const std::string deep = std::string(100'000, '(') + std::string(100'000, ')');
  EXPECT_FALSE(Pattern::Compile(deep, "rule 'x'").has_value());
}

}  // namespace
}  // namespace moe

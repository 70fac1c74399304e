#include "branchlora/data/bpe/regex.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../../io/temporary_folder.hpp"
#include "branchlora/core/utf8.hpp"

using namespace branchlora;
using data::bpe::Regex;
using test::check_mentions;
using test::error_of;
using Parts = std::vector<std::string>;

namespace {

Parts matches(const char* pattern, const std::string& text) {
  const std::u32string points = decode_utf8(text);
  Parts parts;
  for (const auto [begin, end] : Regex(pattern).matches(points)) {
    parts.push_back(encode_utf8(std::u32string_view(points).substr(begin, end - begin)));
  }
  return parts;
}

}  // namespace

TEST_CASE("alternatives are tried in order, repetitions are greedy and give back") {
  CHECK(matches("a|ab|b", "abab") == Parts{"a", "b", "a", "b"});
  CHECK(matches("ab|a", "aab") == Parts{"a", "ab"});
  CHECK(matches("a*ab", "aaab ab") == Parts{"aaab", "ab"});
  CHECK(matches("x?y{2,3}", "yxyyyyy") == Parts{"xyyy", "yy"});
  CHECK(matches("a{2}", "aaaaa") == Parts{"aa", "aa"});
  CHECK(matches("a{2,}", "a aaaa") == Parts{"aaaa"});
  CHECK(matches("z*", "azz") == Parts{"zz"});
  CHECK(matches("a(?:b|bc)?d", "ad abd abcd") == Parts{"ad", "abd", "abcd"});
  CHECK(matches("(a|b)c", "acbcc") == Parts{"ac", "bc"});
}

TEST_CASE("sets, classes and looking ahead") {
  CHECK(matches(R"([^\r\n\p{L}\p{N}]?\p{L}+)", "-ab\nc1d") == Parts{"-ab", "c", "d"});
  CHECK(matches(R"([a-c\-])", "ad-c") == Parts{"a", "-", "c"});
  CHECK(matches(R"([\]x-])", "]-y") == Parts{"]", "-"});
  CHECK(matches(R"(\s+(?!\S)|\s+)", "a   b  ") == Parts{"  ", " ", "  "});
  CHECK(matches(R"(a(?=b))", "ab ac") == Parts{"a"});
  CHECK(matches(R"(\P{L}\S)", "a1b") == Parts{"1b"});
  CHECK(matches(R"(\p{M}+)", "e\u0301\u0302a") == Parts{"\u0301\u0302"});
  CHECK(matches("[一-三]", "一丁四") == Parts{"一", "丁"});
}

TEST_CASE("case is ignored where the pattern says so") {
  CHECK(matches("(?i:'s|'LL)s", "'Ss'lls'SS") == Parts{"'Ss", "'lls"});
  CHECK(matches("(?i:'s)", "'\u017F") == Parts{"'\u017F"});
}

TEST_CASE("what this reader does not know is refused by name") {
  const auto refuse = [](const char* pattern, const char* what) {
    CAPTURE(pattern);
    check_mentions(error_of([&] { Regex(pattern, "file: Split"); }), "file: Split: ", what,
                   pattern);
  };
  refuse(R"(\w+)", "no escape of this letter");
  refuse(R"(\d)", "no escape of this letter");
  refuse(R"(\p{Han})", "no property of this name");
  refuse("a.", "no bare .");
  refuse("^a", "no bare ^");
  refuse("*a", "no bare *");
  refuse("a+?", "no lazy, possessive or double repetition");
  refuse("a++", "no lazy, possessive or double repetition");
  refuse("(ab)+", "no group that is repeated");
  refuse("(?!a)?", "no group that is repeated");
  refuse("(?<n>a)", "no group of this kind");
  refuse("(a", "no open group");
  refuse("a)", "a closing parenthesis that nothing opens");
  refuse("[a", "no pattern that ends here");
  refuse("[[a]]", "no set inside a set");
  refuse("[z-a]", "no range of this form");
  refuse("[\\s-a]", "no range of this form");
  refuse("a{3,2}", "no repetition of this form");
  refuse("a{x}", "no repetition of this form");
  refuse("(?i:é)", "no letter outside ASCII");
  refuse("((((((((((((((((((a))))))))))))))))))", "no group so deep");
  check_mentions(error_of([] { Regex(std::string(5000, 'a')); }), "at most 4096", "5000");
}

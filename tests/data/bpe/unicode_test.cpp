#include "branchlora/data/bpe/unicode.hpp"

#include <doctest/doctest.h>

using namespace branchlora::data;

namespace {

int count(auto is) {
  int n = 0;
  for (char32_t c = 0; c < 0x110000; ++c) n += is(c);
  return n;
}

}  // namespace

// Unicode 16.0 counts 141,028 letters (Lu, Ll, Lt, Lm, Lo) and 1,911 numbers (Nd, Nl, No); 25 code
// points have the property White_Space.
TEST_CASE("there are as many letters, numbers and spaces as Unicode has") {
  CHECK(count(bpe::is_letter) == 141028);
  CHECK(count(bpe::is_number) == 1911);
  CHECK(count(bpe::is_space) == 25);
}

TEST_CASE("characters are of the class that they look like") {
  for (const char32_t c : U"azAZéßЖ中あ한עǅª") {
    if (c != 0) CHECK(bpe::is_letter(c));
  }
  for (const char32_t c : U"09٣½Ⅳ①²") {
    if (c != 0) CHECK(bpe::is_number(c));
  }
  for (const char32_t c : U"_-\u200B\u0301 ☃") CHECK_FALSE(bpe::is_letter(c));
  CHECK(bpe::is_mark(U'\u0301'));
  CHECK_FALSE(bpe::is_mark(U'e'));
  CHECK(bpe::is_space(U'\u3000'));
  CHECK_FALSE(bpe::is_space(U'\u200B'));
}

#include "branchlora/core/utf8.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace branchlora;

TEST_CASE("code points become bytes and back") {
  const std::u32string all =
      U"\u0001a\u007F\u0080\u07FF\u0800\uD7FF\uE000\uFFFF\U00010000\U0010FFFF";
  CHECK(decode_utf8(encode_utf8(all)) == all);
  CHECK(encode_utf8(U"é€🦊") == "é€🦊");
  CHECK(valid_utf8("a\xC3\xA9 🦊") == "a\xC3\xA9 🦊");
}

// The cases of the Unicode standard, table 3-8 and the text around it.
TEST_CASE("each longest beginning that is not UTF-8 becomes one replacement character") {
  const auto replaced = [](const char* bytes) {
    std::string marks;
    for (const char32_t c : decode_utf8(bytes))
      marks += c == 0xFFFD ? '?' : static_cast<char>(c);
    return marks;
  };
  CHECK(replaced("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64") == "a???b?c??d");
  CHECK(replaced("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == "????????A");
  CHECK(replaced("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == "????????A");
  CHECK(replaced("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == "?????A??B");
  CHECK(replaced("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == "????A");
  CHECK(replaced("x\xE2\x82") == "x?");
}

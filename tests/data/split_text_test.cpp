#include "branchlora/data/split_text.hpp"

#include <doctest/doctest.h>

#include <regex>
#include <string>
#include <vector>

#include "branchlora/core/random.hpp"

using branchlora::data::split_text;
using Tokens = std::vector<std::string>;

TEST_CASE("tokens by hand") {
  CHECK(split_text("") == Tokens{});
  CHECK(split_text(" \t\r\n\v\f") == Tokens{});
  CHECK(split_text("what is it?\nanswer.") == Tokens{"what", "is", "it", "?", "answer", "."});
  CHECK(split_text("<image>\nhi") == Tokens{"<image>", "hi"});
  CHECK(split_text("<image") == Tokens{"<", "image"});
  CHECK(split_text("a<image>b") == Tokens{"a", "<image>", "b"});
  CHECK(split_text("[0.25, 1.00]") == Tokens{"[", "0.25", ",", "1.00", "]"});
  CHECK(split_text("10.253") == Tokens{"1", "0.25", "3"});
  CHECK(split_text("0.5 734") == Tokens{"0", ".", "5", "7", "3", "4"});
  CHECK(split_text("ice-cream isn't t-shirt's") == Tokens{"ice-cream", "isn't", "t-shirt's"});
  CHECK(split_text("-a- 'b' a--b a-'b") ==
        Tokens{"-", "a", "-", "'", "b", "'", "a", "-", "-", "b", "a", "-", "'", "b"});
  CHECK(split_text("a1b-2") == Tokens{"a", "1", "b", "-", "2"});
  CHECK(split_text("Ab") == Tokens{"A", "b"});
  CHECK(split_text("caf\xC3\xA9 \xE2\x82\xAC") == Tokens{"caf", "\xC3\xA9", "\xE2\x82\xAC"});
}

TEST_CASE("bytes that are no text do no harm") {
  CHECK(split_text(std::string("a\0b", 3)) == Tokens{"a", std::string(1, '\0'), "b"});
  CHECK(split_text("\x80\x80z\xC3") == Tokens{"\x80\x80", "z", "\xC3"});
}

TEST_CASE("random text splits as the regular expression says") {
  const std::regex token(R"(<image>|[0-9]\.[0-9]{2}|[a-z]+(?:[-'][a-z]+)*|[0-9]|[^\sa-z0-9])");
  const Tokens pieces{"<image>", "<", "image", ">", "a", "b",  "-", "'",
                      "0",       "7", ".",     ",", " ", "\n", "Q"};
  const branchlora::Random random(1);
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::string text;
    for (std::uint64_t j = 0; j < 12; ++j) {
      text += pieces[static_cast<std::size_t>(
          random.below(12 * i + j, static_cast<branchlora::Index>(pieces.size())))];
    }
    CAPTURE(text);
    const Tokens expected(std::sregex_token_iterator(text.begin(), text.end(), token),
                          std::sregex_token_iterator());
    REQUIRE(split_text(text) == expected);
  }
}

#include "branchlora/data/bpe/nfc.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "branchlora/core/utf8.hpp"

using namespace branchlora;
using namespace branchlora::data;

// Cases of Unicode standard annex 15 (tables 4, 5 and 6) and of the composition exclusions.
TEST_CASE("normalisation form C") {
  const auto check = [](std::u32string_view from, std::u32string_view to) {
    CAPTURE(encode_utf8(from));
    CHECK(bpe::nfc(from) == to);
    CHECK(bpe::nfc(to) == to);
  };
  check(U"plain", U"plain");
  check(U"e\u0301", U"\u00E9");
  check(U"\u212B\u2126", U"\u00C5\u03A9");
  check(U"s\u0323\u0307", U"\u1E69");
  check(U"\u1E0B\u0323", U"\u1E0D\u0307");
  check(U"q\u0307\u0323", U"q\u0323\u0307");
  check(U"\u1E9B\u0323", U"\u1E9B\u0323");
  check(U"\u017F\u0323\u0307", U"\u1E9B\u0323");
  check(U"\u1100\u1161\u11A8", U"\uAC01");
  check(U"\uAC00\u11A8\u11A8", U"\uAC01\u11A8");
  check(U"\u0958", U"\u0915\u093C");         // excluded from composition
  check(U"\u0344", U"\u0308\u0301");         // begins with a mark
  check(U"a\u0345\u0301", U"\u00E1\u0345");  // reordered, then composed
  check(U"e\u0334\u0301", U"\u00E9\u0334");  // a mark of another class does not block
  check(U"e\u0302\u0301", U"\u1EBF");
  check(U"\u0301e\u0301", U"\u0301\u00E9");
  check(U"\uFA1E\uF900", U"\u7FBD\u8C48");
}

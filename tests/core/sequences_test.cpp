#include "branchlora/core/sequences.hpp"

#include <doctest/doctest.h>

using namespace branchlora;

TEST_CASE("sequences follow one another, and turns see their image") {
  Sequences sequences;
  CHECK(sequences.count() == 0);
  CHECK(sequences.tokens() == 0);
  sequences.push(3);
  sequences.push(4, {2, 5});
  CHECK(sequences.count() == 2);
  CHECK(sequences.tokens() == 14);
  CHECK(sequences.offsets == std::vector<Index>{0, 3, 14});
  REQUIRE(sequences.spans.size() == 4);
  const auto check = [&](std::size_t i, Index first, Index count, Index prefix, Index seen) {
    CHECK(sequences.spans[i].first == first);
    CHECK(sequences.spans[i].count == count);
    CHECK(sequences.spans[i].prefix_first == prefix);
    CHECK(sequences.spans[i].prefix_count == seen);
  };
  check(0, 0, 3, 0, 0);
  check(1, 3, 4, 0, 0);
  check(2, 7, 2, 3, 4);
  check(3, 9, 5, 3, 4);
  sequences.clear();
  CHECK(sequences.tokens() == 0);
  CHECK(sequences.spans.empty());
}

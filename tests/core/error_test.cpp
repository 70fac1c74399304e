#include "branchlora/core/error.hpp"

#include <doctest/doctest.h>

using namespace branchlora;

TEST_CASE("expect throws its sentence, or nothing") {
  CHECK_NOTHROW(expect(true, "never {}", 1));
  CHECK_THROWS_WITH_AS(expect(false, "{}: expected {}, found {}", "file", 2, 3),
                       "file: expected 2, found 3", Error);
  CHECK_THROWS_WITH_AS(fail("rank {}", 0), "rank 0", std::runtime_error);
}

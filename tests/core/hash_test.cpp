#include "branchlora/core/hash.hpp"

#include <doctest/doctest.h>

using namespace branchlora;

// Values of the FNV reference test vectors.
static_assert(hash("") == 0xCBF29CE484222325ULL);
static_assert(hash("a") == 0xAF63DC4C8601EC8CULL);
static_assert(hash("foobar") == 0x85944171F73967E8ULL);

TEST_CASE("bytes above 127 count as unsigned") { CHECK(hash("\xff") == 0xAF64724C8602EB6EULL); }

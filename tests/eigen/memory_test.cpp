#include "branchlora/eigen/memory.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <vector>

using namespace branchlora::eigen;

TEST_CASE("matrices lie at cache lines, and at large pages where they fill one") {
  std::vector<void*> all;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, large_page - 1,
                                  large_page, 3 * large_page + 64}) {
    CAPTURE(bytes);
    void* const lines = allocate_lines(bytes);
    const std::size_t boundary = bytes >= large_page ? large_page : cache_line;
    CHECK(reinterpret_cast<std::uintptr_t>(lines) % boundary == 0);
    std::memset(lines, static_cast<int>(all.size() + 1), bytes);
    all.push_back(lines);
  }
  const auto* bytes = static_cast<const unsigned char*>(all[4]);
  CHECK(bytes[0] == 5);
  CHECK(bytes[large_page - 1] == 5);
  for (void* lines : all) release_lines(lines);
  release_lines(nullptr);
}

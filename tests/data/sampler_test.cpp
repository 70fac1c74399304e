#include "branchlora/data/sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using data::BatchSampler;
using test::check_mentions;
using test::error_of;

namespace {

std::vector<Index> first(BatchSampler sampler, Index batches) {
  std::vector<Index> all;
  for (Index b = 0; b < batches; ++b) {
    for (const Index i : sampler.batch(b)) all.push_back(i);
  }
  return all;
}

}  // namespace

TEST_CASE("each epoch has every sample once, whatever the size of a batch") {
  for (const Index batch : {1, 3, 10, 16, 40}) {
    CAPTURE(batch);
    const auto order = first(BatchSampler(10, batch, Random(5)), 120 / batch);
    REQUIRE(order.size() >= 110);
    CHECK(order == [&] {  // batches only cut one and the same order
      auto all = first(BatchSampler(10, 1, Random(5)), 120);
      all.resize(order.size());
      return all;
    }());
    for (std::ptrdiff_t epoch = 0; epoch < 11; ++epoch) {
      std::vector<Index> seen(order.begin() + 10 * epoch, order.begin() + 10 * (epoch + 1));
      std::ranges::sort(seen);
      for (Index i = 0; i < 10; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
    }
  }
}

TEST_CASE("a batch depends on its number alone") {
  BatchSampler forward(100, 16, Random(1));
  std::vector<std::vector<Index>> batches;
  for (Index b = 0; b < 20; ++b) batches.push_back(forward.batch(b));
  BatchSampler resumed(100, 16, Random(1));
  for (const Index b : {13, 2, 19, 0, 13, 6}) {
    CHECK(resumed.batch(b) == batches[static_cast<std::size_t>(b)]);
  }
}

TEST_CASE("epochs and seeds differ") {
  const auto order = first(BatchSampler(100, 100, Random(1)), 2);
  CHECK_FALSE(std::equal(order.begin(), order.begin() + 100, order.begin() + 100));
  CHECK(order != first(BatchSampler(100, 100, Random(2)), 2));
  CHECK(order != first(BatchSampler(100, 100, Random(1, 1)), 2));
}

TEST_CASE("number of batches for an epoch") {
  CHECK(BatchSampler(100, 16, Random(1)).batches() == 7);
  CHECK(BatchSampler(96, 16, Random(1)).batches() == 6);
  CHECK(BatchSampler(100, 16, Random(1)).batches(4) == 25);
}

TEST_CASE("nothing to sample is an error") {
  check_mentions(error_of([] { BatchSampler(0, 4, Random(1)); }), "found 0 and 4");
  check_mentions(error_of([] { BatchSampler(4, 0, Random(1)); }), "found 4 and 0");
  check_mentions(error_of([] { BatchSampler(4, 2, Random(1)).batch(-1); }), "found -1");
}

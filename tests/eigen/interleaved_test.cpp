#include "branchlora/eigen/interleaved.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

using branchlora::Index;
using branchlora::eigen::Interleaved;
using branchlora::eigen::TokenWork;

namespace {

using Calls = std::vector<std::pair<Index, Index>>;

/// Work that keeps note of its calls.
TokenWork<float> noting(Calls& calls) {
  return {[&calls](Index first, Index count) { calls.emplace_back(first, count); }, {}};
}

}  // namespace

TEST_CASE("work is done in order, tile by tile, and no further than asked") {
  Calls calls;
  const auto work = noting(calls);
  Interleaved<float> interleaved(work, 10, 120);
  CHECK(calls.empty());
  interleaved.finish(11);
  CHECK(calls == Calls{{10, 48}});
  interleaved.finish(58);  // which the first tile ends at
  CHECK(calls.size() == 1);
  interleaved.finish(59);
  CHECK(calls == Calls{{10, 48}, {58, 48}});
  interleaved.finish(120);
  CHECK(calls == Calls{{10, 48}, {58, 48}, {106, 14}});
  interleaved.finish(120);
  CHECK(calls.size() == 3);
}

TEST_CASE("what lies between two blocks is divided among the parts of the first") {
  Calls calls;
  const auto work = noting(calls);
  Interleaved<float> interleaved(work, 0, 1000);
  // Tokens before 300 are seven tiles; parts take what is left when they begin.
  std::vector<std::size_t> done;
  for (Index part = 0; part < 3; ++part) {
    interleaved.aim(300, 3 - part, 1);
    interleaved.fetch();
    interleaved.finish();
    done.push_back(calls.size());
  }
  CHECK(done == std::vector<std::size_t>{2, 4, 7});
  interleaved.finish(300);
  CHECK(calls.size() == 7);

  // Aiming beyond the end, or at what is done, is no mistake.
  interleaved.aim(100, 1, 1);
  interleaved.finish();
  CHECK(calls.size() == 7);
  interleaved.aim(5000, 1, 1);
  interleaved.finish();
  CHECK(calls.size() == 21);
  CHECK(calls.back() == std::pair<Index, Index>{960, 40});
}

TEST_CASE("fetching touches nothing, whatever the shape") {
  const std::vector<float> data(100 * 70, 1.0F);
  Calls calls;
  for (const Index cols : {1, 16, 65}) {
    TokenWork<float> work = noting(calls);
    work.reads = {branchlora::MatrixView<const float>(data.data(), 100, cols, 70)};
    Interleaved<float> interleaved(work, 0, 100);
    interleaved.aim(100, 1, 7);
    for (int i = 0; i < 30; ++i) interleaved.fetch();
    interleaved.finish();
  }
  CHECK(calls.size() == 9);
}

TEST_CASE("no work is done at once") {
  const TokenWork<float> none;
  CHECK(none.empty());
  Interleaved<float> interleaved(none, 0, 500);
  interleaved.aim(500, 1, 10);
  interleaved.fetch();
  interleaved.finish();
  interleaved.finish(500);
}

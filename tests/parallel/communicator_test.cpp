#include "branchlora/parallel/communicator.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "branchlora/eigen/backend.hpp"
#include "io/temporary_folder.hpp"
#include "parallel/threads.hpp"

using namespace branchlora;
using namespace branchlora::test;

static_assert(parallel::Communicator<parallel::SingleProcess>);
static_assert(!parallel::Communicator<int>);
static_assert(!parallel::DeviceCommunicator<parallel::SingleProcess, eigen::Backend<float>>);

TEST_CASE("a single process keeps what it has") {
  const parallel::SingleProcess alone;
  std::vector<double> values{1, 2};
  alone.sum(std::span(values));
  alone.broadcast(std::span(values));
  CHECK(values == std::vector<double>{1, 2});
  CHECK(parallel::share_of(values, alone) == values);
}

TEST_CASE("ranks have every item of a list once, and every rank has its part of each stretch") {
  std::vector<int> all(11);
  std::iota(all.begin(), all.end(), 0);
  const auto shares =
      on_ranks(3, [&](const ThreadRank& rank) { return parallel::share_of(all, rank); });
  CHECK(shares[0] == std::vector<int>{0, 3, 6, 9});
  CHECK(shares[1] == std::vector<int>{1, 4, 7, 10});
  CHECK(shares[2] == std::vector<int>{2, 5, 8});
}

TEST_CASE("a batch with fewer samples than ranks is refused, in every rank") {
  const std::vector<int> two{1, 2};
  const auto errors = on_ranks(
      3, [&](const ThreadRank& rank) { return error_of([&] { parallel::share_of(two, rank); }); });
  for (const auto& error : errors) check_mentions(error, "each of 3 processes", "found 2");
}

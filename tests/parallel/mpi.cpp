// The communicator of MPI, in two processes or more. One argument, `abort`: an error in the second
// process, while the first is at work.
#include "branchlora/parallel/mpi.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/eigen/backend.hpp"
#include "parallel/check_training.hpp"

using namespace branchlora;
using namespace branchlora::test;
using parallel::Mpi;

TEST_CASE_TEMPLATE("values are summed in the order of the ranks", T, float, double) {
  const Mpi ranks;
  // Large numbers that cancel, so that each order has another sum, and sizes that ranks do not
  // divide.
  const auto value = [](int rank, std::size_t i) {
    const auto k = static_cast<std::size_t>(rank) + i;
    return static_cast<T>(k % 3 == 0 ? 1e16 : k % 3 == 1 ? 1.0 + static_cast<double>(i) : -1e16);
  };
  for (const std::size_t size : {0U, 1U, 5U, 1000U}) {
    std::vector<T> values;
    std::vector<T> expected;
    for (std::size_t i = 0; i < size; ++i) {
      values.push_back(value(ranks.rank(), i));
      T sum = value(0, i);
      for (int r = 1; r < ranks.size(); ++r) sum += value(r, i);
      expected.push_back(sum);
    }
    ranks.sum(std::span(values));
    CHECK(values == expected);
  }
}

TEST_CASE_TEMPLATE("the first rank's values reach all", T, float, double) {
  const Mpi ranks;
  std::vector<T> values{T(1) + static_cast<T>(ranks.rank()), T(2)};
  ranks.broadcast(std::span(values));
  CHECK(values == std::vector<T>{1, 2});
}

TEST_CASE("processes of one machine are numbered like all") {
  const Mpi ranks;
  CHECK(ranks.local_rank() == ranks.rank());
}

TEST_CASE("processes agree on the first error") {
  const Mpi ranks;
  const int last = ranks.size() - 1;
  CHECK(ranks.agree("").empty());
  CHECK(ranks.agree("the same") == "the same");
  // Nobody gives up before all are there.
  const auto patience = std::chrono::minutes(2);
  CHECK(ranks.agree(ranks.rank() == last ? "a longer error" : "", patience) ==
        "process " + std::to_string(last + 1) + " of " + std::to_string(last + 1) +
            ": a longer error");
  CHECK(ranks.agree("").empty());
}

TEST_CASE("processes learn what one does, up to rounding") {
  const Mpi ranks;
  const Course<eigen::Backend<double>> course;
  const Trace one = course.train<BranchLora<2, 4, 1>>();
  Trace own = course.train<BranchLora<2, 4, 1>>(ranks);
  CHECK(own == course.train<BranchLora<2, 4, 1>>(ranks));
  check_near(own.norms, one.norms);
  check_near(own.weights, one.weights);

  // The mean loss, by the tokens of each share.
  std::vector<double> losses;
  for (std::size_t i = 0; i < own.losses.size(); ++i) {
    losses.push_back(own.losses[i] * own.tokens[i]);
  }
  ranks.sum(std::span(losses));
  ranks.sum(std::span(own.tokens));
  CHECK(own.tokens == one.tokens);
  for (std::size_t i = 0; i < losses.size(); ++i) losses[i] /= own.tokens[i];
  check_near(losses, one.losses);

  check_same_bits(own.weights, ranks);
}

int main(int argc, char** argv) {
  const parallel::MpiSession session(argc, argv);
  const Mpi ranks;
  if (argc > 1 && std::string(argv[1]) == "abort") {
    if (ranks.rank() != 1) std::this_thread::sleep_for(std::chrono::hours(1));
    ranks.agree("out of luck", std::chrono::milliseconds(100));
    return 1;
  }
  const int status = doctest::Context(argc, argv).run();
  return ranks.agree(status != 0 ? "tests failed" : "").empty() ? 0 : 1;
}

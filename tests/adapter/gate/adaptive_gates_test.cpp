// Gatings that find by themselves how many branches have weight.
#include <doctest/doctest.h>

#include <set>

#include "support/adapter_contract.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

std::set<std::size_t> counts(const std::vector<NaiveGate>& gates) {
  std::set<std::size_t> sizes;
  for (const NaiveGate& gate : gates) sizes.insert(gate.chosen.size());
  return sizes;
}

}  // namespace

TEST_CASE("AdaMoLE: a threshold that is learned chooses any number of experts") {
  AdapterBench<AdaMole4> bench({20, 10});
  bench.two_tasks();
  CHECK(counts(bench.naive_gates().first).size() > 1);
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
  // Towards its end of 0 the threshold lets all pass, towards that of tau = 1/4 fewer.
  auto& bias = *bench.parameters.find("layer.router.bias");
  bench.backend.fill(bias.value, -40.0);
  CHECK(counts(bench.naive_gates().first) == std::set<std::size_t>{4});
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
  bench.backend.fill(bias.value, 40.0);
  CHECK_FALSE(counts(bench.naive_gates().first).contains(4));
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
}

TEST_CASE("a threshold that no branch passes gives zero gates and gradients, not 0 / 0") {
  AdapterBench<AdaMole4::with<gating::Threshold<390>>> bench;
  bench.two_tasks();
  bench.backend.fill(bench.parameters.find("layer.router")->value, 0.0);
  bench.backend.fill(bench.parameters.find("layer.router.bias")->value, 40.0);
  CHECK(counts(bench.naive_gates().first) == std::set<std::size_t>{0});
  CHECK(distance(bench.output(), bench.base_output()) < 1e-13);
  Tape<Double> tape(bench.backend);
  const auto y = bench.forward(tape);
  tape.backward(weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 60)));
  for (const auto& p : bench.parameters) {
    CAPTURE(p.name);
    if (p.trainable && p.name != "x") CHECK(largest(to_dense(p.grad)) == 0);
  }
}

TEST_CASE("AdaMoLE: the threshold's row and bias train") {
  AdapterBench<AdaMole4> bench;
  bench.two_tasks();
  Tape<Double> tape(bench.backend);
  const auto y = bench.forward(tape);
  tape.backward(weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 60)));
  const Dense router = to_dense(bench.parameters.find("layer.router")->grad);
  REQUIRE(router.rows == 5);
  double most = 0;
  for (Index c = 0; c < router.cols; ++c) most = std::max(most, std::abs(router(4, c)));
  CHECK(most > 1e-3);
  CHECK(largest(to_dense(bench.parameters.find("layer.router.bias")->grad)) > 1e-3);
}

TEST_CASE("top-p: the fewest branches that have the share, more of them where scores are even") {
  const auto gates = [](const std::vector<double>& scores, BranchSet allowed = 0b1111) {
    double saved[4], weights[4];
    std::int32_t chosen[4];
    gating::TopP<60>::forward<4, 4>(scores.data(), allowed, saved, weights, chosen);
    return std::vector<double>(weights, weights + 4);
  };
  const auto log = [](std::vector<double> p) {
    for (double& v : p) v = std::log(v);
    return p;
  };
  const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
    return distance(Dense(1, 4, a), Dense(1, 4, b)) < 1e-15;
  };
  CHECK(near(gates(log({0.1, 0.7, 0.1, 0.1})), {0, 1, 0, 0}));
  CHECK(near(gates(log({0.3, 0.1, 0.4, 0.2})), {3.0 / 7, 0, 4.0 / 7, 0}));
  // Even scores: three quarters are more than 60 in 100, two are not. Ties to the lower index.
  CHECK(near(gates({0, 0, 0, 0}), {1.0 / 3, 1.0 / 3, 1.0 / 3, 0}));
  // What is not allowed has no share.
  CHECK(near(gates(log({0.1, 0.7, 0.1, 0.1}), 0b1101), {0.5, 0, 0.5, 0}));
  CHECK(near(gates(log({0.1, 0.7, 0.1, 0.1}), 0b1000), {0, 0, 0, 1}));

  AdapterBench<MoeTopP> bench({20, 10});
  bench.two_tasks();
  CHECK(counts(bench.naive_gates().first).size() > 1);
}

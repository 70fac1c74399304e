#include "branchlora/adapter/low_rank.hpp"

#include <doctest/doctest.h>

#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using B = eigen::Backend<double>;
using Names = std::vector<std::string>;

template <class Parameters>
Names names_of(const Parameters& parameters) {
  Names names;
  for (const auto& p : parameters) names.push_back(p.name);
  return names;
}

}  // namespace

TEST_CASE("the factors of several branches are numbered, one pair is not, and a trunk is one A") {
  B backend;
  ParameterSet<B> one(backend), several(backend), shared(backend);
  const LowRank<B> pair(one, "layer", {.d_in = 5, .d_out = 4, .rank = 2}, Random(1));
  CHECK(names_of(one) == Names{"layer.lora_A", "layer.lora_B"});
  const LowRank<B> pairs(several, "layer", {.d_in = 5, .d_out = 4, .rank = 2, .branches = 2},
                         Random(1));
  CHECK(names_of(several) ==
        Names{"layer.lora_A.0", "layer.lora_A.1", "layer.lora_B.0", "layer.lora_B.1"});
  const LowRank<B> trunk(
      shared, "layer",
      {.d_in = 5, .d_out = 4, .rank = 2, .branches = 2, .shared = true, .router_rows = 3},
      Random(1));
  CHECK(names_of(shared) ==
        Names{"layer.lora_A", "layer.router", "layer.lora_B.0", "layer.lora_B.1"});
  CHECK(pair.router() == nullptr);
  CHECK(pairs.down().rows == 4);
  CHECK(trunk.down().rows == 2);
  CHECK(trunk.up().rows == 4);
  CHECK(&trunk.a(0) == &trunk.a(1));
  // Only A has started: B and the router are zero.
  CHECK(to_dense(trunk.up()) == Dense(4, 4));
  CHECK(to_dense(trunk.router()->value) == Dense(3, 5));
  CHECK(to_dense(trunk.down()) == to_dense(pair.down()));
  CHECK(largest(to_dense(trunk.down())) > 0);
}

TEST_CASE("a stack is one matrix, the router's rows right below A") {
  B backend;
  ParameterSet<B> parameters(backend);
  const LowRank<B> factors(parameters, "layer",
                           {.d_in = 5, .d_out = 4, .rank = 2, .branches = 3, .router_rows = 3},
                           Random(1));
  assign(factors.router()->value, random_dense(3, 5, 7));
  const Dense all = to_dense(factors.down_and_router());
  CHECK(all.rows == 3 * 2 + 3);
  for (Index c = 0; c < 5; ++c) {
    CHECK(all(4, c) == factors.a(2).value(0, c));
    CHECK(all(6, c) == factors.router()->value(0, c));
  }
}

TEST_CASE("the branches in use from the first that trains on have one gradient") {
  B backend;
  ParameterSet<B> parameters(backend);
  LowRank<B> factors(parameters, "layer", {.d_in = 5, .d_out = 4, .rank = 2, .branches = 4},
                     Random(1));
  CHECK(factors.trained() == 0);
  CHECK(!factors.a_trains());
  factors.use(3, 1);
  CHECK(factors.used() == 3);
  CHECK(factors.trained() == 0b110);
  CHECK(factors.down().rows == 6);
  const auto first = factors.a_gradient();
  CHECK(!first.add);
  CHECK(first.view.rows == 4);
  CHECK(first.view.data == factors.a(1).grad.data);
  CHECK(factors.a_gradient().add);
  CHECK(!factors.b_gradient().add);
  for (Index i = 0; i < 4; ++i) {
    CHECK(factors.a(i).has_grad == (i == 1 || i == 2));
    CHECK(factors.b(i).has_grad == factors.a(i).has_grad);
    CHECK(factors.a(i).trainable == factors.a(i).has_grad);
  }
}

TEST_CASE("A and B train apart, a trunk as long as any branch does") {
  B backend;
  ParameterSet<B> parameters(backend);
  LowRank<B> factors(
      parameters, "layer",
      {.d_in = 5, .d_out = 4, .rank = 2, .branches = 3, .shared = true, .router_rows = 3},
      Random(1));
  factors.train_b(0b100);
  CHECK(factors.b_trains());
  CHECK(!factors.a_trains());
  CHECK(factors.trained() == 0b100);
  factors.train_a(0b100);
  CHECK(factors.a_trains());
  CHECK(factors.a_gradient().view.rows == 2 + 3);
  CHECK(factors.router()->has_grad);
  CHECK(factors.b_gradient().view.rows == 6);
  factors.train_a(0);
  CHECK(!factors.a().trainable);
}

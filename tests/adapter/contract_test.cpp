// What every variant keeps, whatever its policies: one typed test over all of them.
#include <doctest/doctest.h>

#include "support/adapter_contract.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

std::string b_name(Index branch) { return "layer.lora_B." + std::to_string(branch); }

}  // namespace

TEST_CASE_TEMPLATE("a new adapter leaves the base unchanged, bit for bit", V,
                   BRANCHLORA_ALL_VARIANTS) {
  check_new_adapter_changes_nothing(make_bench<V>);
}

TEST_CASE_TEMPLATE("compile-time counts are those of the tensors", V, BRANCHLORA_ALL_VARIANTS) {
  check_counts(make_bench<V>);
}

TEST_CASE_TEMPLATE("forward is the equation, token by token", V, BRANCHLORA_ALL_VARIANTS) {
  check_equation(make_bench<V>);
}

TEST_CASE_TEMPLATE("gradients of every parameter and of x", V, BRANCHLORA_ALL_VARIANTS) {
  check_all_gradients(make_bench<V>);
}

TEST_CASE_TEMPLATE("a plan done step by step gives the same bits", V, BRANCHLORA_ALL_VARIANTS) {
  check_schedules<V, double>();
}

TEST_CASE_TEMPLATE("initialisation depends on the seed alone", V, Lora4, Moe, Hydra, Branch) {
  AdapterBench<V> one;
  AdapterBench<V> two({5}, 3);
  one.begin_task(0);
  two.begin_task(0);
  for (auto& p : one.parameters) {
    if (p.name != "x") CHECK(to_dense(p.value) == two.value(p.name));
  }
}

TEST_CASE_TEMPLATE("only adapter parameters move, over six tasks", V, BRANCHLORA_ALL_VARIANTS) {
  check_what_moves(make_bench<V>);
}

TEST_CASE_TEMPLATE("frozen branches and old routers keep their bits", V, Branch, BranchFrozenOnly,
                   BranchToken, BranchMeanToken, BranchSeparate, BranchBalanced, BranchTunable,
                   BranchFrozenReach) {
  AdapterBench<V> bench;
  AdamW<Double> optimiser(bench.parameters, with_decay);
  Values kept;
  for (Index task = 0; task < 4; ++task) {
    bench.begin_task(task);
    for (Index i = 0; i < V::capacity; ++i) {
      if (!contains(bench.layer().frozen(), i)) kept.erase(b_name(i));  // thawed
    }
    train(bench, optimiser, task);
    for (auto& [name, value] : kept) CHECK(bench.value(name) == value);
    bench.layer().end_task();
    kept["layer.router." + std::to_string(task)] =
        bench.value("layer.router." + std::to_string(task));
    for (Index i = 0; i < V::capacity; ++i) {
      if (contains(bench.layer().frozen(), i)) kept[b_name(i)] = bench.value(b_name(i));
    }
  }
  CHECK(bench.layer().frozen() == 0b1111);
  CHECK(bench.layer().routers() == 4);
}

TEST_CASE("the most active branches are frozen, by what was observed") {
  AdapterBench<Branch> bench;
  AdamW<Double> optimiser(bench.parameters);
  bench.begin_task(0);
  std::vector<double> total(4);
  Index units = 0;
  // By hand, with the same inputs and weights as the layer saw, one step at a time.
  for (int step = 0; step < 4; ++step) {
    assign(bench.x->value, random_dense(8, 10, static_cast<std::uint64_t>(700 + step)));
    for (const NaiveGate& gate : bench.naive_gates().second) {
      for (std::size_t i = 0; i < 4; ++i) total[i] += gate.weights[i];
      ++units;
    }
    Tape<Double> tape(bench.backend);
    RoutingContext routing = bench.routing();
    routing.observe = true;
    tape.backward(weighted_sum(tape, bench.linear(tape, tape.parameter(*bench.x), routing),
                               random_dense(8, 7, 60)));
    optimiser.step(1e-2);
  }
  for (double& t : total) t /= static_cast<double>(units);
  const auto activity = bench.layer().activity();
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(activity[i] == doctest::Approx(total[i]).epsilon(1e-12));
  bench.layer().end_task();
  CHECK(bench.layer().frozen() == most_active(total, 0b1111, 2));
  // The count starts anew.
  CHECK(bench.layer().activity() == std::vector<double>(4));
}

namespace {

// Active, frozen and allowed sets after the beginning of each of six tasks. The first two branches
// of each task are made the active ones, by freezing without observation (ties to lower indices).
struct Sets {
  BranchSet active, tunable, allowed;
  bool operator==(const Sets&) const = default;
};

template <class V>
std::vector<Sets> six_tasks() {
  AdapterBench<V> bench;
  std::vector<Sets> sets;
  for (Index task = 0; task < 6; ++task) {
    bench.begin_task(task);
    const auto& layer = bench.layer();
    sets.push_back({layer.active(), layer.tunable(), layer.allowed(task)});
    bench.layer().end_task();
  }
  return sets;
}

}  // namespace

TEST_CASE("branches over six tasks: frozen ones alone are left from the third on") {
  CHECK(six_tasks<BranchFrozenOnly>() == std::vector<Sets>{{0b1111, 0b1111, 0b1111},
                                                           {0b1111, 0b1100, 0b1111},
                                                           {0b1111, 0b0000, 0b1111},
                                                           {0b1111, 0b0000, 0b1111},
                                                           {0b1111, 0b0000, 0b1111},
                                                           {0b1111, 0b0000, 0b1111}});
}

TEST_CASE("branches over six tasks: the least active thaw") {
  CHECK(six_tasks<Branch>() == std::vector<Sets>{{0b1111, 0b1111, 0b1111},
                                                 {0b1111, 0b1100, 0b1111},
                                                 {0b1111, 0b0011, 0b1111},
                                                 {0b1111, 0b0011, 0b1111},
                                                 {0b1111, 0b0011, 0b1111},
                                                 {0b1111, 0b0011, 0b1111}});
}

TEST_CASE("branches over six tasks: two new ones, once") {
  CHECK(six_tasks<BranchGrow>() == std::vector<Sets>{{0b001111, 0b001111, 0b001111},
                                                     {0b001111, 0b001100, 0b001111},
                                                     {0b111111, 0b110000, 0b111111},
                                                     {0b111111, 0b000000, 0b111111},
                                                     {0b111111, 0b000000, 0b111111},
                                                     {0b111111, 0b000000, 0b111111}});
}

TEST_CASE("branches over six tasks: routers that reach tunable branches") {
  CHECK(six_tasks<BranchTunable::with<exhausted::FrozenOnly>>() ==
        std::vector<Sets>{{0b1111, 0b1111, 0b1111},
                          {0b1111, 0b1100, 0b1100},
                          {0b1111, 0b0000, 0b1111},
                          {0b1111, 0b0000, 0b1111},
                          {0b1111, 0b0000, 0b1111},
                          {0b1111, 0b0000, 0b1111}});
  CHECK(six_tasks<BranchTunable>() == std::vector<Sets>{{0b1111, 0b1111, 0b1111},
                                                        {0b1111, 0b1100, 0b1100},
                                                        {0b1111, 0b0011, 0b0011},
                                                        {0b1111, 0b0011, 0b0011},
                                                        {0b1111, 0b0011, 0b0011},
                                                        {0b1111, 0b0011, 0b0011}});
}

TEST_CASE("branches over six tasks: routers that reach frozen branches") {
  CHECK(six_tasks<BranchFrozenReach::with<exhausted::FrozenOnly>>() ==
        std::vector<Sets>{{0b1111, 0b1111, 0b1111},
                          {0b1111, 0b1100, 0b0011},
                          {0b1111, 0b0000, 0b1111},
                          {0b1111, 0b0000, 0b1111},
                          {0b1111, 0b0000, 0b1111},
                          {0b1111, 0b0000, 0b1111}});
  CHECK(six_tasks<BranchFrozenReach>() == std::vector<Sets>{{0b1111, 0b1111, 0b1111},
                                                            {0b1111, 0b1100, 0b0011},
                                                            {0b1111, 0b0011, 0b1100},
                                                            {0b1111, 0b0011, 0b1100},
                                                            {0b1111, 0b0011, 0b1100},
                                                            {0b1111, 0b0011, 0b1100}});
}

TEST_CASE("branches over six tasks: nothing is frozen without a freezing policy") {
  for (const Sets& sets : six_tasks<BranchCopied>()) CHECK(sets == Sets{0b1111, 0b1111, 0b1111});
}

TEST_CASE("branches that are yet to be added take no part") {
  AdapterBench<BranchGrow> bench;
  bench.two_tasks();
  for (const NaiveGate& gate : bench.naive_gates().first) {
    CHECK(gate.weights[4] == 0);
    CHECK(gate.weights[5] == 0);
  }
  const Dense before = bench.output();
  for (const Index i : {4, 5}) bench.backend.fill(bench.parameters.find(b_name(i))->value, 1e3);
  CHECK(bench.output() == before);
}

TEST_CASE("a router starts anew, or as the one before") {
  AdapterBench<Branch> fresh;
  AdapterBench<BranchCopied> copied;
  AdamW<Double> optimiser(copied.parameters);
  for (Index task = 0; task < 2; ++task) {
    fresh.begin_task(task);
    copied.begin_task(task);
    if (task == 1) break;
    train(copied, optimiser, task);
    fresh.layer().end_task();
    copied.layer().end_task();
  }
  CHECK_FALSE(fresh.value("layer.router.1") == fresh.value("layer.router.0"));
  CHECK(copied.value("layer.router.1") == copied.value("layer.router.0"));
  // U(+-1/sqrt(10)).
  CHECK(largest(fresh.value("layer.router.1")) < 1 / std::sqrt(10.0));
  CHECK(largest(fresh.value("layer.router.1")) > 0.8 / std::sqrt(10.0));
}

TEST_CASE("tasks begin in order") {
  AdapterBench<Branch> bench;
  CHECK_THROWS_WITH_AS(bench.begin_task(1), "layer: expected task 0 to begin, found 1", Error);
}

TEST_CASE_TEMPLATE("a saved adapter goes on to the same bits", V, BRANCHLORA_ALL_VARIANTS) {
  check_save_and_restore(make_bench<V>);
}

TEST_CASE("a state that is too short is refused") {
  AdapterBench<Branch> bench;
  const std::vector<std::uint64_t> state{15, 0, 0};
  CHECK_THROWS_WITH_AS(bench.layer().restore(state),
                       "layer: the saved state has 3 numbers, expected at least 6", Error);
}

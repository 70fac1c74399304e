// What every variant keeps, whatever its policies: one typed test over all of them.
#include <doctest/doctest.h>

#include <bit>
#include <map>

#include "branchlora/optim/adamw.hpp"
#include "support/adapter_bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using Values = std::map<std::string, Dense>;

template <class V>
constexpr Index stages = std::ssize(V::Supervision::stages);

// Whether each task trains a branch of its own.
template <class V>
constexpr bool own_branches = requires {
  V::Freezing::own_branch;
};

template <class Bench>
Values values_of(Bench& bench) {
  Values values;
  for (auto& p : bench.parameters) values[p.name] = to_dense(p.value);
  return values;
}

// A few steps of AdamW with momentum, weight decay and clipping towards random targets, as task
// `task`. Observes the gates.
template <class Bench, class Optimiser>
void train(Bench& bench, Optimiser& optimiser, Index task, int steps = 3) {
  std::fill(bench.tasks.begin(), bench.tasks.end(), static_cast<std::int32_t>(task));
  Tape<Double> tape(bench.backend);
  for (int step = 0; step < steps; ++step) {
    tape.reset();
    assign(bench.x->value, random_dense(bench.x->value.rows, bench.x->value.cols,
                                        static_cast<std::uint64_t>(500 + 10 * task + step)));
    RoutingContext routing = bench.routing();
    routing.observe = true;
    routing.supervise = true;
    const auto y = bench.linear(tape, tape.parameter(*bench.x), routing);
    const auto loss =
        weighted_sum(tape, op::gelu(tape, y),
                     random_dense(y.rows(), y.cols(), static_cast<std::uint64_t>(task)));
    tape.backward(loss);
    optimiser.step(1e-2, 0.5);
  }
}

// All stages of a task.
template <class V, class Optimiser>
void learn(AdapterBench<V>& bench, Optimiser& optimiser, Index task) {
  for (Index stage = 0; stage < stages<V>; ++stage) {
    bench.begin_stage(stage);
    train(bench, optimiser, task);
  }
}

const AdamWOptions with_decay{.weight_decay = 0.1};

template <class Bench>
std::vector<std::string> trainable_names(Bench& bench) {
  std::vector<std::string> names;
  for (auto& p : bench.parameters) {
    if (p.trainable && p.name != "x") names.push_back(p.name);
  }
  return names;
}

std::string b_name(Index branch) { return "layer.lora_B." + std::to_string(branch); }

}  // namespace

TEST_CASE_TEMPLATE("a new adapter leaves the base unchanged, bit for bit", V,
                   BRANCHLORA_ALL_VARIANTS) {
  check_new_adapter_changes_nothing<V>();
}

TEST_CASE_TEMPLATE("compile-time counts are those of the tensors", V, BRANCHLORA_ALL_VARIANTS) {
  AdapterBench<V> bench;
  bench.begin_task(0);
  Parameters counted;
  for (const auto& p : bench.parameters) {
    if (p.name.starts_with("layer.lora_A")) counted.a += p.value.size();
    if (p.name.starts_with("layer.lora_B")) counted.b += p.value.size();
    if (p.name.starts_with("layer.lora_Lambda")) counted.transform += p.value.size();
    if (!p.name.starts_with("layer.router")) continue;
    // What no task trains does not count.
    if (p.name.starts_with("layer.router.shared")) {
      counted.shared += p.trainable ? p.value.size() : 0;
    } else {
      counted.router += p.value.size();
    }
  }
  CHECK(counted == V::parameters(10, 7));
  // What trains at first is all of it, but for branches that are yet to be added, or are of other
  // tasks, and routers whose stage is yet to come.
  Index waiting = (V::capacity - V::branches) * V::rank * 7;
  if (own_branches<V>) waiting = (V::capacity - 1) * V::rank * (10 + 7);
  if (!V::Supervision::stages[0].router) waiting += V::parameters(10, 7).router;
  CHECK(bench.parameters.trainable_count() - bench.x->value.size() ==
        V::parameters(10, 7).total() - waiting);
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
  AdapterBench<V> bench;
  bench.parameters.set_trainable(*bench.x, false);
  AdamW<Double> optimiser(bench.parameters, with_decay);
  for (Index task = 0; task < 6; ++task) {
    CAPTURE(task);
    bench.begin_task(task);
    const Values before = values_of(bench);
    for (Index stage = 0; stage < stages<V>; ++stage) {
      bench.begin_stage(stage);
      const Values start = values_of(bench);
      const auto names = trainable_names(bench);
      train(bench, optimiser, task);
      for (auto& [name, value] : start) {
        CAPTURE(name);
        const bool moves = std::find(names.begin(), names.end(), name) != names.end();
        if (name == "x") continue;
        if (moves) CHECK(AdapterBench<V>::is_adapter(name));
        if (!moves) CHECK(bench.value(name) == value);
      }
    }
    // Every A (of the task) and the router of the task do move, and some B.
    const Index branch = own_branches<V> ? task : 0;
    CHECK_FALSE(bench.branch("lora_A", branch) ==
                before.at(before.contains("layer.lora_A")
                              ? "layer.lora_A"
                              : "layer.lora_A." + std::to_string(branch)));
    const std::string router =
        V::per_task_router ? "layer.router." + std::to_string(task) : "layer.router";
    // The first step moves no router yet: at B = 0 the gates have no gradient.
    if (V::gate_rows > 0) CHECK_FALSE(bench.value(router) == before.at(router));
    bench.layer().end_task();
  }
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
  AdapterBench<V> whole;
  AdamW<Double> optimiser(whole.parameters, with_decay);
  const auto run = [](auto& bench, auto& adamw, Index first, Index last) {
    for (Index task = first; task < last; ++task) {
      bench.begin_task(task);
      adamw.reset();
      learn(bench, adamw, task);
      bench.layer().end_task();
    }
  };
  run(whole, optimiser, 0, 2);

  AdapterBench<V> restored;
  restored.layer().restore(whole.layer().state());
  restored.tasks = whole.tasks;
  for (auto& p : restored.parameters) assign(p.value, whole.value(p.name));
  CHECK(restored.layer().state() == whole.layer().state());
  CHECK(restored.output() == whole.output());
  CHECK(trainable_names(restored) == trainable_names(whole));

  // Two more tasks, in which branches run out.
  AdamW<Double> second(restored.parameters, with_decay);
  run(whole, optimiser, 2, 4);
  run(restored, second, 2, 4);
  CHECK(restored.layer().state() == whole.layer().state());
  for (auto& p : whole.parameters) {
    CAPTURE(p.name);
    CHECK(restored.value(p.name) == to_dense(p.value));
  }
}

TEST_CASE("a state that is too short is refused") {
  AdapterBench<Branch> bench;
  const std::vector<std::uint64_t> state{15, 0, 0};
  CHECK_THROWS_WITH_AS(bench.layer().restore(state),
                       "layer: the saved state has 3 numbers, expected at least 6", Error);
}

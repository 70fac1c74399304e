#include "branchlora/adapter/gate/gate_layer.hpp"

#include <doctest/doctest.h>

#include <map>

#include "branchlora/optim/adamw.hpp"
#include "support/adapter_bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

template <class V>
using Bench = AdapterBench<V>;

template <class Bench>
void set(Bench& bench, const std::string& name, const Dense& value) {
  assign(bench.parameters.find(name)->value, value);
}

template <class Bench>
std::vector<std::string> trainable(Bench& bench) {
  std::vector<std::string> names;
  for (const auto& p : bench.parameters) {
    if (p.trainable && p.name != "x") names.push_back(p.name);
  }
  return names;
}

// Tokens of sequence s have a large entry at the sequence's task, small ones elsewhere.
template <class Bench>
void separable_inputs(Bench& bench, std::uint64_t stream = 50) {
  Dense x = random_dense(bench.sequences.tokens(), bench.d_in, stream, 0.1);
  for (Index t = 0; t < x.rows; ++t) x(t, bench.task_of(t)) += 3;
  assign(bench.x->value, x);
}

// One training step's forward pass, without and with its backward pass.
template <class Bench>
void step(Bench& bench) {
  Tape<typename Bench::B> tape(bench.backend);
  bench.forward(tape);
}
template <class Bench>
void step_back(Bench& bench, double scale = 1) {
  Tape<Double> tape(bench.backend);
  const auto y = bench.forward(tape);
  tape.backward(weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 60, scale)));
}

Hyper with_bias_rate(double rate) {
  Hyper hyper = Bench<SMora6>::usual;
  hyper.bias_rate = rate;
  return hyper;
}

}  // namespace

TEST_CASE("SMoRA: the equation as its paper writes it, both K included") {
  AdapterBench<SMora6> bench;
  bench.begin_task(0);
  bench.randomise();
  auto state = bench.layer().state();
  const double c[6] = {0.1, -0.2, 0.05, 0.3, 0.0, -0.1};
  for (std::size_t j = 0; j < 6; ++j) {
    state[state.size() - 6 + j] = std::bit_cast<std::uint64_t>(c[j]);
  }
  bench.layer().restore(state);
  const Dense x = to_dense(bench.x->value);
  const Dense w = bench.value("layer.router");
  Dense y = bench.base_output();
  for (Index t = 0; t < x.rows; ++t) {
    std::vector<std::pair<double, Index>> g;
    for (Index j = 0; j < 6; ++j) {
      double score = 0;
      for (Index i = 0; i < 10; ++i) score += w(j, i) * x(t, i);
      g.emplace_back(1 / (1 + std::exp(-score / bench.hyper.temperature)) + c[j], j);
    }
    std::sort(g.rbegin(), g.rend());
    const double sum = g[0].first + g[1].first + g[2].first;
    for (const auto& [value, j] : {g[0], g[1], g[2]}) {
      const double weight = 3 * value / sum;
      double u = 0;
      for (Index i = 0; i < 10; ++i) u += bench.branch("lora_A", j)(0, i) * x(t, i);
      for (Index o = 0; o < 7; ++o) {
        y(t, o) += bench.hyper.alpha / 3 * weight * bench.branch("lora_B", j)(0, o) * u;
      }
    }
  }
  CHECK(distance(bench.output(), y) < 1e-13 * largest(y));
}

TEST_CASE_TEMPLATE("gradients under biases that are not zero", V, SMora6, SMoraSoftmax6) {
  AdapterBench<V> bench;
  bench.two_tasks();
  auto state = bench.layer().state();
  for (std::size_t j = 0; j < 6; ++j) {
    state[state.size() - 6 + j] = std::bit_cast<std::uint64_t>(0.05 * static_cast<double>(j));
  }
  bench.layer().restore(state);
  for (const NaiveGate& gate : bench.naive_gates().second) REQUIRE(gate.gap > 1e-3);
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
  const Dense weights = random_dense(8, 7, 60);
  check_gradients(bench.parameters, [&](Tape<Double>& tape) {
    return weighted_sum(tape, bench.forward(tape), weights);
  });
}

TEST_CASE("SMoRA: biases follow the counts, in training steps alone") {
  AdapterBench<SMora6> bench({3, 1, 4}, 1, 10, 7, with_bias_rate(0.25));
  bench.begin_task(0);
  bench.randomise();
  CHECK(bench.bias() == std::vector<double>(6));
  step(bench);
  bench.supervise = true;
  bench.output();
  CHECK(bench.bias() == std::vector<double>(6));

  // 8 tokens choose 3 of 6: the mean count is 4.
  std::vector<double> expected(6);
  for (int n = 0; n < 5; ++n) {
    std::vector<int> counts(6);
    for (const NaiveGate& gate : bench.naive_gates().first) {
      for (const Index j : gate.chosen) ++counts[static_cast<std::size_t>(j)];
    }
    for (std::size_t j = 0; j < 6; ++j) {
      if (counts[j] < 4) expected[j] += 0.25;
      if (counts[j] > 4) expected[j] -= 0.25;
    }
    step(bench);
    CHECK(bench.bias() == expected);
  }
  CHECK(expected != std::vector<double>(6));
}

TEST_CASE("biases do not follow branches that only fill a choice") {
  // One task of six has begun: every token takes its branch, and branch 1 fills the two.
  using V = Meteo::with<gating::SigmoidRenormalised, balance::LossFree>;
  AdapterBench<V> bench({3, 1, 4}, 1, 10, 7, with_bias_rate(0.25));
  bench.begin_task(0);
  bench.randomise();
  bench.supervise = true;
  step(bench);
  CHECK(bench.bias() == std::vector<double>{-0.25, 0.25, 0.25, 0.25, 0.25, 0.25});
}

TEST_CASE_TEMPLATE("SMoRA: the load evens out", V, SMora6, SMoraSoftmax6) {
  // A router under which every token chooses the first three at the start: inputs are positive, and
  // rows 0 to 2 larger than the others.
  const double rate = 1e-3;
  AdapterBench<V> bench({40, 60, 50}, 1, 10, 7, with_bias_rate(rate));
  bench.begin_task(0);
  Dense x = random_dense(150, 10, 50);
  for (double& v : x.data) v = std::abs(v);
  assign(bench.x->value, x);
  Dense w = random_dense(6, 10, 51, 0.01);
  for (Index j = 0; j < 3; ++j) {
    for (Index i = 0; i < 10; ++i) w(j, i) += 0.02;
  }
  set(bench, "layer.router", w);
  const auto loads = [&] { return bench.naive_loads(); };
  const auto start = loads();
  CHECK(start[0] + start[1] + start[2] > 0.95);
  bench.supervise = true;
  for (int n = 0; n < 400; ++n) step(bench);
  // Each expert's share is 1/6, but for the sway of one step of the rate.
  std::vector<double> mean(6);
  for (int n = 0; n < 50; ++n) {
    step(bench);
    const auto now = loads();
    for (std::size_t j = 0; j < 6; ++j) mean[j] += now[j] / 50;
  }
  for (const double share : mean) {
    CHECK(share > 0.8 / 6);
    CHECK(share < 1.2 / 6);
  }
}

TEST_CASE("SMoRA: any number of threads gives the same biases and outputs") {
  const auto run = [](int threads) {
    AdapterBench<SMora6, float> bench({500, 1, 300, 260}, threads, 300, 270, with_bias_rate(1e-2));
    bench.begin_task(0);
    bench.randomise();
    bench.supervise = true;
    for (int n = 0; n < 5; ++n) step(bench);
    return std::pair(bench.layer().state(), bench.output());
  };
  const auto one = run(1);
  CHECK(run(2) == one);
  CHECK(run(3) == one);
}

TEST_CASE_TEMPLATE("ties of gate values go to the lower index", V, SMora6, SMoraSoftmax6) {
  AdapterBench<V> bench;
  bench.begin_task(0);
  bench.randomise();
  bench.backend.fill(bench.parameters.find("layer.router")->value, 0.0);
  for (const NaiveGate& gate : bench.naive_gates().first) {
    CHECK(gate.chosen == std::vector<Index>{0, 1, 2});
  }
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
}

TEST_CASE("ties of the best branch go to the lower index") {
  AdapterBench<Moa6> bench;
  bench.two_tasks();
  bench.backend.fill(bench.parameters.find("layer.router")->value, 0.0);
  for (const NaiveGate& gate : bench.naive_gates().first) {
    CHECK(gate.weights == std::vector<double>{1, 0, 0, 0, 0, 0});
  }
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
}

TEST_CASE("MoLoRA: A and router start as N(0, 0.02^2)") {
  AdapterBench<MoLora<8, 10>> bench({3}, 1, 100);
  for (const char* name : {"layer.lora_A.0", "layer.router"}) {
    const Dense m = bench.value(name);
    double sum = 0;
    for (const double v : m.data) sum += v * v;
    // Of 800 or more numbers the variance is off by sqrt(2 / 800) = 5 %, typically.
    CHECK(sum / static_cast<double>(m.size()) == doctest::Approx(0.0004).epsilon(0.2));
  }
}

TEST_CASE("LoRAMoE: the loss is of training batches, and by the type of the task") {
  AdapterBench<LoraMoe5> bench;
  bench.two_tasks();
  const auto gradient = [&] {
    bench.parameters.clear_gradients();
    step_back(bench, 0);
    return to_dense(bench.parameters.find("layer.router")->grad);
  };
  CHECK(largest(gradient()) == 0);
  bench.supervise = true;
  const Dense mixed = gradient();
  CHECK(largest(mixed) > 1e-3);
  // Tasks 0, 1, 2 are of types 0, 1, 0: so are tasks 64, 5, 2 of 64 types.
  bench.tasks = {64, 5, 2};
  CHECK(gradient() == mixed);
  bench.tasks = {1, 1, 0};
  CHECK_FALSE(gradient() == mixed);
}

TEST_CASE("LoRAMoE: by itself the loss makes weighted loads equal") {
  Hyper hyper = Bench<LoraMoe5>::usual;
  hyper.balance_weight = 1;
  AdapterBench<LoraMoe<2, 4>> bench({3, 1, 4}, 1, 10, 7, hyper);
  bench.two_tasks();
  separable_inputs(bench);
  bench.parameters.set_trainable(*bench.x, false);
  bench.supervise = true;
  const double before = bench.naive_localised();
  AdamW<Double> optimiser(bench.parameters);
  for (int n = 0; n < 1000; ++n) {
    step_back(bench, 0);
    optimiser.step(1e-2);
  }
  CHECK(before > 0.05);
  // Samples are of different lengths, which no gate can even out: their means are 3, 1 and 4
  // shares of 8 tokens, so var / mean^2 stays at (9 + 1 + 16) / 3 / (8 / 3)^2 - 1 at least.
  const double floor = 26.0 / 3 / (64.0 / 9) - 1;
  CHECK(bench.naive_localised() > 0.9 * floor);
  CHECK(bench.naive_localised() < 1.05 * floor);
  // A sample of type 0 leaves 1.2 and 0.8 parts to the halves that are weighed by 0.8 and 1.2.
  const auto weights = bench.naive_gates().first.front().weights;
  CHECK(weights[0] + weights[1] < weights[2] + weights[3]);
}

TEST_CASE("MeteoRA: what trains in which stage") {
  AdapterBench<Meteo> bench;
  using Names = std::vector<std::string>;
  CHECK(trainable(bench) == Names{});
  bench.begin_task(0);
  CHECK(trainable(bench) == Names{"layer.lora_A.0", "layer.lora_B.0"});
  bench.begin_stage(1);
  CHECK(trainable(bench) == Names{"layer.router"});
  bench.layer().end_task();
  CHECK(trainable(bench) == Names{});
  bench.begin_task(1);
  CHECK(trainable(bench) == Names{"layer.lora_A.1", "layer.lora_B.1"});
  // As in joint training: no end between.
  bench.begin_task(2);
  CHECK(trainable(bench) ==
        Names{"layer.lora_A.1", "layer.lora_A.2", "layer.lora_B.1", "layer.lora_B.2"});
  CHECK(bench.layer().allowed() == 0b111);
  CHECK(bench.layer().frozen() == 0b001);
  CHECK_THROWS_WITH_AS(bench.layer().begin_stage(2), "layer: stage 2 of 2", Error);
}

TEST_CASE("a bank has a branch for each of its tasks, in order") {
  AdapterBench<Moa<2, 2>> bench;
  CHECK_THROWS_WITH_AS(bench.begin_task(1), "layer: expected task 0 to begin, found 1", Error);
  bench.begin_task(0);
  bench.supervise = true;
  bench.tasks = {0, 1, 0};
  CHECK_THROWS_WITH_AS(
      step(bench), "layer: a sample of task 1 has no branch to train: 1 tasks were begun", Error);
  bench.begin_task(1);
  step(bench);
  CHECK_THROWS_WITH_AS(bench.begin_task(2), "layer: a bank of 2 branches has none for task 2",
                       Error);
  bench.tasks.pop_back();
  CHECK_THROWS_WITH_AS(step(bench), "layer: expected a task for each of 3 sequences, found 2",
                       Error);
}

TEST_CASE_TEMPLATE("MeteoRA: gradients of the second stage, the routing loss included", V, Meteo,
                   MeteoDense) {
  AdapterBench<V> bench;
  bench.two_tasks();
  bench.begin_stage(1);
  bench.supervise = true;
  for (const NaiveGate& gate : bench.naive_gates().second) REQUIRE(gate.gap > 1e-3);
  const auto check = [&] {
    const Dense weights = random_dense(8, 7, 60);
    check_gradients(
        bench.parameters,
        [&](Tape<Double>& tape) { return weighted_sum(tape, bench.forward(tape), weights); },
        [&] { return bench.naive_routing(); });
  };
  check();
  for (auto& p : bench.parameters) {
    if (AdapterBench<V>::is_adapter(p.name)) bench.parameters.set_trainable(p, true);
  }
  check();
}

TEST_CASE_TEMPLATE("a router that trains alone gets its gradient", V, Meteo, MeteoDense) {
  // In the first block nothing else needs one: neither x, nor the frozen bank.
  AdapterBench<V> bench;
  bench.two_tasks();
  bench.parameters.set_trainable(*bench.x, false);
  bench.begin_stage(1);
  bench.parameters.clear_gradients();
  step_back(bench);
  const auto* router = bench.parameters.find("layer.router");
  CHECK(router->has_grad);
  CHECK(largest(to_dense(router->grad)) > 1e-3);
}

TEST_CASE("MeteoRA: the router does not hear of the first stage") {
  AdapterBench<Meteo> bench;
  bench.two_tasks();
  bench.begin_stage(0);
  bench.supervise = true;
  const auto x_gradient = [&] {
    bench.parameters.clear_gradients();
    step_back(bench);
    return to_dense(bench.x->grad);
  };
  const Dense before = x_gradient();
  set(bench, "layer.router", random_dense(6, 10, 99));
  CHECK(x_gradient() == before);
}

TEST_CASE("MeteoRA: with k = 1 and a perfect gate it is the right LoRA") {
  AdapterBench<MeteoRa<4, 3, 1>> bench;
  bench.two_tasks();
  separable_inputs(bench);
  // Scores are the entry at each task.
  set(bench, "layer.router", dense(3, 10, [](Index r, Index c) { return r == c ? 1.0 : 0.0; }));
  const Dense mixed = bench.output();
  for (Index task = 0; task < 3; ++task) {
    AdapterBench<Lora4> lora;
    assign(lora.x->value, to_dense(bench.x->value));
    set(lora, "layer.lora_A", bench.branch("lora_A", task));
    set(lora, "layer.lora_B", bench.branch("lora_B", task));
    const Dense right = lora.output();
    CHECK(distance(right, lora.base_output()) > 0.1);
    for (Index t = 0; t < right.rows; ++t) {
      for (Index o = 0; bench.task_of(t) == task && o < right.cols; ++o) {
        // The same 4 products in another order.
        CHECK(std::abs(mixed(t, o) - right(t, o)) < 1e-13 * largest(right));
      }
    }
  }
}

TEST_CASE_TEMPLATE("in a mixed batch each branch learns from its own task", V, Meteo, Moa6) {
  AdapterBench<V> bench;
  bench.two_tasks();
  bench.supervise = true;
  bench.parameters.clear_gradients();
  const Dense weights = random_dense(8, 7, 60);
  const auto go_back = [&](auto& any, const Dense& w) {
    Tape<Double> tape(any.backend);
    tape.backward(weighted_sum(tape, any.forward(tape), w));
  };
  go_back(bench, weights);
  for (Index task = 0; task < 3; ++task) {
    // A LoRA of that branch, under a loss that counts the tokens of its task alone.
    AdapterBench<Lora<V::rank>> lora;
    assign(lora.x->value, to_dense(bench.x->value));
    set(lora, "layer.lora_A", bench.branch("lora_A", task));
    set(lora, "layer.lora_B", bench.branch("lora_B", task));
    go_back(lora, dense(8, 7, [&](Index t, Index o) {
              return bench.task_of(t) == task ? weights(t, o) : 0.0;
            }));
    for (const char* factor : {"layer.lora_A", "layer.lora_B"}) {
      const Dense right = to_dense(lora.parameters.find(factor)->grad);
      const std::string name = std::string(factor) + "." + std::to_string(task);
      CHECK(distance(to_dense(bench.parameters.find(name)->grad), right) < 1e-13 * largest(right));
    }
  }
  // Tasks that have not begun learn nothing.
  CHECK(largest(to_dense(bench.parameters.find("layer.lora_B.3")->grad)) == 0);
}

TEST_CASE_TEMPLATE("labels teach the router to tell tasks by their inputs", V, Meteo, Moa6) {
  AdapterBench<V> bench;
  for (Index task = 0; task < 3; ++task) bench.begin_task(task);
  bench.tasks = {0, 1, 2};
  bench.begin_stage(std::ssize(V::Supervision::stages) - 1);
  bench.parameters.set_trainable(*bench.x, false);
  bench.supervise = true;
  AdamW<Double> optimiser(bench.parameters);
  for (int n = 0; n < 300; ++n) {
    separable_inputs(bench, static_cast<std::uint64_t>(100 + n));
    step_back(bench);
    optimiser.step(1e-2);
  }
  bench.supervise = false;
  separable_inputs(bench, 7);
  const auto gates = bench.naive_gates().first;
  for (Index t = 0; t < 8; ++t) {
    const auto& weights = gates[static_cast<std::size_t>(t)].weights;
    CHECK(weights[static_cast<std::size_t>(bench.task_of(t))] > 0.95);
  }
}

TEST_CASE_TEMPLATE("a domain that is added later touches no other's bits", V, Moa6, Meteo) {
  AdapterBench<V> bench;
  AdamW<Double> optimiser(bench.parameters, {.weight_decay = 0.1});
  bench.supervise = true;
  std::map<std::string, Dense> kept;
  for (Index task = 0; task < 4; ++task) {
    bench.begin_task(task);
    std::fill(bench.tasks.begin(), bench.tasks.end(), static_cast<std::int32_t>(task));
    for (Index stage = 0; stage < std::ssize(V::Supervision::stages); ++stage) {
      bench.begin_stage(stage);
      for (int n = 0; n < 3; ++n) {
        step_back(bench);
        optimiser.step(1e-2);
      }
    }
    for (const auto& [name, value] : kept) CHECK(bench.value(name) == value);
    bench.layer().end_task();
    for (const char* factor : {"layer.lora_A.", "layer.lora_B."}) {
      const std::string name = factor + std::to_string(task);
      kept[name] = bench.value(name);
      CHECK(largest(kept[name]) > 0);
    }
  }
  CHECK(kept.size() == 8);
  CHECK(bench.layer().frozen() == 0b1111);
}

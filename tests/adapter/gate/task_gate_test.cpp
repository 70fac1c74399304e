#include "branchlora/adapter/gate/scores/of_task.hpp"

#include <doctest/doctest.h>

#include "branchlora/optim/adamw.hpp"
#include "model/tiny_model.hpp"
#include "support/adapter_bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

// Begins two tasks without an end between, as joint training does; the sequences take turns.
template <class Bench>
void begin_two(Bench& bench) {
  for (Index task = 0; task < 2; ++task) bench.begin_task(task);
  for (std::size_t s = 0; s < bench.tasks.size(); ++s) {
    bench.tasks[s] = static_cast<std::int32_t>(s % 2);
  }
}

template <class Bench>
bool trains(Bench& bench, const std::string& name) {
  return bench.parameters.find(name)->trainable;
}

// A layer of rank 5 at most whose rank-1 terms are all 1: with x of ones, its output for a prefix
// of r is s sum over j <= r of (j / 5)^2. The task starts at rank 3.
template <class V>
struct Ranks {
  Ranks() {
    bench.begin_task(0);
    for (auto& p : bench.parameters) {
      const bool router = p.name.starts_with("layer.router");
      if (!router && p.name != "x") bench.parameters.set_trainable(p, false);
      if (p.name.starts_with("layer.lora")) bench.backend.fill(p.value, 0.1);
    }
    bench.backend.fill(bench.parameters.find("layer.router.shared.bias")->value, 0.0);
    bench.parameters.find("layer.router.shared.bias")->value.data[2] = 0.5;
  }
  int rank() {
    const auto weights = bench.naive_gates().second.front().weights;
    return static_cast<int>(
        std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0; }));
  }
  // A loss that grows (or falls) with the adapter's output.
  void train(double sign) {
    AdamW<Double> optimiser(bench.parameters);
    for (int step = 0; step < 300; ++step) {
      bench.backend.fill(bench.x->value, 1.0);
      Tape<Double> tape(bench.backend);
      const auto y = bench.forward(tape);
      tape.backward(
          weighted_sum(tape, y, dense(y.rows(), y.cols(), [&](Index, Index) { return sign; })));
      optimiser.step(1e-2);
    }
  }
  AdapterBench<V> bench;
};

}  // namespace

TEST_CASE("MoRE: the rank follows the gradient") {
  // Whatever rank is chosen, a loss that grows with the output lowers its probability until another
  // is chosen, and then that one's; one that falls raises it.
  Ranks<More5> up;
  CHECK(up.rank() == 3);
  const double before = up.bench.naive_gates().second.front().probabilities[2];
  up.train(-1);
  CHECK(up.rank() == 3);
  CHECK(up.bench.naive_gates().second.front().probabilities[2] > std::max(before, 0.9));

  Ranks<More5> down;
  down.train(1);
  CHECK(down.bench.naive_gates().second.front().probabilities[2] < before);
  CHECK(down.rank() != 3);
}

TEST_CASE("MoRE: a loss that wants rank 1 leads there") {
  // Rank 1 alone lowers the loss: b_1 points down it, all others up.
  Ranks<More5> ranks;
  auto& bench = ranks.bench;
  bench.backend.fill(bench.parameters.find("layer.lora_B.0")->value, -1.0);
  for (int j = 1; j < 5; ++j) {
    bench.backend.fill(bench.parameters.find("layer.lora_B." + std::to_string(j))->value, 1.0);
  }
  CHECK(ranks.rank() == 3);
  ranks.train(1);
  CHECK(ranks.rank() == 1);
}

TEST_CASE("MoRE as released: the rank is drawn once, and nothing moves it") {
  Ranks<MoreReleased5> ranks;
  const BranchSet drawn = ranks.bench.layer().allowed(0);
  CHECK(std::popcount(drawn) == 1);
  CHECK(ranks.rank() == std::countr_zero(drawn) + 1);
  CHECK_FALSE(trains(ranks.bench, "layer.router.shared"));
  CHECK_FALSE(trains(ranks.bench, "layer.router.shared.bias"));
  const Dense e = ranks.bench.value("layer.router.0");
  ranks.train(1);
  CHECK(ranks.bench.value("layer.router.0") == e);
  CHECK(ranks.rank() == std::countr_zero(drawn) + 1);

  // It is the best of the random start.
  AdapterBench<MoreReleased5> fresh;
  fresh.begin_task(0);
  const auto scores = fresh.naive_scores(0);
  CHECK(std::max_element(scores.begin(), scores.end()) - scores.begin() ==
        std::countr_zero(fresh.layer().allowed(0)));
}

TEST_CASE("MoRE: the contrastive loss draws embeddings to the inputs of their task") {
  AdapterBench<MoreReleased5> bench({3, 2});
  begin_two(bench);
  bench.supervise = true;
  const double before = bench.naive_contrast();
  bench.parameters.set_trainable(*bench.x, false);
  AdamW<Double> optimiser(bench.parameters);
  for (int step = 0; step < 100; ++step) {
    Tape<Double> tape(bench.backend);
    tape.backward(weighted_sum(tape, bench.forward(tape), random_dense(5, 7, 60)));
    optimiser.step(1e-3);
  }
  CHECK(bench.naive_contrast() < 0.1 * before);
}

TEST_CASE_TEMPLATE("merged for a task equals unmerged", V, Mtl, MtlSparse, TaskMoe, TaskMoeEach,
                   More5, MoreReleased5) {
  for (const std::int32_t task : {0, 1}) {
    AdapterBench<V> bench;
    bench.two_tasks();
    std::fill(bench.tasks.begin(), bench.tasks.end(), task);
    const Dense unmerged = bench.output();
    CHECK(distance(unmerged, bench.base_output()) > 0.1);
    bench.layer().merge_task_into(bench.linear.base().weight().value, task);
    bench.linear.base().freeze();
    for (auto& p : bench.parameters) {
      if (p.name.starts_with("layer.lora_B")) bench.backend.fill(p.value, 0.0);
    }
    // Sums of some 200 products in another order.
    CHECK(distance(bench.output(), unmerged) < 200 * 1.1e-16 * 4 * largest(unmerged));
  }
}

TEST_CASE("what depends on the task is merged for a task that began") {
  AdapterBench<Mtl> bench;
  bench.begin_task(0);
  const auto weight = bench.linear.base().weight().value;
  CHECK_THROWS_AS(bench.layer().merge_into(weight), Error);
  CHECK_THROWS_WITH_AS(bench.layer().merge_task_into(weight, 1),
                       "layer: a sequence asks for the router of task 1, of 1 that were begun",
                       Error);
}

TEST_CASE_TEMPLATE("tasks that begin together train together, and end together", V, Mtl, TaskMoe,
                   More5) {
  AdapterBench<V> bench;
  begin_two(bench);
  bench.randomise();
  std::vector<std::string> of_tasks{"layer.router.0", "layer.router.1"};
  if (V::Transform::enabled) {
    of_tasks.insert(of_tasks.end(), {"layer.lora_Lambda.0", "layer.lora_Lambda.1"});
  }
  std::vector<Dense> before;
  for (const auto& name : of_tasks) {
    CHECK(trains(bench, name));
    before.push_back(bench.value(name));
  }
  AdamW<Double> optimiser(bench.parameters);
  Tape<Double> tape(bench.backend);
  tape.backward(
      weighted_sum(tape, bench.forward(tape), random_dense(bench.sequences.tokens(), 7, 60)));
  optimiser.step(1e-2);
  bench.layer().end_task();
  for (std::size_t i = 0; i < of_tasks.size(); ++i) {
    CHECK_FALSE(bench.value(of_tasks[i]) == before[i]);
    CHECK_FALSE(trains(bench, of_tasks[i]));
  }
}

namespace {

// Two linears of a model, of different widths, with one gate. Each has a task of its own.
struct OneGate {
  OneGate() : other(bench.parameters, "other", 6, 5) {
    other.base().initialize(Random(8));
    other.base().freeze();
    other.attach(method_of<Double, TaskMoe>(), bench.hyper, Random(9));
    for (Index task = 0; task < 2; ++task) {
      bench.begin_task(task);
      other.adapter()->begin_task(task);
    }
    for (std::size_t s = 0; s < bench.tasks.size(); ++s) {
      bench.tasks[s] = static_cast<std::int32_t>(s % 2);
    }
    bench.randomise();
    std::uint64_t stream = 200;
    for (auto& p : bench.parameters) {
      if (!p.name.starts_with("other.lora")) continue;
      assign(p.value, random_dense(p.value.rows, p.value.cols, stream++, 0.5));
    }
  }

  Var<double> second(Tape<Double>& tape) {
    const auto x = tape.scratch(8, 6);
    assign(x, random_dense(8, 6, 52));
    return other(tape, tape.constant(x), bench.routing());
  }

  AdapterBench<TaskMoe> bench;
  AdaptedLinear<Double> other;
};

}  // namespace

TEST_CASE("MOELoRA: all linears of a model have one gate") {
  OneGate model;
  auto& bench = model.bench;
  for (const auto& p : bench.parameters) CHECK_FALSE(p.name.starts_with("other.router"));

  // The other linear's output, token by token, under the gates of the first.
  Tape<Double> tape(bench.backend);
  const Dense x = random_dense(8, 6, 52);
  Dense expected = times_transposed(x, bench.value("other.weight"));
  const auto gates = bench.naive_gates().first;
  for (Index i = 0; i < 4; ++i) {
    const Dense u = times_transposed(x, bench.value("other.lora_A." + std::to_string(i)));
    const Dense b = bench.value("other.lora_B." + std::to_string(i));
    for (Index t = 0; t < 8; ++t) {
      const double g = gates[static_cast<std::size_t>(t)].weights[static_cast<std::size_t>(i)];
      for (Index o = 0; o < 5; ++o) {
        for (Index q = 0; q < 3; ++q) {
          expected(t, o) += TaskMoe::scale(bench.hyper) * g * b(q, o) * u(t, q);
        }
      }
    }
  }
  CHECK(distance(to_dense(model.second(tape).value()), expected) < 1e-13 * largest(expected));

  const Dense first = random_dense(8, 7, 60);
  const Dense second = random_dense(8, 5, 61);
  check_gradients(bench.parameters, [&](Tape<Double>& t) {
    return op::add(t, weighted_sum(t, bench.forward(t), first),
                   weighted_sum(t, model.second(t), second));
  });
}

TEST_CASE("MOELoRA: the one gate ends its tasks and comes back with all linears") {
  OneGate model;
  model.bench.layer().end_task();
  model.other.adapter()->end_task();
  CHECK_FALSE(trains(model.bench, "layer.router.0"));
  CHECK_FALSE(trains(model.bench, "layer.router.1"));
  CHECK(trains(model.bench, "layer.router.shared"));

  AdapterBench<TaskMoe> bench;
  AdaptedLinear<Double> other(bench.parameters, "other", 6, 5);
  other.attach(method_of<Double, TaskMoe>(), bench.hyper, Random(9));
  bench.layer().restore(model.bench.layer().state());
  other.adapter()->restore(model.other.adapter()->state());
  CHECK(other.adapter()->state() == model.other.adapter()->state());
  Index routers = 0;
  for (const auto& p : bench.parameters) {
    routers += p.name.find(".router") != std::string::npos ? 1 : 0;
  }
  CHECK(routers == 3);
}

TEST_CASE("MOELoRA: a model has one gate, and is priced so") {
  TinyModel<double> tiny;
  tiny.net.attach(method_of<Double, TaskMoe>(), {.alpha = 6.0}, Random(5));
  tiny.net.for_each_adapter([](auto& each) { each.begin_task(0); });
  Parameters counted;
  for (const auto& p : tiny.net.parameters()) {
    if (p.name.find(".lora_A") != std::string::npos) counted.a += p.value.size();
    if (p.name.find(".lora_B") != std::string::npos) counted.b += p.value.size();
    if (p.name.ends_with(".router.shared")) counted.shared += p.value.size();
    if (p.name.ends_with(".router.0")) counted.router += p.value.size();
  }
  CHECK(counted.router == 64);
  CHECK(counted.shared == 4 * 64);
  CHECK(parameters<TaskMoe>(tiny_shape) == counted);
  CHECK(parameters<TaskMoeEach>(tiny_shape).router == 14 * 5);
}

TEST_CASE("MTL-LoRA starts as Lambda = 1 and weights of the task over temperature") {
  AdapterBench<Mtl> bench;
  bench.begin_task(0);
  const Dense lambda = bench.value("layer.lora_Lambda.0");
  CHECK(lambda == dense(3, 3, [](Index r, Index c) { return r == c ? 1.0 : 0.0; }));
  // U(+-1/sqrt(4)).
  CHECK(largest(bench.value("layer.router.0")) < 0.5);
  const auto weights = bench.naive_gates().second.front().weights;
  double sum = 0;
  for (Index i = 0; i < 4; ++i) sum += std::exp(bench.value("layer.router.0")(0, i) / 0.6);
  for (Index i = 0; i < 4; ++i) {
    CHECK(weights[static_cast<std::size_t>(i)] ==
          doctest::Approx(std::exp(bench.value("layer.router.0")(0, i) / 0.6) / sum));
  }
}

TEST_CASE("decoding needs the tasks alone") {
  AdapterBench<Mtl> bench({1, 1, 1});
  bench.two_tasks();
  const Dense prefill = bench.output();
  Tape<Double> tape(bench.backend);
  tape.set_recording(false);
  RoutingContext routing = bench.routing();
  routing.memory = RoutingContext::Memory::reuse;
  CHECK(to_dense(bench.linear(tape, tape.parameter(*bench.x), routing).value()) == prefill);
}

TEST_CASE("what task-gated methods cost, by the papers' formulas") {
  constexpr std::int64_t d_in = 48, d_out = 80, tasks = 5;
  CHECK(MtlLora<8, 3>::parameters(d_in, d_out).total(tasks) ==
        8 * d_in + 3 * 8 * d_out + tasks * 8 * 8 + tasks * 3);
  CHECK(More<8>::parameters(d_in, d_out).total(tasks) ==
        8 * (d_in + d_out) + 8 * (d_in + 1) + tasks * d_in);
  CHECK(MoreReleased<8>::parameters(d_in, d_out).total(tasks) == 8 * (d_in + d_out) + tasks * d_in);
  CHECK(TaskMoeLora<2, 8>::parameters(d_in, d_out).total(tasks) ==
        16 * (d_in + d_out) + 64 * tasks + 64 * 8);
  CHECK(TaskMoeLora<2, 8>::optimizer_bytes(d_in, d_out) ==
        16 * (16 * (d_in + d_out) + 64 + 64 * 8));
  // A, Lambda and three B's, a token; nothing a sequence.
  CHECK(MtlLora<8, 3>::flops(d_in, d_out, 10, 2).adapter.forward ==
        2 * 10 * (8 * d_in + 8 * 8 + 24 * d_out));
  CHECK(More<8>::flops(d_in, d_out, 10, 2).adapter.forward ==
        2 * 10 * 8 * (d_in + d_out) + 2 * 2 * 8 * d_in);
}

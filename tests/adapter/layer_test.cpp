#include "branchlora/adapter/layer.hpp"

#include <doctest/doctest.h>

#include "support/adapter_contract.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE_TEMPLATE("gradients add up where a layer is used twice", V, Lora4, Hydra, MoeSparse,
                   Branch, HydraMeanToken) {
  AdapterBench<V> bench;
  bench.two_tasks();
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(bench.parameters, [&](Tape<Double>& tape) {
    const auto x = op::add(tape, tape.parameter(*bench.x), tape.parameter(*bench.x));
    const auto first = bench.linear(tape, x, bench.routing());
    const auto second = bench.linear(tape, x, bench.routing());
    return weighted_sum(tape, op::swiglu(tape, first, second), weights);
  });
}

TEST_CASE("the balance loss follows the scale of the backward pass") {
  AdapterBench<MoeBalanced> bench;
  bench.two_tasks();
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  const auto gradient = [&](double scale) {
    Tape<Double> tape(bench.backend);
    bench.parameters.clear_gradients();
    tape.backward(weighted_sum(tape, bench.forward(tape), weights), scale);
    return to_dense(bench.parameters.find("layer.router")->grad);
  };
  Dense half = gradient(0.5);
  for (double& g : half.data) g *= 2;
  CHECK(distance(half, gradient(1.0)) < 1e-14);
}

TEST_CASE_TEMPLATE("a batch of mixed tasks is the batches of each task", V, Branch, BranchToken,
                   BranchMeanToken, BranchSeparate, Mtl, MtlSparse, TaskMoe, More5) {
  const std::vector<Index> lengths{2, 3, 1, 4, 2};
  AdapterBench<V> mixed(lengths);
  mixed.two_tasks();
  mixed.tasks = {1, 0, 0, 1, 0};
  const Dense together = mixed.output();
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    AdapterBench<V> alone({lengths[s]});
    alone.two_tasks();
    alone.tasks = {mixed.tasks[s]};
    const Index first = mixed.sequences.offsets[s];
    assign(alone.x->value, to_dense(mixed.x->value.middle_rows(first, lengths[s])));
    const Dense expected =
        dense(lengths[s], together.cols, [&](Index t, Index c) { return together(first + t, c); });
    // Not the same bits: the base's product is summed in another order in a smaller batch.
    CHECK(distance(alone.output(), expected) < 1e-13 * largest(together));
  }
}

namespace {

template <class V, class T>
std::vector<Dense> step(int threads) {
  return large_step<V, T>(threads, [](auto& bench) { bench.two_tasks(); });
}

}  // namespace

TEST_CASE_TEMPLATE("any number of threads gives the same bits", V, Lora4, LoraPissa, BankPissa, Moe,
                   Hydra, Branch, MoeSparse, HydraMeanToken, MoeBalanced) {
  const auto one = step<V, float>(1);
  CHECK(one.size() >= 4);
  CHECK(step<V, float>(2) == one);
  CHECK(step<V, float>(3) == one);
}

TEST_CASE_TEMPLATE("a plan done step by step gives the bits that it gives beside a packed product",
                   V, Lora4, LoraPissa, BankPissa, Moe, Hydra, Branch, MoeSparse, HydraMeanToken,
                   MoeBalanced) {
  check_schedules<V, float>();
}

TEST_CASE("float agrees with double") {
  const auto exact = step<Hydra, double>(1);
  const auto rounded = step<Hydra, float>(1);
  REQUIRE(exact.size() == rounded.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    // Sums of up to 1061 products, in float: sqrt(1061) roundings of 6e-8 are typical; ten times
    // that is allowed.
    CHECK(distance(exact[i], rounded[i]) < 10 * 33 * 6e-8 * std::max(1.0, largest(exact[i])));
  }
}

TEST_CASE_TEMPLATE("ties go to the lower index", V, MoeSparse, MoeSharedSparse, Branch, Meteo) {
  AdapterBench<V> bench;
  bench.two_tasks();
  for (auto& p : bench.parameters) {
    if (p.name.starts_with("layer.router")) bench.backend.fill(p.value, 0.0);
  }
  for (const NaiveGate& gate : bench.naive_gates().first) {
    CHECK(gate.chosen == std::vector<Index>{0, 1});
  }
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
}

TEST_CASE("the best k of the allowed, and fillers without weight") {
  const double scores[5] = {0.5, 2.0, -1.0, 2.0, 0.5};
  std::int32_t chosen[3];
  CHECK(gating::top_k<5, 3>(scores, 0b11111, chosen) == 0b01011);
  CHECK(chosen[0] == 1);
  CHECK(chosen[1] == 3);
  CHECK(chosen[2] == 0);
  CHECK(gating::top_k<5, 3>(scores, 0b10100, chosen) == 0b10100);
  CHECK(chosen[0] == 4);
  CHECK(chosen[1] == 2);
  CHECK(chosen[2] == 0);
}

TEST_CASE_TEMPLATE("fewer allowed branches than k share all of the weight", V, Branch,
                   BranchMeanToken) {
  AdapterBench<V> bench;
  bench.two_tasks();
  auto state = bench.layer().state();
  // The last two numbers are what the routers of both tasks may choose: branch 2 alone.
  state[state.size() - 1] = state[state.size() - 2] = 0b0100;
  bench.layer().restore(state);
  for (auto& p : bench.parameters) bench.parameters.set_trainable(p, p.name != "layer.weight");
  for (const NaiveGate& gate : bench.naive_gates().first) {
    CHECK(gate.weights == std::vector<double>{0, 0, 1, 0});
  }
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(bench.parameters, [&](Tape<Double>& tape) {
    return weighted_sum(tape, bench.forward(tape), weights);
  });
}

TEST_CASE_TEMPLATE("branches that only fill a choice do not count as load", V, BranchBalanced,
                   BranchToken::with<balance::Switch>) {
  AdapterBench<V> bench;
  bench.two_tasks();
  auto state = bench.layer().state();
  // The router of task 0 may choose three branches, that of task 1 branch 2 alone, which branch 0
  // comes with.
  state[state.size() - 2] = 0b1110;
  state[state.size() - 1] = 0b0100;
  bench.layer().restore(state);
  for (auto& p : bench.parameters) bench.parameters.set_trainable(p, p.name != "layer.weight");
  const std::vector<double> loads = bench.naive_loads();
  CHECK(loads[0] == 0);
  CHECK(loads[1] + loads[2] + loads[3] == doctest::Approx(1));
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(
      bench.parameters,
      [&](Tape<Double>& tape) { return weighted_sum(tape, bench.forward(tape), weights); },
      [&] { return bench.naive_balance(loads); });
}

TEST_CASE_TEMPLATE("decoding reuses the gates of the prefill", V, Branch, BranchMeanToken,
                   MoeFirstToken, HydraMeanToken) {
  AdapterBench<V> bench({3, 2, 4});
  bench.two_tasks();
  Tape<Double> tape(bench.backend);
  tape.set_recording(false);
  RoutingContext routing = bench.routing();
  routing.memory = RoutingContext::Memory::remember;
  bench.linear(tape, tape.parameter(*bench.x), routing);

  // One more token for each sequence, under the gates of its first tokens.
  const Dense next = random_dense(3, bench.d_in, 51);
  Sequences single;
  for (int s = 0; s < 3; ++s) single.push(1);
  routing.sequences = &single;
  routing.memory = RoutingContext::Memory::reuse;
  const auto m = tape.scratch(3, bench.d_in);
  assign(m, next);
  const Dense decoded = to_dense(bench.linear(tape, tape.constant(m), routing).value());

  // The equation for the new tokens, under the gates of their sequences.
  const auto gates = bench.naive_gates().second;
  for (Index s = 0; s < 3; ++s) {
    for (Index o = 0; o < decoded.cols; ++o) {
      double y = 0;
      const Dense w = bench.value("layer.weight");
      for (Index c = 0; c < bench.d_in; ++c) y += w(o, c) * next(s, c);
      for (Index i = 0; i < V::capacity; ++i) {
        const Dense a = bench.branch("lora_A", V::Trunk::shared ? 0 : i);
        const Dense b = bench.branch("lora_B", i);
        for (Index q = 0; q < V::rank; ++q) {
          double u = 0;
          for (Index c = 0; c < bench.d_in; ++c) u += a(q, c) * next(s, c);
          y += V::scale(bench.hyper) *
               gates[static_cast<std::size_t>(s)].weights[static_cast<std::size_t>(i)] * b(q, o) *
               u;
        }
      }
      CHECK(decoded(s, o) == doctest::Approx(y).epsilon(1e-12));
    }
  }

  tape.set_recording(true);
  CHECK_THROWS_AS(bench.linear(tape, tape.constant(m), routing), Error);
}

TEST_CASE_TEMPLATE("merging gives the same outputs", V, Lora4, RsLora4, MoeMean, HydraMean) {
  AdapterBench<V> bench;
  bench.begin_task(0);
  bench.randomise();
  const Dense unmerged = bench.output();
  bench.layer().merge_into(bench.linear.base().weight().value);
  bench.linear.base().freeze();
  for (auto& p : bench.parameters) {
    if (p.name.starts_with("layer.lora_B")) bench.backend.fill(p.value, 0.0);
  }
  const Dense merged = bench.output();
  // Both forms sum 10 products of W and 4 times 10 of A and B, in another order: some 50 roundings
  // of 1.1e-16 of terms no larger than a few times the largest output.
  CHECK(distance(merged, unmerged) < 50 * 1.1e-16 * 4 * largest(unmerged));
  CHECK(distance(unmerged, Dense(unmerged.rows, unmerged.cols)) > 0.1);
}

TEST_CASE("an adapter with a router cannot be merged") {
  AdapterBench<Hydra> bench;
  CHECK_THROWS_AS(bench.layer().merge_into(bench.linear.base().weight().value), Error);
}

TEST_CASE("dropout zeroes inputs of A alone, in training alone") {
  AdapterBench<Lora4> bench;
  AdaptedLinear<Double> dropping(bench.parameters, "dropping", bench.d_in, 7);
  dropping.base().initialize(Random(3));
  dropping.base().freeze();
  dropping.attach(method_of<Double, Lora4>(), {.alpha = 6.0, .dropout = 0.4, .balance_weight = 0.0},
                  Random(4));
  const Dense a = random_dense(4, bench.d_in, 70);
  const Dense b = random_dense(4, 7, 71);
  assign(bench.parameters.find("dropping.lora_A")->value, a);
  assign(bench.parameters.find("dropping.lora_B")->value, b);
  const auto output = [&](const Random* random) {
    Tape<Double> tape(bench.backend);
    RoutingContext routing = bench.routing();
    routing.dropout = random;
    return to_dense(dropping(tape, tape.parameter(*bench.x), routing).value());
  };
  const auto expected = [&](auto keep) {
    Dense xs = to_dense(bench.x->value);
    Dense y = times_transposed(xs, bench.value("dropping.weight"));
    for (Index i = 0; i < xs.size(); ++i) {
      xs.data[static_cast<std::size_t>(i)] *= keep(static_cast<std::uint64_t>(i));
    }
    const Dense u = times_transposed(xs, a);
    for (Index t = 0; t < y.rows; ++t) {
      for (Index o = 0; o < y.cols; ++o) {
        for (Index q = 0; q < 4; ++q) y(t, o) += 6.0 / 4.0 * u(t, q) * b(q, o);
      }
    }
    return y;
  };
  const Random random(11);
  const Random own = random.fork("dropping");
  const Dense dropped =
      expected([&](std::uint64_t i) { return own.uniform(i) < 0.4 ? 0 : 1 / 0.6; });
  const Dense whole = expected([](std::uint64_t) { return 1.0; });
  CHECK(distance(dropped, whole) > 0.1);
  CHECK(distance(output(&random), dropped) < 1e-12);
  CHECK(distance(output(nullptr), whole) < 1e-12);
}

TEST_CASE("a batch that does not fit is refused") {
  AdapterBench<Branch> bench;
  bench.begin_task(0);
  Tape<Double> tape(bench.backend);
  const auto x = tape.parameter(*bench.x);
  RoutingContext routing = bench.routing();
  bench.tasks = {0, 0, 1};
  routing.tasks = bench.tasks;
  CHECK_THROWS_WITH_AS(bench.linear(tape, x, routing),
                       "layer: a sequence asks for the router of task 1, of 1 that were begun",
                       Error);
  routing.tasks = routing.tasks.first(2);
  CHECK_THROWS_WITH_AS(bench.linear(tape, x, routing),
                       "layer: expected a task for each of 3 sequences, found 2", Error);
  bench.sequences.push(1);
  CHECK_THROWS_WITH_AS(bench.linear(tape, x, bench.routing()),
                       "layer: sequences of 9 tokens, found 8", Error);
  routing.sequences = nullptr;
  CHECK_THROWS_WITH_AS(bench.linear(tape, x, routing),
                       "layer: a routed adapter needs to know the sequences", Error);
}

#include "branchlora/adapter/gate/block_gate.hpp"

#include <doctest/doctest.h>

#include "model/tiny_model.hpp"
#include "support/adapter_bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

// Two linears of a block: the bench's, and one that follows it.
struct Pair {
  explicit Pair(const std::vector<Index>& lengths = {3, 1, 4})
      : bench(lengths), other(bench.parameters, "other", bench.d_in, 5) {
    other.base().initialize(Random(8));
    other.base().freeze();
    other.attach(method_of<Double, Moa6>(), bench.hyper, Random(9));
    other.adapter()->follow(*bench.linear.adapter());
    for (Index task = 0; task < 3; ++task) {
      bench.begin_task(task);
      other.adapter()->begin_task(task);
    }
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      bench.tasks[s] = static_cast<std::int32_t>(s % 3);
    }
    bench.randomise();
    std::uint64_t stream = 200;
    for (auto& p : bench.parameters) {
      if (!p.name.starts_with("other.lora")) continue;
      assign(p.value, random_dense(p.value.rows, p.value.cols, stream++, 0.5));
      bench.parameters.set_trainable(p, true);
    }
  }

  // What the second linear makes of rows x of the sequences `of`, under the branches of those.
  Dense expected(const Dense& x, const std::vector<Index>& of) {
    Dense y = times_transposed(x, bench.value("other.weight"));
    const auto gates = bench.naive_gates().second;
    for (Index t = 0; t < x.rows; ++t) {
      const Index branch =
          gates[static_cast<std::size_t>(of[static_cast<std::size_t>(t)])].chosen.front();
      const Dense a = bench.value("other.lora_A." + std::to_string(branch));
      const Dense b = bench.value("other.lora_B." + std::to_string(branch));
      for (Index q = 0; q < Moa6::rank; ++q) {
        double u = 0;
        for (Index c = 0; c < x.cols; ++c) u += a(q, c) * x(t, c);
        for (Index o = 0; o < y.cols; ++o) y(t, o) += Moa6::scale(bench.hyper) * b(q, o) * u;
      }
    }
    return y;
  }

  Dense run(Tape<Double>& tape, const Dense& first, const Dense& second,
            const RoutingContext& routing) {
    const auto rows = [&](const Dense& values) {
      const auto m = tape.scratch(values.rows, values.cols);
      assign(m, values);
      return tape.constant(m);
    };
    bench.linear(tape, rows(first), routing);
    return to_dense(other(tape, rows(second), routing).value());
  }

  AdapterBench<Moa6> bench;
  AdaptedLinear<Double> other;
};

}  // namespace

TEST_CASE("linears that follow take the branches of the first, prefill and decoding") {
  Pair pair;
  auto& bench = pair.bench;
  assign(bench.parameters.find("layer.router")->value, random_dense(6, 10, 77));
  const auto gates = bench.naive_gates().second;
  REQUIRE(gates[0].chosen != gates[1].chosen);
  Tape<Double> tape(bench.backend);
  tape.set_recording(false);
  RoutingContext routing = bench.routing();
  routing.memory = RoutingContext::Memory::remember;
  const Dense second = random_dense(8, 10, 52);
  const Dense found = pair.run(tape, to_dense(bench.x->value), second, routing);
  const Dense expected = pair.expected(second, {0, 0, 0, 1, 2, 2, 2, 2});
  CHECK(distance(found, expected) < 1e-13 * largest(expected));

  Sequences single;
  for (int s = 0; s < 3; ++s) single.push(1);
  routing.sequences = &single;
  routing.memory = RoutingContext::Memory::reuse;
  const Dense next = random_dense(3, 10, 53);
  const Dense decoded = pair.run(tape, random_dense(3, 10, 54), next, routing);
  const Dense right = pair.expected(next, {0, 1, 2});
  CHECK(distance(decoded, right) < 1e-13 * largest(right));
}

TEST_CASE("gradients of two linears with one gate") {
  Pair pair;
  auto& bench = pair.bench;
  bench.supervise = true;
  const Dense first = random_dense(8, 7, 60);
  const Dense second = random_dense(8, 5, 61);
  check_gradients(
      bench.parameters,
      [&](Tape<Double>& tape) {
        const auto x = tape.parameter(*bench.x);
        const auto y = bench.linear(tape, x, bench.routing());
        const auto z = pair.other(tape, x, bench.routing());
        return op::add(tape, weighted_sum(tape, y, first), weighted_sum(tape, z, second));
      },
      [&] { return bench.naive_routing(); });
}

TEST_CASE("what follows has no router and no state of one") {
  Pair pair;
  CHECK(pair.bench.parameters.find("layer.router") != nullptr);
  CHECK(pair.bench.parameters.find("other.router") == nullptr);
  CHECK(pair.other.adapter()->state().size() + 1 == pair.bench.layer().state().size());

  Pair restored;
  restored.bench.layer().restore(pair.bench.layer().state());
  restored.other.adapter()->restore(pair.other.adapter()->state());
  CHECK(restored.other.adapter()->state() == pair.other.adapter()->state());
}

TEST_CASE("a gate that follows needs the first of its block") {
  Pair pair;
  Tape<Double> tape(pair.bench.backend);
  CHECK_THROWS_WITH_AS(pair.other(tape, tape.parameter(*pair.bench.x), pair.bench.routing()),
                       "other: expected a batch that the first linear of the block has seen",
                       Error);
  CHECK_THROWS_WITH_AS(pair.bench.layer().follow(*pair.other.adapter()),
                       "layer: a gate can follow another's only before its first task begins",
                       Error);
}

TEST_CASE("a model has one router for each block, and is priced so") {
  using V = Moa<2, 3>;
  TinyModel<double> tiny;
  tiny.net.attach(method_of<Double, V>(), {.alpha = 6.0}, Random(5));
  for (Index task = 0; task < 3; ++task) {
    tiny.net.for_each_adapter([&](auto& each) { each.begin_task(task); });
  }
  std::vector<std::string> routers;
  Parameters counted;
  for (const auto& p : tiny.net.parameters()) {
    if (p.name.find(".lora_A") != std::string::npos) counted.a += p.value.size();
    if (p.name.find(".lora_B") != std::string::npos) counted.b += p.value.size();
    if (p.name.find(".router") == std::string::npos) continue;
    counted.router += p.value.size();
    routers.push_back(p.name);
  }
  CHECK(routers ==
        std::vector<std::string>{"decoder.block.0.q.router", "decoder.block.1.q.router"});
  CHECK(parameters<V>(tiny_shape) == counted);

  // For 5 tokens in 2 sequences, by products: rank 2 for every token, a router for 2 sequences.
  constexpr Flops f = flops<V>(tiny_shape, 5, 2);
  constexpr std::int64_t lora = 2 * 5 * 2 * (16 + 12 + 12 + 16 + 14 + 14 + 14);
  CHECK(f.adapter.forward == 2 * (lora + 2 * 2 * 8 * 3));
  CHECK(f.adapter.backward == 2 * f.adapter.forward);
}

TEST_CASE("a model's blocks choose and learn with one router each") {
  using V = Moa<2, 3>;
  TinyModel<double> tiny;
  tiny.net.attach(method_of<Double, V>(), {.alpha = 6.0}, Random(5));
  for (Index task = 0; task < 2; ++task) {
    tiny.net.for_each_adapter([&](auto& each) { each.begin_task(task); });
  }
  tiny.net.freeze_base(Storage::full, 0.0);
  tiny.randomise(".lora_B", 0.5);
  const auto bank = tiny.bank(2);
  const model::Batch batch = batch_of({{0, 0, {{{1, 4, 5}, {2, 3}}}}, {1, 1, {{{1, 9, 3}, {6}}}}});
  const Dense answered = tiny.logits(batch, bank);
  CHECK(largest(answered) > 0);
  const RoutingContext routing{
      .sequences = &batch.sequences, .tasks = batch.tasks, .supervise = true};
  tiny.tape.reset();
  tiny.net.parameters().clear_gradients();
  const auto logits =
      tiny.net.logits(tiny.tape, batch, tiny.net.gather(tiny.tape, batch, bank), routing);
  tiny.tape.backward(op::cross_entropy(tiny.tape, logits, batch.targets));
  for (const auto& p : tiny.net.parameters()) {
    if (!p.trainable || p.name.find("block") == std::string::npos) continue;
    CAPTURE(p.name);
    CHECK(p.has_grad);
    CHECK(largest(to_dense(p.grad)) > 0);
  }
}

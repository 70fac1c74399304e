#include "branchlora/adapter/variant/mix_lora.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "branchlora/adapter/method.hpp"
#include "model/tiny_model.hpp"
#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using V = MixLora<2, 4, 2>;
constexpr Index width = 8, hidden = 6, tokens = 7;

// A feed-forward layer of experts by itself. `x` is a parameter, so that its gradient is checked
// too.
struct Bench {
  explicit Bench(double balance_weight = 0.7) {
    for (auto* linear : {&gate, &up, &down}) {
      linear->base().initialize(Random(3));
      linear->base().freeze();
    }
    ffn = method_of<Double, V>().make_ffn(
        parameters, linears, {.alpha = 3.0, .balance_weight = balance_weight}, Random(4));
    x = &parameters.add("x", tokens, width);
    assign(x->value, random_dense(tokens, width, 50));
    parameters.set_trainable(*x, true);
  }

  // Normal numbers in all that is the experts'.
  void randomise() {
    std::uint64_t stream = 100;
    for (auto& p : parameters) {
      if (p.name.find(".lora_") == std::string::npos && !p.name.ends_with(".router")) continue;
      assign(p.value, random_dense(p.value.rows, p.value.cols, stream++, 0.5));
    }
  }

  Var<double> forward(Tape<Double>& tape) { return (*ffn)(tape, linears, tape.parameter(*x), {}); }
  Dense value(const std::string& name) { return to_dense(parameters.find(name)->value); }

  // W + s B A of an expert.
  Dense whole(const std::string& linear, Index expert) {
    const Dense a = value(linear + ".lora_A." + std::to_string(expert));
    const Dense b = value(linear + ".lora_B." + std::to_string(expert));
    Dense w = value(linear + ".weight");
    for (Index o = 0; o < w.rows; ++o) {
      for (Index c = 0; c < w.cols; ++c) {
        for (Index r = 0; r < 2; ++r) w(o, c) += 3.0 / 2.0 * b(r, o) * a(r, c);
      }
    }
    return w;
  }

  // The feed-forward layer of three whole weights.
  static Dense apply(const Dense& xs, const Dense& g, const Dense& u, const Dense& d) {
    Dense act = times_transposed(xs, g);
    const Dense other = times_transposed(xs, u);
    for (std::size_t i = 0; i < act.data.size(); ++i) {
      act.data[i] *= other.data[i] / (1 + std::exp(-act.data[i]));
    }
    return times_transposed(act, d);
  }

  struct Choice {
    std::vector<double> probabilities;
    std::vector<Index> chosen;
    double gap;
  };
  std::vector<Choice> choices() {
    const Dense logits = times_transposed(to_dense(x->value), value("gate.router"));
    std::vector<Choice> all;
    for (Index t = 0; t < tokens; ++t) {
      const auto at = logits.data.begin() + t * 4;
      Choice c{softmax({at, at + 4}), {0, 1, 2, 3}, 0};
      std::stable_sort(c.chosen.begin(), c.chosen.end(),
                       [&](Index i, Index j) { return logits(t, i) > logits(t, j); });
      c.gap = logits(t, c.chosen[1]) - logits(t, c.chosen[2]);
      c.chosen.resize(2);
      all.push_back(c);
    }
    return all;
  }

  // Every expert by itself, over all tokens.
  Dense naive() {
    std::vector<Dense> experts;
    for (Index e = 0; e < 4; ++e) {
      experts.push_back(
          apply(to_dense(x->value), whole("gate", e), whole("up", e), whole("down", e)));
    }
    Dense y(tokens, width);
    const auto all = choices();
    for (Index t = 0; t < tokens; ++t) {
      const Choice& c = all[static_cast<std::size_t>(t)];
      double sum = 0;
      for (const Index e : c.chosen) sum += c.probabilities[static_cast<std::size_t>(e)];
      for (const Index e : c.chosen) {
        const auto k = static_cast<std::size_t>(e);
        for (Index o = 0; o < width; ++o) y(t, o) += c.probabilities[k] / sum * experts[k](t, o);
      }
    }
    return y;
  }

  std::vector<double> loads() {
    std::vector<double> f(4);
    for (const Choice& c : choices()) {
      for (const Index e : c.chosen) f[static_cast<std::size_t>(e)] += 1.0 / (2 * tokens);
    }
    return f;
  }
  // E sum of f_e P_e with given f.
  double balance(const std::vector<double>& f) {
    double sum = 0;
    for (const Choice& c : choices()) {
      sum += std::inner_product(f.begin(), f.end(), c.probabilities.begin(), 0.0) / tokens;
    }
    return 4 * sum;
  }

  Double backend;
  ParameterSet<Double> parameters{backend};
  AdaptedLinear<Double> gate{parameters, "gate", width, hidden};
  AdaptedLinear<Double> up{parameters, "up", width, hidden};
  AdaptedLinear<Double> down{parameters, "down", hidden, width};
  FfnLinears<Double> linears{gate, up, down};
  std::unique_ptr<AnyFfn<Double>> ffn;
  Parameter<double>* x = nullptr;
};

}  // namespace

TEST_CASE("shared products give what each expert gives by itself") {
  Bench bench;
  bench.randomise();
  Tape<Double> tape(bench.backend);
  const Dense expected = bench.naive();
  // Sums of some twenty products, in another order.
  CHECK(distance(to_dense(bench.forward(tape).value()), expected) < 1e-13 * largest(expected));
  CHECK(distance(expected, Bench::apply(to_dense(bench.x->value), bench.value("gate.weight"),
                                        bench.value("up.weight"), bench.value("down.weight"))) >
        0.1);
}

TEST_CASE("new experts leave the feed-forward layer as it is") {
  Bench bench;
  Tape<Double> tape(bench.backend);
  const Dense base = Bench::apply(to_dense(bench.x->value), bench.value("gate.weight"),
                                  bench.value("up.weight"), bench.value("down.weight"));
  // Not the same bits: weights that sum to one are rounded.
  CHECK(distance(to_dense(bench.forward(tape).value()), base) < 1e-14 * largest(base));
}

TEST_CASE("gradients of experts, router and input, the balance loss included") {
  Bench bench;
  bench.randomise();
  for (const auto& choice : bench.choices()) REQUIRE(choice.gap > 1e-3);
  const auto loads = bench.loads();
  const Dense weights = random_dense(tokens, width, 60);
  check_gradients(
      bench.parameters,
      [&](Tape<Double>& tape) { return weighted_sum(tape, bench.forward(tape), weights); },
      [&] { return 0.7 * bench.balance(loads); });
  // The balance loss is seen in this check: it does change the router's gradient.
  const auto router_gradient = [&](double balance_weight) {
    Bench other(balance_weight);
    other.randomise();
    Tape<Double> tape(other.backend);
    tape.backward(weighted_sum(tape, other.forward(tape), weights));
    return to_dense(other.parameters.find("gate.router")->grad);
  };
  CHECK(distance(router_gradient(0.7), router_gradient(0.0)) > 1e-3);
}

TEST_CASE("costs are counted by what a linear is") {
  Bench bench;
  Parameters counted;
  for (const auto& p : bench.parameters) {
    if (!p.trainable || p.name == "x") continue;
    if (p.name.find(".lora_A") != std::string::npos) counted.a += p.value.size();
    if (p.name.find(".lora_B") != std::string::npos) counted.b += p.value.size();
    if (p.name.ends_with(".router")) counted.router += p.value.size();
  }
  constexpr LinearShape g{"gate", width, hidden}, u{"up", width, hidden}, d{"down", hidden, width};
  Parameters expected = V::parameters(g);
  expected += V::parameters(u);
  expected += V::parameters(d);
  CHECK(counted == expected);
  // 3 E r (d + f) + E d, as the paper counts.
  CHECK(expected.total() == 3 * 4 * 2 * (width + hidden) + 4 * width);
  CHECK(V::parameters({"q", width, width}) == Lora<2>::parameters(width, width));
  CHECK(V::flops(u, 10).adapter.forward == 2 * Lora<2>::flops(width, hidden, 10).adapter.forward);
}

TEST_CASE("experts are refused where no layer applies them") {
  Bench bench;
  Tape<Double> tape(bench.backend);
  CHECK_THROWS_WITH_AS(bench.gate(tape, tape.parameter(*bench.x), {}),
                       "gate: the experts of a feed-forward layer can not be applied to one linear",
                       Error);
}

TEST_CASE("a model trains with experts in place of its feed-forward layers") {
  TinyModel<double> tiny;
  tiny.net.freeze_base(Storage::full, 1.0);
  const model::Batch batch =
      batch_of({{0, 0, {{{1, 4, 5}, {6, 2}}}}, {1, 0, {{{1, 7}, {3, 2}}, {{1, 5}, {10, 6, 2}}}}});
  const auto bank = tiny.bank(2);
  const Dense base = tiny.logits(batch, bank);
  tiny.net.attach(method_of<Double, V>(), {.alpha = 3.0, .balance_weight = 0.0}, Random(5));
  tiny.net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  CHECK(distance(tiny.logits(batch, bank), base) < 1e-13 * largest(base));
  CHECK(tiny.net.parameters().find("decoder.block.1.gate.router") != nullptr);
  tiny.randomise(".lora_", 0.5);
  tiny.randomise(".router", 0.5);
  CHECK(distance(tiny.logits(batch, bank), base) > 0.1);
  check_gradients(tiny.net.parameters(), [&](Tape<Double>& tape) {
    return tiny.net.loss(tape, batch, tiny.net.gather(tape, batch, bank),
                         {&batch.sequences, batch.tasks});
  });
}

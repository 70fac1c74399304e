// The variants that bring a layer of their own: what they keep like any other, and what makes each
// of them what it is.
#include <doctest/doctest.h>

#include <map>
#include <numeric>

#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/adapter/policy_table.hpp"
#include "branchlora/adapter/variant/conditional_mix_lora.hpp"
#include "branchlora/adapter/variant/dora.hpp"
#include "branchlora/adapter/variant/o_lora.hpp"
#include "branchlora/optim/adamw.hpp"
#include "support/adapter_contract.hpp"

using namespace branchlora;
using namespace branchlora::test;

using Dora4 = Dora<4>;
using OLora3 = OLora<3, 4>;
using Mix = ConditionalMixLora<6, 3>;
using MixIndependent = ConditionalMixLora<6, 3, FactorChoice::independent>;
using MixScored = ScoredMixLora<6, 3>;
using MixScoredIndependent = ScoredMixLora<6, 3, FactorChoice::independent>;

#define OTHER_VARIANTS Dora4, OLora3, Mix, MixIndependent, MixScored, MixScoredIndependent
#define MIX_VARIANTS Mix, MixIndependent, MixScored, MixScoredIndependent

TYPE_TO_STRING(Dora4);
TYPE_TO_STRING(OLora3);
TYPE_TO_STRING(Mix);
TYPE_TO_STRING(MixIndependent);
TYPE_TO_STRING(MixScored);
TYPE_TO_STRING(MixScoredIndependent);

namespace {

void train_with(AnyBench<double>& bench, AdamW<Double>& optimiser, std::uint64_t seed) {
  Tape<Double> tape(bench.backend);
  for (std::uint64_t step = 0; step < 3; ++step) {
    tape.reset();
    assign(bench.x->value, random_dense(bench.x->value.rows, bench.d_in, 500 + 10 * seed + step));
    const auto y = bench.forward(tape);
    tape.backward(weighted_sum(tape, op::gelu(tape, y), random_dense(y.rows(), y.cols(), seed)));
    optimiser.step(1e-2, 0.5);
  }
}

// Of three tasks, the last of which trains on.
template <class Bench>
void three_tasks(Bench& bench) {
  for (Index task = 0; task < 3; ++task) {
    bench.begin_task(task);
    if (task < 2) bench.layer().end_task();
  }
  bench.randomise();
}

}  // namespace

TEST_CASE_TEMPLATE("a new adapter leaves the base unchanged, bit for bit", V, OTHER_VARIANTS) {
  check_new_adapter_changes_nothing(make_bench<V>);
}

TEST_CASE_TEMPLATE("compile-time counts are those of the tensors that train", V, OTHER_VARIANTS) {
  AdapterBench<V> bench;
  bench.begin_task(0);
  Parameters counted;
  for (const auto& p : bench.parameters) {
    if (!p.trainable) continue;
    if (p.name.starts_with("layer.lora_A")) counted.a += p.value.size();
    if (p.name.starts_with("layer.lora_B")) counted.b += p.value.size();
    if (p.name.starts_with("layer.router")) counted.router += p.value.size();
    if (p.name == "layer.lora_magnitude") counted.magnitude += p.value.size();
  }
  CHECK(counted == V::parameters(10, 7));
  CHECK(bench.parameters.trainable_count() - bench.x->value.size() == V::parameters(10, 7).total());
  CHECK(V::optimizer_bytes(10, 7) == 16 * V::parameters(10, 7).total());
  // A model's costs are those of its linears.
  constexpr ModelShape tiny{
      .name = "tiny", .layers = 2, .linears = {{{"q", 10, 7}}}, .projector = {}};
  CHECK(parameters<V>(tiny) == 2 * V::parameters(10, 7));
  CHECK(policy_table<V>() == PolicyTable{{"Variant", V::describe()}});
}

TEST_CASE_TEMPLATE("only adapter parameters move, over three tasks", V, OTHER_VARIANTS) {
  AdapterBench<V> bench;
  bench.parameters.set_trainable(*bench.x, false);
  AdamW<Double> optimiser(bench.parameters, {.weight_decay = 0.1});
  for (Index task = 0; task < 3; ++task) {
    bench.begin_task(task);
    const auto before = values_of(bench);
    train_with(bench, optimiser, static_cast<std::uint64_t>(task));
    for (auto& p : bench.parameters) {
      if (p.name == "x") continue;
      CAPTURE(p.name);
      CHECK((to_dense(p.value) == before.at(p.name)) == !p.trainable);
      if (p.trainable) CHECK(AdapterBench<V>::is_adapter(p.name));
    }
    bench.layer().end_task();
  }
}

TEST_CASE_TEMPLATE("a saved adapter goes on to the same bits", V, OTHER_VARIANTS) {
  AdapterBench<V> whole;
  AdamW<Double> optimiser(whole.parameters);
  for (Index task = 0; task < 2; ++task) {
    whole.begin_task(task);
    train_with(whole, optimiser, static_cast<std::uint64_t>(task));
    whole.layer().end_task();
  }
  AdapterBench<V> restored;
  restored.layer().restore(whole.layer().state());
  for (auto& p : restored.parameters) assign(p.value, whole.value(p.name));
  CHECK(restored.output() == whole.output());
  const auto next = [](auto& bench) {
    AdamW<Double> adamw(bench.parameters);
    bench.begin_task(2);
    train_with(bench, adamw, 2);
    bench.layer().end_task();
    return values_of(bench);
  };
  CHECK(next(whole) == next(restored));
  const std::vector<std::uint64_t> wrong{99, 99};
  CHECK_THROWS_AS(restored.layer().restore(wrong), Error);
}

TEST_CASE_TEMPLATE("any number of threads gives the same bits", V, OTHER_VARIANTS) {
  const auto step = [](int threads) {
    return large_step<V, float>(threads, [](auto& bench) { three_tasks(bench); });
  };
  const auto one = step(1);
  CHECK(one.size() >= 4);
  CHECK(step(3) == one);
}

TEST_CASE_TEMPLATE("dropout draws in training alone, and gradients follow it", V, OLora3,
                   MIX_VARIANTS) {
  AdapterBench<V> bench;
  AdaptedLinear<Double> dropping(bench.parameters, "dropping", bench.d_in, 7);
  dropping.base().initialize(Random(3));
  dropping.base().freeze();
  dropping.attach(method_of<Double, V>(), {.alpha = 6.0, .dropout = 0.4}, Random(4));
  dropping.adapter()->begin_task(0);
  std::uint64_t stream = 300;
  for (auto& p : bench.parameters) {
    if (p.name.starts_with("dropping.lora")) {
      assign(p.value, random_dense(p.value.rows, p.value.cols, stream++, 0.5));
    }
  }
  const Random random(11);
  const auto forward = [&](Tape<Double>& tape, const Random* draws) {
    RoutingContext routing = bench.routing();
    routing.dropout = draws;
    return dropping(tape, tape.parameter(*bench.x), routing);
  };
  Tape<Double> tape(bench.backend);
  const Dense whole = to_dense(forward(tape, nullptr).value());
  CHECK(distance(to_dense(forward(tape, &random).value()), whole) > 0.1);
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(bench.parameters,
                  [&](Tape<Double>& t) { return weighted_sum(t, forward(t, &random), weights); });
}

// DoRA.

namespace {

// The norms of the rows of W + s B A.
std::vector<double> naive_norms(AdapterBench<Dora4>& bench) {
  const Dense w = bench.value("layer.weight");
  const Dense a = bench.value("layer.lora_A");
  const Dense b = bench.value("layer.lora_B");
  std::vector<double> norms;
  for (Index o = 0; o < w.rows; ++o) {
    double square = 0;
    for (Index c = 0; c < w.cols; ++c) {
      double sum = w(o, c);
      for (Index r = 0; r < 4; ++r) sum += 6.0 / 4.0 * b(r, o) * a(r, c);
      square += sum * sum;
    }
    norms.push_back(std::sqrt(square));
  }
  return norms;
}

// y = m / n * (W x + s B A x), with given n.
Dense naive_dora(AdapterBench<Dora4>& bench, const std::vector<double>& norms) {
  const Dense a = bench.value("layer.lora_A");
  const Dense b = bench.value("layer.lora_B");
  const Dense m = bench.value("layer.lora_magnitude");
  const Dense u = times_transposed(to_dense(bench.x->value), a);
  Dense y = bench.base_output();
  for (Index t = 0; t < y.rows; ++t) {
    for (Index o = 0; o < y.cols; ++o) {
      for (Index r = 0; r < 4; ++r) y(t, o) += 6.0 / 4.0 * u(t, r) * b(r, o);
      y(t, o) *= m(0, o) / norms[static_cast<std::size_t>(o)];
    }
  }
  return y;
}

}  // namespace

TEST_CASE("DoRA is its equation, and its magnitudes start as the norms of the rows") {
  AdapterBench<Dora4> bench;
  const Dense m = bench.value("layer.lora_magnitude");
  const auto norms = naive_norms(bench);
  for (Index o = 0; o < 7; ++o) {
    CHECK(m(0, o) == doctest::Approx(norms[static_cast<std::size_t>(o)]).epsilon(1e-14));
  }
  bench.randomise();
  const Dense expected = naive_dora(bench, naive_norms(bench));
  CHECK(distance(expected, bench.base_output()) > 0.1);
  // The norms come from three sums instead of one: a few dozen roundings of 1.1e-16.
  CHECK(distance(bench.output(), expected) < 1e-13 * largest(expected));
}

TEST_CASE("DoRA's gradients are those with given norms, the magnitudes' included") {
  AdapterBench<Dora4> bench;
  bench.randomise();
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  Tape<Double> tape(bench.backend);
  tape.backward(weighted_sum(tape, bench.forward(tape), weights));
  const auto norms = naive_norms(bench);
  const auto loss = [&] {
    const Dense y = naive_dora(bench, norms);
    return std::inner_product(y.data.begin(), y.data.end(), weights.data.begin(), 0.0);
  };
  int checked = 0;
  for (auto& p : bench.parameters) {
    if (!p.trainable) continue;
    CAPTURE(p.name);
    REQUIRE(p.has_grad);
    const Dense gradient = to_dense(p.grad);
    for (Index i = 0; i < p.value.size(); ++i) {
      // The loss is linear in each element: a difference is off by its rounding alone.
      double& w = p.value.data[i];
      const double was = w;
      w = was + 1e-3;
      const double high = loss();
      w = was - 1e-3;
      const double low = loss();
      w = was;
      CHECK(gradient.data[static_cast<std::size_t>(i)] ==
            doctest::Approx((high - low) / 2e-3).epsilon(1e-9));
      ++checked;
    }
  }
  CHECK(checked == 4 * 10 + 4 * 7 + 7 + 8 * 10);
}

TEST_CASE("a step of DoRA starts as LoRA's") {
  const auto gradients = []<class V>(V) {
    AdapterBench<V> bench;
    Tape<Double> tape(bench.backend);
    const auto y = bench.forward(tape);
    tape.backward(weighted_sum(tape, y, random_dense(8, 7, 60)));
    return std::vector<Dense>{to_dense(y.value()), to_dense(bench.x->grad),
                              to_dense(bench.parameters.find("layer.lora_A")->value),
                              to_dense(bench.parameters.find("layer.lora_B")->grad)};
  };
  CHECK(gradients(Dora4{}) == gradients(Lora<4>{}));
}

TEST_CASE("merged DoRA gives the same outputs") {
  AdapterBench<Dora4> bench;
  bench.randomise();
  const Dense unmerged = bench.output();
  bench.layer().merge_into(bench.linear.base().weight().value);
  bench.linear.base().freeze();
  CHECK(distance(bench.base_output(), unmerged) < 1e-13 * largest(unmerged));
}

TEST_CASE("a row of zeros stays zero in DoRA") {
  AdapterBench<Lora<4>> other;
  ParameterSet<Double> parameters(other.backend);
  AdaptedLinear<Double> linear(parameters, "zero", other.d_in, 7);
  linear.base().freeze();
  linear.attach(method_of<Double, Dora4>(), {.alpha = 6.0}, Random(4));
  Tape<Double> tape(other.backend);
  CHECK(to_dense(linear(tape, tape.parameter(*other.x), other.routing()).value()) == Dense(8, 7));
}

// O-LoRA.

TEST_CASE("O-LoRA adds up the pairs of the tasks so far, and trains the last") {
  AdapterBench<OLora3> bench;
  three_tasks(bench);
  Dense expected = bench.base_output();
  const Dense xs = to_dense(bench.x->value);
  for (const char* i : {"0", "1", "2"}) {
    const Dense u = times_transposed(xs, bench.value(std::string("layer.lora_A.") + i));
    const Dense b = bench.value(std::string("layer.lora_B.") + i);
    for (Index t = 0; t < 8; ++t) {
      for (Index o = 0; o < 7; ++o) {
        for (Index r = 0; r < 3; ++r) expected(t, o) += 6.0 / 3.0 * u(t, r) * b(r, o);
      }
    }
  }
  CHECK(distance(bench.output(), expected) < 1e-13 * largest(expected));
  for (auto& p : bench.parameters) {
    if (AdapterBench<OLora3>::is_adapter(p.name)) CHECK(p.trainable == p.name.ends_with(".2"));
  }
  CHECK(bench.layer().active() == 0b111);
  CHECK(bench.layer().frozen() == 0b011);
  const Dense weights = random_dense(8, 7, 60);
  const auto loss = [&](Tape<Double>& tape) {
    return weighted_sum(tape, bench.forward(tape), weights);
  };
  check_gradients(bench.parameters, loss);

  bench.layer().merge_into(bench.linear.base().weight().value);
  bench.linear.base().freeze();
  CHECK(distance(bench.base_output(), expected) < 1e-13 * largest(expected));
}

TEST_CASE("O-LoRA is not applied before its first task has begun") {
  AdapterBench<OLora3> bench;
  const char* message =
      "layer: expected begin_task(0) before O-LoRA is applied, found that no task has begun";
  Tape<Double> tape(bench.backend);
  CHECK_THROWS_WITH_AS(bench.forward(tape), message, Error);
  CHECK_THROWS_WITH_AS(bench.output(), message, Error);
  CHECK_THROWS_WITH_AS(bench.layer().merge_into(bench.linear.base().weight().value), message,
                       Error);
  const std::vector<std::uint64_t> one_task{1};
  bench.layer().restore(one_task);
  const Dense base = bench.base_output();
  CHECK(distance(bench.output(), base) < 1e-13 * largest(base));
}

TEST_CASE("O-LoRA has pairs for the tasks that its type says") {
  AdapterBench<OLora<3, 2>> bench;
  CHECK_THROWS_WITH_AS(bench.begin_task(1), "layer: expected task 0 to begin, found 1", Error);
  bench.begin_task(0);
  bench.begin_task(1);
  CHECK_THROWS_WITH_AS(bench.begin_task(2),
                       "layer: task 2 begins, but OLora<3, 2> has pairs for 2 tasks", Error);
}

// Conditional MixLoRA.

namespace {

struct NaiveChoice {
  std::vector<Index> a, b;
  std::vector<double> weights;
  double gap = 1e9;  // Between the worst chosen and the best score left out.
};

std::vector<Index> best(const std::vector<double>& scores, Index count, double& gap) {
  std::vector<Index> order(scores.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
    return scores[static_cast<std::size_t>(i)] > scores[static_cast<std::size_t>(j)];
  });
  // Two chosen factors that change places are another choice as well.
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    gap = std::min(gap, scores[static_cast<std::size_t>(order[i])] -
                            scores[static_cast<std::size_t>(order[i + 1])]);
  }
  order.resize(static_cast<std::size_t>(count));
  return order;
}

std::vector<double> times(const Dense& m, Index first, Index count, const std::vector<double>& x) {
  std::vector<double> y(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    for (Index c = 0; c < m.cols; ++c) {
      y[static_cast<std::size_t>(i)] += m(first + i, c) * x[static_cast<std::size_t>(c)];
    }
  }
  return y;
}

// The choice for the rows first .. last of x.
template <class V>
NaiveChoice naive_choice(AdapterBench<V>& bench, Index first, Index last) {
  const Dense xs = to_dense(bench.x->value);
  const Dense a = bench.value("layer.lora_A");
  std::vector<double> h(static_cast<std::size_t>(bench.d_in));
  for (Index t = first; t < last; ++t) {
    for (Index c = 0; c < bench.d_in; ++c) {
      h[static_cast<std::size_t>(c)] += xs(t, c) / static_cast<double>(last - first);
    }
  }
  NaiveChoice choice;
  const auto p = softmax(times(bench.value("layer.router_A"), 0, 6, h));
  auto q = softmax(times(bench.value("layer.router_B"), 0, 6, h));
  choice.a = best(p, 3, choice.gap);
  if constexpr (V::conditional) {
    std::vector<double> sum(6);
    for (Index r = 0; r < 3; ++r) {
      std::vector<double> factor;
      for (Index c = 0; c < bench.d_in; ++c) {
        factor.push_back(a(choice.a[static_cast<std::size_t>(r)], c));
      }
      const auto says = softmax(times(bench.value("layer.router_condition"), 6 * r, 6, factor));
      for (std::size_t e = 0; e < 6; ++e) sum[e] += says[e];
    }
    sum = softmax(sum);
    for (std::size_t e = 0; e < 6; ++e) q[e] += sum[e];
  }
  choice.b = best(q, 3, choice.gap);
  // Scores in units of their mean: 1 / 6, and 2 / 6 where two distributions are added.
  const double unit = 36.0 / (V::conditional ? 2.0 : 1.0);
  for (std::size_t r = 0; r < 3; ++r) {
    choice.weights.push_back(V::scored ? unit * p[static_cast<std::size_t>(choice.a[r])] *
                                             q[static_cast<std::size_t>(choice.b[r])]
                                       : 1.0);
  }
  return choice;
}

template <class V>
std::vector<NaiveChoice> naive_choices(AdapterBench<V>& bench) {
  std::vector<NaiveChoice> choices;
  const auto& offsets = bench.sequences.offsets;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    choices.push_back(naive_choice(bench, offsets[s], offsets[s + 1]));
  }
  return choices;
}

// Adds s sum of w_r b (a . x) to row t of y, for row `from` of xs.
template <class V>
void add_naive(AdapterBench<V>& bench, const NaiveChoice& choice, const Dense& xs, Index t,
               Dense& y) {
  const Dense a = bench.value("layer.lora_A");
  const Dense b = bench.value("layer.lora_B");
  for (std::size_t r = 0; r < 3; ++r) {
    double u = 0;
    for (Index c = 0; c < xs.cols; ++c) u += a(choice.a[r], c) * xs(t, c);
    for (Index o = 0; o < y.cols; ++o) {
      y(t, o) += 6.0 / 3.0 * choice.weights[r] * b(choice.b[r], o) * u;
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("MixLoRA is its equation, token by token", V, MIX_VARIANTS) {
  AdapterBench<V> bench;
  bench.randomise();
  Dense expected = bench.base_output();
  const auto choices = naive_choices(bench);
  for (std::size_t s = 0; s < choices.size(); ++s) {
    for (Index t = bench.sequences.offsets[s]; t < bench.sequences.offsets[s + 1]; ++t) {
      add_naive(bench, choices[s], to_dense(bench.x->value), t, expected);
    }
  }
  CHECK(distance(expected, bench.base_output()) > 0.1);
  CHECK(distance(bench.output(), expected) < 1e-13 * largest(expected));
  CHECK(bench.linear.adapter()->needs_every_token());
  CHECK_THROWS_AS(bench.layer().merge_into(bench.linear.base().weight().value), Error);
}

TEST_CASE_TEMPLATE("MixLoRA's gradients: every parameter and x", V, MIX_VARIANTS) {
  AdapterBench<V> bench;
  bench.randomise();
  for (const NaiveChoice& choice : naive_choices(bench)) REQUIRE(choice.gap > 1e-3);
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(bench.parameters, [&](Tape<Double>& tape) {
    return weighted_sum(tape, bench.forward(tape), weights);
  });
}

TEST_CASE_TEMPLATE("MixLoRA's gradients add up where a layer is used twice", V, Mix, MixScored) {
  AdapterBench<V> bench;
  bench.randomise();
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(bench.parameters, [&](Tape<Double>& tape) {
    const auto x = tape.parameter(*bench.x);
    const auto first = bench.linear(tape, x, bench.routing());
    const auto second = bench.linear(tape, x, bench.routing());
    return weighted_sum(tape, op::swiglu(tape, first, second), weights);
  });
}

TEST_CASE("routers that only choose receive no gradient, those with scores do") {
  const auto trained = []<class V>(V) {
    AdapterBench<V> bench;
    bench.randomise();
    Tape<Double> tape(bench.backend);
    tape.backward(weighted_sum(tape, bench.forward(tape), random_dense(8, 7, 60)));
    int count = 0;
    for (const auto& p : bench.parameters) {
      if (p.name.starts_with("layer.router")) count += p.has_grad && largest(to_dense(p.grad)) > 0;
    }
    return count;
  };
  CHECK(trained(Mix{}) == 0);
  CHECK(trained(MixIndependent{}) == 0);
  CHECK(trained(MixScored{}) == 3);
  CHECK(trained(MixScoredIndependent{}) == 2);
}

TEST_CASE("the conditional choice of B depends on the factors of A, the independent one does not") {
  // Other values in the pool of A, with which h and W_A h stay as they are: only B's choice may
  // follow. The output shows it, since b_e is the unit vector e here.
  const auto chosen_b = []<class V>(V, std::uint64_t stream) {
    AdapterBench<V> bench({3, 1, 4, 2, 5, 3});
    bench.randomise();
    assign(bench.parameters.find("layer.lora_A")->value, random_dense(6, 10, stream, 2.0));
    assign(bench.parameters.find("layer.lora_B")->value,
           dense(6, 7, [](Index e, Index o) { return e == o ? 1.0 : 0.0; }));
    const Dense y = bench.output();
    const Dense base = bench.base_output();
    std::vector<std::vector<bool>> chosen;
    for (std::size_t s = 0; s < 6; ++s) {
      std::vector<bool> of(6);
      const Index t = bench.sequences.offsets[s];
      for (Index e = 0; e < 6; ++e) {
        of[static_cast<std::size_t>(e)] = std::abs(y(t, e) - base(t, e)) > 1e-9;
      }
      CHECK(std::count(of.begin(), of.end(), true) == 3);
      chosen.push_back(of);
    }
    return chosen;
  };
  CHECK(chosen_b(MixIndependent{}, 801) == chosen_b(MixIndependent{}, 802));
  CHECK(chosen_b(Mix{}, 801) != chosen_b(Mix{}, 802));
}

TEST_CASE("ties of factors go to the lower index") {
  AdapterBench<MixIndependent> bench;
  bench.randomise();
  for (const char* router : {"layer.router_A", "layer.router_B"}) {
    bench.backend.fill(bench.parameters.find(router)->value, 0.0);
  }
  Dense expected = bench.base_output();
  const NaiveChoice first{{0, 1, 2}, {0, 1, 2}, {1, 1, 1}};
  for (Index t = 0; t < 8; ++t) add_naive(bench, first, to_dense(bench.x->value), t, expected);
  CHECK(distance(bench.output(), expected) < 1e-13 * largest(expected));
}

TEST_CASE("equal scores are the form without weights") {
  AdapterBench<MixIndependent> plain;
  AdapterBench<MixScoredIndependent> scored;
  plain.randomise();
  scored.randomise();
  for (const char* router : {"layer.router_A", "layer.router_B"}) {
    plain.backend.fill(plain.parameters.find(router)->value, 0.0);
    scored.backend.fill(scored.parameters.find(router)->value, 0.0);
  }
  CHECK(distance(plain.output(), scored.output()) < 1e-14 * largest(plain.output()));
}

TEST_CASE_TEMPLATE("decoding keeps the factors of the prompt", V, MIX_VARIANTS) {
  AdapterBench<V> bench;
  bench.randomise();
  Tape<Double> tape(bench.backend);
  tape.set_recording(false);
  RoutingContext routing = bench.routing();
  routing.memory = RoutingContext::Memory::remember;
  bench.linear(tape, tape.parameter(*bench.x), routing);
  const auto choices = naive_choices(bench);

  const Dense next = random_dense(3, bench.d_in, 51);
  Sequences single;
  for (int s = 0; s < 3; ++s) single.push(1);
  routing.sequences = &single;
  routing.memory = RoutingContext::Memory::reuse;
  const auto m = tape.scratch(3, bench.d_in);
  assign(m, next);
  const Dense decoded = to_dense(bench.linear(tape, tape.constant(m), routing).value());
  Dense expected = times_transposed(next, bench.value("layer.weight"));
  for (Index s = 0; s < 3; ++s) {
    add_naive(bench, choices[static_cast<std::size_t>(s)], next, s, expected);
  }
  CHECK(distance(decoded, expected) < 1e-13 * largest(expected));
  tape.set_recording(true);
  CHECK_THROWS_AS(bench.linear(tape, tape.constant(m), routing), Error);
}

TEST_CASE_TEMPLATE("a batch that does not fit is refused", V, Mix) {
  AdapterBench<V> bench;
  Tape<Double> tape(bench.backend);
  RoutingContext routing = bench.routing();
  bench.sequences.push(1);
  CHECK_THROWS_WITH_AS(bench.linear(tape, tape.parameter(*bench.x), routing),
                       "layer: sequences of 9 tokens, found 8", Error);
  routing.sequences = nullptr;
  CHECK_THROWS_WITH_AS(bench.linear(tape, tape.parameter(*bench.x), routing),
                       "layer: a routed adapter needs to know the sequences", Error);
}

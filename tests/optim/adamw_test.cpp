#include "branchlora/optim/adamw.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "branchlora/eigen/backend.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using B = eigen::Backend<double>;

void give_gradient(Parameter<double>& p, const Dense& gradient) {
  assign(p.grad, gradient);
  p.has_grad = true;
}

// Algorithm 2 of the paper with the learning rate as the schedule, one element at a time.
struct NaiveAdamW {
  AdamWOptions o;
  double m = 0;
  double v = 0;
  int t = 0;

  double step(double w, double g, double rate) {
    ++t;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, t));
    const double v_hat = v / (1 - std::pow(o.beta2, t));
    return w - rate * (m_hat / (std::sqrt(v_hat) + o.epsilon) + o.weight_decay * w);
  }
};

}  // namespace

TEST_CASE("the first step is the rate times the sign of the gradient") {
  B backend;
  ParameterSet<B> parameters(backend);
  auto& p = parameters.add("w", 1, 3);
  parameters.set_trainable(p, true);
  assign(p.value, Dense(1, 3, {1, 2, 3}));
  give_gradient(p, Dense(1, 3, {0.5, -4, 0}));
  AdamW<B>(parameters).step(0.1);
  // m / (1 - beta1) = g and v / (1 - beta2) = g^2: a step of rate * g / (|g| + 1e-8).
  CHECK(p.value(0, 0) == doctest::Approx(1 - 0.1 * 0.5 / (0.5 + 1e-8)).epsilon(1e-14));
  CHECK(p.value(0, 1) == doctest::Approx(2 + 0.1 * 4 / (4 + 1e-8)).epsilon(1e-14));
  CHECK(p.value(0, 2) == 3);
  CHECK_FALSE(p.has_grad);
}

TEST_CASE("many steps are the naive ones") {
  B backend;
  ParameterSet<B> parameters(backend);
  auto& p = parameters.add("w", 3, 5);
  auto& slow = parameters.add("slow", 1, 2);
  auto& bias = parameters.add("bias", 1, 2);
  slow.learning_rate = 0.1;
  bias.decays = false;
  const AdamWOptions options{.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.2};
  AdamW<B> optimiser(parameters, options);
  AdamWOptions undecayed = options;
  undecayed.weight_decay = 0;
  std::vector<std::vector<NaiveAdamW>> naive;
  std::vector<Dense> values;
  for (auto& q : parameters) {
    parameters.set_trainable(q, true);
    assign(q.value, random_dense(q.value.rows, q.value.cols, 1));
    values.push_back(to_dense(q.value));
    naive.emplace_back(static_cast<std::size_t>(q.value.size()),
                       NaiveAdamW{q.decays ? options : undecayed});
  }
  for (int step = 0; step < 20; ++step) {
    const double rate = 0.01 * (step + 1);
    const double clip = step % 2 == 0 ? 1.0 : 0.3;
    std::size_t index = 0;
    for (auto& q : parameters) {
      const Dense g =
          random_dense(q.value.rows, q.value.cols, static_cast<std::uint64_t>(step + 2));
      give_gradient(q, g);
      for (std::size_t i = 0; i < g.data.size(); ++i) {
        values[index].data[i] = naive[index][i].step(values[index].data[i], clip * g.data[i],
                                                     rate * (&q == &slow ? 0.1 : 1.0));
      }
      ++index;
    }
    optimiser.step(rate, clip);
  }
  CHECK(distance(to_dense(p.value), values[0]) < 1e-13);
  CHECK(distance(to_dense(slow.value), values[1]) < 1e-13);
  CHECK(distance(to_dense(bias.value), values[2]) < 1e-13);
}

TEST_CASE("what is frozen, or has no gradient, keeps its bits and its moments") {
  B backend;
  ParameterSet<B> parameters(backend);
  auto& moving = parameters.add("moving", 1, 2);
  auto& frozen = parameters.add("frozen", 1, 2);
  auto& idle = parameters.add("idle", 1, 2);
  AdamW<B> optimiser(parameters, {.weight_decay = 0.5});
  const Dense g(1, 2, {1, -2});
  for (auto* p : {&moving, &frozen, &idle}) {
    assign(p->value, Dense(1, 2, {3, 4}));
    parameters.set_trainable(*p, true);
    give_gradient(*p, g);
  }
  optimiser.step(0.1);  // All have momentum now.
  const Dense after = to_dense(frozen.value);
  parameters.set_trainable(frozen, false);
  for (int i = 0; i < 3; ++i) {
    give_gradient(moving, g);
    give_gradient(frozen, g);
    optimiser.step(0.1);
  }
  CHECK(to_dense(frozen.value) == after);
  CHECK(to_dense(idle.value) == after);
  CHECK_FALSE(to_dense(moving.value) == after);
  // A thawed one goes on with its own count of steps: its second, not its fifth.
  NaiveAdamW naive{{.weight_decay = 0.5}};
  double w = naive.step(3, 1, 0.1);
  w = naive.step(w, 1, 0.1);
  parameters.set_trainable(frozen, true);
  give_gradient(frozen, g);
  optimiser.step(0.1);
  CHECK(frozen.value(0, 0) == doctest::Approx(w).epsilon(1e-14));
}

TEST_CASE("reset forgets all moments") {
  B backend;
  ParameterSet<B> parameters(backend);
  auto& p = parameters.add("w", 1, 1);
  parameters.set_trainable(p, true);
  AdamW<B> optimiser(parameters);
  give_gradient(p, Dense(1, 1, {5}));
  optimiser.step(0.1);
  optimiser.reset();
  const double before = p.value(0, 0);
  give_gradient(p, Dense(1, 1, {-1}));
  optimiser.step(0.1);
  CHECK(p.value(0, 0) - before == doctest::Approx(0.1).epsilon(1e-7));
}

TEST_CASE("the norm is that of all trainable gradients as one vector") {
  B backend;
  ParameterSet<B> parameters(backend);
  auto& a = parameters.add("a", 1, 2);
  auto& b = parameters.add("b", 2, 1);
  auto& frozen = parameters.add("frozen", 1, 1);
  auto& idle = parameters.add("idle", 1, 1);
  for (auto* p : {&a, &b, &frozen, &idle}) parameters.set_trainable(*p, true);
  give_gradient(a, Dense(1, 2, {1, 2}));
  give_gradient(b, Dense(2, 1, {4, -2}));
  give_gradient(frozen, Dense(1, 1, {100}));
  assign(idle.grad, Dense(1, 1, {100}));  // Left over from a step before.
  parameters.set_trainable(frozen, false);
  CHECK(gradient_norm(parameters) == 5);
}

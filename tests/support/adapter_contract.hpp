/// @file
/// What every variant keeps, whatever its policies, as checks of one type each: for the variants of
/// the library, and for policies that a test brings itself.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "branchlora/optim/adamw.hpp"
#include "support/adapter_bench.hpp"

namespace branchlora::test {

using Values = std::map<std::string, Dense>;

/// Makes a bench of three sequences.
using MakeBench = std::unique_ptr<AnyBench<double>> (*)();

template <class V>
std::unique_ptr<AnyBench<double>> make_bench() {
  return std::make_unique<AdapterBench<V>>();
}

inline Values values_of(AnyBench<double>& bench) {
  Values values;
  for (auto& p : bench.parameters) values[p.name] = to_dense(p.value);
  return values;
}

/// A few steps of AdamW with momentum, weight decay and clipping towards random targets, as task
/// `task`. Observes the gates.
inline void train(AnyBench<double>& bench, AdamW<Double>& optimiser, Index task, int steps = 3) {
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

/// All stages of a task.
inline void learn(AnyBench<double>& bench, AdamW<Double>& optimiser, Index task) {
  for (Index stage = 0; stage < std::ssize(bench.form.stages); ++stage) {
    bench.begin_stage(stage);
    train(bench, optimiser, task);
  }
}

inline const AdamWOptions with_decay{.weight_decay = 0.1};

inline std::vector<std::string> trainable_names(AnyBench<double>& bench) {
  std::vector<std::string> names;
  for (auto& p : bench.parameters) {
    if (p.trainable && p.name != "x") names.push_back(p.name);
  }
  return names;
}

/// How far the output of a new adapter may be from the base's: not a bit, unless a start is taken
/// off the frozen weight. Then s (B A - B0 A0) x is zero but for rounding. An element of y is a sum
/// of its base and 2 R products of at most m in magnitude, so that it is off by at most
/// 2 R u (|y| + 2 R m); each u_q is off by d_in u (|A| |x|)_q at most, which is in it twice.
inline double allowance_at_start(AnyBench<double>& bench, const Dense& base) {
  const Form& form = bench.form;
  if (!form.residual) return 0;
  const Dense xs = to_dense(bench.x->value);
  double m = 0;
  for (Index i = 0; i < form.capacity; ++i) {
    const Dense a = bench.branch("lora_A", i);
    const Dense b = bench.branch("lora_B", i);
    m = std::max(m, form.scale(bench.hyper) * largest(b) * largest(a) * largest(xs) *
                        static_cast<double>(xs.cols));
  }
  const auto terms = static_cast<double>(2 * form.rank);
  const double u = std::numeric_limits<double>::epsilon() / 2;
  return terms * u * (largest(base) + terms * m) + terms * static_cast<double>(xs.cols) * u * m;
}

/// A new adapter of `V` changes no bit of the base's output, or no more than rounding does where a
/// start is taken off the weight; and not because anything but B is zero.
inline void check_new_adapter_changes_nothing(MakeBench make) {
  const auto made = make();
  AnyBench<double>& bench = *made;
  bench.begin_task(0);
  Tape<eigen::Backend<double>> tape(bench.backend);
  const Dense base = to_dense(bench.linear.base()(tape, tape.parameter(*bench.x)).value());
  CHECK(distance(bench.output(), base) <= allowance_at_start(bench, base));
  for (auto& p : bench.parameters) {
    // What a start takes off is zero for branches that are yet to start.
    const bool later = bench.form.own_branches && p.name.starts_with("layer.lora_start") &&
                       !p.name.ends_with(".0");
    if (p.name.starts_with("layer.lora_B") || later) continue;
    CHECK(largest(to_dense(p.value)) > 0);
  }
}

/// Compile-time counts are those of the tensors.
inline void check_counts(MakeBench make) {
  const auto made = make();
  AnyBench<double>& bench = *made;
  const Form& form = bench.form;
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
  CHECK(counted == form.parameters);
  // What trains at first is all of it, but for branches that are yet to be added, or are of other
  // tasks, and routers whose stage is yet to come.
  Index waiting = (form.capacity - form.branches) * form.rank * 7;
  if (form.own_branches) {
    waiting = (form.capacity - 1) * form.rank * (form.shared ? 7 : 10 + 7);
  }
  if (!form.stages[0].router) waiting += form.parameters.router;
  CHECK(bench.parameters.trainable_count() - bench.x->value.size() ==
        form.parameters.total() - waiting);
}

/// Only adapter parameters move, over six tasks.
inline void check_what_moves(MakeBench make) {
  const auto made = make();
  AnyBench<double>& bench = *made;
  const Form& form = bench.form;
  bench.parameters.set_trainable(*bench.x, false);
  AdamW<Double> optimiser(bench.parameters, with_decay);
  for (Index task = 0; task < 6; ++task) {
    CAPTURE(task);
    bench.begin_task(task);
    const Values before = values_of(bench);
    for (Index stage = 0; stage < std::ssize(form.stages); ++stage) {
      bench.begin_stage(stage);
      const Values start = values_of(bench);
      const auto names = trainable_names(bench);
      train(bench, optimiser, task);
      for (auto& [name, value] : start) {
        CAPTURE(name);
        const bool moves = std::find(names.begin(), names.end(), name) != names.end();
        if (name == "x") continue;
        if (moves) CHECK(AnyBench<double>::is_adapter(name));
        if (!moves) CHECK(bench.value(name) == value);
      }
    }
    // Every A (of the task), while A trains, and the router of the task do move, and some B.
    const Index branch = form.own_branches ? task : 0;
    const bool kept =
        bench.branch("lora_A", branch) == before.at(before.contains("layer.lora_A")
                                                        ? "layer.lora_A"
                                                        : "layer.lora_A." + std::to_string(branch));
    CHECK(kept == (task >= form.trunk_tasks));
    const std::string router =
        form.per_task_router ? "layer.router." + std::to_string(task) : "layer.router";
    // The first step moves no router yet: at B = 0 the gates have no gradient.
    if (form.gate_rows > 0) CHECK_FALSE(bench.value(router) == before.at(router));
    bench.adapter().end_task();
  }
}

/// A saved adapter goes on to the same bits.
inline void check_save_and_restore(MakeBench make) {
  const auto one = make();
  AnyBench<double>& whole = *one;
  AdamW<Double> optimiser(whole.parameters, with_decay);
  const auto run = [](AnyBench<double>& bench, AdamW<Double>& adamw, Index first, Index last) {
    for (Index task = first; task < last; ++task) {
      bench.begin_task(task);
      adamw.reset();
      learn(bench, adamw, task);
      bench.adapter().end_task();
    }
  };
  run(whole, optimiser, 0, 2);

  const auto other = make();
  AnyBench<double>& restored = *other;
  restored.adapter().restore(whole.adapter().state());
  restored.tasks = whole.tasks;
  for (auto& p : restored.parameters) assign(p.value, whole.value(p.name));
  CHECK(restored.adapter().state() == whole.adapter().state());
  CHECK(restored.output() == whole.output());
  CHECK(trainable_names(restored) == trainable_names(whole));

  // Two more tasks, in which branches run out.
  AdamW<Double> second(restored.parameters, with_decay);
  run(whole, optimiser, 2, 4);
  run(restored, second, 2, 4);
  CHECK(restored.adapter().state() == whole.adapter().state());
  for (auto& p : whole.parameters) {
    CAPTURE(p.name);
    CHECK(restored.value(p.name) == to_dense(p.value));
  }
}

/// The forward pass is the equation, token by token.
inline void check_equation(MakeBench make) {
  const auto made = make();
  AnyBench<double>& bench = *made;
  bench.two_tasks();
  const Dense expected = bench.naive_output();
  // The adapter must matter, and sums of a few dozen products must agree.
  CHECK(distance(expected, bench.base_output()) > 0.1);
  CHECK(distance(bench.output(), expected) < 1e-13 * std::max(1.0, largest(expected)));
}

/// The gradients of every parameter and of x are those of finite differences, and the values of
/// the losses those of their equations.
inline void check_all_gradients(MakeBench make) {
  const auto made = make();
  AnyBench<double>& bench = *made;
  const Form& form = bench.form;
  bench.two_tasks();
  // A difference must not change the choice: it moves logits by about 1e-5.
  for (const NaiveGate& gate : bench.naive_gates().second) REQUIRE(gate.gap > 1e-3);
  const std::vector<double> loads = bench.naive_loads();
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  // A gradient that goes straight through a choice is that of a factor whose value is 1.
  const auto factors = [&] {
    std::vector<double> f;
    for (const NaiveGate& g : bench.naive_gates().first) f.push_back(g.factor);
    return f;
  };
  const auto start = factors();
  const bool straight_through = std::ranges::any_of(start, [](double f) { return f != 0; });
  const auto auxiliary = [&] {
    AuxiliaryLosses losses;
    if (form.balanced) losses.balance += bench.naive_balance(loads);
    if (form.localised) losses.balance += bench.naive_localised();
    if (form.supervised && form.stages[0].router) losses.routing += bench.naive_routing();
    if (form.contrastive) losses.contrast += bench.naive_contrast();
    return losses;
  };
  const auto extra = [&] {
    double sum = auxiliary().total();
    if (straight_through) {
      const auto now = factors();
      sum += bench.naive_added(weights, [&](Index t) {
        return now[static_cast<std::size_t>(t)] - start[static_cast<std::size_t>(t)];
      });
    }
    return sum;
  };
  // Biases would move between the backward pass and the differences.
  bench.supervise = !form.biased;
  check_gradients(
      bench.parameters,
      [&](Tape<Double>& tape) { return weighted_sum(tape, bench.forward(tape), weights); }, extra);

  // The values of the losses, where a batch asks for them.
  AuxiliaryLosses found;
  bench.losses = &found;
  Tape<Double> tape(bench.backend);
  bench.forward(tape);
  const AuxiliaryLosses expected = auxiliary();
  CHECK(found.balance == doctest::Approx(expected.balance).epsilon(1e-13));
  CHECK(found.routing == doctest::Approx(expected.routing).epsilon(1e-13));
  CHECK(found.contrast == doctest::Approx(expected.contrast).epsilon(1e-13));
}

/// Both passes done step by step give the bits that they give interleaved with the frozen product,
/// some rows at a time. The batch is larger than a block of tokens.
template <class V, class T>
void check_schedules() {
  const auto with = [](eigen::Schedule schedule) {
    return large_step<V, T>(1, [=](AnyBench<T>& bench) {
      bench.two_tasks();
      bench.supervise = true;
      bench.backend.set_schedule(schedule);
    });
  };
  CHECK(with(eigen::Schedule::interleaved) == with(eigen::Schedule::step_by_step));
}

/// All of these.
template <class V>
void check_contract() {
  check_new_adapter_changes_nothing(make_bench<V>);
  check_counts(make_bench<V>);
  check_what_moves(make_bench<V>);
  check_save_and_restore(make_bench<V>);
  check_equation(make_bench<V>);
  check_all_gradients(make_bench<V>);
  check_schedules<V, double>();
}

}  // namespace branchlora::test

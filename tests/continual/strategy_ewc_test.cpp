#include "branchlora/continual/strategy/ewc.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "continual/lesson.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::strategy::Ewc;

namespace {

using Plain = Lora<2>;
using Branch = BranchLora<2, 4, 1>;
using State = continual::StrategyState<double>;

/// log p(answer | question) of one sample, from logits.
template <class V>
double log_likelihood(Classroom<V>& room, const continual::Split<eigen::Backend<double>>& split,
                      std::size_t sample) {
  const model::Batch batch = batch_of({split.examples[sample]});
  const Dense logits = room.tiny.logits(batch, split.bank);
  double sum = 0;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] < 0) continue;
    sum += log_softmax(logits, static_cast<Index>(i))[static_cast<std::size_t>(batch.targets[i])];
  }
  return sum;
}

/// (f(w + h) - f(w - h)) / 2h.
template <class F>
double slope(double& w, F f) {
  const double was = w;
  const double h = 6e-6;
  w = was + h;
  const double high = f();
  w = was - h;
  const double low = f();
  w = was;
  return (high - low) / (2 * h);
}

/// lambda / 2 sum F (theta - theta*)^2 over what trains.
template <class V>
double penalty(Classroom<V>& room, const State& state, double lambda) {
  double sum = 0;
  for (const auto& p : room.tiny.net.parameters()) {
    const auto fisher = state.find("fisher." + p.name);
    if (!p.trainable || fisher == state.end()) continue;
    const auto& anchor = state.at("anchor." + p.name);
    for (std::size_t i = 0; i < anchor.values.size(); ++i) {
      const double d = p.value.data[i] - anchor.values[i];
      sum += lambda / 2 * fisher->second.values[i] * d * d;
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("F is the mean of squared gradients of each sample's log likelihood") {
  Classroom<Plain> room;
  const auto ewc = strategy_of(room, Ewc{.samples = 100});
  ewc->end_task(room.lesson(1));
  const State state = ewc->state();
  const auto& split = room.tasks[0].train;
  std::size_t seen = 0;
  for (auto& p : room.tiny.net.parameters()) {
    CHECK((state.count("fisher." + p.name) == 1) == p.trainable);
    if (!p.trainable) continue;
    ++seen;
    CAPTURE(p.name);
    const auto& fisher = state.at("fisher." + p.name).values;
    const auto& anchor = state.at("anchor." + p.name).values;
    double furthest = 0;
    for (std::size_t i = 0; i < fisher.size(); ++i) {
      CHECK(anchor[i] == p.value.data[i]);
      double expected = 0;
      for (std::size_t s = 0; s < 5; ++s) {
        const double g = slope(p.value.data[i], [&] { return log_likelihood(room, split, s); });
        expected += g * g / 5;
      }
      // A difference is right to 1e-6 of itself and to 1e-9 of |L| < 20, its square to twice that.
      furthest = std::max(furthest, std::abs(fisher[i] - expected) - 2e-6 * expected);
    }
    CHECK(furthest <= 1e-7);
    CHECK(*std::ranges::max_element(fisher) > 1e-6);
  }
  CHECK(seen == 2 * 14 + 4);  // A and B of every layer, and the projector
  CHECK(ewc->bytes() == 2 * 8 * room.tiny.net.parameters().trainable_count());
  for (const auto& p : room.tiny.net.parameters()) CHECK(!p.has_grad);
}

TEST_CASE("the gradient that is added is that of the penalty, and is added") {
  Classroom<Plain> room;
  const auto ewc = strategy_of(room, Ewc{.lambda = 7, .samples = 3});
  CHECK(room.added(*ewc).empty());  // there was no task
  ewc->end_task(room.lesson(1));
  for (const auto& [name, g] : room.added(*ewc)) CHECK(g == Dense(g.rows, g.cols));
  room.shake();
  const State state = ewc->state();
  const auto gradients = room.added(*ewc);
  CHECK(gradients.size() == 2 * 14 + 4);
  for (auto& p : room.tiny.net.parameters()) {
    if (!p.trainable) continue;
    CAPTURE(p.name);
    for (Index i = 0; i < p.value.size(); ++i) {
      // Central differences of a square are exact but for rounding: 1e-16 |L| / h.
      const double expected = slope(p.value.data[i], [&] { return penalty(room, state, 7); });
      CHECK(gradients.at(p.name).data[static_cast<std::size_t>(i)] ==
            doctest::Approx(expected).epsilon(1e-6).scale(1e-2));
    }
  }
  auto& p = *room.tiny.net.parameters().find("decoder.block.0.q.lora_A");
  room.tiny.backend.fill(p.grad, 1.5);
  p.has_grad = true;
  ewc->change_gradient(room.tiny.tape, room.tiny.net);
  CHECK(p.grad(1, 1) == 1.5 + gradients.at(p.name)(1, 1));
}

TEST_CASE("F decays by gamma from task to task, and the anchor is the last task's") {
  Classroom<Plain> room;
  const auto both = strategy_of(room, Ewc{.gamma = 0.25});
  const auto second = strategy_of(room, Ewc{});
  both->end_task(room.lesson(1));
  const State before = both->state();
  room.shake();
  both->end_task(room.lesson(2));
  second->end_task(room.lesson(2));
  const State after = both->state();
  const State alone = second->state();
  for (const auto& [name, m] : alone) {
    if (name.starts_with("anchor.")) {
      CHECK(after.at(name) == m);
      continue;
    }
    for (std::size_t i = 0; i < m.values.size(); ++i) {
      CHECK(after.at(name).values[i] ==
            doctest::Approx(0.25 * before.at(name).values[i] + m.values[i]).epsilon(1e-12));
    }
  }
}

TEST_CASE("a parameter that is new has no penalty, and one that is frozen gets none") {
  Classroom<Branch> room;
  const auto ewc = strategy_of(room, Ewc{});
  ewc->end_task(room.lesson(1));
  room.tiny.net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
  room.begin_task(1);
  room.shake();
  std::size_t kept = 0;
  for (const auto& [name, g] : room.added(*ewc)) {
    CHECK(name.find(".router") == std::string::npos);
    CHECK(room.tiny.net.parameters().find(name)->trainable);
    ++kept;
  }
  CHECK(kept == 14 * (1 + 3) + 4);  // A, and those of four B that one task's end left
}

TEST_CASE("what EWC keeps is restored to the bit") {
  Classroom<Plain> room;
  const auto first = strategy_of(room, Ewc{});
  first->end_task(room.lesson(1));
  const auto second = strategy_of(room, Ewc{});
  second->restore(first->state());
  CHECK(second->state() == first->state());
  room.shake();
  CHECK(room.added(*second) == room.added(*first));
}

TEST_CASE("no weight leaves the run as it is, a large one holds the parameters that mattered") {
  Stream stream;
  using B = Stream::B;
  const auto options = Stream::options();
  const auto run = [&](const std::string& file, std::size_t tasks, const auto&... settings) {
    continual::run_stream(stream.backend, stream.base, stream.first(tasks), method_of<B, Plain>(),
                          "Tiny", options, stream.path(file), {},
                          {continual::strategy_factory<B>(settings)...});
    return tensors_of(stream.path(file));
  };
  const auto learned = [](Tensors tensors) {
    std::erase_if(tensors, [](const auto& t) { return t.first.starts_with("strategy."); });
    return tensors;
  };
  const Tensors without = run("without.safetensors", 2);
  CHECK(learned(run("zero.safetensors", 2, Ewc{.lambda = 0})) == without);

  const Tensors first = run("first.safetensors", 1, Ewc{.lambda = 1e6});
  const Tensors held = run("held.safetensors", 2, Ewc{.lambda = 1e6});
  CHECK(learned(first) == run("one.safetensors", 1));  // the first task has nothing to hold
  const auto moved = [&](const Tensors& to) {          // sum F (theta - theta*)^2
    double sum = 0;
    for (const auto& [name, bytes] : first) {
      if (!name.starts_with("strategy.0.fisher.")) continue;
      const std::string parameter = name.substr(std::string("strategy.0.fisher.").size());
      const auto values = [&](const std::vector<std::byte>& from) {
        std::vector<float> floats(from.size() / sizeof(float));
        std::memcpy(floats.data(), from.data(), from.size());
        return floats;
      };
      const auto fisher = values(bytes);
      const auto was = values(first.at(parameter));
      const auto is = values(to.at(parameter));
      for (std::size_t i = 0; i < is.size(); ++i) {
        sum += static_cast<double>(fisher[i]) * std::pow(static_cast<double>(is[i] - was[i]), 2);
      }
    }
    return sum;
  };
  INFO(fmt::format("moved {} with and {} without", moved(held), moved(without)));
  CHECK(moved(without) > 0);
  CHECK(moved(held) < 0.01 * moved(without));
}

TEST_CASE("EWC refuses numbers that make no sense") {
  Classroom<Plain> room;
  check_mentions(error_of([&] { strategy_of(room, Ewc{.lambda = -1}); }), "EWC", "-1");
  check_mentions(error_of([&] { strategy_of(room, Ewc{.samples = 0}); }), "EWC", "0");
}

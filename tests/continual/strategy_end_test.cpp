// What strategies do to the weights of a task that ends, or that must not be learned.
#include <doctest/doctest.h>

#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "branchlora/continual/strategy/learn_first.hpp"
#include "branchlora/continual/strategy/weight_average.hpp"
#include "continual/lesson.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::strategy::LearnFirst;
using continual::strategy::WeightAverage;

namespace {

using Plain = Lora<2>;
using Weights = std::map<std::string, Dense>;

template <class V>
Weights trainable(Classroom<V>& room) {
  Weights weights;
  for (const auto& p : room.tiny.net.parameters()) {
    if (p.trainable) weights[p.name] = to_dense(p.value);
  }
  return weights;
}

/// sum_i shares[i] all[i] of a parameter.
void check_mix(const Dense& mixed, const std::vector<const Dense*>& all,
               const std::vector<double>& shares) {
  for (std::size_t i = 0; i < mixed.data.size(); ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < all.size(); ++k) sum += shares[k] * all[k]->data[i];
    CHECK(mixed.data[i] == doctest::Approx(sum).epsilon(1e-14));
  }
}

/// Three tasks end at weights of their own; what is left after the last, and what they ended at.
std::pair<Weights, std::vector<Weights>> average(const WeightAverage& settings) {
  Classroom<Plain> room;
  const auto strategy = strategy_of(room, settings);
  std::vector<Weights> ends;
  for (std::size_t tasks = 1; tasks <= 3; ++tasks) {
    strategy->begin_task(room.lesson(tasks));
    room.begin_task(static_cast<Index>(tasks) - 1);
    for (const char* part : {".lora_", "projector."}) {
      room.tiny.randomise(part, 0.1 * static_cast<double>(tasks));
    }
    ends.push_back(trainable(room));
    strategy->end_task(room.lesson(tasks));
    if (tasks == 1) CHECK(trainable(room) == ends[0]);  // nothing to average with
  }
  return {trainable(room), ends};
}

template <class V, class... Settings>
Tensors run(Stream& stream, const std::string& file, std::size_t tasks,
            const continual::Listener& listener, const Settings&... settings) {
  using B = Stream::B;
  continual::run_stream(stream.backend, stream.base, stream.first(tasks), method_of<B, V>(), "Tiny",
                        Stream::options(), stream.path(file), listener,
                        {continual::strategy_factory<B>(settings)...});
  return tensors_of(stream.path(file));
}

}  // namespace

TEST_CASE("the weights after each task are the mean of what all tasks ended at") {
  const auto [left, ends] = average({});
  CHECK(left.size() == 14 * 2 + 4);
  // Task 2 ended where it did whatever was averaged before: (1/3) of each.
  for (const auto& [name, weights] : left) {
    CAPTURE(name);
    check_mix(weights, {&ends[0].at(name), &ends[1].at(name), &ends[2].at(name)},
              {1 / 3.0, 1 / 3.0, 1 / 3.0});
  }
}

TEST_CASE("with a share they are a moving average") {
  const auto [left, ends] = average({.share = 0.25});
  for (const auto& [name, weights] : left) {
    CAPTURE(name);
    check_mix(weights, {&ends[0].at(name), &ends[1].at(name), &ends[2].at(name)},
              {0.75 * 0.75, 0.75 * 0.25, 0.25});
  }
  // A share of 1 is no average at all.
  const auto [last, all] = average({.share = 1});
  for (const auto& [name, weights] : last) check_mix(weights, {&all[2].at(name)}, {1});
}

TEST_CASE("a branch that is new is left as it is, and so is what is frozen") {
  Classroom<LoraBank<2, 3>> room;
  const auto strategy = strategy_of(room, WeightAverage{});
  strategy->begin_task(room.lesson(1));
  strategy->end_task(room.lesson(1));
  room.tiny.net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
  strategy->begin_task(room.lesson(2));
  room.begin_task(1);
  room.shake();
  Weights before, after;
  for (const auto& p : room.tiny.net.parameters()) before[p.name] = to_dense(p.value);
  strategy->end_task(room.lesson(2));
  std::size_t changed = 0;
  for (const auto& p : room.tiny.net.parameters()) {
    after[p.name] = to_dense(p.value);
    if (after[p.name] == before[p.name]) continue;
    CHECK(p.name.starts_with("projector."));
    ++changed;
  }
  CHECK(changed == 4);
}

TEST_CASE("an average holds one copy of what trains") {
  Classroom<Plain> room;
  const auto strategy = strategy_of(room, WeightAverage{});
  strategy->begin_task(room.lesson(1));
  CHECK(strategy->bytes() == 0);
  strategy->begin_task(room.lesson(2));
  CHECK(strategy->bytes() == room.tiny.net.parameters().trainable_count() * 8);
}

TEST_CASE("a run that averages goes on from a snapshot to the same bits") {
  Stream stream;
  const Tensors whole = run<Plain>(stream, "whole", 3, {}, WeightAverage{});
  struct Killed {};
  const auto kill = [](Index, const std::string& now) {
    if (now == "task count") throw Killed{};
  };
  CHECK_THROWS_AS(run<Plain>(stream, "part", 3, kill, WeightAverage{}), Killed);
  CHECK(tensors_of(stream.path("part")) != whole);
  CHECK(run<Plain>(stream, "part", 3, {}, WeightAverage{}) == whole);
  CHECK(whole != run<Plain>(stream, "without", 3, {}));
}

TEST_CASE("after the first tasks no bit changes, and until then all is as without") {
  Stream stream;
  const Tensors one = run<Plain>(stream, "one", 1, {});
  CHECK(run<Plain>(stream, "first", 3, {}, LearnFirst{}) == one);
  const Tensors two = run<Plain>(stream, "two", 2, {});
  CHECK(two != one);
  CHECK(run<Plain>(stream, "second", 3, {}, LearnFirst{.tasks = 2}) == two);
}

TEST_CASE("strategies of a task's end refuse numbers that make no sense") {
  Classroom<Plain> room;
  check_mentions(error_of([&] { strategy_of(room, WeightAverage{.share = 1.5}); }),
                 "weight average", "1.5");
  check_mentions(error_of([&] { strategy_of(room, WeightAverage{.share = -1}); }), "-1");
  check_mentions(error_of([&] { strategy_of(room, LearnFirst{.tasks = 0}); }), "learn first", "0");
}

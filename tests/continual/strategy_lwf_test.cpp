#include "branchlora/continual/strategy/lwf.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "continual/lesson.hpp"
#include "io/temporary_folder.hpp"
#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::Pick;
using continual::strategy::Lwf;

namespace {

using Plain = Lora<2>;
using Branch = BranchLora<2, 4, 1>;
using B = Double;

/// The logits of a batch on a fresh tape position, and the step around them.
template <class V>
continual::TrainingStep<B> step_of(Classroom<V>& room, Tape<B>& tape, std::vector<Pick<B>> samples,
                                   model::Batch& batch) {
  batch = continual::make_batch(samples);
  const RoutingContext routing{&batch.sequences, batch.tasks};
  const auto features = continual::gather_features(tape, samples);
  const auto logits = room.tiny.net.logits(tape, batch, features, routing);
  return {std::move(samples), batch, logits};
}

/// A loss of zero on the tape, to which LwF adds its own.
Var<double> nothing(Tape<B>& tape) {
  const auto zero = tape.scratch(1, 1);
  *zero.data = 0;
  return tape.constant(zero);
}

/// All samples of task 1 in another order, with one of task 0 among them.
std::vector<Pick<B>> mixed(const std::vector<continual::TaskData<B>>& tasks) {
  const auto& now = tasks[1].train;
  return {{&now, 2}, {&tasks[0].train, 2}, {&now, 4}, {&now, 3}, {&now, 0}, {&now, 1}};
}

}  // namespace

TEST_CASE("the loss is the divergence from what the model said before, on the task's own samples") {
  Classroom<Plain> room;
  room.options.evaluation_batch = 2;  // several batches of the teacher
  const auto& split = room.tasks[1].train;
  std::vector<Dense> old;
  for (const auto& e : split.examples) old.push_back(room.tiny.logits(batch_of({e}), split.bank));
  const auto lwf = strategy_of(room, Lwf{.alpha = 0.3, .temperature = 3});
  lwf->begin_task(room.lesson(2));
  CHECK(lwf->bytes() == (2 + 1 + 4 + 1 + 2) * 11 * 8);  // one row of a sample without answer
  room.shake();

  // By hand: rows that predict a token of a sample of this task.
  const auto samples = mixed(room.tasks);
  double sum = 0;
  int counted = 0;
  for (const Pick<B>& p : samples) {
    if (p.split != &split || p.sample == 3) continue;  // sample 3 has no answer
    const Dense now = room.tiny.logits(batch_of({p.example()}), split.bank);
    for (Index row = 0; row < now.rows; ++row) {
      const auto before = log_softmax(old[static_cast<std::size_t>(p.sample)], row, 3);
      const auto after = log_softmax(now, row, 3);
      for (std::size_t c = 0; c < before.size(); ++c) {
        sum += std::exp(before[c]) * (before[c] - after[c]);
      }
      ++counted;
    }
  }
  CHECK(counted == 2 + 1 + 4 + 2);
  room.tiny.tape.reset();
  model::Batch batch;
  const auto step = step_of(room, room.tiny.tape, samples, batch);
  const auto loss = lwf->add_loss(room.tiny.tape, step, nothing(room.tiny.tape));
  CHECK(loss.value()(0, 0) == doctest::Approx(0.3 * 9 * sum / counted).epsilon(1e-9));
  CHECK(loss.value()(0, 0) > 1e-3);
}

TEST_CASE("the gradient of the loss is that of finite differences in every parameter") {
  Classroom<Plain> room;
  const auto lwf = strategy_of(room, Lwf{});
  lwf->begin_task(room.lesson(2));
  room.shake();
  const auto samples = mixed(room.tasks);
  model::Batch batch;
  check_gradients(room.tiny.net.parameters(), [&](Tape<B>& tape) {
    const auto step = step_of(room, tape, samples, batch);
    const auto loss = op::cross_entropy(tape, step.logits, step.batch.targets);
    return lwf->add_loss(tape, step, loss);
  });
}

TEST_CASE("a model that has not moved has no gradient") {
  Classroom<Plain> room;
  const auto lwf = strategy_of(room, Lwf{});
  lwf->begin_task(room.lesson(2));
  auto& tape = room.tiny.tape;
  tape.reset();
  model::Batch batch;
  const auto step = step_of(room, tape, mixed(room.tasks), batch);
  tape.backward(lwf->add_loss(tape, step, nothing(tape)));
  for (const auto& p : room.tiny.net.parameters()) {
    if (!p.trainable) continue;
    CAPTURE(p.name);
    // Batches of other sizes may round their products in another order: 1e-16 of logits near 10.
    CHECK(largest(to_dense(p.grad)) <= 1e-12);
  }
}

TEST_CASE("the old model has the routers of the task before") {
  Classroom<Branch> room;
  const auto& split = room.tasks[1].train;
  const auto lwf = strategy_of(room, Lwf{});
  CHECK_NOTHROW(lwf->begin_task(room.lesson(2)));  // there is no router of task 1 yet
  room.tiny.net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
  room.begin_task(1);
  // With the routers of task 0 nothing has changed since.
  auto& tape = room.tiny.tape;
  tape.reset();
  std::vector<Pick<B>> samples{{&split, 0}, {&split, 2}};
  const model::Batch batch = continual::make_batch(samples);
  const std::vector<std::int32_t> before{0, 0};
  const RoutingContext routing{&batch.sequences, before};
  const auto features = continual::gather_features(tape, samples);
  const continual::TrainingStep<B> step{samples, batch,
                                        room.tiny.net.logits(tape, batch, features, routing)};
  CHECK(std::abs(lwf->add_loss(tape, step, nothing(tape)).value()(0, 0)) <= 1e-12);
}

TEST_CASE("the first task has no old model, and a weight of zero needs none") {
  Classroom<Plain> room;
  auto& tape = room.tiny.tape;
  for (const auto& [alpha, tasks] : {std::pair<double, std::size_t>{0.5, 1}, {0.0, 2}}) {
    const auto lwf = strategy_of(room, Lwf{.alpha = alpha});
    lwf->begin_task(room.lesson(tasks));
    CHECK(lwf->bytes() == 0);
    tape.reset();
    const auto loss = nothing(tape);
    CHECK(lwf->add_loss(tape, {}, loss).node() == loss.node());
  }
  check_mentions(error_of([&] { strategy_of(room, Lwf{.temperature = 0}); }), "LwF", "temperature",
                 "0");
}

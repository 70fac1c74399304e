#include "branchlora/adapter/variant/meteora.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "branchlora/adapter/method.hpp"
#include "branchlora/continual/joint.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;

TEST_CASE("in joint training a bank learns each task in its own branch") {
  // MeteoRA's: half of the steps teach the bank, half its gate. Whether the gate finds the branch
  // is another matter: pictures of these tasks are alike, and come before the words that tell them.
  Stream stream;
  auto options = Stream::options();
  options.hyper.alpha = 4;
  const auto method = method_of<B, MeteoRa<2, 4, 2>>();
  const continual::Listener none;
  continual::Learner<B> learner(stream.backend, stream.base, method, options, none);
  auto& tape = learner.tape;
  for (Index t = 0; t < 3; ++t) {
    learner.model.for_each_adapter([&](auto& adapter) { adapter.begin_task(t); });
  }
  continual::train(learner, continual::join<B>(stream.backend, stream.tasks), "all", 480,
                   learner.random);
  learner.model.for_each_adapter([](auto& adapter) { adapter.begin_stage(0); });
  int right = 0;
  Index all = 0;
  for (const auto& task : stream.tasks) {
    std::vector<continual::Pick<B>> picks;
    for (Index i = 0; i < task.train.size(); ++i) picks.push_back({&task.train, i});
    const auto batch = continual::make_batch(picks);
    tape.reset();
    // The tasks given, each token takes its own branch.
    const RoutingContext routing{
        .sequences = &batch.sequences, .tasks = batch.tasks, .supervise = true};
    const auto logits =
        to_dense(learner.model.logits(tape, batch, continual::gather_features(tape, picks), routing)
                     .value());
    all += logits.rows;
    for (Index i = 0; i < logits.rows; ++i) {
      const auto row = logits.data.begin() + i * logits.cols;
      const auto best = std::max_element(row, row + logits.cols) - row;
      right += best == batch.targets[static_cast<std::size_t>(i)] ? 1 : 0;
    }
  }
  // One who knows the tasks and not the pictures has the end of each answer and half of the words,
  // 3 of 4 tokens. That may happen to two tasks of the three: 5 of 6.
  CHECK(right >= 0.8 * static_cast<double>(all));
}

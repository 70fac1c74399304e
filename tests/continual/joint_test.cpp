#include "branchlora/continual/joint.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/meteora.hpp"
#include "branchlora/adapter/variant/moa.hpp"
#include "branchlora/adapter/variant/mtl_lora.hpp"
#include "continual/stream.hpp"
#include "parallel/threads.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;
using continual::TaskData;

namespace {

/// Samples `first` to `last` of a split with pictures of their own.
continual::Split<B> part(B& backend, const continual::Split<B>& from, Index first, Index last) {
  continual::Split<B> split;
  const auto pictures =
      from.bank.all().middle_rows(first * from.bank.tokens, (last - first) * from.bank.tokens);
  auto memory = std::make_shared<Buffer<B>>(backend, pictures.rows, pictures.cols);
  backend.copy(pictures, memory->view());
  split.bank = {memory, from.bank.tokens};
  for (Index i = first; i < last; ++i) {
    const auto k = static_cast<std::size_t>(i);
    split.samples.push_back(from.samples[k]);
    split.examples.push_back(from.examples[k]);
    split.examples.back().image -= first;
    split.embeddings.push_back(from.embeddings[k]);
  }
  return split;
}

}  // namespace

TEST_CASE("the base's own scores are those of evaluation without adapters") {
  Stream stream;
  const auto options = Stream::options();
  const auto scores = continual::zero_shot<B>(stream.backend, stream.base, stream.tasks, options);
  REQUIRE(scores.size() == 3);
  model::Multimodal<B> model(stream.backend, stream.base.config);
  stream.base.load(model);
  Tape<B> tape(stream.backend);
  for (std::size_t t = 0; t < 3; ++t) {
    const auto& task = stream.tasks[t];
    CHECK(scores[t] == continual::evaluate(model, tape, task.test, task.info.scorer,
                                           *stream.base.language, options, [](Index) { return 0; })
                           .score);
  }
  const auto row = continual::zero_shot_result({1, 2, 3}, {"a", "b", "c"}, options);
  CHECK(row.tasks.size() == 3);
  CHECK(row.trainable == 0);
  for (std::size_t j = 0; j < 3; ++j) {
    CHECK(row.R(2, j) == static_cast<double>(j + 1));
    CHECK(std::isnan(row.R(0, j)));
  }
}

TEST_CASE("joint training learns all tasks together and scores them at the end") {
  Stream stream;
  auto options = Stream::options();
  options.steps = 40;
  const auto r = continual::run_joint<B>(stream.backend, stream.base, stream.tasks,
                                         method_of<B, Lora<4>>(), "Joint", options)
                     .front();
  CHECK(r.method == "Joint");
  CHECK(r.tasks.size() == 3);
  double mean = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    CHECK(std::isnan(r.R(0, j)));
    CHECK(std::isnan(r.R(1, j)));
    mean += r.R(2, j) / 3;
  }
  CHECK(mean >= 50);
}

TEST_CASE("joint training does not care how samples are divided into tasks") {
  // Two halves of a task, each with pictures of its own, are that task with the steps of both.
  Stream stream;
  const TaskData<B>& whole = stream.tasks[0];
  auto options = Stream::options();
  options.steps = 10;
  const auto once = continual::run_joint<B>(stream.backend, stream.base, std::span(&whole, 1),
                                            method_of<B, Lora<4>>(), "Joint", options)
                        .front();
  std::vector<TaskData<B>> halves;
  for (const Index first : {0, 6}) {
    halves.push_back({whole.info, part(stream.backend, whole.train, first, first + 6), whole.test});
  }
  options.steps = 5;
  const auto twice = continual::run_joint<B>(stream.backend, stream.base, halves,
                                             method_of<B, Lora<4>>(), "Joint", options)
                         .front();
  CHECK(once.R(0, 0) == twice.R(1, 0));
  CHECK(once.R(0, 0) == twice.R(1, 1));
  CHECK(once.trainable == twice.trainable);
}

TEST_CASE("a task alone is a stream of one task") {
  Stream stream;
  const auto options = Stream::options();
  const auto method = method_of<B, Lora<4>>();
  const auto r =
      continual::run_alone<B>(stream.backend, stream.base, stream.tasks, method, "Alone", options);
  CHECK(r.tasks == std::vector<std::string>{"task look", "task say", "task count"});
  CHECK(r.stage_steps.size() == 3);
  CHECK(r.protocol == "Task-IL");  // each task's own model answers
  for (std::size_t t = 0; t < 3; ++t) {
    const auto one = continual::run_stream<B>(
        stream.backend, stream.base, std::span(stream.tasks).subspan(t, 1), method, "One", options);
    CHECK(r.R(2, t) == one[0].R(0, 0));
    CHECK(std::isnan(r.R(0, t)));
    CHECK(r.trainable == one[0].trainable);
  }
}

TEST_CASE("tasks that are mixed train each sample with the router of its task") {
  Stream stream;
  auto options = Stream::options();
  options.steps = 40;
  const auto results =
      continual::run_joint<B>(stream.backend, stream.base, stream.tasks,
                              method_of<B, BranchLora<2, 4, 1>>(), "Joint", options);
  REQUIRE(results.size() == 2);
  CHECK(results[0].selector_accuracy > 0);
  CHECK(results[1].method == "Joint, task given");
  CHECK(results[1].protocol == "Task-IL");
  double mean = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    CHECK(std::isnan(results[1].R(1, j)));
    mean += results[1].R(2, j) / 3;
  }
  CHECK(mean >= 50);
}

TEST_CASE("a task alone takes no method that keeps something for each task") {
  Stream stream;
  const auto refused = [&](const Method<B>& method) {
    return error_of([&] {
      continual::run_alone<B>(stream.backend, stream.base, stream.tasks, method, "Alone",
                              Stream::options());
    });
  };
  check_mentions(refused(method_of<B, BranchLora<2, 4, 1>>()), "Alone: keeps a router");
  check_mentions(refused(method_of<B, MtlLora<2, 4>>()), "Alone: keeps a router");
  check_mentions(refused(method_of<B, MeteoRa<2, 4, 1>>()), "Alone: keeps a branch");
  check_mentions(refused(method_of<B, Moa<2, 4>>()), "Alone: keeps a branch");
}

TEST_CASE("several ranks train tasks mixed and alone as one") {
  // That shares add up to the whole batch is tested where they are trained
  // (parallel/training_test); here, that each run has them.
  const auto results = on_ranks(2, [](const ThreadRank& rank) {
    Stream stream;
    auto options = Stream::options();
    options.steps = 40;
    const auto method = method_of<B, Lora<4>>();
    const auto alone = [&] {
      return continual::run_alone<B>(stream.backend, stream.base, stream.tasks, method, "Alone",
                                     options, {}, rank);
    };
    const auto joint = [&] {
      return continual::run_joint<B>(stream.backend, stream.base, stream.tasks, method, "Joint",
                                     options, {}, rank)
          .front();
    };
    std::vector<double> scores;
    for (const auto& result : {alone(), joint()}) {
      double mean = 0;
      for (std::size_t j = 0; j < 3; ++j) {
        scores.push_back(result.R(2, j));
        mean += result.R(2, j) / 3;
      }
      CHECK(mean >= 50);
    }
    options.batch = 1;
    check_mentions(error_of(alone), "each of 2 processes, found 1");
    check_mentions(error_of(joint), "each of 2 processes, found 1");
    return scores;
  });
  CHECK(results[0] == results[1]);
}

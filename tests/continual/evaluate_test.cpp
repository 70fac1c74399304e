#include "branchlora/continual/evaluate.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;
using continual::Options;

namespace {

/// A model that answers something, with the routers of two tasks.
struct Bench {
  Bench() : net(stream.backend, stream.base.config), tape(stream.backend) {
    stream.base.load(net);
    net.freeze_base(Storage::full, 0.0);
    net.attach(method_of<B, BranchLora<2, 4, 1>>(), {.alpha = 64}, Random(1));
    for (const Index task : {0, 1}) {
      net.for_each_adapter([&](auto& adapter) {
        if (task > 0) adapter.end_task();
        adapter.begin_task(task);
      });
    }
    for (auto& p : net.parameters()) {
      if (p.name.find(".lora_") == std::string::npos) continue;
      const Random own = Random(3).fork(p.name);
      for (Index i = 0; i < p.value.size(); ++i) {
        p.value.data[i] += static_cast<float>(0.5 * own.normal(static_cast<std::uint64_t>(i)));
      }
    }
  }

  continual::Evaluation evaluate(const continual::Split<B>& split, const Options& options,
                                 auto router_of, data::Scorer scorer = data::Scorer::ExactMatch) {
    return continual::evaluate(net, tape, split, scorer, *stream.base.language, options, router_of);
  }

  Stream stream;
  model::Multimodal<B> net;
  Tape<B> tape;
};

}  // namespace

TEST_CASE("a score is the mean over questions of what their answers are worth") {
  Bench bench;
  auto split = bench.stream.tasks[0].train;
  const auto zero = [](Index) { return Index{0}; };
  const auto first = bench.evaluate(split, Stream::options(), zero);
  REQUIRE(first.answers.size() == 12);
  REQUIRE(first.scores.size() == 12);
  // Let three questions want what the model says, and the others what it never does.
  for (std::size_t i = 0; i < 12; ++i) {
    split.samples[i].answers = {i % 4 == 1 ? first.answers[i] : "nothing of the kind"};
  }
  const auto second = bench.evaluate(split, Stream::options(), zero);
  CHECK(second.answers == first.answers);
  CHECK(second.score == doctest::Approx(25));
  for (std::size_t i = 0; i < 12; ++i) CHECK(second.scores[i] == (i % 4 == 1 ? 1.0 : 0.0));
  CHECK(bench.tape.recording());
}

TEST_CASE("answers do not depend on how many questions are asked together") {
  Bench bench;
  const auto& split = bench.stream.tasks[0].train;
  Options options = Stream::options();
  const auto router_of = [](Index i) { return i % 2; };
  const auto one = bench.evaluate(split, options, router_of);
  for (const Index batch : {1, 5, 12, 100}) {
    options.evaluation_batch = batch;
    CHECK(bench.evaluate(split, options, router_of).answers == one.answers);
  }
}

TEST_CASE("each question takes the router that it is told") {
  Bench bench;
  const auto& split = bench.stream.tasks[0].train;
  const auto zeros = bench.evaluate(split, Stream::options(), [](Index) { return 0; }).answers;
  const auto ones = bench.evaluate(split, Stream::options(), [](Index) { return 1; }).answers;
  const auto mixed =
      bench.evaluate(split, Stream::options(), [](Index i) { return i % 2; }).answers;
  CHECK(zeros != ones);
  for (std::size_t i = 0; i < mixed.size(); ++i) CHECK(mixed[i] == (i % 2 == 0 ? zeros : ones)[i]);
  check_mentions(
      error_of([&] { bench.evaluate(split, Stream::options(), [](Index) { return 2; }); }),
      "task 2", "2 that were begun");
}

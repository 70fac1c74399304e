#include "branchlora/continual/generated.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/policy/init/pissa.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/icm_lora.hpp"
#include "branchlora/continual/joint.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;

namespace {

const auto method = method_of<B, IcmLora<2>>();

/// Two checkpoints of each task, and a generator that learns them in a moment.
const continual::GeneratorOptions generator_options{
    .checkpoints = 2, .channels = {4, 4}, .training = {.steps = 600, .batch = 6, .rate = 1e-2}};

std::vector<continual::RunResult> run(Stream& stream, const continual::Options& options) {
  return continual::run_generated<B>(stream.backend, stream.base, stream.tasks, method, "ICM",
                                     options, {}, generator_options);
}

}  // namespace

TEST_CASE("every task alone, then all adapters from one generator") {
  Stream stream;
  auto options = Stream::options();
  options.steps = 40;
  const auto records = run(stream, options);
  REQUIRE(records.size() == 3);
  const auto& [chosen, given] = std::pair(records[0], records[2]);
  CHECK(chosen.method == "ICM");
  CHECK(records[1].method == "ICM, ridge");
  CHECK(given.method == "ICM, task given");
  CHECK(given.protocol == "Task-IL");
  CHECK(chosen.config.json()["projector_rate"] == 0);

  // What was trained is what a task alone is, but for the projector, which is frozen here.
  auto frozen = options;
  frozen.projector_rate = 0;
  const auto& facts = chosen.config.json()["generator"];
  const continual::Listener none;
  for (std::size_t t = 0; t < 3; ++t) {
    const auto& task = stream.tasks[t];
    continual::Learner<B> learner(stream.backend, stream.base, method, frozen, none);
    continual::train(learner, task.train, task.info.name, options.steps, learner.random.fork(t));
    const double alone =
        continual::evaluate(learner.model, learner.tape, task.test, task.info.scorer,
                            *stream.base.language, frozen, [](Index) { return 0; })
            .score;
    CHECK(facts["trained"][t] == alone);
    if (t < 2) CHECK(chosen.R(t, t) == alone);
    CHECK(given.R(2, t) == facts["generated"][t].get<double>());
    for (std::size_t j = 0; j < 3; ++j) CHECK((t == 2 || j == t || std::isnan(chosen.R(t, j))));
  }
  // The base answers nothing; generated adapters answer about as much as those they learned from.
  double trained = 0, generated = 0, error = 0;
  for (std::size_t t = 0; t < 3; ++t) {
    trained += facts["trained"][t].get<double>() / 3;
    generated += facts["generated"][t].get<double>() / 3;
    error += facts["weight_error"][t].get<double>() / 3;
  }
  CHECK(trained >= 50);
  CHECK(generated >= 0.5 * trained);
  // Weights that know nothing of the checkpoint but its statistics are off by sqrt(2).
  CHECK(error < 0.7);
  CHECK(continual::acc(given.R) == doctest::Approx(generated));
  CHECK(chosen.selector_accuracy > 0);
  // Ridge regression finds every task, so that nothing is lost by not knowing it.
  CHECK(records[1].selector_accuracy == doctest::Approx(100));
  for (std::size_t t = 0; t < 3; ++t) CHECK(records[1].R(2, t) == given.R(2, t));

  // Rank 2 on 7 linears of 2 blocks: 2 (16 + 12 + 12 + 16 + 14 + 14 + 14) numbers a block.
  constexpr Index length = 2 * 2 * 98;
  CHECK(chosen.trainable == length);
  CHECK(facts["adapter_bytes"] == 3 * length * 4);
  CHECK(facts["bank_bytes"] == 2 * 3 * length * 4);
  // Running statistics of batch norm and, of each of 28 tensors a task, mean and deviation.
  CHECK(facts["bytes"].get<Index>() > (facts["parameters"].get<Index>() + 2 * 28 * 3) * 4);

  const auto again = run(stream, options);
  CHECK(again[0].config.json()["generator"]["loss"] == facts["loss"]);
  CHECK(again[2].R(2, 1) == given.R(2, 1));
}

TEST_CASE("adapters with routers of tasks are not generated") {
  Stream stream;
  check_mentions(error_of([&] {
                   continual::run_generated<B>(stream.backend, stream.base, stream.tasks,
                                               method_of<B, BranchLora<2, 4, 1>>(), "ICM",
                                               Stream::options());
                 }),
                 "ICM", "one router");
}

TEST_CASE("adapters that stand beside a residual weight are not generated") {
  Stream stream;
  check_mentions(error_of([&] {
                   continual::run_generated<B>(stream.backend, stream.base, stream.tasks,
                                               method_of<B, IcmLora<2>::with<init::Pissa>>(), "ICM",
                                               Stream::options());
                 }),
                 "ICM", "a start from their shape");
}

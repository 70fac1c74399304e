// Whole runs on published models: those of text alone have no pictures and no features.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/continual/joint.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/continual/run.hpp"
#include "branchlora/continual/strategy/lwf.hpp"
#include "branchlora/continual/strategy/replay.hpp"
#include "branchlora/eigen/backend.hpp"
#include "continual/published.hpp"
#include "continual/stream.hpp"
#include "model/samples.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::Options;

namespace {

using B = eigen::Backend<float>;

/// Two tasks of two questions each on a golden checkpoint, about a picture or not.
struct Lessons {
  explicit Lessons(const std::string& model, const std::string& picture = {})
      : copy(model), base(copy.open()) {
    continual::Preparation<B> preparation(backend, base);
    const auto folder = golden_model("../clip_images");
    const std::pair<const char*, const char*> questions[2][2] = {{{"sad", "k"}, {"say", "l"}},
                                                                 {{"tell", "m"}, {"hot", "n"}}};
    for (std::int32_t t = 0; t < 2; ++t) {
      data::Task task;
      task.info.name = fmt::format("task {}", t);
      task.folder = folder;
      for (const auto& [question, answer] : questions[t]) {
        task.train.push_back(sample_of(question, picture, question, answer));
      }
      task.test = task.train;
      tasks.push_back(preparation.prepare(std::move(task), t));
    }
    options.steps = 60;
    options.batch = 2;
    options.rate = 2e-2;
    options.hyper.alpha = 8;
    options.answer_tokens = 3;
  }

  template <class V>
  std::vector<continual::RunResult> run(const std::filesystem::path& snapshot = {},
                                        std::size_t count = 2) {
    return continual::run_stream<B>(backend, base, std::span(tasks).first(count), method_of<B, V>(),
                                    "Tiny", options, snapshot);
  }

  GoldenCopy copy;
  B backend;
  continual::Base base;
  std::vector<continual::TaskData<B>> tasks;
  Options options;
};

}  // namespace

TEST_CASE("a model of text learns a stream of tasks") {
  for (const char* name : {"llama-tied", "llama-grouped"}) {
    CAPTURE(name);
    Lessons lessons(name);
    CHECK(lessons.tasks[0].train.bank.all().rows == 0);
    const auto results = lessons.run<BranchLora<2, 4, 1>>();
    REQUIRE(results.size() == 2);
    CHECK(results[0].R(0, 0) == 100);
    CHECK(results[1].R(1, 1) == 100);
    CHECK(results[0].selector_accuracy.has_value());
    for (const auto& p : results) CHECK(std::isfinite(p.R(1, 0)));
  }
}

TEST_CASE("a LLaVA learns a stream of tasks") {
  Lessons lessons("llava", "portrait.png");
  CHECK(lessons.tasks[0].train.bank.all().rows == 16);
  const auto result = lessons.run<Lora<4>>().front();
  CHECK(result.R(0, 0) == 100);
  CHECK(result.R(1, 1) == 100);
  CHECK(result.config.json()["base"] == lessons.base.digest);
}

TEST_CASE("a run on a published model goes on from its snapshot, and knows another base's") {
  Lessons lessons("llama-tied");
  const auto path = lessons.copy.folder.path() / "snapshot.safetensors";
  const auto whole = lessons.run<Lora<4>>(path);
  const Tensors tensors = tensors_of(path);
  CHECK(lessons.run<Lora<4>>(path).front().R(1, 0) == whole.front().R(1, 0));
  CHECK(tensors_of(path) == tensors);
  lessons.base = lessons.copy.open(data::Conversation::VicunaV1);
  check_mentions(error_of([&] { lessons.run<Lora<4>>(path); }), path.string(), "another run");
}

TEST_CASE("tasks without pictures are learned together, and with strategies") {
  Lessons lessons("llama-tied");
  const std::span<const continual::TaskData<B>> tasks = lessons.tasks;
  const auto joint = continual::run_joint<B>(lessons.backend, lessons.base, tasks,
                                             method_of<B, Lora<4>>(), "Joint", lessons.options);
  CHECK(joint.front().R(1, 0) == 100);
  CHECK(joint.front().R(1, 1) == 100);
  CHECK(continual::zero_shot<B>(lessons.backend, lessons.base, tasks, lessons.options).size() == 2);
  const auto replayed =
      continual::run_stream<B>(lessons.backend, lessons.base, tasks, method_of<B, Lora<4>>(),
                               "Replay", lessons.options, {}, {},
                               {continual::strategy_factory<B>(continual::strategy::Replay{}),
                                continual::strategy_factory<B>(continual::strategy::Lwf{})});
  CHECK(std::isfinite(replayed.front().R(1, 0)));
}

TEST_CASE("a picture is refused by a model of text") {
  check_mentions(error_of([] { Lessons("llama-tied", "portrait.png"); }), "clip_images",
                 "'portrait.png'", "without pictures");
}

/// Trains one LoRA a task, learns to generate them from task vectors (ICM-LoRA), and puts what is
/// generated beside what was trained:
///
///     icm_lora --tasks 03-imagenet,04-gqa --steps 300
///     icm_lora --smoke
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "runs.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/icm_lora.hpp"
#include "branchlora/continual/generated.hpp"
#include "branchlora/continual/joint.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/table.hpp"
#include "command_line.hpp"

namespace {

using namespace branchlora;
using study::Backend;
using Variant = IcmLora<4>;

struct Settings {
  std::filesystem::path data = BRANCHLORA_SOURCE_DIR "/data/minicoin";
  std::filesystem::path base = BRANCHLORA_SOURCE_DIR "/data/base/base.safetensors";
  std::filesystem::path vocabulary = BRANCHLORA_SOURCE_DIR "/data/pretrain/vocab.json";
  std::vector<std::string> tasks{"03-imagenet", "04-gqa", "06-grounding"};
  Index limit = 200;  ///< Test questions of each task at most; 0: all.
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  bool as_released = false;
  bool smoke = false;
  continual::Options options;
  continual::GeneratorOptions generator;
};

std::string bytes(const nlohmann::json& n) {
  return fmt::format("{:.2f} MB", n.get<double>() / 1e6);
}

int run(Settings s) {
  if (s.smoke) {
    s.tasks.resize(std::min<std::size_t>(s.tasks.size(), 2));
    s.options.steps = 20;
    s.generator.checkpoints = 2;
    s.generator.training.steps = 2;
    s.limit = 8;
  }
  if (s.as_released) s.generator.how = generator::Denormalise::applied;
  s.options.hyper.alpha = 2.0 / Variant::scale(Hyper{.alpha = 1.0});
  Backend backend(s.threads);
  const auto base = continual::Base::open(s.base, s.vocabulary);
  std::vector<continual::TaskData<Backend>> tasks;
  {
    continual::Preparation<Backend> preparation(backend, base);
    for (std::size_t t = 0; t < s.tasks.size(); ++t) {
      auto& task =
          tasks.emplace_back(preparation.load(s.data / s.tasks[t], static_cast<std::int32_t>(t)));
      if (s.limit > 0) task.test.keep_first(s.limit);
    }
  }

  report::Progress progress(std::ssize(tasks) * s.options.steps);
  auto line = progress.start("ICM-LoRA");
  const auto scores = continual::zero_shot<Backend>(backend, base, tasks, s.options);
  const auto records = continual::run_generated<Backend>(
      backend, base, tasks, method_of<Backend, Variant>(), "ICM-LoRA", s.options,
      [&](Index steps, const std::string& what) { line.advance(steps, what); }, s.generator);
  const nlohmann::json& found = records.front().config.json().at("generator");

  report::Table table{
      "Trained and generated adapters",
      {{"Task", false}, {"Base"}, {"Trained"}, {"Generated"}, {"Task selected"}, {"Weight error"}},
      {},
      {}};
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const auto score = [](double percent) { return fmt::format("{:.1f}", percent); };
    table.add_row({tasks[t].info.name, score(scores[t]), score(found["trained"][t]),
                   score(found["generated"][t]), score(records.front().R(tasks.size() - 1, t)),
                   fmt::format("{:.3f}", found["weight_error"][t].get<double>())});
  }
  table.notes = {
      {"Scores", "percent of the test questions, by the task's scorer."},
      {"Task selected",
       fmt::format("generated, each question by the adapter of the nearest key ({:.1f} % right).",
                   *records.front().selector_accuracy)},
      {"Weight error", "norm of the difference to the trained adapter over that adapter's norm."},
      {"Bank", fmt::format("up to {} checkpoints of each task, {}; the last of each alone {}.",
                           s.generator.checkpoints, bytes(found["bank_bytes"]),
                           bytes(found["adapter_bytes"]))},
      {"Generator",
       fmt::format("{} parameters, {} with two numbers for each tensor and task; last loss {:.4f}, "
                   "of which reconstruction {:.4f}.",
                   found["parameters"].get<Index>(), bytes(found["bytes"]),
                   found["loss"].get<double>(), found["reconstruction"].get<double>())}};
  fmt::print("{}\n", report::to_terminal(table));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  study::CommandLine line(
      "Generates adapters from task vectors and scores them beside trained ones.", "icm_lora");
  line.option("--data", s.data, "Folder of the tasks").existing_folder();
  line.option("--base", s.base, "Checkpoint of the base model").existing_file();
  line.option("--vocabulary", s.vocabulary, "Words of the base model").existing_file();
  line.option("--tasks", s.tasks, "Tasks").separated_by(',');
  line.option("--steps", s.options.steps, "Training steps of each task").positive();
  line.option("--rate", s.options.rate, "Peak learning rate of the adapters");
  line.option("--checkpoints", s.generator.checkpoints, "Checkpoints of each task, ten steps apart")
      .positive();
  line.option("--generator-steps", s.generator.training.steps, "Training steps of the generator")
      .positive();
  line.option("--generator-rate", s.generator.training.rate, "Peak learning rate of the generator");
  line.option("--generator-batch", s.generator.training.batch, "Checkpoints a step").positive();
  line.option("--limit", s.limit, "Test questions of each task at most; 0: all").not_negative();
  line.option("--seed", s.options.seed, "Seed of everything random");
  line.option("--threads", s.threads, "Threads").positive();
  line.flag("--as-released", s.as_released,
            "Do not standardise what is generated before it gets its statistics");
  line.flag("--smoke", s.smoke, "Two tasks, a few steps: does it run?");
  if (const auto status = line.end_of(argc, argv)) return *status;
  try {
    return run(s);
  } catch (const std::exception& error) {
    fmt::print(stderr, "icm_lora: {}\n", error.what());
    return 1;
  }
}

/// Trains one LoRA a task, learns to generate them from task vectors (ICM-LoRA), and puts what is
/// generated beside what was trained:
///
///     icm_lora --tasks 03-imagenet,04-gqa --steps 300
///     icm_lora --smoke
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/icm_lora.hpp"
#include "branchlora/continual/run.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/generator/task_vector.hpp"
#include "branchlora/generator/train_cvae.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/table.hpp"

namespace {

using namespace branchlora;
using Backend = eigen::Backend<float>;
using Variant = IcmLora<4>;

/// Steps between two checkpoints: how often a training run reports.
constexpr Index apart = 10;

struct Settings {
  std::filesystem::path data = BRANCHLORA_SOURCE_DIR "/data/minicoin";
  std::filesystem::path base = BRANCHLORA_SOURCE_DIR "/data/base/base.safetensors";
  std::filesystem::path vocabulary = BRANCHLORA_SOURCE_DIR "/data/pretrain/vocab.json";
  std::vector<std::string> tasks{"03-imagenet", "04-gqa", "06-grounding"};
  Index checkpoints = 8;  ///< Of each task, the last ones of its training.
  Index limit = 200;      ///< Test questions of each task at most; 0: all.
  int threads = 1;
  bool as_released = false;
  bool smoke = false;
  continual::Options options;
  generator::CvaeTraining generator{.steps = 400, .batch = 4, .rate = 2e-3};
};

/// What is known of a task once its adapter was trained.
struct Trained {
  std::string name;
  generator::Weights weights = {};
  std::vector<double> vector = {};
  double base_score = 0;
  double score = 0;
};

bool is_adapter(const Parameter<float>& p) { return p.name.find(".lora_") != std::string::npos; }

/// Trains an adapter on one task and adds its last checkpoints to the bank.
Trained train_one(Backend& backend, const continual::Base& base,
                  const continual::TaskData<Backend>& task, Index number, const Settings& s,
                  const Method<Backend>& method, generator::CheckpointBank& bank,
                  report::Progress& progress) {
  auto line = progress.start(task.info.name);
  model::Multimodal<Backend>* model = nullptr;
  Index done = 0;
  const continual::Listener listener = [&](Index steps, const std::string&) {
    done += steps;
    line.advance(steps, "training");
    if (done > s.options.steps - apart * s.checkpoints) {
      bank.add(number, generator::weights_of(model->parameters(), is_adapter));
    }
  };
  continual::Learner<Backend> learner(backend, base, method, s.options, listener);
  model = &learner.model;
  model->for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  const auto score = [&] {
    return continual::evaluate(*model, learner.tape, task.test, task.info.scorer, base.tokenizer,
                               s.options, [](Index) { return Index{0}; })
        .score;
  };
  Trained result{.name = task.info.name, .base_score = score()};  // B is zero: the base alone
  continual::train(learner, task.train, task.info.name, s.options.steps,
                   learner.random.fork(static_cast<std::uint64_t>(number)));
  result.score = score();
  result.weights = generator::weights_of(model->parameters(), is_adapter);
  result.vector =
      generator::task_vector<Backend>(*model, learner.tape, task.train.examples, task.train.bank);
  return result;
}

std::string bytes(Index n) { return fmt::format("{:.2f} MB", static_cast<double>(n) / 1e6); }

int run(Settings s) {
  if (s.smoke) {
    s.tasks.resize(std::min<std::size_t>(s.tasks.size(), 2));
    s.options.steps = 20;
    s.checkpoints = 2;
    s.generator.steps = 2;
    s.limit = 8;
  }
  s.options.projector_rate = 0;  // a task is its adapter alone
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

  const auto method = method_of<Backend, Variant>();
  generator::CheckpointBank bank;
  std::vector<Trained> trained;
  std::vector<std::vector<double>> vectors;
  report::Progress progress(std::ssize(tasks) * s.options.steps + s.generator.steps);
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    trained.push_back(
        train_one(backend, base, tasks[t], static_cast<Index>(t), s, method, bank, progress));
    vectors.push_back(trained.back().vector);
  }

  const Random random = Random(s.options.seed).fork("generator");
  const generator::CvaeConfig config{.length = bank.layout().size(),
                                     .condition = base.config.decoder.width};
  generator::Cvae<Backend> cvae(backend, config, random);
  Tape<Backend> tape(backend);
  generator::CvaeLoss loss;
  {
    auto line = progress.start("generator");
    loss = generator::train_cvae<Backend>(cvae, tape, bank, vectors, s.generator, random,
                                          [&](Index, const generator::CvaeLoss& l) {
                                            line.advance(1, fmt::format("loss {:.3f}", l.total));
                                          })
               .back();
  }

  const auto how =
      s.as_released ? generator::Denormalise::applied : generator::Denormalise::matched;
  const continual::Listener silent;
  continual::Learner<Backend> learner(backend, base, method, s.options, silent);
  report::Table table{"Trained and generated adapters",
                      {{"Task", false}, {"Base"}, {"Trained"}, {"Generated"}, {"Weight error"}},
                      {},
                      {}};
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    std::vector<double> z(static_cast<std::size_t>(config.latent));
    const Random own = random.fork("z").fork(t);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = own.normal(i);
    const auto weights = generator::generate_adapter<Backend>(
        cvae, tape, bank, static_cast<Index>(t), vectors[t], z, how);
    generator::load_weights(learner.model.parameters(), weights);
    const double score =
        continual::evaluate(learner.model, learner.tape, tasks[t].test, tasks[t].info.scorer,
                            base.tokenizer, s.options, [](Index) { return Index{0}; })
            .score;
    table.add_row({trained[t].name, fmt::format("{:.1f}", trained[t].base_score),
                   fmt::format("{:.1f}", trained[t].score), fmt::format("{:.1f}", score),
                   fmt::format("{:.3f}", generator::relative_error(weights, trained[t].weights))});
  }
  const Index one = bank.layout().size() * 4;
  table.notes = {
      {"Scores", "percent of the test questions, by the task's scorer."},
      {"Weight error", "norm of the difference to the trained adapter over that adapter's norm."},
      {"Bank", fmt::format("{} checkpoints of {} each, {}; the last of each task alone {}.",
                           bank.snapshots().size(), bytes(one), bytes(bank.bytes()),
                           bytes(one * std::ssize(tasks)))},
      {"Generator",
       fmt::format("{} parameters, {}, and two numbers for each tensor and task; last "
                   "loss {:.4f}, of which reconstruction {:.4f}.",
                   config.parameters(), bytes(cvae.bytes()), loss.total, loss.reconstruction)}};
  fmt::print("{}\n", report::to_terminal(table));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Generates adapters from task vectors and scores them beside trained ones.",
               "icm_lora");
  app.add_option("--data", s.data, "Folder of the tasks")->check(CLI::ExistingDirectory);
  app.add_option("--base", s.base, "Checkpoint of the base model")->check(CLI::ExistingFile);
  app.add_option("--vocabulary", s.vocabulary, "Words of the base model")->check(CLI::ExistingFile);
  app.add_option("--tasks", s.tasks, "Tasks")->delimiter(',');
  app.add_option("--steps", s.options.steps, "Training steps of each task")
      ->check(CLI::PositiveNumber);
  app.add_option("--rate", s.options.rate, "Peak learning rate of the adapters");
  app.add_option("--checkpoints", s.checkpoints, "Checkpoints of each task, ten steps apart")
      ->check(CLI::PositiveNumber);
  app.add_option("--generator-steps", s.generator.steps, "Training steps of the generator")
      ->check(CLI::PositiveNumber);
  app.add_option("--generator-rate", s.generator.rate, "Peak learning rate of the generator");
  app.add_option("--generator-batch", s.generator.batch, "Checkpoints a step")
      ->check(CLI::PositiveNumber);
  app.add_option("--limit", s.limit, "Test questions of each task at most; 0: all")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", s.options.seed, "Seed of everything random");
  app.add_option("--threads", s.threads, "Threads")->check(CLI::PositiveNumber);
  app.add_flag("--as-released", s.as_released,
               "Do not standardise what is generated before it gets its statistics");
  app.add_flag("--smoke", s.smoke, "Two tasks, a few steps: does it run?");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(s);
  } catch (const std::exception& error) {
    fmt::print(stderr, "icm_lora: {}\n", error.what());
    return 1;
  }
}

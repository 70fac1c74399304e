/// Learns tasks one after another on a published model: a LLaVA, or a LLaMA where tasks have no
/// pictures (docs/checkpoints.md).
///
///     llava_continual --model llava-1.5-7b --data CoIN --method BranchLoRA --dry-run
///     llava_continual --model smollm2 --data words --layout minicoin --method MoELoRA,BranchLoRA
///
/// The dry run says what is wrapped, what that trains, what it needs and how long it may take.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"
#include "branchlora/continual/joint.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/continual/run.hpp"
#include "branchlora/data/coin.hpp"
#include "branchlora/data/paraphrase.hpp"
#include "branchlora/model/adapter_file.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/report.hpp"
#include "command_line.hpp"
#include "plan.hpp"
#include "rows.hpp"

namespace {

using namespace branchlora;
using study::Backend;

/// A method by its name, with what it costs and how its adapters are written.
struct Entry {
  study::Row row;
  plan::Costs costs;
  void (*save)(const std::filesystem::path& path, model::Multimodal<Backend>& model,
               const Hyper& hyper);
};

template <class V>
Entry entry(std::string name) {
  return {study::stream<V>(std::move(name)), plan::costs_of<V>(),
          [](const std::filesystem::path& path, model::Multimodal<Backend>& model,
             const Hyper& hyper) { model::save_adapters<V>(path, model, hyper); }};
}

/// The methods, with branches of rank `R`. Another one is one more line.
template <int R>
std::vector<Entry> methods() {
  return {entry<Lora<8 * R>>("LoRA"), entry<RsLora<8 * R>>("rsLoRA"),
          entry<MoeLora<R, 8>>("MoELoRA"), entry<HydraLora<R, 8>>("HydraLoRA"),
          entry<BranchLora<R, 8, 2>>("BranchLoRA")};
}

struct Settings {
  std::filesystem::path model, vision_tower, data, images;
  std::filesystem::path out = "results";
  std::string layout = "coin";
  std::string instructions = "Original";
  std::string conversation;
  std::vector<std::string> methods{"BranchLoRA"};
  std::vector<std::string> tasks;
  Index longest = 0;  ///< Text tokens of a turn at most; 0: as many as there are positions.
  Index samples = 0;  ///< Training samples of each task at most; 0: all.
  Index limit = 0;    ///< Test questions of each task at most; 0: all.
  int rank = 16;
  int threads = 1;
  bool zero_shot = false;
  bool bfloat16 = false;
  bool resume = false;
  bool dry_run = false;
  continual::Options options;
};

/// The names of the tasks: those asked for, or all that the data folder has.
std::vector<std::string> task_names(const Settings& s) {
  if (!s.tasks.empty()) return s.tasks;
  std::vector<std::string> names;
  if (s.layout == "coin") {
    for (const auto& task : data::coin_tasks) names.emplace_back(task.name);
  } else {
    names = data::load_stream(s.data);
  }
  return names;
}

std::vector<data::Task> load_tasks(const Settings& s) {
  const auto type = data::parse_instruction_type(s.instructions);
  expect(s.layout == "coin" || type != data::InstructionType::Diverse,
         "--instructions: expected Original or 10Type for the layout {}, found {}", s.layout,
         s.instructions);
  std::vector<data::Task> tasks;
  for (const std::string& name : task_names(s)) {
    data::Task& task =
        tasks.emplace_back(s.layout == "coin" ? data::load_coin_task(s.data, type, name, s.images)
                                              : data::load_task(s.data / name));
    if (s.layout != "coin" && type == data::InstructionType::TenType) {
      task = data::paraphrased(std::move(task), Random(1));
    }
    const auto keep = [](std::vector<data::Sample>& samples, Index most) {
      if (most > 0 && std::ssize(samples) > most) samples.resize(static_cast<std::size_t>(most));
    };
    keep(task.train, s.samples);
    keep(task.test, s.limit);
    expect(!task.train.empty() && !task.test.empty(),
           "{}: expected samples to train and to test on, found {} and {}", name, task.train.size(),
           task.test.size());
  }
  return tasks;
}

/// The methods that were asked for.
std::vector<Entry> chosen_methods(const Settings& s) {
  const std::vector<Entry> all = s.rank == 4 ? methods<4>() : methods<16>();
  std::vector<std::string> names;
  for (const Entry& e : all) names.push_back(e.row.name);
  std::vector<Entry> chosen;
  for (const std::string& name : s.methods) {
    const auto found = std::ranges::find(names, name);
    expect(found != names.end(), "--method: expected {}, found '{}'", fmt::join(names, ", "), name);
    chosen.push_back(all[static_cast<std::size_t>(found - names.begin())]);
  }
  return chosen;
}

void print_plan(const Settings& s, const continual::Base& base,
                const std::vector<data::Task>& tasks, const std::vector<Entry>& entries) {
  const Index image_tokens = base.config.vision.present() ? base.config.vision.tokens() : 0;
  std::vector<plan::Lesson> lessons;
  for (const data::Task& task : tasks) {
    const auto side = [&](const std::vector<data::Sample>& samples) {
      return plan::side_of(base.language->encode(samples, task.folder, 0), image_tokens);
    };
    lessons.push_back({task.info.name, side(task.train), side(task.test)});
  }
  plan::print_modules(base);
  fmt::print("\n");
  plan::print_lessons(lessons);
  Backend backend(s.threads);
  const double rate = plan::measured_rate(backend, s.options.storage);
  for (const Entry& e : entries) {
    const auto title = fmt::format("{}: {}", e.row.name, e.row.method.description);
    // By each selector, and with the task given.
    const double answers = 1 + static_cast<double>(e.row.method.selectors.size());
    plan::print_run(title, {base, lessons, s.options, e.costs, answers}, rate);
  }
  fmt::print(
      "\nrouter: one task's; each further task adds as much where routers are per task.\n"
      "activations: values and gradients of the blocks, without the adapters' own. Their memory\n"
      "grows by doubling: up to twice as much may be held.\n"
      "time: the operations of the matrix products over {:.0f} GFLOP/s, the rate at which a short\n"
      "product (512 x 1024 x 1024, {}) ran here just now: a lower bound, since attention, mixing\n"
      "and the reading of weights while an answer is written are not counted.\n",
      rate / 1e9, s.options.storage == Storage::full ? "float" : "bfloat16");
}

/// The tasks as tokens, features and embeddings, those with the decoder's hidden state if `hidden`.
std::vector<continual::TaskData<Backend>> prepare(const continual::Base& base, Backend& backend,
                                                  std::vector<data::Task> tasks, bool hidden) {
  continual::Preparation<Backend> preparation(backend, base, hidden);
  std::vector<continual::TaskData<Backend>> prepared;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const auto& task = prepared.emplace_back(
        preparation.prepare(std::move(tasks[t]), static_cast<std::int32_t>(t)));
    for (const auto* split : {&task.train, &task.test}) {
      if (!split->lost.empty()) fmt::print(stderr, "{}: {}\n", task.info.name, split->lost);
    }
  }
  return prepared;
}

/// Trains one method, or goes on where its snapshot stands, and writes its records and adapters.
std::vector<continual::RunResult> train(const Settings& s, const Entry& e, Backend& backend,
                                        const continual::Base& base,
                                        std::span<const continual::TaskData<Backend>> tasks,
                                        const std::vector<double>& zero_shot,
                                        report::Progress& progress) {
  continual::Options options = s.options;
  options.hyper = e.row.hyper;
  const auto& method = e.row.method;
  const std::string name = fmt::format("{}-seed-{}", e.row.name, options.seed);
  const auto snapshot = s.out / "snapshots" / (name + ".safetensors");
  if (!s.resume) std::filesystem::remove(snapshot);
  std::vector<continual::RunResult> results;
  {
    auto line = progress.start(e.row.name);
    results = continual::run_stream(
        backend, base, tasks, method, e.row.name, options, snapshot,
        [&](Index steps, const std::string& what) { line.advance(steps, what); });
  }
  const std::vector<std::string> files = study::record_files(e.row, name);
  for (std::size_t k = 0; k < results.size(); ++k) {
    results[k].zero_shot = zero_shot;
    report::write_run(s.out / "runs" / (files.at(k) + ".json"),
                      {results[k], report::current_environment(s.threads)});
  }
  const continual::Listener silent;
  continual::Learner<Backend> learned(backend, base, method, options, silent);
  continual::load_snapshot(snapshot, learned.model, method, std::nullopt);
  e.save(s.out / "adapters" / (name + ".safetensors"), learned.model, options.hyper);
  return results;
}

int run(const Settings& s) {
  const std::vector<Entry> entries = chosen_methods(s);
  const auto form = s.conversation.empty()
                        ? std::nullopt
                        : std::optional(data::parse_conversation(s.conversation));
  const auto base = continual::Base::open_published(
      s.model, {.vision_tower = s.vision_tower, .conversation = form, .longest = s.longest});
  std::vector<data::Task> loaded = load_tasks(s);
  if (s.dry_run) {
    print_plan(s, base, loaded, entries);
    return 0;
  }

  for (const char* folder : {"runs", "adapters"}) {
    std::filesystem::create_directories(s.out / folder);
  }
  Backend backend(s.threads);
  const auto tasks = prepare(
      base, backend, std::move(loaded),
      std::ranges::any_of(entries, [](const Entry& e) { return e.row.method.reads_hidden(); }));
  std::vector<continual::RunResult> results;
  std::vector<double> scores;
  if (s.zero_shot) {
    std::vector<std::string> names;
    for (const auto& task : tasks) names.push_back(task.info.name);
    scores = continual::zero_shot<Backend>(backend, base, tasks, s.options);
    results.push_back(continual::zero_shot_result(scores, names, s.options));
    results.back().zero_shot = scores;
  }
  {
    report::Progress progress(std::ssize(entries) * std::ssize(tasks) * s.options.steps);
    for (const Entry& e : entries) {
      for (auto& result : train(s, e, backend, base, tasks, scores, progress)) {
        results.push_back(std::move(result));
      }
    }
  }
  fmt::print("{}\n", report::to_terminal(report::comparison_table(results)));
  report::write_report(s.out / "llava_continual", results);
  fmt::print("Tables, curves, run records, snapshots and adapters are in {}\n", s.out.string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  s.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  study::CommandLine line("Learns tasks one after another on a published model.",
                          "llava_continual");
  line.option("--model", s.model, "Folder of config.json, safetensors and tokenizer.json")
      .required()
      .existing_folder();
  line.option("--vision-tower", s.vision_tower, "Folder of CLIP, where the model names one")
      .existing_folder();
  line.option("--conversation", s.conversation,
              "vicuna_v1, chatml, llama3 or plain (default: as the tokenizer suggests)");
  line.option("--longest", s.longest, "Text tokens of a turn at most; 0: as there are positions")
      .not_negative();
  line.option("--data", s.data, "Folder of the tasks").required().existing_folder();
  line.option("--layout", s.layout, "Of the data folder: CoIN's as published, or MiniCoIN's")
      .one_of({"coin", "minicoin"});
  line.option("--images", s.images, "Folder of the pictures in CoIN's layout (default: --data)")
      .existing_folder();
  line.option("--instructions", s.instructions, "Original, Diverse (CoIN's alone) or 10Type");
  line.option("--tasks", s.tasks, "Tasks, in the order of learning (default: all)")
      .separated_by(',');
  line.option("--samples", s.samples, "Training samples of each task at most; 0: all")
      .not_negative();
  line.option("--limit", s.limit, "Test questions of each task at most; 0: all").not_negative();
  line.option("--method", s.methods, "LoRA, rsLoRA, MoELoRA, HydraLoRA, BranchLoRA")
      .separated_by(',');
  line.option("--rank", s.rank, "Of each of eight branches; of LoRA in all eight times as much")
      .one_of({"4", "16"});
  line.option("--steps", s.options.steps, "Training steps of each task").positive();
  line.option("--batch", s.options.batch, "Samples a step").positive();
  line.option("--rate", s.options.rate, "Peak learning rate of the adapters");
  line.option("--projector-rate", s.options.projector_rate,
              "The projector's learning rate as a share of the adapters'; 0 freezes it");
  line.option("--seed", s.options.seed, "Seed of everything random");
  line.option("--answer-tokens", s.options.answer_tokens, "Tokens of an answer at most").positive();
  line.option("--evaluation-batch", s.options.evaluation_batch, "Questions answered together")
      .positive();
  line.option("--out", s.out, "Folder of the results");
  line.option("--threads", s.threads).positive();
  line.flag("--bfloat16", s.bfloat16, "Hold the frozen decoder's weights in bfloat16");
  line.flag("--recompute", s.options.recompute,
            "Calculate a block's activations again in the backward pass: less memory");
  line.flag("--full-matrix", s.options.full_matrix, "Score every task after every task");
  line.flag("--zero-shot", s.zero_shot, "Score the base model, too");
  line.flag("--resume", s.resume, "Go on from the last finished task of each method");
  line.flag("--dry-run", s.dry_run, "Say what a run needs, and do not start it");
  if (const auto status = line.end_of(argc, argv)) return *status;
  s.options.storage = s.bfloat16 ? Storage::bfloat16 : Storage::full;
  try {
    return run(s);
  } catch (const std::exception& error) {
    fmt::print(stderr, "llava_continual: {}\n", error.what());
    return 1;
  }
}

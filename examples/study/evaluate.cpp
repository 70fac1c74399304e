#include <fmt/format.h>
#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "branchlora/continual/evaluate.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/continual/snapshot.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"
#include "command_line.hpp"
#include "study.hpp"

namespace study {
namespace {

using namespace branchlora;

struct Settings {
  std::filesystem::path checkpoint;
  std::vector<std::filesystem::path> data;
  std::filesystem::path base = BRANCHLORA_SOURCE_DIR "/data/base/base.safetensors";
  std::filesystem::path vocabulary = BRANCHLORA_SOURCE_DIR "/data/pretrain/vocab.json";
  std::filesystem::path predictions;
  std::string split = "test";
  std::string scorer, task, selector;
  int threads = 1;
};

/// A checkpoint's model, ready to answer.
struct Loaded {
  std::string name = "base";
  std::vector<std::string> tasks;          ///< Those it has learned.
  std::unique_ptr<TaskSelector> selector;  ///< Null where no task is to be found.
  bool selects = false;
  bool reads_hidden = false;  ///< A selector reads the decoder's hidden state.
};

/// The variant whose full list of policies a checkpoint names.
const Method<Backend>& find_variant(const std::vector<Row>& rows, const std::string& variant,
                                    const std::filesystem::path& checkpoint) {
  std::string known;
  for (const Row& row : rows) {
    if (row.method.description == variant) return row.method;
    if (row.method.make) known += "\n  " + row.method.description;
  }
  fail("{}: this program does not know its variant: {}\nThose that are:{}", checkpoint.string(),
       variant, known);
}

/// The selector of a run by its title, the first if that is empty; null where there is none.
std::unique_ptr<TaskSelector> take_selector(const Method<Backend>& method,
                                            continual::Progressed& done, const std::string& title) {
  std::vector<std::string> titles;
  for (const SelectorMaker& maker : method.selectors) titles.push_back(maker.title);
  const auto found = title.empty() ? titles.begin() : std::ranges::find(titles, title);
  expect(title.empty() || found != titles.end(), "--selector: expected {}, found '{}'",
         titles.empty() ? "none, as no task is to be found"
                        : fmt::format("{}", fmt::join(titles, " or ")),
         title);
  if (titles.empty()) return nullptr;
  return std::move(done.selectors[static_cast<std::size_t>(found - titles.begin())].selector);
}

/// Loads a snapshot into a model that holds the base weights, and freezes what the run froze.
Loaded load(const std::filesystem::path& path, const continual::Base& base,
            const std::vector<Row>& rows, const std::string& selector,
            model::Multimodal<Backend>& model, continual::Options& options) {
  const io::Metadata metadata = io::SafeTensors::open(path).metadata();
  const auto entry = [&](const char* key) {
    const auto found = metadata.find(key);
    expect(found != metadata.end(), "{}: expected a checkpoint of a run, found no '{}' in it",
           path.string(), key);
    return found->second;
  };
  const Method<Backend>& method = find_variant(rows, entry("variant"), path);
  Loaded loaded;
  std::string trained_on;
  try {
    const auto state = io::parse_json(entry("continual"), path.string());
    const auto run = io::parse_json(state.at("run").get<std::string>(), path.string());
    run.at("name").get_to(loaded.name);
    run.at("tasks").get_to(loaded.tasks);
    run.at("base").get_to(trained_on);
    const auto& o = run.at("options");
    o.at("alpha").get_to(options.hyper.alpha);
    options.hyper.temperature = o.value("temperature", options.hyper.temperature);
    o.at("answer_tokens").get_to(options.answer_tokens);
    o.at("projector_rate").get_to(options.projector_rate);
    options.storage = o.at("storage") == "full" ? Storage::full : Storage::bfloat16;
  } catch (const nlohmann::json::exception& e) {
    fail("{}: the state of the run can not be read: {}", path.string(), e.what());
  }
  expect(trained_on == base.digest, "{}: it was trained on another base model than {}",
         path.string(), base.checkpoint.string());
  model.freeze_base(options.storage, options.projector_rate);
  model.attach(method, options.hyper, Random(0));
  auto done = continual::load_snapshot(path, model, method, std::nullopt);
  loaded.tasks.resize(static_cast<std::size_t>(done.tasks_done));
  loaded.selector = take_selector(method, done, selector);
  loaded.selects = method.selects;
  loaded.reads_hidden = method.reads_hidden();
  return loaded;
}

/// The task that `--task` names, by its name or its number from 1; none where the selector picks.
std::optional<Index> given_task(const Loaded& model, const std::string& task) {
  if (task.empty()) {
    expect(!model.selects || model.selector,
           "{}: its routers are picked by the true task: name it with --task", model.name);
    return std::nullopt;
  }
  expect(model.selects, "--task {}: {} has no routers of tasks to pick from", task, model.name);
  for (std::size_t t = 0; t < model.tasks.size(); ++t) {
    if (task == model.tasks[t] || task == std::to_string(t + 1)) return static_cast<Index>(t);
  }
  fail("--task {}: expected a number from 1 to {} or one of {}, found neither", task,
       model.tasks.size(), fmt::join(model.tasks, ", "));
}

/// How the answers of a folder are judged: as told, as its parent's tasks.json says, or exactly.
data::Scorer scorer_of(const std::filesystem::path& folder, const std::string& told) {
  if (!told.empty()) return data::parse_scorer(told);
  const auto place = std::filesystem::canonical(folder);
  const auto list = place.parent_path() / "tasks.json";
  if (!std::filesystem::exists(list)) return data::Scorer::ExactMatch;
  const auto infos = data::load_task_infos(list);
  const auto found = std::ranges::find(infos, place.filename().string(), &data::TaskInfo::name);
  expect(found != infos.end(), "{}: expected a task '{}', found none; name a scorer with --scorer",
         list.string(), place.filename().string());
  return found->scorer;
}

/// A line of CoIN's answer files.
std::string prediction(const std::string& model, const std::filesystem::path& folder,
                       const data::Sample& sample, const std::string& answer, double score,
                       const std::string& router) {
  nlohmann::ordered_json metadata{
      {"data", folder.string()}, {"kind", sample.kind}, {"score", score}};
  if (!router.empty()) metadata["router"] = router;
  return nlohmann::ordered_json{{"question_id", sample.id},
                                {"prompt", sample.turns.back().instruction},
                                {"text", answer},
                                {"answer_id", fmt::format("{}/{}", folder.string(), sample.id)},
                                {"model_id", model},
                                {"metadata", metadata}}
             .dump() +
         "\n";
}

int run(const Settings& s, const std::vector<Row>& rows) {
  const auto base = continual::Base::open(s.base, s.vocabulary);
  Backend backend(s.threads);
  continual::Options options;
  model::Multimodal<Backend> model(backend, base.config);
  base.load(model);
  Loaded loaded;
  if (s.checkpoint.empty()) {
    model.freeze_base(Storage::full, 0.0);
  } else {
    loaded = load(s.checkpoint, base, rows, s.selector, model, options);
  }
  const std::optional<Index> told = given_task(loaded, s.task);
  fmt::print("{}\n", loaded.name);

  continual::Preparation<Backend> preparation(backend, base, loaded.reads_hidden);
  Tape<Backend> tape(backend);
  std::string lines;
  double mean = 0;
  for (const auto& folder : s.data) {
    const data::Scorer scorer = scorer_of(folder, s.scorer);
    const auto split =
        preparation.prepare(data::load_instructions(folder / (s.split + ".json")), folder, 0);
    expect(split.size() > 0, "{}: expected at least one question, found none",
           (folder / (s.split + ".json")).string());
    const auto choice =
        told || !loaded.selector
            ? continual::TaskChoice{std::vector(static_cast<std::size_t>(split.size()),
                                                static_cast<std::int32_t>(told.value_or(0))),
                                    {}}
            : continual::choose_tasks(*loaded.selector, split.embeddings);
    const auto result =
        continual::evaluate(model, tape, split, scorer, *base.language, options, choice);
    mean += result.score / static_cast<double>(s.data.size());

    fmt::print("{}: {:.2f} % of {} questions ({})\n", folder.string(), result.score, split.size(),
               data::to_string(scorer));
    std::map<std::string, std::pair<double, Index>> kinds, routers;
    for (std::size_t i = 0; i < result.scores.size(); ++i) {
      const data::Sample& sample = split.samples[i];
      std::string router;
      if (loaded.selects) {
        router = loaded.tasks[static_cast<std::size_t>(choice.tasks[i])];
      }
      for (auto* group : {&kinds[sample.kind], &routers[router]}) {
        group->first += 100.0 * result.scores[i];
        ++group->second;
      }
      lines += prediction(loaded.name, folder, sample, result.answers[i], result.scores[i], router);
    }
    const auto print = [](const auto& groups, const char* what) {
      for (const auto& [name, group] : groups) {
        if (name.empty()) continue;
        fmt::print("  {} {}: {:.2f} % of {}\n", what, name,
                   group.first / static_cast<double>(group.second), group.second);
      }
    };
    print(kinds, "kind");
    print(routers, "router");
  }
  if (s.data.size() > 1) fmt::print("mean of {} folders: {:.2f} %\n", s.data.size(), mean);
  if (!s.predictions.empty()) {
    io::write_file(s.predictions, lines);
    fmt::print("Answers are in {}\n", s.predictions.string());
  }
  return 0;
}

}  // namespace

int evaluate(int argc, char** argv, const std::vector<Row>& rows) {
  Settings s;
  s.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  CommandLine line("Scores a checkpoint of a run, or the base model alone, on data folders.");
  line.option("--checkpoint", s.checkpoint, "Snapshot of a run (default: the base model alone)")
      .existing_file();
  line.option("--data", s.data, "Folders of questions").required().existing_folder();
  line.option("--split", s.split, "Which file of a folder: NAME reads NAME.json");
  line.option("--base", s.base, "Checkpoint of the base model").existing_file();
  line.option("--vocabulary", s.vocabulary, "Words of the base model").existing_file();
  line.option("--scorer", s.scorer,
              "option_letter, exact_match, soft_vqa, substring or iou_0.5 (default: what "
              "tasks.json beside the folder says, or exact_match where there is none)");
  line.option("--selector", s.selector,
              "Find tasks by this selector of the run (default: its first)");
  line.option("--task", s.task, "Take this task's router: a name or a number from 1");
  line.option("--predictions", s.predictions, "File for the answers, in CoIN's JSON lines");
  line.option("--threads", s.threads).positive();
  if (const auto status = line.end_of(argc, argv)) return *status;
  try {
    return run(s, rows);
  } catch (const std::exception& error) {
    fmt::print(stderr, "evaluate: {}\n", error.what());
    return 1;
  }
}

}  // namespace study

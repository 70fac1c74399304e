#include "study.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>

#include "branchlora/continual/joint.hpp"
#include "branchlora/continual/run.hpp"
#include "branchlora/continual/validation.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/report.hpp"

namespace study {
namespace {

using namespace branchlora;
using Tasks = std::vector<continual::TaskData<Backend>>;
using Results = std::vector<continual::RunResult>;

struct Settings {
  std::filesystem::path data = BRANCHLORA_SOURCE_DIR "/data/minicoin";
  std::filesystem::path base = BRANCHLORA_SOURCE_DIR "/data/base/base.safetensors";
  std::filesystem::path vocabulary = BRANCHLORA_SOURCE_DIR "/data/pretrain/vocab.json";
  std::filesystem::path out = "results";
  std::vector<std::string> tasks{"01-scienceqa", "02-textvqa",   "03-imagenet", "04-gqa",
                                 "05-vizwiz",    "06-grounding", "07-vqav2",    "08-ocrvqa"};
  std::vector<std::string> rows;
  std::vector<double> search;  ///< Learning rates to choose from; empty: `options.rate` as it is.
  Index search_steps = 0;      ///< Steps a task of the search; 0: a third of `options.steps`.
  int seeds = 1;
  int jobs = 1;
  Index limit = 0;  ///< Test questions of each task at most; 0: all.
  bool resume = false;
  std::pair<int, int> share{1, 1};  ///< Which of how many processes this is, from 1.
  std::string phase = "all";        ///< What to do: "search", "train", or "all" and the table.
  bool smoke = false;
  bool bfloat16 = false;
  continual::Options options;
};

/// One cell of work: a row and a seed.
struct Job {
  const Row* row;
  continual::Options options;
  std::string name;  ///< Of its files.
};

std::string file_name(std::string text) {
  for (char& c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '-';
  }
  return text;
}

Tasks load_tasks(const Settings& s, const continual::Base& base) {
  Backend backend(s.jobs);
  continual::Preparation<Backend> preparation(backend, base);
  Tasks tasks;
  for (std::size_t i = 0; i < s.tasks.size(); ++i) {
    tasks.push_back(preparation.load(s.data / s.tasks[i], static_cast<std::int32_t>(i)));
    if (s.limit > 0) tasks.back().test.keep_first(s.limit);
  }
  return tasks;
}

/// Trains a row that is trained, and scores it.
Results run(const Job& job, const continual::Base& base, std::span<const Tasks::value_type> tasks,
            const std::filesystem::path& snapshot, const continual::Listener& listener) {
  Backend backend(1);
  const continual::Options& o = job.options;
  const auto& [name, protocol, method, hyper, strategies] = *job.row;
  expect(strategies.empty() || protocol == Protocol::stream,
         "{}: strategies act against forgetting, so they need a stream of tasks", name);
  switch (protocol) {
    case Protocol::joint:
      return continual::run_joint(backend, base, tasks, method, name, o, listener);
    case Protocol::alone:
      return {continual::run_alone(backend, base, tasks, method, name, o, listener)};
    default:
      return continual::run_stream(backend, base, tasks, method, name, o, snapshot, listener,
                                   strategies);
  }
}

/// Runs jobs on `workers` threads, each job on one. What a job computes does not depend on that.
template <class Work>
void run_all(std::size_t jobs, int workers, Work work) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr error;
  std::mutex mutex;
  std::vector<std::jthread> threads;
  for (int w = 0; w < workers; ++w) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < jobs; i = next++) {
        try {
          work(i);
        } catch (...) {
          const std::scoped_lock lock(mutex);
          if (!error) error = std::current_exception();
          next = jobs;
        }
      }
    });
  }
  threads.clear();
  if (error) std::rethrow_exception(error);
}

/// Whether `found` has everything that `expected` has.
bool covers(const nlohmann::json& found, const nlohmann::json& expected) {
  if (!expected.is_structured()) return found == expected;
  if (found.type() != expected.type() || found.size() < expected.size()) return false;
  return std::ranges::all_of(expected.items(), [&](const auto& item) {
    if (expected.is_array()) return covers(found[std::stoul(item.key())], item.value());
    return found.contains(item.key()) && covers(found[item.key()], item.value());
  });
}

/// The records that a job left in a folder when it was finished, or none.
Results finished(const Job& job, const std::filesystem::path& folder, const continual::Base& base,
                 const Tasks& tasks) {
  Backend backend(1);
  nlohmann::json expected = job.options.to_json();
  expected["variant"] = job.row->method.description;
  expected["base"] = base.digest;
  if (!job.row->strategies.empty()) {
    expected["strategies"] =
        continual::config_of(continual::make_strategies(backend, job.row->strategies));
  }
  Results results;
  for (const std::string part : {"", "-task-given"}) {
    const auto path = folder / (job.name + part + ".json");
    if (!std::filesystem::exists(path)) break;
    results.push_back(report::read_run(path).result);
    const auto& names = results.back().tasks;
    const bool same =
        std::ranges::equal(names, tasks, {}, {}, [](const auto& task) { return task.info.name; });
    if (!same || !covers(results.back().config, expected)) return {};
  }
  return results;
}

void write_records(const Results& results, const std::filesystem::path& folder,
                   const std::string& name) {
  for (std::size_t k = 0; k < results.size(); ++k) {
    report::write_run(folder / fmt::format("{}{}.json", name, k > 0 ? "-task-given" : ""),
                      {results[k], report::current_environment(1)});
  }
}

/// Whether job `i` is this process's, of those that share the work.
bool is_ours(const Settings& s, std::size_t i) {
  return static_cast<int>(i % static_cast<std::size_t>(s.share.second)) + 1 == s.share.first;
}

Index steps_of(const Job& job, std::size_t tasks) {
  return job.row->protocol == Protocol::zero_shot ? 0
                                                  : job.options.steps * static_cast<Index>(tasks);
}

/// The learning rate of each row that is trained: the best final mean on held-out training samples,
/// with one seed and `search_steps` steps a task. Every row has the same choice.
std::vector<double> choose_rates(const Settings& s, const std::vector<const Row*>& rows,
                                 const continual::Base& base, const Tasks& tasks) {
  const Tasks held_out = continual::hold_out<Backend>(tasks);
  std::vector<Job> jobs;
  for (const Row* row : rows) {
    if (row->protocol == Protocol::zero_shot) continue;
    for (const double rate : s.search) {
      Job job{row, s.options, fmt::format("{}-rate-{}", file_name(row->name), rate)};
      job.options.hyper = row->hyper;
      job.options.rate = rate;
      job.options.steps = s.search_steps;
      jobs.push_back(job);
    }
  }
  std::vector<double> scores(jobs.size());
  Index total = 0;
  for (const Job& job : jobs) total += steps_of(job, tasks.size());
  {
    report::Progress progress(total);
    run_all(jobs.size(), s.jobs, [&](std::size_t i) {
      const std::string what = fmt::format("{}, rate {}", jobs[i].row->name, jobs[i].options.rate);
      auto line = progress.start(what);
      Results found;
      if (s.resume) found = finished(jobs[i], s.out / "search", base, held_out);
      if (found.empty() && (s.phase != "search" || is_ours(s, i))) {
        found = run(jobs[i], base, held_out, {},
                    [&](Index steps, const std::string& doing) { line.advance(steps, doing); });
        write_records(found, s.out / "search", jobs[i].name);
      }
      if (!found.empty()) scores[i] = continual::acc(found.front().R);
    });
  }
  if (s.phase == "search") return {};
  std::vector<double> chosen;
  std::span<const double> left = scores;
  for (const Row* row : rows) {
    if (row->protocol == Protocol::zero_shot) {
      chosen.push_back(s.options.rate);
      continue;
    }
    const auto own = left.first(s.search.size());
    left = left.subspan(s.search.size());
    const auto best = std::ranges::max_element(own) - own.begin();
    chosen.push_back(s.search[static_cast<std::size_t>(best)]);
    if (s.phase != "all") continue;
    fmt::print("{}: learning rate {} of", row->name, chosen.back());
    for (std::size_t k = 0; k < own.size(); ++k) fmt::print(" {} ({:.1f})", s.search[k], own[k]);
    fmt::print("\n");
  }
  return chosen;
}

int run(Settings s, const std::string& title, const std::vector<Row>& all) {
  if (s.phase == "search" && s.search.empty()) return 0;
  if (s.smoke) {
    s.tasks.resize(std::min<std::size_t>(s.tasks.size(), 2));
    s.options.steps = 4;
    s.options.observed = 32;
    s.limit = 16;
  }
  if (s.search_steps == 0) s.search_steps = std::max<Index>(1, s.options.steps / 3);
  s.options.storage = s.bfloat16 ? Storage::bfloat16 : Storage::full;
  std::vector<const Row*> rows;
  for (const Row& row : all) {
    if (s.rows.empty() || std::ranges::find(s.rows, row.name) != s.rows.end()) rows.push_back(&row);
  }
  for (const std::string& name : s.rows) {
    expect(std::ranges::find(all, name, &Row::name) != all.end(), "{}: there is no row '{}'", title,
           name);
  }
  for (const char* folder : {"runs", "search"}) std::filesystem::create_directories(s.out / folder);
  const auto base = continual::Base::open(s.base, s.vocabulary);
  const Tasks tasks = load_tasks(s, base);
  std::vector<double> rates(rows.size(), s.options.rate);
  if (!s.search.empty()) rates = choose_rates(s, rows, base, tasks);
  if (s.phase == "search") return 0;

  std::vector<Job> jobs;
  for (int seed = 1; seed <= s.seeds; ++seed) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r]->protocol == Protocol::zero_shot && seed > 1) continue;
      Job job{rows[r], s.options, fmt::format("{}-seed-{}", file_name(rows[r]->name), seed)};
      job.options.seed = static_cast<std::uint64_t>(seed);
      job.options.hyper = rows[r]->hyper;
      job.options.rate = rates[r];
      jobs.push_back(job);
    }
  }
  Index total = 0;
  for (const Job& job : jobs) total += steps_of(job, tasks.size());
  std::vector<Results> results(jobs.size());
  const std::vector<double> zero = [&] {
    Backend backend(s.jobs);
    return continual::zero_shot<Backend>(backend, base, tasks, s.options);
  }();
  std::vector<std::string> names;
  for (const auto& task : tasks) names.push_back(task.info.name);
  {
    report::Progress progress(total);
    run_all(jobs.size(), s.jobs, [&](std::size_t i) {
      if (!is_ours(s, i)) return;
      const Job& job = jobs[i];
      if (s.resume) results[i] = finished(job, s.out / "runs", base, tasks);
      auto line = progress.start(fmt::format("{}, seed {}", job.row->name, job.options.seed));
      if (!results[i].empty()) {
        line.advance(steps_of(job, tasks.size()), "finished before");
        return;
      }
      const auto snapshot = s.out / "snapshots" / (job.name + ".safetensors");
      if (!s.resume) std::filesystem::remove(snapshot);
      if (job.row->protocol == Protocol::zero_shot) {
        results[i] = {continual::zero_shot_result(zero, names, job.options)};
      } else {
        results[i] = run(job, base, tasks, snapshot,
                         [&](Index steps, const std::string& what) { line.advance(steps, what); });
      }
      for (continual::RunResult& r : results[i]) r.zero_shot = zero;
      write_records(results[i], s.out / "runs", job.name);
    });
  }
  if (s.phase == "train") return 0;
  Results flat;
  for (const Row* row : rows) {  // a row's seeds together, in the order of the rows
    for (std::size_t k = 0; k < 2; ++k) {
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (jobs[i].row == row && k < results[i].size()) flat.push_back(results[i][k]);
      }
    }
  }
  fmt::print("{}\n", report::to_terminal(report::comparison_table(flat)));
  report::write_report(s.out / title, flat);
  fmt::print("Tables, curves and run records are in {}\n", s.out.string());
  return 0;
}

/// "2/4" as two numbers; zeros if it is something else.
std::pair<int, int> parse_share(const std::string& text) {
  int i = 0;
  int n = 0;
  char rest = 0;
  return std::sscanf(text.c_str(), "%d/%d%c", &i, &n, &rest) == 2 ? std::pair(i, n)
                                                                  : std::pair(0, 0);
}

}  // namespace

int main(int argc, char** argv, const std::string& title, const std::vector<Row>& rows) {
  Settings s;
  s.jobs = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  CLI::App app("Learns tasks one after another with each row's method and prints a table.", title);
  app.add_option("--data", s.data, "Folder of the tasks")->check(CLI::ExistingDirectory);
  app.add_option("--base", s.base, "Checkpoint of the base model")->check(CLI::ExistingFile);
  app.add_option("--vocabulary", s.vocabulary, "Words of the base model")->check(CLI::ExistingFile);
  app.add_option("--out", s.out, "Folder of the results");
  app.add_option("--tasks", s.tasks, "Tasks, in the order of learning")->delimiter(',');
  app.add_option("--rows", s.rows, "Rows to run (default: all)")->delimiter(';');
  app.add_option("--seeds", s.seeds, "Seeds 1 to this")->check(CLI::PositiveNumber);
  app.add_option("--steps", s.options.steps, "Training steps of each task")
      ->check(CLI::PositiveNumber);
  app.add_option("--batch", s.options.batch, "Samples a step")->check(CLI::PositiveNumber);
  app.add_option("--rate", s.options.rate, "Peak learning rate");
  app.add_option("--projector-rate", s.options.projector_rate,
                 "The projector's learning rate as a share of the adapters'; 0 freezes it");
  app.add_option("--search", s.search, "Choose each row's learning rate among these")
      ->delimiter(',');
  app.add_option("--search-steps", s.search_steps,
                 "Training steps of each task in the search (default: a third of --steps)")
      ->check(CLI::PositiveNumber);
  app.add_option("--jobs", s.jobs, "Rows to train at a time, each on one thread")
      ->check(CLI::PositiveNumber);
  app.add_option("--limit", s.limit, "Test questions of each task at most");
  app.add_flag("--full-matrix", s.options.full_matrix, "Score every task after every task");
  app.add_flag("--bfloat16", s.bfloat16, "Hold the frozen decoder's weights in bfloat16");
  app.add_flag("--resume", s.resume, "Go on from the last finished task of each row");
  std::string share = "1/1";
  app.add_option("--share", share, "Run the i-th of n parts of the work: i/n");
  app.add_option("--phase", s.phase, "Only the search, or only the training: no table")
      ->check(CLI::IsMember({"all", "search", "train"}));
  app.add_flag("--smoke", s.smoke, "Two tasks, four steps: does it run?");
  app.set_version_flag("--version", std::string(branchlora::version));
  CLI11_PARSE(app, argc, argv);
  try {
    s.share = parse_share(share);
    expect(s.share.first >= 1 && s.share.first <= s.share.second,
           "--share: expected i/n with i from 1 to n, found '{}'", share);
    return run(s, title, rows);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", title, error.what());
    return 1;
  }
}

}  // namespace study

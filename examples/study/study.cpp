#include "study.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
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
  int seeds = 1;
  int jobs = 1;
  Index limit = 0;  ///< Test questions of each task at most; 0: all.
  bool resume = false;
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
    auto& test = tasks.back().test;
    const auto limit = static_cast<std::size_t>(s.limit);
    if (limit > 0 && test.samples.size() > limit) {
      test.samples.resize(limit);
      test.examples.resize(limit);
      test.embeddings.resize(limit);
    }
  }
  return tasks;
}

/// Trains a row that is trained, and scores it.
Results run(const Job& job, const continual::Base& base, std::span<const Tasks::value_type> tasks,
            const std::filesystem::path& snapshot, const continual::Listener& listener) {
  Backend backend(1);
  const continual::Options& o = job.options;
  const auto& [name, protocol, method, alpha, strategies] = *job.row;
  expect(strategies.empty() || protocol == Protocol::stream,
         "{}: strategies act against forgetting, so they need a stream of tasks", name);
  switch (protocol) {
    case Protocol::joint:
      return {continual::run_joint(backend, base, tasks, method, name, o, listener)};
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

Index steps_of(const Job& job, std::size_t tasks) {
  return job.row->protocol == Protocol::zero_shot
             ? 0
             : job.options.steps * static_cast<Index>(tasks);
}

/// The learning rate of each row that is trained: the best final mean on held-out training samples,
/// with one seed and a third of the steps. Every row has the same choice.
std::vector<double> choose_rates(const Settings& s, const std::vector<const Row*>& rows,
                                 const continual::Base& base, const Tasks& tasks) {
  const Tasks held_out = continual::hold_out<Backend>(tasks);
  std::vector<Job> jobs;
  for (const Row* row : rows) {
    if (row->protocol == Protocol::zero_shot) continue;
    for (const double rate : s.search) {
      Job job{row, s.options, ""};
      job.options.hyper.alpha = row->alpha;
      job.options.rate = rate;
      job.options.steps = std::max<Index>(1, s.options.steps / 3);
      jobs.push_back(job);
    }
  }
  std::vector<double> scores(jobs.size());
  Index total = 0;
  for (const Job& job : jobs) total += steps_of(job, tasks.size());
  {
    report::Progress progress(total);
    run_all(jobs.size(), s.jobs, [&](std::size_t i) {
      auto line = progress.start(fmt::format("{}, rate {}", jobs[i].row->name, jobs[i].options.rate));
      scores[i] = continual::acc(run(jobs[i], base, held_out, {},
                                     [&](Index steps, const std::string& what) {
                                       line.advance(steps, what);
                                     })
                                     .front()
                                     .R);
    });
  }
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
    fmt::print("{}: learning rate {} of", row->name, chosen.back());
    for (std::size_t k = 0; k < own.size(); ++k) fmt::print(" {} ({:.1f})", s.search[k], own[k]);
    fmt::print("\n");
  }
  return chosen;
}

int run(Settings s, const std::string& title, const std::vector<Row>& all) {
  if (s.smoke) {
    s.tasks.resize(std::min<std::size_t>(s.tasks.size(), 2));
    s.options.steps = 4;
    s.options.observed = 32;
    s.limit = 16;
  }
  s.options.storage = s.bfloat16 ? Storage::bfloat16 : Storage::full;
  std::vector<const Row*> rows;
  for (const Row& row : all) {
    if (s.rows.empty() || std::ranges::find(s.rows, row.name) != s.rows.end()) rows.push_back(&row);
  }
  for (const std::string& name : s.rows) {
    expect(std::ranges::find(all, name, &Row::name) != all.end(), "{}: there is no row '{}'", title,
           name);
  }
  std::filesystem::create_directories(s.out / "runs");
  const auto base = continual::Base::open(s.base, s.vocabulary);
  const Tasks tasks = load_tasks(s, base);
  std::vector<double> rates(rows.size(), s.options.rate);
  if (!s.search.empty()) rates = choose_rates(s, rows, base, tasks);

  std::vector<Job> jobs;
  for (int seed = 1; seed <= s.seeds; ++seed) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r]->protocol == Protocol::zero_shot && seed > 1) continue;
      Job job{rows[r], s.options, fmt::format("{}-seed-{}", file_name(rows[r]->name), seed)};
      job.options.seed = static_cast<std::uint64_t>(seed);
      job.options.hyper.alpha = rows[r]->alpha;
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
      const auto snapshot = s.out / "snapshots" / (jobs[i].name + ".safetensors");
      if (!s.resume) std::filesystem::remove(snapshot);
      auto line = progress.start(fmt::format("{}, seed {}", jobs[i].row->name, jobs[i].options.seed));
      if (jobs[i].row->protocol == Protocol::zero_shot) {
        results[i] = {continual::zero_shot_result(zero, names, jobs[i].options)};
      } else {
        results[i] = run(jobs[i], base, tasks, snapshot,
                         [&](Index steps, const std::string& what) { line.advance(steps, what); });
      }
      for (std::size_t k = 0; k < results[i].size(); ++k) {
        continual::RunResult& r = results[i][k];
        r.zero_shot = zero;
        report::write_run(
            s.out / "runs" / fmt::format("{}{}.json", jobs[i].name, k > 0 ? "-task-given" : ""),
            {r, report::current_environment(1)});
      }
    });
  }
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
  app.add_option("--jobs", s.jobs, "Rows to train at a time, each on one thread")
      ->check(CLI::PositiveNumber);
  app.add_option("--limit", s.limit, "Test questions of each task at most");
  app.add_flag("--full-matrix", s.options.full_matrix, "Score every task after every task");
  app.add_flag("--bfloat16", s.bfloat16, "Hold the frozen decoder's weights in bfloat16");
  app.add_flag("--resume", s.resume, "Go on from the last finished task of each row");
  app.add_flag("--smoke", s.smoke, "Two tasks, four steps: does it run?");
  app.set_version_flag("--version", std::string(branchlora::version));
  CLI11_PARSE(app, argc, argv);
  try {
    return run(s, title, rows);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", title, error.what());
    return 1;
  }
}

}  // namespace study

#include "study.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "branchlora/continual/generated.hpp"
#include "branchlora/continual/joint.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/continual/run.hpp"
#include "branchlora/continual/validation.hpp"
#include "branchlora/core/version.hpp"
#include "branchlora/data/coin.hpp"
#include "branchlora/data/paraphrase.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/report.hpp"
#include "command_line.hpp"

namespace study {
namespace {

using namespace branchlora;
using Tasks = std::vector<continual::TaskData<Backend>>;
using Results = std::vector<continual::RunResult>;

struct Settings {
  std::filesystem::path data;
  std::filesystem::path base = BRANCHLORA_SOURCE_DIR "/data/base/base.safetensors";
  std::filesystem::path vocabulary = BRANCHLORA_SOURCE_DIR "/data/pretrain/vocab.json";
  std::filesystem::path out = "results";
  std::vector<std::string> tasks;  ///< Empty: all that the data folder lists, in its order.
  std::vector<std::string> rows;
  std::vector<double> search;  ///< Learning rates to choose from; empty: `options.rate` as it is.
  Index search_steps = 0;      ///< Steps a task of the search; 0: a third of `options.steps`.
  int search_seeds = 1;
  int search_beyond = 2;  ///< Rates tried beyond each end of `search`, at most.
  int seeds = 1;
  int jobs = 1;
  int threads = 0;  ///< Of each row; 0: `cores`, shared out among the rows at a time.
  int cores = 1;
  Index limit = 0;  ///< Test questions of each task at most; 0: all.
  std::string instructions = "Original";
  bool resume = false;
  std::pair<int, int> share{1, 1};  ///< Which of how many parts of the work is done, from 1.
  std::string phase = "all";        ///< What to do: "search", "train", or "all" and the table.
  bool smoke = false;
  bool bfloat16 = false;
  continual::Options options;
};

/// One cell of work: a row with a seed or a learning rate.
struct Job {
  const Row* row;
  continual::Options options;
  std::string title;
  std::string name;  ///< Of its files.
};

/// Jobs, and what came of them where that is known.
struct Work {
  std::filesystem::path folder;  ///< Of the records.
  std::vector<Job> jobs;
  std::vector<Results> results;
};

/// The tasks as tokens, features and embeddings, those with the decoder's hidden state if `hidden`.
Tasks load_tasks(const Settings& s, const continual::Base& base, Backend& backend, bool hidden) {
  continual::Preparation<Backend> preparation(backend, base, hidden);
  Tasks tasks;
  for (std::size_t i = 0; i < s.tasks.size(); ++i) {
    data::Task task = data::load_task(s.data / s.tasks[i]);
    if (s.instructions != to_string(data::InstructionType::Original)) {
      task = data::paraphrased(std::move(task), Random(1));
      task.info.name += " " + s.instructions;  // in tables and records: they are other data
    }
    tasks.push_back(preparation.prepare(std::move(task), static_cast<std::int32_t>(i)));
    for (const auto* split : {&tasks.back().train, &tasks.back().test}) {
      if (!split->lost.empty()) fmt::print(stderr, "{}: {}\n", s.tasks[i], split->lost);
    }
    if (s.limit > 0) tasks.back().test.keep_first(s.limit);
  }
  return tasks;
}

/// Trains a row that is trained, and scores it.
Results run(const Job& job, const continual::Base& base, std::span<const Tasks::value_type> tasks,
            int threads, const std::filesystem::path& snapshot,
            const continual::Listener& listener) {
  Backend backend(threads);
  const continual::Options& o = job.options;
  const auto& [name, protocol, method, hyper, strategies] = *job.row;
  expect(strategies.empty() || protocol == Protocol::stream,
         "{}: strategies act against forgetting, so they need a stream of tasks", name);
  switch (protocol) {
    case Protocol::joint:
      return continual::run_joint(backend, base, tasks, method, name, o, listener);
    case Protocol::alone:
      return {continual::run_alone(backend, base, tasks, method, name, o, listener)};
    case Protocol::generated: {
      continual::GeneratorOptions generator;
      generator.training.steps = 2 * o.steps;
      return continual::run_generated(backend, base, tasks, method, name, o, listener, generator);
    }
    default:
      return continual::run_stream(backend, base, tasks, method, name, o, snapshot, listener,
                                   strategies);
  }
}

/// Runs jobs, `workers` at a time. What a job computes does not depend on that.
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
  if (job.row->protocol == Protocol::generated) expected["projector_rate"] = 0.0;
  if (!job.row->strategies.empty()) {
    for (const auto& s : continual::make_strategies(backend, job.row->strategies)) {
      expected["strategies"].push_back(s->config().json());
    }
  }
  Results results;
  for (const std::string& file : record_files(*job.row, job.name)) {
    const auto path = folder / (file + ".json");
    if (!std::filesystem::exists(path)) return {};
    results.push_back(report::read_run(path).result);
    const auto& names = results.back().tasks;
    const bool same =
        std::ranges::equal(names, tasks, {}, {}, [](const auto& task) { return task.info.name; });
    if (!same || !covers(results.back().config.json(), expected)) return {};
  }
  return results;
}

void write_records(const Results& results, const std::filesystem::path& folder, const Job& job,
                   int threads) {
  const std::vector<std::string> files = record_files(*job.row, job.name);
  for (std::size_t k = 0; k < results.size(); ++k) {
    report::write_run(folder / (files.at(k) + ".json"),
                      {results[k], report::current_environment(threads)});
  }
}

Index steps_of(const Job& job, std::size_t tasks) {
  return job.row->protocol == Protocol::zero_shot ? 0
                                                  : job.options.steps * static_cast<Index>(tasks);
}

/// The rows that were asked for, all if none was.
std::vector<const Row*> rows_of(const Settings& s, const std::vector<Row>& all) {
  for (const std::string& name : s.rows) {
    expect(std::ranges::find(all, name, &Row::name) != all.end(), "there is no row '{}'", name);
  }
  std::vector<const Row*> rows;
  for (const Row& row : all) {
    if (s.rows.empty() || std::ranges::find(s.rows, row.name) != s.rows.end()) rows.push_back(&row);
  }
  return rows;
}

/// The part of a study that one process does, phase by phase. Where there are others, they have to
/// wait for each other after each phase.
class Study {
 public:
  /// Loads what the phases need.
  Study(const Settings& s, const std::vector<Row>& all, const Processes& processes)
      : s_(s),
        processes_(&processes),
        rows_(rows_of(s, all)),
        base_(continual::Base::open(s.base, s.vocabulary)),
        backend_(s.cores),
        tasks_(load_tasks(
            s, base_, backend_,
            std::ranges::any_of(rows_, [](const Row* row) { return row->method.reads_hidden(); }))),
        held_out_(s.search.empty() ? Tasks() : continual::hold_out<Backend>(tasks_)),
        searched_{s.out / "search", {}, {}},
        trained_{s.out / "runs", {}, {}} {
    for (const Work* work : {&searched_, &trained_}) {
      std::filesystem::create_directories(work->folder);
    }
    for (const Row* row : rows_) {
      if (row->protocol == Protocol::zero_shot) continue;
      for (const double rate : s.search) search_at(*row, rate);
    }
  }

  /// Tries learning rates on held-out training samples, with `search_steps` steps a task.
  void search() {
    run_some(searched_, held_out_, [&](std::size_t i) { return is_ours(i); });
  }

  /// Adds rates to the search of each row for which the lowest or the highest tried is the best:
  /// the one beyond it, as far from it as its neighbour is. Returns whether there was any; there is
  /// none while the results of others are missing.
  bool extend_search() {
    read_missing(searched_, held_out_);
    if (std::ranges::any_of(searched_.results, &Results::empty)) return false;
    const std::size_t jobs = searched_.jobs.size();
    for (const Row* row : rows_) {
      const std::map<double, double> means = found(*row);
      if (means.size() < 2) continue;
      // `end` is the lowest or the highest that was tried, and what follows it its neighbour.
      const auto go_beyond = [&](auto end, auto outside) {
        const auto rate = [](const auto& tried) { return tried.first; };
        if (end->first == best_of(means) &&
            std::ranges::count_if(means, outside, rate) < s_.search_beyond) {
          search_at(*row, beyond(end->first, std::next(end)->first));
        }
      };
      const auto [low, high] = std::ranges::minmax(s_.search);
      go_beyond(means.begin(), [low = low](double rate) { return rate < low; });
      go_beyond(means.rbegin(), [high = high](double rate) { return rate > high; });
    }
    return searched_.jobs.size() > jobs;
  }

  /// Trains rows and seeds, each row with the best of its learning rates, and scores them.
  void train() {
    const std::vector<double> rates = choose_rates();
    for (int seed = 1; seed <= s_.seeds; ++seed) {
      for (std::size_t r = 0; r < rows_.size(); ++r) {
        if (rows_[r]->protocol == Protocol::zero_shot && seed > 1) continue;
        Job job{rows_[r], s_.options, fmt::format("{}, seed {}", rows_[r]->name, seed),
                fmt::format("{}-seed-{}", file_name(rows_[r]->name), seed)};
        job.options.seed = static_cast<std::uint64_t>(seed);
        job.options.hyper = rows_[r]->hyper;
        job.options.rate = rates[r];
        trained_.jobs.push_back(job);
      }
    }
    trained_.results.resize(trained_.jobs.size());
    zero_ = continual::zero_shot<Backend>(backend_, base_, tasks_, s_.options);
    run_some(trained_, tasks_, [&](std::size_t i) { return is_ours(i); });
  }

  /// Prints the table and writes the results folder.
  void tabulate(const std::string& title) {
    if (processes_->count > 1) read_missing(trained_, tasks_);
    Results flat;
    for (const Row* row : rows_) {  // a record's seeds together, in the order of the rows
      for (std::size_t k = 0; k < record_files(*row, "").size(); ++k) {
        for (std::size_t i = 0; i < trained_.jobs.size(); ++i) {
          const Results& results = trained_.results[i];
          if (trained_.jobs[i].row == row && k < results.size()) flat.push_back(results[k]);
        }
      }
    }
    fmt::print("{}\n", report::to_terminal(report::comparison_table(flat)));
    report::write_report(s_.out / title, flat);
    fmt::print("Tables, curves and run records are in {}\n", s_.out.string());
  }

 private:
  /// Whether job `i` belongs to the part of the work that is done here.
  bool is_ours(std::size_t i) const {
    return static_cast<int>(i % static_cast<std::size_t>(s_.share.second)) + 1 == s_.share.first;
  }

  /// Runs the jobs that `wanted` names and that have no results yet, and writes their records.
  template <class Wanted>
  void run_some(Work& work, const Tasks& tasks, Wanted wanted) {
    std::vector<std::size_t> left;
    Index total = 0;
    for (std::size_t i = 0; i < work.jobs.size(); ++i) {
      if (!wanted(i) || !work.results[i].empty()) continue;
      left.push_back(i);
      total += steps_of(work.jobs[i], tasks.size());
    }
    const int at_a_time = std::clamp(static_cast<int>(left.size()), 1, s_.jobs);
    const int threads = s_.threads > 0 ? s_.threads : std::max(1, s_.cores / at_a_time);
    report::Progress progress(total);
    run_all(left.size(), s_.jobs, [&](std::size_t k) {
      const Job& job = work.jobs[left[k]];
      Results& results = work.results[left[k]];
      if (s_.resume) results = finished(job, work.folder, base_, tasks);
      auto line = progress.start(job.title);
      if (!results.empty()) {
        line.advance(steps_of(job, tasks.size()), "finished before");
        return;
      }
      results = run(job, tasks, &work == &trained_, threads,
                    [&](Index steps, const std::string& what) { line.advance(steps, what); });
      write_records(results, work.folder, job, threads);
    });
  }

  /// Trains and scores a row. Only a run of the table keeps snapshots to go on from.
  Results run(const Job& job, const Tasks& tasks, bool is_final, int threads,
              const continual::Listener& listener) const {
    if (!is_final) return study::run(job, base_, tasks, threads, {}, listener);
    Results results;
    if (job.row->protocol == Protocol::zero_shot) {
      std::vector<std::string> names;
      for (const auto& task : tasks) names.push_back(task.info.name);
      results = {continual::zero_shot_result(zero_, names, job.options)};
    } else {
      const auto snapshot = s_.out / "snapshots" / (job.name + ".safetensors");
      if (!s_.resume) std::filesystem::remove(snapshot);
      results = study::run(job, base_, tasks, threads, snapshot, listener);
    }
    for (continual::RunResult& r : results) r.zero_shot = zero_;
    return results;
  }

  /// Reads the records of the jobs that were not done here. Throws `Error` where another process
  /// should have left one.
  void read_missing(Work& work, const Tasks& tasks) const {
    for (std::size_t i = 0; i < work.jobs.size(); ++i) {
      if (!work.results[i].empty()) continue;
      work.results[i] = finished(work.jobs[i], work.folder, base_, tasks);
      expect(processes_->count == 1 || !work.results[i].empty(),
             "{}: expected the record that another process wrote, found none: is {} a folder that "
             "all of them see?",
             (work.folder / work.jobs[i].name).string(), s_.out.string());
    }
  }

  /// Adds a learning rate to the search of a row, with each seed.
  void search_at(const Row& row, double rate) {
    for (int seed = 1; seed <= s_.search_seeds; ++seed) {
      const std::string of = seed > 1 ? fmt::format(", seed {}", seed) : "";
      Job job{&row, s_.options, fmt::format("{}, rate {}{}", row.name, rate, of),
              fmt::format("{}-rate-{}{}", file_name(row.name), rate, file_name(of))};
      job.options.hyper = row.hyper;
      job.options.rate = rate;
      job.options.steps = s_.search_steps;
      job.options.seed = static_cast<std::uint64_t>(seed);
      searched_.jobs.push_back(job);
    }
    searched_.results.resize(searched_.jobs.size());
  }

  /// The final means of a row in the search, over its seeds, by learning rate.
  std::map<double, double> found(const Row& row) const {
    std::map<double, double> means;
    for (std::size_t i = 0; i < searched_.jobs.size(); ++i) {
      const Job& job = searched_.jobs[i];
      if (job.row != &row) continue;
      means[job.options.rate] += continual::acc(searched_.results[i].front().R) / s_.search_seeds;
    }
    return means;
  }

  /// The rate as far beyond `end` as that is from `neighbour`, by their ratio, to three digits.
  static double beyond(double end, double neighbour) {
    return std::stod(fmt::format("{:.3g}", end * end / neighbour));
  }

  /// The rate with the best mean; of equals, the lowest.
  static double best_of(const std::map<double, double>& means) {
    return std::ranges::max_element(means, {}, [](const auto& m) { return m.second; })->first;
  }

  /// The learning rate of each row: the one with the best final mean in the search, which goes on
  /// beyond an end that is the best.
  std::vector<double> choose_rates() {
    if (s_.search.empty()) return std::vector<double>(rows_.size(), s_.options.rate);
    do {
      read_missing(searched_, held_out_);
      run_some(searched_, held_out_, [](std::size_t) { return true; });
    } while (extend_search());
    std::vector<double> chosen;
    for (const Row* row : rows_) {
      const std::map<double, double> means = found(*row);
      chosen.push_back(means.empty() ? s_.options.rate : best_of(means));
      if (means.empty() || s_.phase != "all" || processes_->rank > 0) continue;
      fmt::print("{}: learning rate {} of", row->name, chosen.back());
      for (const auto& [rate, mean] : means) fmt::print(" {} ({:.1f})", rate, mean);
      const bool at_end =
          chosen.back() == means.begin()->first || chosen.back() == means.rbegin()->first;
      fmt::print("{}\n", at_end && means.size() > 1 ? ": an end of what was tried" : "");
    }
    return chosen;
  }

  Settings s_;
  const Processes* processes_;
  std::vector<const Row*> rows_;
  continual::Base base_;
  Backend backend_;  ///< Of the tasks; each job has one of its own.
  Tasks tasks_;
  Tasks held_out_;  ///< The tasks of the search.
  Work searched_, trained_;
  std::vector<double> zero_;  ///< The scores of the base model.
};

/// "2/4" as two numbers; zeros if it is something else.
std::pair<int, int> parse_share(const std::string& text) {
  int i = 0;
  int n = 0;
  char rest = 0;
  return std::sscanf(text.c_str(), "%d/%d%c", &i, &n, &rest) == 2 ? std::pair(i, n)
                                                                  : std::pair(0, 0);
}

/// Settings that follow from others.
Settings completed(Settings s, const std::string& share, const Processes& processes) {
  expect(processes.count == 1 || share == "1/1",
         "--share is for processes that do not know of each other; here MPI shares the work among "
         "{}",
         processes.count);
  s.share =
      processes.count > 1 ? std::pair(processes.rank + 1, processes.count) : parse_share(share);
  expect(s.share.first >= 1 && s.share.first <= s.share.second,
         "--share: expected i/n with i from 1 to n, found '{}'", share);
  if (s.tasks.empty()) s.tasks = data::load_stream(s.data);
  if (s.smoke) {
    s.tasks.resize(std::min<std::size_t>(s.tasks.size(), 2));
    s.options.steps = 4;
    s.options.observed = 32;
    s.limit = 16;
  }
  if (s.search_steps == 0) s.search_steps = std::max<Index>(1, s.options.steps / 3);
  s.options.storage = s.bfloat16 ? Storage::bfloat16 : Storage::full;
  return s;
}

/// Does what every process does before they meet again. Throws the first error of any of them, in
/// all of them.
template <class Work>
void together(const Processes& processes, Work work) {
  std::string error;
  try {
    work();
  } catch (const CommandLine::Asked&) {  // --help, which all have read
    throw;
  } catch (const std::exception& e) {
    error = e.what();
  }
  error = processes.agree(error);
  expect(error.empty(), "{}", error);
}

}  // namespace

std::string file_name(std::string text) {
  for (char& c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '-';
  }
  return text;
}

std::vector<std::string> record_files(const Row& row, const std::string& file) {
  const bool generated = row.protocol == Protocol::generated;
  const auto method = generated ? continual::with_generated_adapters(row.method) : row.method;
  std::vector<std::string> files;
  for (const std::string& name : continual::record_names(method, "")) {
    files.push_back(name.empty() ? file : file + file_name(name.substr(1)));  // ", ridge"
  }
  return files;
}

int main(int argc, char** argv, const std::string& title, const std::vector<Row>& rows,
         const Processes& processes, const std::string& pack) {
  Settings s;
  s.data = std::filesystem::path(BRANCHLORA_SOURCE_DIR) / "data" / pack;
  if (processes.count == 1) {
    s.cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    s.jobs = s.cores;
  }
  CommandLine line("Learns tasks one after another with each row's method and prints a table.",
                   title);
  line.option("--data", s.data, "Folder of the tasks").existing_folder();
  line.option("--base", s.base, "Checkpoint of the base model").existing_file();
  line.option("--vocabulary", s.vocabulary, "Words of the base model").existing_file();
  line.option("--out", s.out, "Folder of the results");
  line.option("--tasks", s.tasks,
              "Tasks, in the order of learning (default: those of tasks.json in --data)")
      .separated_by(',');
  line.option("--rows", s.rows, "Rows to run (default: all)").separated_by(';');
  line.option("--seeds", s.seeds, "Seeds 1 to this").positive();
  line.option("--steps", s.options.steps, "Training steps of each task").positive();
  line.option("--batch", s.options.batch, "Samples a step").positive();
  line.option("--rate", s.options.rate, "Peak learning rate");
  line.option("--projector-rate", s.options.projector_rate,
              "The projector's learning rate as a share of the adapters'; 0 freezes it");
  line.option("--search", s.search, "Choose each row's learning rate among these")
      .separated_by(',');
  line.option("--search-steps", s.search_steps,
              "Training steps of each task in the search (default: a third of --steps)")
      .positive();
  line.option("--search-seeds", s.search_seeds, "Seeds 1 to this for each rate of the search")
      .positive();
  line.option("--search-beyond", s.search_beyond,
              "Rates to try beyond each end of --search, at most, where the end is the best")
      .not_negative();
  line.option("--jobs", s.jobs, "Rows to train at a time").positive();
  line.option("--threads", s.threads,
              "Threads of each row (default: the cores, shared out among the rows at a time)")
      .positive();
  line.option("--instructions", s.instructions,
              "One wording of each task's instructions, or one of ten, drawn for each question")
      .one_of({std::string(to_string(data::InstructionType::Original)),
               std::string(to_string(data::InstructionType::TenType))});
  line.option("--limit", s.limit, "Test questions of each task at most");
  line.flag("--full-matrix", s.options.full_matrix, "Score every task after every task");
  line.flag("--bfloat16", s.bfloat16, "Hold the frozen decoder's weights in bfloat16");
  line.flag("--resume", s.resume, "Go on from the last finished task of each row");
  std::string share = "1/1";
  line.option("--share", share, "Run the i-th of n parts of the work: i/n (without MPI)");
  line.option("--phase", s.phase, "Only the search, or only the training: no table")
      .one_of({"all", "search", "train"});
  line.flag("--smoke", s.smoke, "Two tasks, four steps: does it run?");
  line.version(std::string(branchlora::version));
  try {
    std::optional<Study> study;
    together(processes, [&] {
      line.parse(argc, argv);
      s = completed(s, share, processes);
      study.emplace(s, rows, processes);
    });
    for (bool searches = s.phase != "train"; searches;) {
      together(processes, [&] { study->search(); });
      together(processes, [&] { searches = study->extend_search(); });
    }
    if (s.phase != "search") together(processes, [&] { study->train(); });
    if (s.phase == "all") {
      together(processes, [&] {
        if (processes.rank == 0) study->tabulate(title);
      });
    }
    return 0;
  } catch (const CommandLine::Asked& asked) {
    if (processes.rank == 0) fmt::print("{}", asked.what());
    return 0;
  } catch (const std::exception& error) {
    if (processes.rank == 0) fmt::print(stderr, "{}: {}\n", title, error.what());
    return 1;
  }
}

}  // namespace study

/// What several threads make of a training step where the processor is at rest, and where other
/// processes keep it busy: steps with one thread and with several take turns. `spinning` processes
/// compute without end beside it. Counters:
///
/// - `one_ms`: median of a step with one thread;
/// - `ratio`: median of several / one, pair by pair; `total_ratio`: all steps together;
/// - `processor`: processor time of the steps with several threads over those with one.
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "ladder.hpp"

namespace {

using namespace branchlora;
using benchmarks::Ladder;

/// Processes that compute without end, until this goes.
class Spinning {
 public:
  explicit Spinning(Index count) {
    for (; count > 0; --count) {
      const pid_t child = fork();
      if (child == 0) {
        for (std::atomic<int> i = 0;;) {
          ++i;
        }
      }
      processes_.push_back(child);
    }
  }
  Spinning(const Spinning&) = delete;
  Spinning& operator=(const Spinning&) = delete;
  ~Spinning() {
    for (const pid_t process : processes_) {
      kill(process, SIGKILL);
      waitpid(process, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> processes_;
};

/// What steps took.
struct Times {
  std::vector<double> seconds;
  double processor = 0;

  double total() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }
};

double processor_time() {
  std::timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void step(Ladder& ladder, int threads, Index count, Times& times) {
  ladder.set_threads(threads);
  const double processor = processor_time();
  const auto start = std::chrono::steady_clock::now();
  for (Index i = 0; i < count; ++i) ladder.step();
  times.seconds.push_back(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  times.processor += processor_time() - processor;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void run(benchmark::State& state, model::ModelConfig config, Index batch, Index steps) {
  const Spinning spinning(state.range(1));
  const auto threads = static_cast<int>(state.range(0));
  Ladder ladder(method_of<Ladder::B, BranchLora<4, 8, 2>>(), config, batch, Storage::full, 1);
  Times one, several;
  for (int i = 0; i < 2; ++i) {
    Times unused;
    step(ladder, 1, steps, unused);
    step(ladder, threads, steps, unused);
  }
  std::vector<double> ratios;
  for (auto _ : state) {
    step(ladder, 1, steps, one);
    step(ladder, threads, steps, several);
    ratios.push_back(several.seconds.back() / one.seconds.back());
  }
  state.counters["one_ms"] = 1e3 * median(one.seconds) / static_cast<double>(steps);
  state.counters["ratio"] = median(ratios);
  state.counters["total_ratio"] = several.total() / one.total();
  state.counters["processor"] = several.processor / one.processor;
}

model::ModelConfig wide() {
  model::ModelConfig config = benchmarks::ladder_config();
  config.decoder.width = 1024;
  config.decoder.heads = config.decoder.kv_heads = 8;
  config.decoder.hidden = 2560;
  config.decoder.layers = 1;
  return config;
}

/// `steps` are timed together, so that a step is not shorter than the time for which a processor is
/// given to one of several.
void add(const std::string& name, const model::ModelConfig& config, Index batch, Index steps) {
  const auto cores = std::max<std::int64_t>(std::thread::hardware_concurrency(), 2);
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { run(state, config, batch, steps); })
      ->ArgNames({"threads", "spinning"})
      ->ArgsProduct({{cores}, {0, 1, 2}})
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  add("ladder, 1 sequence", benchmarks::ladder_config(), 1, 20);
  add("ladder, 16 sequences", benchmarks::ladder_config(), 16, 4);
  add("width 1024, 10 sequences", wide(), 10, 1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}

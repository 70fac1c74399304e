/// One training step of the ablation ladder on the model of examples/ablation: forward, backward,
/// gradient norm and AdamW, for a batch of 16 sequences of random tokens and random image features.
/// pytorch_ladder.py measures the same step in PyTorch. `step_ms` is the median.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "ladder.hpp"

namespace {

using namespace branchlora;
using benchmarks::Ladder;

template <class V>
void run(benchmark::State& state) {
  Ladder ladder(method_of<Ladder::B, V>(), benchmarks::ladder_config(), 16,
                state.range(1) != 0 ? Storage::bfloat16 : Storage::full,
                static_cast<int>(state.range(0)));
  for (int i = 0; i < 3; ++i) ladder.step();
  std::vector<double> seconds;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    ladder.step();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state.SetIterationTime(seconds.back());
  }
  const auto middle = seconds.begin() + std::ssize(seconds) / 2;
  std::nth_element(seconds.begin(), middle, seconds.end());
  state.counters["step_ms"] = 1e3 * *middle;
  state.counters["tokens"] = static_cast<double>(ladder.tokens());
  state.counters["trainable"] = static_cast<double>(ladder.trainable());
}

template <class V>
void add(const std::string& name) {
  benchmark::RegisterBenchmark(name.c_str(), run<V>)
      ->ArgNames({"threads", "bf16"})
      ->ArgsProduct({{1, 2}, {0, 1}})
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  add<Lora<32>>("LoRA r32");
  add<MoeLora<4, 8>>("MoELoRA 8x4");
  add<BranchLora<4, 8, 2>>("BranchLoRA 8x4, top-2");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}

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
#include "branchlora/eigen/backend.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/optim/adamw.hpp"
#include "branchlora/optim/schedule.hpp"

namespace {

using namespace branchlora;
using B = eigen::Backend<float>;

constexpr Index batch_size = 16;
constexpr Index vocabulary = 1332;
constexpr Index answer = 3;  ///< Tokens to predict, the end of the sequence among them.

/// Input tokens of sequence i of the batch, 40 to 56, image and answer included.
constexpr Index length(Index i) { return 40 + 7 * i % 17; }

model::Batch random_batch(const Random& random, Index image_tokens) {
  model::Batch batch;
  std::uint64_t drawn = 0;
  const auto tokens = [&](Index count) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(drawn++, vocabulary));
    return ids;
  };
  for (Index i = 0; i < batch_size; ++i) {
    batch.push({i, 0, {{tokens(length(i) - image_tokens - answer + 1), tokens(answer)}}},
               image_tokens);
  }
  return batch;
}

template <class V>
void run(benchmark::State& state) {
  B backend(static_cast<int>(state.range(0)));
  const Random random(1);
  model::ModelConfig config;
  config.decoder.vocabulary = vocabulary;
  model::Multimodal<B> model(backend, config);
  model.initialize(random);
  model.freeze_base(state.range(1) != 0 ? Storage::bfloat16 : Storage::full, 0.1);
  model.attach(method_of<B, V>(), {.alpha = 64.0}, random);
  model.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });

  ParameterSet<B> inputs(backend);
  Parameter<float>& features =
      inputs.add("features", batch_size * config.vision.tokens(), config.vision.feature_width());
  nn::fill_normal(inputs, features, random, 1.0);
  const model::Batch batch = random_batch(random, config.vision.tokens());
  const Routing routing{.sequences = &batch.sequences, .tasks = batch.tasks};

  Tape<B> tape(backend);
  AdamW<B> optimizer(model.parameters());
  const auto step = [&] {
    tape.reset();
    const auto loss = model.loss(tape, batch, tape.constant(features.value), routing);
    tape.backward(loss);
    optimizer.step(1e-3, clip_factor(gradient_norm(model.parameters()), 1.0));
  };
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> seconds;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    step();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state.SetIterationTime(seconds.back());
  }
  const auto middle = seconds.begin() + std::ssize(seconds) / 2;
  std::nth_element(seconds.begin(), middle, seconds.end());
  state.counters["step_ms"] = 1e3 * *middle;
  state.counters["tokens"] = static_cast<double>(batch.sequences.tokens());
  state.counters["trainable"] = static_cast<double>(model.parameters().trainable_count());
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

/// What an adapter costs beside its frozen linear layer: one forward and one backward pass (the
/// gradient of the input, and of every parameter of the adapter) of a square layer, for every
/// variant.
///
/// Each iteration runs the frozen layer alone and then the adapted one, so that whatever else
/// changes the machine's speed meets both. Counters:
///
/// - `frozen_ms`, `adapted_ms`: medians;
/// - `overhead`: median of adapted / frozen, taken iteration by iteration;
/// - `predicted`: 1 + the adapter's share of operations, as `Variant::flops` counts it;
/// - `excess`: (overhead - 1) / (predicted - 1), so 1 where the adapter's operations run at the
///   speed of the frozen product;
/// - `GFLOP/s`: of the adapted layer, from the operations that `Variant::flops` counts.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/eigen/backend.hpp"

namespace {

using namespace branchlora;
using B = eigen::Backend<float>;

constexpr Index sequence_length = 128;

/// Hands `dy` to y as its gradient.
struct Seed {
  Var<float> y;
  MatrixView<float> dy;

  void backward(Tape<B>&) const {
    y.node()->grad = dy;
    y.node()->has_grad = true;
  }
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// A square layer with an adapter, and a batch for it.
class Layer {
 public:
  Layer(const Method<B>& method, Index tokens, Index d, int threads, Storage storage)
      : backend_(threads),
        parameters_(backend_),
        tape_(backend_),
        linear_(parameters_, "layer", d, d),
        x_(parameters_.add("x", tokens, d)),
        dy_(parameters_.add("dy", tokens, d)) {
    const Random random(1);
    linear_.base().initialize(random);
    linear_.base().freeze(storage);
    linear_.attach(method, {}, random);
    linear_.adapter()->begin_task(0);
    // Scores of routers are about 1 then, as in training. With larger ones many gates are too
    // small for a normal number, and some processors slow down at those.
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    for (auto& p : parameters_) {
      if (&p == &linear_.base().weight()) continue;
      nn::fill_normal(parameters_, p, random, &p == &x_ || &p == &dy_ ? 1.0 : scale);
    }
    for (Index t = 0; t < tokens; t += sequence_length) {
      sequences_.push(std::min(sequence_length, tokens - t));
    }
    tasks_.assign(static_cast<std::size_t>(sequences_.count()), 0);
  }

  /// Seconds of one step of the frozen layer alone.
  double frozen() {
    return timed([&](Var<float> x) { return linear_.base()(tape_, x); });
  }

  /// Seconds of one step with the adapter.
  double adapted() {
    const RoutingContext routing{.sequences = &sequences_, .tasks = tasks_};
    return timed([&](Var<float> x) { return linear_(tape_, x, routing); });
  }

 private:
  template <class Forward>
  double timed(Forward forward) {
    tape_.reset();
    parameters_.clear_gradients();
    const auto start = std::chrono::steady_clock::now();
    const Var<float> x = tape_.constant(x_.value);
    x.node()->needs_grad = true;
    const Var<float> y = forward(x);
    const Var<float> loss = tape_.result(1, 1, y);
    tape_.record(loss, Seed{y, dy_.value});
    tape_.backward(loss);
    benchmark::DoNotOptimize(x.grad().data);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  B backend_;
  ParameterSet<B> parameters_;
  Tape<B> tape_;
  AdaptedLinear<B> linear_;
  Parameter<float>& x_;
  Parameter<float>& dy_;
  Sequences sequences_;
  std::vector<std::int32_t> tasks_;
};

template <class V>
void run(benchmark::State& state) {
  const Index tokens = state.range(0);
  const Index d = state.range(1);
  Layer layer(method_of<B, V>(), tokens, d, static_cast<int>(state.range(2)),
              state.range(3) != 0 ? Storage::bfloat16 : Storage::full);
  layer.frozen();
  layer.adapted();
  std::vector<double> frozen, adapted, ratios;
  for (auto _ : state) {
    frozen.push_back(layer.frozen());
    adapted.push_back(layer.adapted());
    ratios.push_back(adapted.back() / frozen.back());
    state.SetIterationTime(adapted.back());
  }
  const Flops flops = V::flops(d, d, tokens, (tokens + sequence_length - 1) / sequence_length);
  const double base = static_cast<double>(flops.frozen.forward + flops.frozen.backward);
  const double extra = static_cast<double>(flops.adapter.forward + flops.adapter.backward);
  const double overhead = median(ratios);
  state.counters["frozen_ms"] = 1e3 * median(frozen);
  state.counters["adapted_ms"] = 1e3 * median(adapted);
  state.counters["overhead"] = overhead;
  state.counters["predicted"] = 1 + extra / base;
  state.counters["excess"] = (overhead - 1) / (extra / base);
  state.counters["GFLOP/s"] = 1e-9 * (base + extra) / median(adapted);
}

template <class V>
void add(const std::string& name) {
  benchmark::RegisterBenchmark(name.c_str(), run<V>)
      ->ArgNames({"tokens", "d", "threads", "bf16"})
      ->ArgsProduct({{512, 2048}, {1024, 4096}, {1, 2}, {0, 1}})
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

template <int R, int N, int K>
using BranchLoraByToken =
    typename BranchLora<R, N, K>::template with<router::PerTask<router::Linear<per::Token>>>;

}  // namespace

int main(int argc, char** argv) {
  add<Lora<32>>("LoRA r32");
  add<MoeLora<4, 8>>("MoELoRA 8x4");
  add<MoeLora<4, 8>::with<trunk::Shared>>("MoELoRA 8x4, shared trunk");
  add<MoeLora<4, 8>::with<TopK<2>>>("MoELoRA 8x4, top-2");
  add<MoeLora<4, 8>::with<trunk::Shared, TopK<2>>>("MoELoRA 8x4, shared trunk, top-2");
  add<HydraLora<4, 8>>("HydraLoRA 8x4");
  add<BranchLora<4, 8, 2>>("BranchLoRA 8x4, top-2 by sequence");
  add<BranchLoraByToken<4, 8, 2>>("BranchLoRA 8x4, top-2 by token");
  add<MoeLora<32, 8>>("MoELoRA 8x32");
  add<MoeLora<32, 8>::with<TopK<2>>>("MoELoRA 8x32, top-2");
  add<HydraLora<32, 8>>("HydraLoRA 8x32");
  add<BranchLora<32, 8, 2>>("BranchLoRA 8x32, top-2 by sequence");
  add<BranchLoraByToken<32, 8, 2>>("BranchLoRA 8x32, top-2 by token");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}

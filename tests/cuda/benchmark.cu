// Times on this device as Markdown tables: the linear layers of LLaVA-1.5-7B (a LLaMA of width
// 4096 and hidden 11008), frozen alone and with a BranchLoRA beside them; each operation of the
// tape.
// usage: benchmark_cuda [tokens ...]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/cuda/backend.hpp"
#include "cuda/operation_cases.hpp"

using namespace branchlora;

namespace {

using B = cuda::Backend<float>;
using V = BranchLora<16, 8, 2>;

/// The median of the seconds that `f` takes on the device, after one call that is not counted.
template <class F>
double median_seconds(B& backend, F f) {
  constexpr int runs = 7;
  std::vector<double> seconds;
  for (int i = 0; i <= runs; ++i) {
    backend.synchronize();
    const auto start = std::chrono::steady_clock::now();
    f();
    backend.synchronize();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(passed.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[runs / 2];
}

/// Seconds of a step that goes back from the sum of all elements of `result(tape)`.
template <class F>
double step_seconds(B& backend, ParameterSet<B>& parameters, F result) {
  Tape<B> tape(backend);
  return median_seconds(backend, [&] {
    tape.reset();
    parameters.clear_gradients();
    const Var<float> y = result(tape);
    const auto ones = tape.scratch(1, y.value().size());
    backend.fill(ones, 1.0F);
    tape.backward(op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(ones)));
  });
}

/// A trainable parameter of normal numbers.
Parameter<float>& input(ParameterSet<B>& parameters, Index rows, Index cols) {
  auto& x = parameters.add("x", rows, cols);
  nn::fill_normal(parameters, x, Random(3), 1.0);
  parameters.set_trainable(x, true);
  return x;
}

/// Seconds of forward and backward of a layer, with the gradient of its input. What the sum of its
/// outputs costs is taken off.
double layer_seconds(B& backend, Index tokens, Index in, Index out, Storage storage, bool adapted) {
  double sum = 0;
  {
    ParameterSet<B> parameters(backend);
    auto& y = input(parameters, tokens, out);
    sum = step_seconds(backend, parameters, [&](Tape<B>& tape) { return tape.parameter(y); });
  }
  ParameterSet<B> parameters(backend);
  AdaptedLinear<B> linear(parameters, "layer", in, out);
  linear.base().initialize(Random(1));
  linear.base().freeze(storage);
  if (adapted) {
    linear.attach(method_of<B, V>(), Hyper{}, Random(2));
    linear.adapter()->begin_task(0);
  }
  auto& x = input(parameters, tokens, in);
  Sequences sequences;
  for (Index first = 0; first < tokens; first += 512) {
    sequences.push(std::min<Index>(512, tokens - first));
  }
  const std::vector<std::int32_t> tasks(static_cast<std::size_t>(sequences.count()), 0);
  const Routing routing{.sequences = &sequences, .tasks = tasks};
  return step_seconds(backend, parameters,
                      [&](Tape<B>& tape) { return linear(tape, tape.parameter(x), routing); }) -
         sum;
}

/// Seconds of forward and backward of each operation, as rows of a table.
void time_operations(B& backend) {
  namespace cases = test::cases;
  const cases::Size size{.tokens = 2304, .width = 4096, .head = 64};
  std::printf("\n| operation, %td x %td | forward and backward, ms |\n|---|---|\n", size.tokens,
              size.width);
  for (const auto& each : cases::operations(backend, size)) {
    ParameterSet<B> parameters(backend);
    for (std::size_t i = 0; i < each.inputs.size(); ++i) {
      const test::Dense& from = each.inputs[i];
      auto& p = parameters.add(std::to_string(i), from.rows, from.cols);
      test::write(backend, p.value, from);
      parameters.set_trainable(p, true);
    }
    const double seconds = step_seconds(backend, parameters, [&](Tape<B>& tape) {
      std::vector<Var<float>> vars;
      for (auto& p : parameters) vars.push_back(tape.parameter(p));
      return each.apply(tape, vars);
    });
    std::printf("| %s | %.3f |\n", each.name.c_str(), 1e3 * seconds);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    B backend;
    std::vector<Index> counts{2048, 16384};
    if (argc > 1) counts.clear();
    for (int i = 1; i < argc; ++i) counts.push_back(std::atol(argv[i]));
    std::printf(
        "| tokens | layer | weights | frozen, ms | with BranchLoRA, ms | ratio | frozen, "
        "TFLOP/s |\n|---|---|---|---|---|---|---|\n");
    for (const Index tokens : counts) {
      for (const auto& [in, out] :
           {std::pair<Index, Index>{4096, 4096}, {4096, 11008}, {11008, 4096}}) {
        for (const Storage storage : {Storage::full, Storage::bfloat16}) {
          const double frozen = layer_seconds(backend, tokens, in, out, storage, false);
          const double adapted = layer_seconds(backend, tokens, in, out, storage, true);
          const double flops = 4.0 * static_cast<double>(tokens * in) * static_cast<double>(out);
          std::printf("| %td | %td x %td | %s | %.3f | %.3f | %.3f | %.1f |\n", tokens, out, in,
                      storage == Storage::full ? "float" : "bfloat16", 1e3 * frozen, 1e3 * adapted,
                      adapted / frozen, flops / frozen * 1e-12);
        }
      }
    }
    time_operations(backend);
    std::printf("\nPeak memory: %.0f MiB.\n", static_cast<double>(backend.peak_bytes()) / 0x1p20);
  } catch (const Error& e) {
    std::fprintf(stderr, "benchmark_cuda: %s\n", e.what());
    return 1;
  }
}

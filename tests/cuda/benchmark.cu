// Times on this device as Markdown tables: the rate of its products in bfloat16; the linear layers
// of LLaVA-1.5-7B (a LLaMA of width 4096 and hidden 11008), frozen alone and with adapters beside
// them; a training step of one of its decoder blocks; each operation of the tape.
// usage: benchmark_cuda [tokens ...]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/cuda/backend.hpp"
#include "branchlora/model/decoder.hpp"
#include "cuda/operation_cases.hpp"

using namespace branchlora;

namespace benchmark {

/// Even numbers of variance 1 / 3 times `scale`^2: products of zeros would take less power.
struct Noise {
  MatrixView<float> to;
  float scale;

  BRANCHLORA_BODY void operator()(Index i) const {
    const double even = Random(3).uniform(static_cast<std::uint64_t>(i));
    to.data[i] = scale * static_cast<float>(2 * even - 1);
  }
};

}  // namespace benchmark

namespace {

using B = cuda::Backend<float>;
using Branch = BranchLora<16, 8, 2>;

constexpr Index sequence_length = 512;

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

/// Fills a matrix on the device.
void make_noise(B& backend, MatrixView<float> m, float scale) {
  backend.for_each(m.size(), benchmark::Noise{m, scale});
}

/// A trainable parameter of numbers around zero.
Parameter<float>& input(ParameterSet<B>& parameters, Index rows, Index cols) {
  auto& x = parameters.add("x", rows, cols);
  make_noise(parameters.backend(), x.value, 1);
  parameters.set_trainable(x, true);
  return x;
}

/// Freezes a layer with weights around zero.
void freeze(B& backend, nn::Linear<B>& linear, Storage storage) {
  make_noise(backend, linear.weight().value, 1 / std::sqrt(static_cast<float>(linear.in())));
  linear.freeze(storage);
}

/// Goes back from the sum of all elements of `result(tape)`.
template <class F>
void step(ParameterSet<B>& parameters, Tape<B>& tape, F result) {
  tape.reset();
  parameters.clear_gradients();
  const Var<float> y = result(tape);
  const auto ones = tape.scratch(1, y.value().size());
  tape.backend().fill(ones, 1.0F);
  tape.backward(op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(ones)));
}

/// Seconds of such a step.
template <class F>
double step_seconds(B& backend, ParameterSet<B>& parameters, F result) {
  Tape<B> tape(backend);
  return median_seconds(backend, [&] { step(parameters, tape, result); });
}

/// Sequences of one task that have `tokens` tokens in all.
struct Tokens {
  explicit Tokens(Index tokens) {
    for (Index first = 0; first < tokens; first += sequence_length) {
      sequences.push(std::min(sequence_length, tokens - first));
    }
    tasks.assign(static_cast<std::size_t>(sequences.count()), 0);
  }
  RoutingContext routing() const { return {.sequences = &sequences, .tasks = tasks}; }

  Sequences sequences;
  std::vector<std::int32_t> tasks;
};

/// Operations a second of a large product with a frozen weight in bfloat16.
double product_rate(B& backend) {
  constexpr Index n = 8192;
  ParameterSet<B> parameters(backend);
  const auto& w = parameters.add("w", n, n);
  const auto& x = parameters.add("x", n, n);
  const auto& y = parameters.add("y", n, n);
  make_noise(backend, w.value, 1);
  make_noise(backend, x.value, 1);
  const auto frozen = backend.freeze(w.value, Storage::bfloat16);
  return 2.0 * n * n * n /
         median_seconds(backend, [&] { backend.frozen_forward(x.value, frozen, y.value); });
}

/// Seconds of forward and backward of a layer, with the gradient of its input, with adapters of
/// variant V or none (void). What the sum of its outputs costs is taken off.
template <class V>
double layer_seconds(B& backend, Index tokens, Index in, Index out, Storage storage) {
  double sum = 0;
  {
    ParameterSet<B> parameters(backend);
    auto& y = input(parameters, tokens, out);
    sum = step_seconds(backend, parameters, [&](Tape<B>& tape) { return tape.parameter(y); });
  }
  ParameterSet<B> parameters(backend);
  AdaptedLinear<B> linear(parameters, "layer", in, out);
  freeze(backend, linear.base(), storage);
  if constexpr (!std::is_void_v<V>) {
    linear.attach(method_of<B, V>(), Hyper{}, Random(2));
    linear.adapter()->begin_task(0);
  }
  auto& x = input(parameters, tokens, in);
  const Tokens batch(tokens);
  const RoutingContext routing = batch.routing();
  return step_seconds(backend, parameters,
                      [&](Tape<B>& tape) { return linear(tape, tape.parameter(x), routing); }) -
         sum;
}

/// A layer alone and with adapters of V, as a row of a table.
template <class V>
void time_layer(B& backend, const char* name, Index tokens, Index in, Index out, Storage storage) {
  const double frozen = layer_seconds<void>(backend, tokens, in, out, storage);
  const double adapted = layer_seconds<V>(backend, tokens, in, out, storage);
  const double flops = 4.0 * static_cast<double>(tokens * in) * static_cast<double>(out);
  const Flops predicted = V::flops(in, out, tokens, Tokens(tokens).sequences.count());
  const double share = static_cast<double>(predicted.adapter.forward + predicted.adapter.backward) /
                       static_cast<double>(predicted.frozen.forward + predicted.frozen.backward);
  std::printf("| %td | %td x %td | %s | %s | %.3f | %.3f | %.3f | %.3f | %.1f |\n", tokens, out, in,
              storage == Storage::full ? "float" : "bfloat16", name, 1e3 * frozen, 1e3 * adapted,
              adapted / frozen, 1 + 1.5 * share + 0.05, flops / frozen * 1e-12);
}

/// The training step of a decoder block as it is, and by way of graphs.
void time_block(B& backend, Index tokens, double rate) {
  const model::DecoderConfig config{.width = 4096,
                                    .heads = 32,
                                    .kv_heads = 32,
                                    .hidden = 11008,
                                    .length = sequence_length,
                                    .epsilon = 1e-5};
  ParameterSet<B> parameters(backend);
  model::DecoderBlock<B> block(parameters, "block", config);
  block.for_each_linear([&](auto& l) { freeze(backend, l.base(), Storage::bfloat16); });
  block.attach(method_of<B, Branch>(), Hyper{}, Random(2), 0, 1);
  block.for_each_linear([](auto& linear) { linear.adapter()->begin_task(0); });
  const op::RopeTable<B> rope(backend, config.length, config.head_size(), config.rope_base);
  auto& x = input(parameters, tokens, config.width);
  const Tokens batch(tokens);
  const RoutingContext routing = batch.routing();
  std::vector<std::int32_t> positions;
  for (Index i = 0; i < tokens; ++i) {
    positions.push_back(static_cast<std::int32_t>(i % sequence_length));
  }
  Tape<B> tape(backend);
  const auto pass_back = [&] {
    step(parameters, tape, [&](Tape<B>& on) {
      const model::DecoderPass<B> pass{
          .sequences = &batch.sequences,
          .positions = on.upload(std::span<const std::int32_t>(positions)),
          .routing = &routing};
      return block(on, on.parameter(x), 0, rope, pass);
    });
  };
  const double plain = median_seconds(backend, pass_back);
  double anew = 0;
  {
    cuda::GraphedStep graphed;
    for (int i = 0; i < 3; ++i) backend.run(graphed, pass_back);
    anew = median_seconds(backend, [&] { backend.run(graphed, pass_back); });
  }
  double replayed = 0;
  {
    const cuda::Graph graph = backend.capture(pass_back);
    replayed = median_seconds(backend, [&] { backend.replay(graph); });
  }
  // The frozen products there and back; attention and adapters come on top.
  const double flops =
      4.0 * static_cast<double>(tokens) *
      static_cast<double>(4 * config.width * config.width + 3 * config.width * config.hidden);
  const auto row = [&](const char* how, double seconds) {
    std::printf("| %td | %s | %.3f | %.1f | %.0f %% |\n", tokens, how, 1e3 * seconds,
                flops / seconds * 1e-12, 100 * flops / seconds / rate);
  };
  row("launch by launch", plain);
  row("recorded anew, one launch", anew);
  row("recorded once, one launch", replayed);
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
    const double rate = product_rate(backend);
    std::printf("Products in bfloat16, 8192 x 8192 x 8192: %.1f TFLOP/s.\n\n", rate * 1e-12);
    std::printf(
        "| tokens | layer | weights | adapter | frozen, ms | with adapter, ms | ratio | at most | "
        "frozen, TFLOP/s |\n|---|---|---|---|---|---|---|---|---|\n");
    for (const Index tokens : counts) {
      for (const auto& [in, out] :
           {std::pair<Index, Index>{4096, 4096}, {4096, 11008}, {11008, 4096}}) {
        for (const Storage storage : {Storage::full, Storage::bfloat16}) {
          time_layer<Branch>(backend, "BranchLoRA", tokens, in, out, storage);
        }
      }
      time_layer<Lora<16>>(backend, "LoRA", tokens, 4096, 4096, Storage::bfloat16);
      time_layer<MoeLora<16, 8>>(backend, "MoELoRA", tokens, 4096, 4096, Storage::bfloat16);
    }
    std::printf(
        "\n| tokens | a decoder block's step | ms | TFLOP/s | of the products' rate |\n"
        "|---|---|---|---|---|\n");
    time_block(backend, counts.front(), rate);
    time_operations(backend);
    std::printf("\nPeak memory: %.0f MiB.\n", static_cast<double>(backend.peak_bytes()) / 0x1p20);
  } catch (const Error& e) {
    std::fprintf(stderr, "benchmark_cuda: %s\n", e.what());
    return 1;
  }
}

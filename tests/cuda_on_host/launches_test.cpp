#include <algorithm>

#include "branchlora/adapter/variant/mix_lora.hpp"
#include "cuda/operation_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

using B = cuda::Backend<float>;

namespace {

struct Launches {
  int forward, backward;
  bool operator==(const Launches&) const = default;
};

// How many kernels and products the backward pass from the sum of a layer's output takes, without
// the scale of the loss, the gradient of the sum and of its reshaping, which are not the layer's.
int backward_launches(Tape<B>& tape, Var<float> y) {
  const auto weights = tape.scratch(1, y.value().size());
  tape.backend().fill(weights, 1);
  const auto loss =
      op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(weights));
  Device::get().forget_calls();
  tape.backward(loss);
  return Device::get().launches() - 3;
}

// How many kernels and products one adapted linear takes on three sequences of these tasks, without
// dropout, x having a gradient.
Launches launches_of(const Method<B>& method, const std::vector<std::int32_t>& tasks) {
  OnHost<float> device;
  B& b = *device;
  ParameterSet<B> parameters(b);
  AdaptedLinear<B> linear(parameters, "layer", 20, 17);
  linear.base().initialize(Random(3));
  linear.base().freeze();
  linear.attach(method, Hyper{}, Random(4));
  const std::int32_t last = *std::max_element(tasks.begin(), tasks.end());
  for (std::int32_t task = 0; task <= last; ++task) {
    if (task > 0) linear.adapter()->end_task();
    linear.adapter()->begin_task(task);
  }
  Sequences sequences;
  for (const Index length : {3, 1, 4}) sequences.push(length);
  auto& x = parameters.add("x", 8, 20);
  parameters.set_trainable(x, true);
  Tape<B> tape(b);
  const RoutingContext routing{.sequences = &sequences, .tasks = tasks};
  Device::get().forget_calls();
  const auto y = linear(tape, tape.parameter(x), routing);
  const int forward = Device::get().launches();
  return {forward, backward_launches(tape, y)};
}

template <class V>
Launches launches_of(const std::vector<std::int32_t>& tasks = {0, 0, 0}) {
  return launches_of(method_of<B, V>(), tasks);
}

// The same of a feed-forward layer whose experts are whole.
Launches launches_of_experts(const Method<B>& method) {
  OnHost<float> device;
  B& b = *device;
  ParameterSet<B> parameters(b);
  AdaptedLinear<B> gate(parameters, "gate", 20, 12), up(parameters, "up", 20, 12);
  AdaptedLinear<B> down(parameters, "down", 12, 20);
  for (auto* linear : {&gate, &up, &down}) {
    linear->base().initialize(Random(3));
    linear->base().freeze();
  }
  const FfnLinears<B> linears{gate, up, down};
  const auto ffn = method.make_ffn(parameters, linears, Hyper{}, Random(4));
  auto& x = parameters.add("x", 8, 20);
  parameters.set_trainable(x, true);
  Tape<B> tape(b);
  Device::get().forget_calls();
  const auto y = (*ffn)(tape, linears, tape.parameter(x), {});
  const int forward = Device::get().launches();
  return {forward, backward_launches(tape, y)};
}

void check_launches(const Launches& found, int forward, int backward) {
  CHECK(found.forward == forward);
  CHECK(found.backward == backward);
}

}  // namespace

// docs/cuda.md shows these numbers as a table.
TEST_CASE("kernels and products of an adapted linear") {
  check_launches(launches_of<Lora4>(), 3, 5);
  check_launches(launches_of<Moe>(), 4, 6);
  check_launches(launches_of<Hydra>(), 4, 6);
  check_launches(launches_of<MoeSparse>(), 6, 8);
  check_launches(launches_of<BranchToken>(), 5, 8);
  check_launches(launches_of<Branch>(), 5, 8);
  check_launches(launches_of<Bank6>(), 5, 6);
  check_launches(launches_of<BankSoft>(), 4, 6);
}

TEST_CASE("more tasks in a batch take no more launches where a router reads a sequence") {
  CHECK(launches_of<Branch>({0, 1, 0}) == launches_of<Branch>());
  CHECK(launches_of<Bank6>({0, 1, 0}) == launches_of<Bank6>());
  CHECK(launches_of<BranchToken>({0, 1, 0}).forward == launches_of<BranchToken>().forward + 4);
}

TEST_CASE("the optimiser is one launch, and the norm of all gradients two, whatever is trained") {
  OnHost<float> device;
  ParameterSet<B> parameters(*device);
  AdamW<B> adam(parameters);
  const auto train = [&] {
    for (auto& p : parameters) {
      parameters.set_trainable(p, true);
      (*device).fill(p.grad, 1);
      p.has_grad = true;
    }
    Device::get().forget_calls();
    const double norm = gradient_norm(parameters);
    CHECK(Device::get().launches() == 2);
    adam.step(0.1);
    CHECK(Device::get().launches() == 3);
    return norm * norm;
  };
  parameters.add("a", 3, 5);
  CHECK(train() == doctest::Approx(15));
  for (const Index n : {1, 256, 20000}) parameters.add(std::to_string(n), 1, n);
  CHECK(train() == doctest::Approx(15 + 1 + 256 + 20000));
}

TEST_CASE("a bias takes no launch of its own, nor does its gradient") {
  OnHost<float> device;
  B& b = *device;
  ParameterSet<B> parameters(b);
  nn::Linear<B> linear(parameters, "layer", 20, 17, true);
  linear.initialize(Random(3));
  auto& x = parameters.add("x", 8, 20);
  parameters.set_trainable(x, true);
  Tape<B> tape(b);
  const auto forward = [&] {
    tape.reset();
    parameters.clear_gradients();
    Device::get().forget_calls();
    const auto y = linear(tape, tape.parameter(x));
    return std::pair{y, Device::get().launches()};
  };
  linear.set_trainable(true);
  const auto [y, trained] = forward();
  CHECK(trained == 1);
  CHECK(backward_launches(tape, y) == 2);
  linear.freeze();
  const auto [z, frozen] = forward();
  CHECK(frozen == 1);
  CHECK(backward_launches(tape, z) == 1);
}

TEST_CASE("whole feed-forward layers as experts take no launches of their own") {
  const Launches found = launches_of_experts(method_of<B, MixLora<3, 8, 2>>());
  CHECK(found == launches_of_experts(method_of<B, MixLora<3, 2, 2>>()));
  CHECK(found.forward == 18);
  CHECK(found.backward == 30);
}

TEST_CASE("the number of branches changes no number of launches") {
  CHECK(launches_of<HydraLora<3, 4>>() == launches_of<HydraLora<3, 8>>());
  CHECK(launches_of<BranchLora<3, 4, 2>>() == launches_of<BranchLora<3, 16, 2>>());
}

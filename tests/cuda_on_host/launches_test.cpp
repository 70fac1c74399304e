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

// How many kernels and products one adapted linear takes, without dropout, x having a gradient.
template <class V>
Launches launches_of() {
  OnHost<float> device;
  B& b = *device;
  ParameterSet<B> parameters(b);
  AdaptedLinear<B> linear(parameters, "layer", 20, 17);
  linear.base().initialize(Random(3));
  linear.base().freeze();
  linear.attach(method_of<B, V>(), Hyper{}, Random(4));
  linear.adapter()->begin_task(0);
  Sequences sequences;
  for (const Index length : {3, 1, 4}) sequences.push(length);
  const std::vector<std::int32_t> tasks(3, 0);
  auto& x = parameters.add("x", 8, 20);
  parameters.set_trainable(x, true);
  Tape<B> tape(b);
  const Routing routing{.sequences = &sequences, .tasks = tasks};
  Device::get().forget_calls();
  const auto y = linear(tape, tape.parameter(x), routing);
  const int forward = Device::get().launches();
  const auto weights = tape.scratch(1, y.value().size());
  b.fill(weights, 1);
  const auto loss =
      op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(weights));
  Device::get().forget_calls();
  tape.backward(loss);
  // The scale of the loss, the gradient of the sum and of its reshaping are not the layer's.
  return {forward, Device::get().launches() - 3};
}

template <class V>
void check_launches(int forward, int backward) {
  const Launches found = launches_of<V>();
  CHECK(found.forward == forward);
  CHECK(found.backward == backward);
}

}  // namespace

// docs/cuda.md shows these numbers as a table.
TEST_CASE("kernels and products of an adapted linear") {
  check_launches<Lora4>(3, 5);
  check_launches<Moe>(5, 7);
  check_launches<Hydra>(5, 7);
  check_launches<MoeSparse>(6, 11);
  check_launches<BranchToken>(6, 10);
  check_launches<Branch>(8, 12);
}

TEST_CASE("the number of branches changes no number of launches") {
  CHECK(launches_of<HydraLora<3, 4>>() == launches_of<HydraLora<3, 8>>());
  CHECK(launches_of<BranchLora<3, 4, 2>>() == launches_of<BranchLora<3, 16, 2>>());
}

#include "branchlora/adapter/adapted_linear.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/eigen/backend.hpp"

using namespace branchlora;

namespace {

using B = eigen::Backend<float>;

constexpr Index tokens = 40;
constexpr Index in = 70;
constexpr Index out = 45;

/// Hands `dy` to y as its gradient.
struct Seed {
  Var<float> y;
  MatrixView<float> dy;

  void backward(Tape<B>&) const {
    y.node()->grad = dy;
    y.node()->has_grad = true;
  }
};

/// The bits of a matrix.
void append(std::vector<float>& all, MatrixView<const float> m) {
  for (Index i = 0; i < m.rows; ++i) all.insert(all.end(), m.row(i), m.row(i) + m.cols);
}

/// One step of a layer with an adapter of variant V: the output, the gradient of the input, and
/// those of all parameters that train. `apart` makes the base's product first, an operation of its
/// own. The input has a gradient from elsewhere under `shared`.
template <class V>
std::vector<float> step(bool apart, bool shared, double dropout, int threads) {
  B backend(threads);
  ParameterSet<B> parameters(backend);
  AdaptedLinear<B> linear(parameters, "layer", in, out);
  const Random random(1);
  linear.base().initialize(random);
  linear.base().freeze();
  Hyper hyper;
  hyper.dropout = dropout;
  linear.attach(method_of<B, V>(), hyper, random);
  linear.adapter()->begin_task(0);
  auto& x = parameters.add("x", tokens, in);
  auto& dy = parameters.add("dy", tokens, out);
  auto& dx = parameters.add("dx", tokens, in);
  for (auto& p : parameters) {
    if (&p != &linear.base().weight()) nn::fill_normal(parameters, p, random, 1.0);
  }
  Sequences sequences;
  for (const Index length : {12, 1, 27}) sequences.push(length);
  const std::vector<std::int32_t> tasks(3, 0);
  const Routing routing{.sequences = &sequences, .tasks = tasks};

  Tape<B> tape(backend);
  const Var<float> input = tape.constant(x.value);
  input.node()->needs_grad = true;
  if (shared) {
    const auto sink = tape.gradient(input);
    backend.copy(dx.value, sink.view);
  }
  const Var<float> y = apart ? (*linear.adapter())(tape, input, linear.base()(tape, input), routing)
                             : linear(tape, input, routing);
  const Var<float> loss = tape.result(1, 1, y);
  tape.record(loss, Seed{y, dy.value});
  tape.backward(loss);
  std::vector<float> all;
  append(all, y.value());
  append(all, input.grad());
  for (auto& p : parameters) {
    if (p.trainable && p.has_grad) append(all, p.grad);
  }
  return all;
}

using Dense = MoeLora<4, 8>;
using Sparse = MoeLora<4, 8>::with<TopK<2>>;
using Shared = MoeLora<4, 8>::with<trunk::Shared, TopK<2>>;

}  // namespace

TEST_CASE_TEMPLATE("the adapter takes the frozen product along, to the same bits", V, Lora<8>,
                   Dense, Sparse, Shared, BranchLora<4, 8, 2>) {
  for (const bool shared : {false, true}) {
    for (const double dropout : {0.0, 0.1}) {
      const auto apart = step<V>(true, shared, dropout, 1);
      CHECK(apart.size() > tokens * (in + out) + in);
      for (const int threads : {1, 3}) {
        const auto together = step<V>(false, shared, dropout, threads);
        REQUIRE(together.size() == apart.size());
        CHECK(std::memcmp(together.data(), apart.data(), apart.size() * sizeof(float)) == 0);
      }
    }
  }
}

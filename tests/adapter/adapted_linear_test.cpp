#include "branchlora/adapter/adapted_linear.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/eigen/backend.hpp"

using namespace branchlora;

namespace {

using B = eigen::Backend<float>;

// More than one block of the packed product in each direction.
constexpr Index tokens = 303;
constexpr Index in = 290;
constexpr Index out = 275;
constexpr std::array<Index, 3> lengths{112, 1, 190};

/// Hands `dy` to y as its gradient.
struct Seed {
  Var<float> y;
  MatrixView<float> dy;

  void backward(Tape<B>&) const {
    y.node()->grad = dy;
    y.node()->has_grad = true;
  }
};

/// Appends the elements of a matrix.
void append(std::vector<float>& all, MatrixView<const float> m) {
  for (Index i = 0; i < m.rows; ++i) all.insert(all.end(), m.row(i), m.row(i) + m.cols);
}

struct StepResult {
  std::vector<float> dx;
  std::vector<float> rest;  ///< The output, and the gradients of all parameters that train.
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// One step of a layer with an adapter of variant V. `apart` makes the base's product first, an
/// operation of its own. The input has a gradient from elsewhere under `shared`.
template <class V>
StepResult step(bool apart, bool shared, double dropout, int threads,
                const std::vector<std::int32_t>& tasks = {0, 0, 0}) {
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
  if (tasks[0] > 0) linear.adapter()->begin_task(1);
  auto& x = parameters.add("x", tokens, in);
  auto& dy = parameters.add("dy", tokens, out);
  auto& dx = parameters.add("dx", tokens, in);
  for (auto& p : parameters) {
    if (&p != &linear.base().weight()) nn::fill_normal(parameters, p, random, 1.0);
  }
  Sequences sequences;
  for (const Index length : lengths) sequences.push(length);
  const RoutingContext routing{.sequences = &sequences, .tasks = tasks};

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
  StepResult result;
  append(result.dx, input.grad());
  append(result.rest, y.value());
  for (auto& p : parameters) {
    if (p.trainable && p.has_grad) append(result.rest, p.grad);
  }
  return result;
}

using Dense = MoeLora<4, 8>;
using Sparse = MoeLora<4, 8>::with<TopK<2>>;
using Shared = MoeLora<4, 8>::with<trunk::Shared, TopK<2>>;
using Balanced = Shared::with<balance::Switch>;
using SparseBalanced = Sparse::with<balance::Switch>;
using ByToken = BranchLora<4, 8, 2>::with<router::PerTask<router::Linear<per::Token>>>;

}  // namespace

TEST_CASE_TEMPLATE("an adapter fused with the frozen product has the same bits", V, Lora<8>, Dense,
                   Sparse, Shared, Balanced, SparseBalanced, ByToken, BranchLora<4, 8, 2>) {
  constexpr bool of_sequences = V::Granularity::per_sequence && V::per_task_router;
  for (const bool shared : {false, true}) {
    for (const double dropout : {0.0, 0.1}) {
      const StepResult apart = step<V>(true, shared, dropout, 1);
      CHECK(apart.dx.size() == tokens * in);
      CHECK(apart.rest.size() > tokens * out + in);
      const StepResult alone = step<V>(false, shared, dropout, 1);
      CHECK(same_bits(alone.rest, apart.rest));
      // Dropout sends the adapter an input of its own, so the product is made apart all the same.
      if (!of_sequences || dropout > 0) CHECK(same_bits(alone.dx, apart.dx));
      const StepResult threads = step<V>(false, shared, dropout, 3);
      CHECK(same_bits(threads.rest, alone.rest));
      CHECK(same_bits(threads.dx, alone.dx));
    }
  }
}

TEST_CASE_TEMPLATE("so it does where sequences have routers of their own", V, ByToken,
                   BranchLora<4, 8, 2>) {
  const std::vector<std::int32_t> tasks{1, 0, 1};
  for (const bool shared : {false, true}) {
    const StepResult apart = step<V>(true, shared, 0.0, 1, tasks);
    const StepResult alone = step<V>(false, shared, 0.0, 1, tasks);
    CHECK(same_bits(alone.rest, apart.rest));
    if (!V::Granularity::per_sequence) CHECK(same_bits(alone.dx, apart.dx));
    const StepResult threads = step<V>(false, shared, 0.0, 3, tasks);
    CHECK(same_bits(threads.rest, alone.rest));
    CHECK(same_bits(threads.dx, alone.dx));
  }
}

TEST_CASE(
    "what a router of sequences adds to the gradient of x comes after the product, not before") {
  // In rows that no router reads, bits are the same. In the others four parts are summed up in one
  // order or another, each with three roundings of partial sums that are at most four times the
  // largest element here: 2 * 3 * (eps / 2) * 4 of that is a bound.
  std::array<bool, tokens> read{};
  Index first = 0;
  for (const Index length : lengths) {
    read[static_cast<std::size_t>(first)] = true;
    first += length;
  }
  for (const bool shared : {false, true}) {
    const StepResult apart = step<BranchLora<4, 8, 2>>(true, shared, 0.0, 1);
    const StepResult together = step<BranchLora<4, 8, 2>>(false, shared, 0.0, 1);
    REQUIRE(together.dx.size() == tokens * in);
    float largest = 0;
    for (const float value : apart.dx) largest = std::max(largest, std::abs(value));
    const float bound = 12 * std::numeric_limits<float>::epsilon() * largest;
    for (std::size_t i = 0; i < apart.dx.size(); ++i) {
      const float difference = std::abs(together.dx[i] - apart.dx[i]);
      CHECK(difference <= (read[i / in] ? bound : 0.0F));
    }
  }
}

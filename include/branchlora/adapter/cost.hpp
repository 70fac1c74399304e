/// @file
/// What a variant costs, known before it runs: parameters, floating-point operations, and bytes of
/// optimizer state, for one adapted linear.
#pragma once

#include <concepts>
#include <cstdint>

namespace branchlora {

/// What the costs depend on; every `Adapter` has it.
template <class V>
concept Costed = requires {
  { V::rank } -> std::convertible_to<int>;
  { V::top_k } -> std::convertible_to<int>;
  { V::a_rows } -> std::convertible_to<int>;
  { V::b_rows } -> std::convertible_to<int>;
  { V::gate_rows } -> std::convertible_to<int>;
  { V::gate_biases } -> std::convertible_to<int>;
  { V::Trunk::rows(1, 1) } -> std::same_as<int>;
  { V::Granularity::per_sequence } -> std::convertible_to<bool>;
};

/// Trainable parameters, the router on its own line.
struct Parameters {
  std::int64_t a = 0;  ///< All A's: a_rows x d_in.
  std::int64_t b = 0;  ///< All B's: d_out x b_rows.
  /// One router: gate_rows x d_in, and gate_biases. Per-task routers add one a task.
  std::int64_t router = 0;
  std::int64_t magnitude = 0;  ///< DoRA's m: d_out.
  std::int64_t shared = 0;     ///< What the routers of all tasks have in common.
  std::int64_t transform = 0;  ///< One task's matrix in the trunk; each task adds one, as a router.

  /// What is no task's and no router's.
  constexpr std::int64_t adapter() const { return a + b + magnitude; }
  /// The adapter and `routers` routers, with the matrices of as many tasks. One is what a task
  /// trains; after t tasks with per-task routers a model holds t.
  constexpr std::int64_t total(std::int64_t routers = 1) const {
    return adapter() + shared + routers * (router + transform);
  }

  constexpr Parameters& operator+=(const Parameters& other) {
    a += other.a;
    b += other.b;
    router += other.router;
    magnitude += other.magnitude;
    shared += other.shared;
    transform += other.transform;
    return *this;
  }
  friend constexpr Parameters operator*(std::int64_t n, const Parameters& p) {
    return {n * p.a, n * p.b, n * p.router, n * p.magnitude, n * p.shared, n * p.transform};
  }
  bool operator==(const Parameters&) const = default;
};

/// Operations of one pass forward and one backward. A multiplication and an addition count as two.
struct Work {
  std::int64_t forward = 0;
  std::int64_t backward = 0;

  constexpr Work& operator+=(const Work& other) {
    forward += other.forward;
    backward += other.backward;
    return *this;
  }
  friend constexpr Work operator*(std::int64_t n, const Work& w) {
    return {n * w.forward, n * w.backward};
  }
  bool operator==(const Work&) const = default;
};

/// Operations of an adapted linear: what the adapter adds, and what the frozen linear takes alone.
struct Flops {
  Work adapter;
  Work frozen;

  /// Operations of the adapter for each of the frozen linear, forward.
  constexpr double forward_overhead() const {
    return static_cast<double>(adapter.forward) / static_cast<double>(frozen.forward);
  }
  /// The same, backward.
  constexpr double backward_overhead() const {
    return static_cast<double>(adapter.backward) / static_cast<double>(frozen.backward);
  }

  constexpr Flops& operator+=(const Flops& other) {
    adapter += other.adapter;
    frozen += other.frozen;
    return *this;
  }
  friend constexpr Flops operator*(std::int64_t n, const Flops& f) {
    return {n * f.adapter, n * f.frozen};
  }
  bool operator==(const Flops&) const = default;
};

/// What knows its own costs: every `Adapter`, and the variants that bring a layer of their own.
template <class V>
concept Priced = requires(std::int64_t n) {
  { V::parameters(n, n) } -> std::same_as<Parameters>;
  { V::flops(n, n, n, n) } -> std::same_as<Flops>;
  { V::optimizer_bytes(n, n) } -> std::same_as<std::int64_t>;
};

/// What differs from block to block of a model: `at(block, blocks, f)` calls f with the
/// `std::type_identity` of the variant of that block, and returns what it does.
template <class V>
concept VariesByBlock = requires {
  requires V::varies_by_block;
};

/// Trainable parameters of `V` beside a linear of `d_in` inputs and `d_out` outputs.
template <Costed V>
constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
  Parameters p{V::a_rows * d_in, V::b_rows * d_out, V::gate_rows * d_in + V::gate_biases};
  if constexpr (requires { V::Router::width(1, d_in); }) {
    p.router = V::Router::width(V::gate_rows, d_in);
    if (V::Router::mapped && !V::Router::drawn) {
      p.shared = V::gate_rows * (p.router + (V::Router::bias ? 1 : 0));
    }
  }
  if constexpr (requires { V::Transform::enabled; }) {
    p.transform = V::Transform::parameters(V::rank);
  }
  return p;
}

/// Operations of `V` beside a linear of `d_in` inputs and `d_out` outputs, over `tokens` tokens in
/// `sequences` sequences.
///
/// Counted are the matrix products: down (rows of the chosen branches only), a task's matrix in the
/// trunk, the router (over tokens, or over sequences where it is that coarse), up (chosen branches
/// only); backward, each of them once for its weight and once for its input. The frozen linear, and
/// what a start takes off it, go backward to their input alone. Not counted is what is no product:
/// the mix, softmax and top-k, the mean over tokens, dropout, a loss of the router's own, the
/// optimizer. No branch is taken to be frozen: a frozen one saves its share of the gradient of B.
template <Costed V>
constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                      std::int64_t sequences = 1) {
  const std::int64_t routed = V::Granularity::per_sequence ? sequences : tokens;
  const std::int64_t down = 2 * tokens * d_in * V::Trunk::rows(V::rank, V::top_k);
  std::int64_t route = 2 * routed * d_in * V::gate_rows;
  if constexpr (requires { V::Router::width(1, d_in); }) {
    route =
        V::Router::mapped ? 2 * sequences * V::Router::width(V::gate_rows, d_in) * V::gate_rows : 0;
  }
  if constexpr (requires { V::Transform::enabled; }) {
    route += 2 * tokens * V::Transform::parameters(V::rank);
  }
  const std::int64_t up = 2 * tokens * d_out * V::rank * V::top_k;
  const std::int64_t forward = down + route + up;
  const std::int64_t frozen = 2 * tokens * d_in * d_out;
  // The constant factors of a start go backward to their input alone.
  std::int64_t start = 0;
  if constexpr (requires { V::residual; }) start = V::residual ? down + up : 0;
  return {{forward + start, 2 * forward + start}, {frozen, frozen}};
}

/// Bytes that training a float parameter with AdamW takes: the master copy, its gradient and two
/// moments.
inline constexpr std::int64_t adamw_bytes = 4 * sizeof(float);

/// Bytes of float weights, gradients and AdamW moments of `V` beside one linear, with one router.
template <Costed V>
constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
  return adamw_bytes * parameters<V>(d_in, d_out).total();
}

}  // namespace branchlora

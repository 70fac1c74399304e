/// @file
/// What an adapter of the engine is as a weight.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "branchlora/adapter/layer_pass.hpp"

namespace branchlora {

/// W -= s B0^T A0 of a branch, where a start is taken off.
template <Backend B, class V>
void take_off_start(const LayerPass<B, V>& layer, MatrixView<typename B::Scalar> weight,
                    Index branch) {
  using T = typename B::Scalar;
  if constexpr (LayerPass<B, V>::residual) {
    layer.factors.backend().gemm(Op::transpose, Op::none, -layer.scale, layer.start.b(branch).value,
                                 layer.start.a(branch).value, T(1), weight);
  }
}

/// W += s B^T A, for a variant without gates; W is d_out x d_in.
template <Backend B, class V>
void merge_layer(const LayerPass<B, V>& layer, MatrixView<typename B::Scalar> weight) {
  using T = typename B::Scalar;
  const auto& factors = layer.factors;
  factors.backend().gemm(Op::transpose, Op::none, layer.scale, factors.up(), factors.down(), T(1),
                         weight);
  take_off_start(layer, weight, 0);
}

/// W += s B^T M A, with M what the gates and the matrix of `task` make of u, for a variant whose
/// gates know the task alone, or nothing. Throws `Error` if the task has not begun.
template <Backend B, class V>
void merge_layer_of_task(const LayerPass<B, V>& layer, MatrixView<typename B::Scalar> weight,
                         Index task) {
  using T = typename B::Scalar;
  const auto& factors = layer.factors;
  auto& backend = factors.backend();
  Tape<B> tape(backend);
  tape.set_recording(false);
  // The rows of the identity go through the mix as the tokens of one sequence.
  std::vector<T> identity(V::a_rows * V::a_rows);
  for (Index i = 0; i < V::a_rows; ++i) identity[static_cast<std::size_t>(i * (V::a_rows + 1))] = 1;
  MatrixView<T> u{tape.upload(std::span<const T>(identity)), V::a_rows, V::a_rows};
  Sequences sequences;
  sequences.push(V::a_rows);
  const auto tasks = std::array{static_cast<std::int32_t>(task)};
  const auto x = tape.constant(factors.down());
  const auto g = layer.gate.open(tape, x, {.sequences = &sequences, .tasks = tasks}, {});
  Plan<B> plan;
  layer.gate.forward(plan, tape, x, g);
  fused::do_work(backend, plan.begin(backend, V::a_rows), V::a_rows);
  if constexpr (V::Transform::enabled) u = layer.transform.forward(tape, g, u);
  const auto z = tape.scratch(V::a_rows, V::b_rows);
  using Mix = typename LayerPass<B, V>::Mix;
  gate::for_tokens(backend, g, 0, V::a_rows, mix::Forward<Mix, T>{u, z});
  const auto down = tape.scratch(V::b_rows, weight.cols);
  backend.gemm(Op::transpose, Op::none, T(1), z, factors.down(), T(0), down);
  backend.gemm(Op::transpose, Op::none, layer.scale, factors.up(), down, T(1), weight);
  take_off_start(layer, weight, task);
}

}  // namespace branchlora

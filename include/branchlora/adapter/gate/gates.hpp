/// @file
/// Every gate, and what the engine asks of one.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/block_gate.hpp"
#include "branchlora/adapter/gate/gate_layer.hpp"
#include "branchlora/adapter/gate/no_gate.hpp"
#include "branchlora/adapter/gate/scores/linear.hpp"
#include "branchlora/adapter/gate/scores/of_task.hpp"
#include "branchlora/adapter/gate/uniform_gate.hpp"

namespace branchlora {

/// What the engine asks of the template `Gate<B, V>` that a router policy names. `GateLayer` says
/// what each member does; a gate of one's own is most often a `GateLayer` with scores of one's own.
///
/// - `Pass`, what the backward pass needs of the gates of a batch, derived from `GatePass`;
/// - `below_a`, whether its router lies below A (then `adopt(parameter)` takes it), and `rowwise`,
///   whether the gates of some tokens can be made without the others;
/// - `begin_task`, `end_task`, `trains`, `routers`, `allowed`, `state` and `restore`, between
///   batches; `begin_stage` too under a supervision policy;
/// - `open`, `forward`, `end_forward`, `gradients`, `backward` and `end_backward`, for a batch.
template <class G, class B>
concept GateOf = requires(G gate, const G constant, Tape<B>& tape, Plan<B>& plan,
                          Var<typename B::Scalar> x, const RoutingContext& context,
                          MatrixView<typename B::Scalar> m, typename G::Pass& pass,
                          GateGradients<typename B::Scalar>& d,
                          std::span<const std::uint64_t> state) {
  { G::below_a } -> std::convertible_to<bool>;
  { G::rowwise } -> std::convertible_to<bool>;
  gate.begin_task(Index{0}, BranchSet{1});
  gate.end_task();
  { constant.trains() } -> std::same_as<bool>;
  { constant.routers() } -> std::same_as<Index>;
  { constant.allowed(Index{0}) } -> std::same_as<BranchSet>;
  { constant.state() } -> std::same_as<std::vector<std::uint64_t>>;
  gate.restore(state);
  { gate.open(tape, x, context, m) } -> std::same_as<typename G::Pass>;
  constant.forward(plan, tape, x, pass, gate::NoMix{});
  gate.end_forward(tape, m, context, pass);
  { gate.gradients(tape, pass, Index{1}, m) } -> std::same_as<GateGradients<typename B::Scalar>>;
  constant.backward(plan, tape, x, pass, d, gate::NoMix{});
  constant.end_backward(tape, x, pass, d);
};

}  // namespace branchlora

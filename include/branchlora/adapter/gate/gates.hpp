/// @file
/// Every gate, and what the engine asks of one.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/block_gate.hpp"
#include "branchlora/adapter/gate/gate_layer.hpp"
#include "branchlora/adapter/gate/no_gate.hpp"
#include "branchlora/adapter/gate/own_branch_gate.hpp"
#include "branchlora/adapter/gate/scores/linear.hpp"
#include "branchlora/adapter/gate/scores/of_task.hpp"
#include "branchlora/adapter/gate/uniform_gate.hpp"
#include "branchlora/adapter/gate/weighed_branches_gate.hpp"

namespace branchlora {

/// Whether `G` has each member of a `GateOf`; if not, an error for it where `say` holds.
template <class G, class B, bool say = false>
consteval bool check_gate() {
  using T = typename B::Scalar;
  constexpr bool made = std::constructible_from<G, ParameterSet<B>&, const std::string&, Index,
                                                const Hyper&, const Random&>;
  static_assert(made || !say,
                "A router's Gate lacks the constructor `(ParameterSet<B>& parameters, const "
                "std::string& name, Index d_in, const Hyper& hyper, const Random& random)`.");
  constexpr bool has_pass = requires(typename G::Pass p) {
    p.weights;
    p.chosen;
  };
  static_assert(
      has_pass || !say,
      "A router's Gate lacks `using Pass`: the gates of a batch, a type derived from GatePass.");
  constexpr bool below_a = requires {
    { G::below_a } -> std::convertible_to<bool>;
  };
  static_assert(
      below_a || !say,
      "A router's Gate lacks `static constexpr bool below_a`: whether its router lies below A.");
  constexpr bool adopts = !below_a || requires(G g, Parameter<T> & weight) {
    requires !G::below_a || requires { g.adopt(weight); };
  };
  static_assert(
      adopts || !say,
      "A router's Gate below A lacks `void adopt(Parameter<T>& weight)`: called with the router.");
  constexpr bool rowwise = requires {
    { G::rowwise } -> std::convertible_to<bool>;
  };
  static_assert(rowwise || !say,
                "A router's Gate lacks `static constexpr bool rowwise`: whether some tokens' gates "
                "need no others.");
  constexpr bool begin_task = requires(G g) { g.begin_task(Index{0}, BranchSet{1}); };
  static_assert(begin_task || !say,
                "A router's Gate lacks `void begin_task(Index task, BranchSet allowed)`: called "
                "when a task begins.");
  constexpr bool end_task = requires(G g) { g.end_task(); };
  static_assert(end_task || !say,
                "A router's Gate lacks `void end_task()`: called when a task ends.");
  constexpr bool trains = requires(const G g) {
    { g.trains() } -> std::same_as<bool>;
  };
  static_assert(trains || !say,
                "A router's Gate lacks `bool trains() const`: whether a router trains.");
  constexpr bool routers = requires(const G g) {
    { g.routers() } -> std::same_as<Index>;
  };
  static_assert(routers || !say,
                "A router's Gate lacks `Index routers() const`: how many routers there are.");
  constexpr bool allowed = requires(const G g) {
    { g.allowed(Index{0}) } -> std::same_as<BranchSet>;
  };
  static_assert(allowed || !say,
                "A router's Gate lacks `BranchSet allowed(Index task) const`: the branches that a "
                "router may choose.");
  constexpr bool state = requires(const G g) {
    { g.state() } -> std::same_as<std::vector<std::uint64_t>>;
  };
  static_assert(
      state || !say,
      "A router's Gate lacks `std::vector<std::uint64_t> state() const`: what is in no parameter.");
  constexpr bool restore = requires(G g, std::span<const std::uint64_t> s) { g.restore(s); };
  static_assert(
      restore || !say,
      "A router's Gate lacks `void restore(std::span<const std::uint64_t> state)`: called "
      "with what state() gave.");
  constexpr bool open =
      requires(G g, Tape<B> & tape, Var<T> x, const RoutingContext& context, MatrixView<T> below) {
    { g.open(tape, x, context, below) } -> std::same_as<typename G::Pass>;
  };
  static_assert(open || !has_pass || !say,
                "A router's Gate lacks `Pass open(Tape<B>& tape, Var<T> x, const RoutingContext& "
                "context, MatrixView<T> below)`: memory for a batch.");
  constexpr bool forward =
      requires(const G g, Plan<B>& plan, Tape<B>& tape, Var<T> x, const typename G::Pass& pass) {
    g.forward(plan, tape, x, pass, gate::NoMix{});
  };
  static_assert(forward || !has_pass || !say,
                "A router's Gate lacks `void forward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const "
                "Pass& pass, const Mix& mix) const`: adds the steps that make gates.");
  constexpr bool end_forward = requires(G g, Tape<B> & tape, MatrixView<const T> x,
                                        const RoutingContext& context, typename G::Pass& pass) {
    g.end_forward(tape, x, context, pass);
  };
  static_assert(end_forward || !has_pass || !say,
                "A router's Gate lacks `void end_forward(Tape<B>& tape, MatrixView<const T> x, "
                "const RoutingContext& context, Pass& pass)`: called when all gates are there.");
  constexpr bool gradients =
      requires(G g, Tape<B> & tape, const typename G::Pass& pass, MatrixView<T> below) {
    { g.gradients(tape, pass, Index{1}, below) } -> std::same_as<GateGradients<T>>;
  };
  static_assert(gradients || !has_pass || !say,
                "A router's Gate lacks `GateGradients<T> gradients(Tape<B>& tape, const Pass& "
                "pass, Index tokens, MatrixView<T> below)`: memory for gradients.");
  constexpr bool backward = requires(const G g, Plan<B>& plan, Tape<B>& tape, Var<T> x,
                                     const typename G::Pass& pass, GateGradients<T>& d) {
    g.backward(plan, tape, x, pass, d, gate::NoMix{});
  };
  static_assert(
      backward || !has_pass || !say,
      "A router's Gate lacks `void backward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const Pass& "
      "pass, GateGradients<T>& d, const Unmix& unmix) const`: adds the steps from gates to x.");
  constexpr bool end_backward = requires(const G g, Tape<B>& tape, Var<T> x,
                                         const typename G::Pass& pass, GateGradients<T>& d) {
    g.end_backward(tape, x, pass, d);
  };
  static_assert(end_backward || !has_pass || !say,
                "A router's Gate lacks `void end_backward(Tape<B>& tape, Var<T> x, const Pass& "
                "pass, GateGradients<T>& d) const`: called when all gradients of gates are there.");
  return made && has_pass && below_a && adopts && rowwise && begin_task && end_task && trains &&
         routers && allowed && state && restore && open && forward && end_forward && gradients &&
         backward && end_backward;
}

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
concept GateOf = check_gate<G, B>();

}  // namespace branchlora

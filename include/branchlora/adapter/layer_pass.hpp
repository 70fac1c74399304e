/// @file
/// What an adapter computes: the equation of both passes, step by step. Longer than other headers,
/// since the steps of one pass are read beside those of the other.
#pragma once

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include "branchlora/adapter/adapter.hpp"
#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/mix/branch_mix.hpp"
#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/adapter/start_pair.hpp"
#include "branchlora/adapter/task_transform.hpp"
#include "branchlora/core/plan.hpp"

namespace branchlora {

/// One adapter of variant `V` beside a frozen linear layer of d_in inputs and d_out outputs:
///
///     u = A x           down: A has V::a_rows rows (one block of `rank` rows a branch, or one
///                       shared trunk)
///     g = gate(R x)     of a token, or of a sequence
///     v = Lambda_t u    where the transform policy says so, for the task t
///     z = mix(v, g)     V::b_rows scalars a token, zero for branches that were not chosen
///     y += s B z
///     y -= s B0 A0 x    where a start is taken off the frozen weight
///
/// with the policies deciding every step. B is stored transposed, b_rows x d_out, so that every
/// factor has few long rows and the three skinny products of the backend serve both directions.
/// Each pass is a `Plan`; whether its steps are done on all rows one after the other, or on some
/// rows at a time between parts of the frozen product, is the plan's and the backend's concern.
template <Backend B, class V>
struct LayerPass {
  using T = typename B::Scalar;
  static_assert(
      requires { typename V::Router::template Gate<B, V>; },
      "A router lacks `template <class B, class V> using Gate`: the gate that it makes.");
  using Gate = typename V::Router::template Gate<B, V>;
  static_assert(check_gate<Gate, B, true>(), "A router's Gate is not what GateOf asks for.");
  static_assert(
      !V::Supervision::enabled || requires(Gate g) { g.begin_stage(Stage{}); },
      "A supervised router's Gate lacks `void begin_stage(const Stage& stage)`: called when a "
      "stage begins.");
  using Mix = mix::BranchMix<V::Trunk::shared, V::rank, V::capacity, V::top_k>;
  static constexpr bool routed = !std::same_as<Gate, NoGate<B, V>>;
  static constexpr bool sparse = !V::dense;
  static constexpr bool transformed = V::Transform::enabled;
  /// Whether the frozen weight is the residual of a start.
  static constexpr bool residual = V::residual;
  /// Rows of a router right below A, so that one product makes u and the scores.
  static constexpr Index below = Gate::below_a ? V::gate_rows : 0;
  /// Whether the mix is fused into the gate's step: u depends on no choice, so that a token is
  /// mixed right after its gates are known.
  static constexpr bool mixes_in_gate =
      Gate::rowwise && (V::Trunk::shared || !sparse) && !transformed;

  LayerPass(ParameterSet<B>& parameters, const std::string& name_, Index d_in, Index d_out,
            const Hyper& hyper, const Random& random)
      : name(name_),
        scale(static_cast<T>(V::scale(hyper))),
        gate(parameters, name_, d_in, hyper, random),
        transform(parameters, name_),
        factors(parameters, name_,
                {.d_in = d_in,
                 .d_out = d_out,
                 .rank = V::rank,
                 .branches = V::capacity,
                 .shared = V::Trunk::shared,
                 .router_rows = below},
                random, init::Drawn<typename V::Init>{}),
        start(parameters, name_, d_in, d_out, V::rank, V::capacity) {
    if constexpr (Gate::below_a) gate.adopt(*factors.router());
  }

  /// What the backward pass needs of the forward pass.
  struct Pass {
    LayerPass* layer;
    const typename B::FrozenWeight* base;  ///< If y is made here: what x is multiplied by.
    Var<T> x, y, out;
    MatrixView<T> down;     ///< u, and beside it the scores of a router below A.
    MatrixView<T> u, v, z;  ///< One row a token.
    MatrixView<T> u0;       ///< A0 x, where a start is taken off.
    typename Gate::Pass gates;

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  /// What the backward pass makes. `a` and `b` are where the gradients of A and B go, if they
  /// train.
  struct Gradients {
    MatrixView<const T> y;
    MatrixView<T> z, down, u, u0;
    GradientSink<T> b, a;
    GateGradients<T> gates;
  };

  /// y = x W + s mix(x A, gate(x R)) B, with y already made or still to be made, of x and `base`.
  /// Returns it with the gates of all units.
  std::pair<Var<T>, MatrixView<T>> forward(Tape<B>& tape, Var<T> x, Var<T> y,
                                           const typename B::FrozenWeight* base,
                                           const RoutingContext& context) {
    Pass p = open(tape, x, y, base, context);
    const mix::Forward<Mix, T> mixing{p.u, p.z};
    Plan<B> plan;
    if constexpr (!mixes_in_gate) gate.forward(plan, tape, x, p.gates);          // g = gate(R x)
    plan.rowwise(x.value(), [&](B& b, Index t, Index n) { to_u(b, p, t, n); });  // u = A x
    if constexpr (transformed) plan.batch([&] { to_v(tape, p); });               // v = Lambda_t u
    if constexpr (mixes_in_gate) {
      gate.forward(plan, tape, x, p.gates, mixing);  // g, and z = mix(u, g)
    } else {
      plan.rowwise({}, [&](B& b, Index t, Index n) { to_z(b, p, t, n); });  // z = mix(v, g)
    }
    to_y(tape.backend(), p, plan);  // y = x W + s z B
    gate.end_forward(tape, x.value(), context, p.gates);
    const bool trains = factors.a_trains() || factors.b_trains() || gate.trains();
    tape.finish(p, y.value(), x.needs_grad() || y.needs_grad() || trains);
    return {p.out, p.gates.weights};
  }

  void backward(Tape<B>& tape, const Pass& p) {
    Gradients d = open_backward(tape, p);
    const mix::Backward<Mix, T> unmixing{p.v, d.z, d.u, d.gates.gates};
    Plan<B> plan;
    plan.rowwise(d.y, [&](B& b, Index t, Index n) { to_dz(b, p, d, t, n); });  // dz = s dy B
    plan.sum(d.y, [&](B& b, Index t, Index n) { sum_b(b, p, d, t, n); });      // dB += s dy z
    // dv, dg = mix'(dz), then d(R x) and dR += d(R x) x
    gate.backward(plan, tape, p.x, p.gates, d.gates, unmixing);
    if constexpr (transformed) plan.batch([&] { to_du(tape, p, d); });  // du = dv Lambda_t
    plan.sum(p.x.value(), [&](B& b, Index t, Index n) { sum_a(b, p, d, t, n); });  // dA += du x
    to_dx(tape, p, d, plan);  // dx = dy W + du A + d(R x) R
    gate.end_backward(tape, p.x, p.gates, d.gates);
  }

  // The steps, each for the rows `t .. t + n`.

  void to_u(B& backend, const Pass& p, Index t, Index n) const {
    backend.skinny_dot(p.x.value().middle_rows(t, n), factors.down_and_router(), T(1),
                       p.down.middle_rows(t, n), false, chosen_in_a(p).from(t));
    if constexpr (residual) {
      backend.skinny_dot(p.x.value().middle_rows(t, n), start.down(), T(1), p.u0.middle_rows(t, n),
                         false, chosen_in_a(p).from(t));
    }
  }
  void to_v(Tape<B>& tape, Pass& p) const { p.v = transform.forward(tape, p.gates, p.u); }
  void to_z(B& backend, const Pass& p, Index t, Index n) const {
    gate::for_tokens(backend, p.gates, t, n, mix::Forward<Mix, T>{p.v, p.z});
  }
  void to_y(B& backend, const Pass& p, const Plan<B>& plan) const {
    LowRankTerms<T> terms{LowRankTerm<T>{p.z, factors.up(), scale, chosen_in_b(p)}};
    if constexpr (residual) terms[1] = {p.u0, start.up(), -scale, chosen_in_b(p)};
    const MatrixView<const T> x = p.x.value();
    const RowWork<B> work = plan.begin(backend, x.rows);
    if (p.base != nullptr) {
      fused::frozen_forward(backend, x, *p.base, p.y.value(), terms, work);
    } else {
      fused::do_work(backend, work, x.rows);
      fused::add_terms(backend, terms, p.y.value(), true);
    }
  }

  void to_dz(B& backend, const Pass& p, const Gradients& d, Index t, Index n) const {
    backend.skinny_dot(d.y.middle_rows(t, n), factors.up(), scale, d.z.middle_rows(t, n), false,
                       chosen_in_b(p).from(t));
    if constexpr (residual) {
      backend.skinny_dot(d.y.middle_rows(t, n), start.up(), -scale, d.u0.middle_rows(t, n), false,
                         chosen_in_b(p).from(t));
    }
  }
  void sum_b(B& backend, const Pass& p, const Gradients& d, Index t, Index n) const {
    if (d.b.view.empty()) return;
    backend.skinny_outer(p.z.middle_rows(t, n), d.y.middle_rows(t, n), scale, d.b.view,
                         d.b.add || t > 0, chosen_in_b(p).from(t));
  }
  void to_du(Tape<B>& tape, const Pass& p, Gradients& d) const {
    d.u = transform.backward(tape, p.gates, p.u, d.u);
  }
  void sum_a(B& backend, const Pass& p, const Gradients& d, Index t, Index n) const {
    if (d.a.view.empty()) return;
    backend.skinny_outer((below > 0 ? d.down : d.u).middle_rows(t, n),
                         p.x.value().middle_rows(t, n), T(1), d.a.view, d.a.add || t > 0,
                         chosen_in_a(p).from(t));
  }
  void to_dx(Tape<B>& tape, const Pass& p, const Gradients& d, const Plan<B>& plan) const {
    auto& backend = tape.backend();
    const RowWork<B> work = plan.begin(backend, p.x.rows());
    LowRankTerms<T> terms{
        LowRankTerm<T>{below > 0 ? d.down : d.u, factors.down_and_router(), T(1), chosen_in_a(p)}};
    if (!d.gates.router.empty()) terms[1] = {d.gates.logits, d.gates.router, T(1), {}};
    if constexpr (residual) terms[1] = {d.u0, start.down(), T(1), chosen_in_a(p)};
    if (p.x.needs_grad() && p.base != nullptr) {
      const auto dx = tape.gradient(p.x);
      fused::frozen_backward(backend, d.y, *p.base, dx.view, dx.add, terms, work);
      return;
    }
    fused::do_work(backend, work, p.x.rows());
    if (!p.x.needs_grad()) return;
    const auto dx = tape.gradient(p.x);
    fused::add_terms(backend, terms, dx.view, dx.add);
  }

  // Memory of the passes.

  Pass open(Tape<B>& tape, Var<T> x, Var<T> y, const typename B::FrozenWeight* base,
            const RoutingContext& context) {
    Pass p{this, base, x, y, {}, {}, {}, {}, {}, {}, {}};
    p.down = tape.scratch(x.rows(), V::a_rows + below);
    p.u = p.v = p.z = p.down.middle_cols(0, V::a_rows);
    if constexpr (residual) p.u0 = tape.scratch(x.rows(), V::a_rows);
    if constexpr (routed) {
      expect_context(context, x.rows());
      p.z = tape.scratch(x.rows(), V::b_rows);
      p.gates = gate.open(tape, x, context, beside_u(p.down));
    }
    return p;
  }

  Gradients open_backward(Tape<B>& tape, const Pass& p) {
    tape.share_gradient(p.out, p.y);
    const Index tokens = p.out.rows();
    Gradients d;
    d.y = p.out.grad();
    d.z = tape.scratch(tokens, V::b_rows);
    d.down = tape.scratch(tokens, p.down.cols);
    d.u = routed ? d.down.middle_cols(0, V::a_rows) : d.z;
    if constexpr (residual) d.u0 = tape.scratch(tokens, V::b_rows);
    if (factors.b_trains()) d.b = factors.b_gradient();
    if (factors.a_trains() || (below > 0 && gate.trains())) d.a = factors.a_gradient();
    d.gates = gate.gradients(tape, p.gates, tokens, beside_u(d.down));
    return d;
  }

  /// The columns of scores beside those of u; none, unless the router lies below A.
  static MatrixView<T> beside_u(MatrixView<T> down) {
    return below > 0 ? down.middle_cols(V::a_rows, below) : MatrixView<T>{};
  }

  void expect_context(const RoutingContext& context, Index tokens) const {
    expect_sequences(context, tokens, name);
    if (V::per_task_router || (V::labelled && context.supervise)) {
      expect(std::ssize(context.tasks) == context.sequences->count(),
             "{}: expected a task for each of {} sequences, found {}", name,
             context.sequences->count(), context.tasks.size());
    }
    expect(mixes_tasks<typename V::Selector> || context.task_weights.empty(),
           "{}: expected one task of each sequence, found weights of several", name);
  }

  /// The rows of A, and of B, that each token uses: those of the branches that it chose.
  static Chosen chosen_in_a(const Pass& p) { return V::Trunk::shared ? Chosen{} : chosen_in_b(p); }
  static Chosen chosen_in_b(const Pass& p) {
    return routed && sparse ? Chosen{p.gates.chosen, V::top_k, V::rank, true} : Chosen{};
  }

  std::string name;
  T scale;
  Gate gate;
  TaskTransform<B, V> transform;
  LowRank<B> factors;
  std::conditional_t<residual, StartPair<B>, NoStartPair<B>> start;
};

}  // namespace branchlora

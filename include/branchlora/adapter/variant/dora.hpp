/// @file
/// DoRA: Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/plain_adapter.hpp"

namespace branchlora {

template <Backend B, class V>
class DoraLayer;

/// y = m / n * (W x + s B A x), row by row, with n_o = ||row o of W + s B A|| and s = alpha / R; m
/// of d_out, A of R x d_in, B of d_out x R. m starts as the norms of W's rows and A and B as LoRA's
/// do, so that a new adapter changes nothing. n counts as given: no gradient goes through it, as in
/// the paper's section on cost and in PEFT.
///
/// Our reading: dropout is on the input of A alone; PEFT drops the inputs of W here too. Weight
/// decay leaves m alone, since it would pull the base weight to zero.
///
/// Every pass, also in evaluation, computes n anew, which costs what R tokens cost in the frozen
/// linear.
template <int R>
struct Dora : PlainVariant {
  static_assert(R >= 1, "The R of Dora<R> must be at least 1.");
  static constexpr int rank = R;
  static constexpr bool reads_weight = true;

  template <Backend B>
  using Layer = DoraLayer<B, Dora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }
  /// Trainable parameters beside a linear: LoRA's and d_out.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return {R * d_in, R * d_out, 0, d_out};
  }
  /// Operations beside a linear: LoRA's and, forward, the norms.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t /*sequences*/ = 1) {
    const std::int64_t lora = 2 * tokens * R * (d_in + d_out);
    const std::int64_t norms = 2 * R * d_in * d_out + 2 * R * R * (d_in + d_out);
    const std::int64_t frozen = 2 * tokens * d_in * d_out;
    return {{lora + norms, 2 * lora}, {frozen, frozen}};
  }
  /// Bytes of AdamW training beside a linear.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return adamw_bytes * parameters(d_in, d_out).total();
  }
  static std::string describe() { return fmt::format("Dora<{}>", R); }
  bool operator==(const Dora&) const = default;
};

/// LoRA's settings: the paper gives none that hold for all models.
inline constexpr Hyper dora_hyper{.alpha = 16.0, .dropout = 0.05};

/// The adapter of `Dora`.
template <Backend B, class V>
class DoraLayer final : public PlainAdapter<B> {
 public:
  using T = typename B::Scalar;

  /// `weight` is the frozen linear's, d_out x d_in, of which the norms are taken here.
  DoraLayer(ParameterSet<B>& parameters, const std::string& name, MatrixView<const T> weight,
            const Hyper& hyper, const Random& random)
      : PlainAdapter<B>(name),
        parameters_(&parameters),
        weight_(weight),
        dropout_(hyper.dropout),
        scale_(static_cast<T>(V::scale(hyper))),
        pair_(parameters, name, {.d_in = weight.cols, .d_out = weight.rows, .rank = V::rank},
              random),
        magnitude_(&parameters.add(name + ".lora_magnitude", 1, weight.rows)),
        squares_(parameters.backend(), 1, weight.rows) {
    expect(
        weight.data != nullptr,
        "{}: DoRA reads the layer's weight in every step, but it was released when it was packed",
        name);
    pair_.use(1, 0);
    magnitude_->decays = false;
    parameters.set_trainable(*magnitude_, true);
    start();
  }

  /// m / n * (y + s B A x), in new memory; that of y holds the sum in the brackets afterwards.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const Routing& routing) override {
    expect_shape(y.value(), x.rows(), weight_.rows, this->name().c_str());
    x = input_dropout(tape, x, dropout_, routing, this->name());
    Step step{this, x, y, {}, {}, factors(tape)};
    step.u = pair_.forward(tape, x.value(), scale_, y.value());
    step.out = tape.result(y.rows(), y.cols(), y);
    step.out.node()->needs_grad =
        tape.recording() &&
        (x.needs_grad() || y.needs_grad() || pair_.trained() != 0 || magnitude_->trainable);
    scale_rows(tape, y.value(), step.factors.row(0), step.out.value());
    tape.record(step.out, step);
    return step.out;
  }

  /// W becomes m / n * (W + s B A).
  void merge_into(MatrixView<T> weight) const override {
    auto& backend = parameters_->backend();
    Tape<B> tape(backend);
    const T* ratio = factors(tape).row(0);
    const auto up = tape.scratch(V::rank, weight.rows);
    scale_rows(tape, pair_.up(), ratio, up);
    add_to_rows(ratio, weight);
    backend.gemm(Op::transpose, Op::none, scale_, up, pair_.down(), T(1), weight);
  }

  // Public since nvcc takes bodies from public functions only.

  /// The squared norms of W's rows, and m as their roots.
  void start() {
    parameters_->backend().for_rows(
        weight_.rows, [w = weight_, squares = squares_.view().data,
                       m = magnitude_->value.data] BRANCHLORA_BODY(auto team, Index o) {
          const T* row = w.row(o);
          squares[o] = team.sum(w.cols, [=](Index c) { return row[c] * row[c]; });
          m[o] = std::sqrt(squares[o]);
        });
  }

  /// m / n and below it 1 / n, both 0 where n is 0, in memory of the tape, with
  /// n_o^2 = ||w_o||^2 + 2 s b_o . A w_o + s^2 b_o . (A A^T) b_o, without forming B A.
  MatrixView<T> factors(Tape<B>& tape) const {
    auto& backend = tape.backend();
    const auto a = pair_.down();
    const auto wa = tape.scratch(weight_.rows, V::rank);
    const auto aa = tape.scratch(V::rank, V::rank);
    const auto result = tape.scratch(2, weight_.rows);
    backend.skinny_dot(weight_, a, T(1), wa, false, Chosen{});
    backend.skinny_dot(a, a, T(1), aa, false, Chosen{});
    backend.for_each(weight_.rows,
                     [=, b = pair_.up(), squares = squares_.view().data, m = magnitude_->value.data,
                      s = scale_] BRANCHLORA_BODY(Index o) {
                       T square = squares[o];
                       for (Index i = 0; i < V::rank; ++i) {
                         T sum = T(2) * wa(o, i);
                         for (Index j = 0; j < V::rank; ++j) sum += s * aa(i, j) * b(j, o);
                         square += s * b(i, o) * sum;
                       }
                       const T n = std::sqrt(square);
                       result(0, o) = square > T(0) ? m[o] / n : T(0);
                       result(1, o) = square > T(0) ? T(1) / n : T(0);
                     });
    return result;
  }

  /// to = ratio * from, for every row.
  static void scale_rows(Tape<B>& tape, MatrixView<const T> from, const T* ratio,
                         MatrixView<T> to) {
    tape.backend().for_rows(from.rows, [=] BRANCHLORA_BODY(auto team, Index t) {
      const T* f = from.row(t);
      T* into = to.row(t);
      team.loop(from.cols, [=](Index o) { into[o] = ratio[o] * f[o]; });
    });
  }

  /// weight += (ratio - 1) W, which is also right where both are the same memory.
  void add_to_rows(const T* ratio, MatrixView<T> weight) const {
    expect_shape(weight, weight_.rows, weight_.cols, this->name().c_str());
    parameters_->backend().for_rows(weight.rows,
                                    [=, w = weight_] BRANCHLORA_BODY(auto team, Index o) {
                                      const T more = ratio[o] - T(1);
                                      const T* from = w.row(o);
                                      T* to = weight.row(o);
                                      team.loop(w.cols, [=](Index c) { to[c] += more * from[c]; });
                                    });
  }

  /// What the way back needs.
  struct Step {
    DoraLayer* layer;
    Var<T> x, y, out;
    MatrixView<T> u, factors;

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  void backward(Tape<B>& tape, const Step& step) {
    const MatrixView<T> dy = step.out.node()->grad;
    if (magnitude_->trainable) {
      const bool add = std::exchange(magnitude_->has_grad, true);
      tape.backend().reduce_columns(
          dy.rows, dy.cols,
          [dy, v = step.y.value(), inverse = step.factors.row(1)] BRANCHLORA_BODY(
              Index t, Index o) { return dy(t, o) * v(t, o) * inverse[o]; },
          magnitude_->grad.data, add);
    }
    // Nobody reads the gradient of the result any more: it becomes that of the sum in the brackets.
    scale_rows(tape, dy, step.factors.row(0), dy);
    tape.share_gradient(step.out, step.y);
    pair_.backward(tape, step.x, step.u, dy, scale_);
  }

 private:
  ParameterSet<B>* parameters_;
  MatrixView<const T> weight_;
  double dropout_;
  T scale_;
  LowRank<B> pair_;
  Parameter<T>* magnitude_;
  Buffer<B> squares_;
};

}  // namespace branchlora

/// @file
/// The layer of DoRA: a low-rank change of the weight, of which every row is scaled to its norm.
#pragma once

#include <cmath>
#include <string>

#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/plain_adapter.hpp"

namespace branchlora {

/// The adapter of `Dora`, `V`: m / n * (y + s B A x), with n the norms of the rows of W + s B A.
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
    measure_rows();
  }

  /// m / n * (y + s B A x), in new memory; that of y holds the sum in the brackets afterwards.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const RoutingContext& context) override {
    expect_shape(y.value(), x.rows(), weight_.rows, this->name().c_str());
    x = input_dropout(tape, x, dropout_, context, this->name());
    Operation step{this, x, y, {}, {}, factors(tape)};
    step.u = pair_.forward(tape, x.value(), scale_, y.value());
    const auto out = tape.scratch(y.rows(), y.cols());
    scale_rows(tape, y.value(), step.factors.row(0), out);
    return tape.finish(
        step, out,
        x.needs_grad() || y.needs_grad() || pair_.trained() != 0 || magnitude_->trainable);
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

  // Public since nvcc takes device lambdas from public functions only.

  /// The squared norms of W's rows, and m as their roots.
  void measure_rows() {
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

  /// The layer on the tape.
  struct Operation {
    DoraLayer* layer;
    Var<T> x, y, out;
    MatrixView<T> u, factors;

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  /// The backward pass. Makes the gradient of the result that of the sum in the brackets, in place:
  /// nobody reads the former any more.
  void backward(Tape<B>& tape, const Operation& step) {
    const MatrixView<T> dy = step.out.node()->grad;
    if (magnitude_->trainable) {
      const auto to = magnitude_->sink();
      tape.backend().reduce_columns(
          dy.rows, dy.cols,
          [dy, v = step.y.value(), inverse = step.factors.row(1)] BRANCHLORA_BODY(
              Index t, Index o) { return dy(t, o) * v(t, o) * inverse[o]; },
          to.view.data, to.add);
    }
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

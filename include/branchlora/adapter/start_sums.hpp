/// @file
/// What passes through a linear layer, summed up for the start of its adapter.
#pragma once

#include <span>
#include <vector>

#include "branchlora/adapter/policy/start.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/buffer.hpp"
#include "branchlora/core/to_host.hpp"

namespace branchlora {

/// A matrix of a backend as one of doubles on the host.
template <Backend B>
HostMatrix<double> to_host_matrix(B& backend, MatrixView<const typename B::Scalar> matrix) {
  const auto values = to_host(backend, matrix);
  return {matrix.rows, matrix.cols, std::vector<double>(values.begin(), values.end())};
}

/// Sums over the tokens that a linear layer of d_in inputs and d_out outputs sees: of x and x x^T
/// where inputs are needed, of dy x^T where the gradient is. In the backend's precision.
template <Backend B>
class StartSums {
 public:
  using T = typename B::Scalar;

  StartSums(B& backend, const init::Needs& needs, Index d_in, Index d_out)
      : backend_(&backend), needs_(needs) {
    if (needs.inputs) {
      sum_ = Buffer<B>(backend, 1, d_in);
      products_ = Buffer<B>(backend, d_in, d_in);
    }
    if (needs.gradient) gradient_ = Buffer<B>(backend, d_out, d_in);
  }

  /// y, the layer's output for x, of which this is the last operation: the sums grow by the tokens
  /// of x. Where the gradient is needed they do so in the backward pass, so that a forward pass
  /// that is done twice counts once.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y) {
    if (!needs_.gradient) {
      add_inputs(x.value());
      return y;
    }
    Operation operation{this, x, y, {}};
    return tape.finish(operation, y.value(), y.needs_grad());
  }

  /// What was summed up, the inputs as means over tokens. Throws `Error` if no token passed.
  void give(init::Given& given) const {
    expect(tokens_ > 0, "{}: its adapter starts from what passes through it, but nothing did",
           given.layer);
    if (needs_.inputs) {
      given.mean = mean(sum_.view());
      given.moment = mean(products_.view());
    }
    if (needs_.gradient) given.gradient = to_host_matrix<B>(*backend_, gradient_.view());
  }

  // Public since nvcc takes device lambdas from public functions only.

  void add_inputs(MatrixView<const T> x) {
    tokens_ += x.rows;
    if (!needs_.inputs) return;
    backend_->reduce_columns(
        x.rows, x.cols, [x] BRANCHLORA_BODY(Index t, Index c) { return x(t, c); }, sum_.view().data,
        true);
    backend_->gemm(Op::transpose, Op::none, T(1), x, x, T(1), products_.view());
  }

 private:
  /// The identity on y, whose backward pass counts.
  struct Operation {
    StartSums* sums;
    Var<T> x, y, out;

    void backward(Tape<B>& tape) const {
      tape.share_gradient(out, y);
      sums->add_inputs(x.value());
      sums->backend_->gemm(Op::transpose, Op::none, T(1), out.grad(), x.value(), T(1),
                           sums->gradient_.view());
    }
  };

  HostMatrix<double> mean(MatrixView<const T> sum) const {
    HostMatrix<double> m = to_host_matrix<B>(*backend_, sum);
    for (double& x : m.values) x /= static_cast<double>(tokens_);
    return m;
  }

  B* backend_;
  init::Needs needs_;
  Index tokens_ = 0;
  Buffer<B> sum_, products_, gradient_;
};

}  // namespace branchlora

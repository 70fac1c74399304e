/// @file
/// The latent variable of a variational autoencoder (Kingma and Welling, arXiv 1312.6114).
#pragma once

#include "branchlora/autograd/op/add.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::op {

/// z = mu + exp(log_variance / 2) * noise.
template <Backend B>
struct Reparameterise {
  using T = typename B::Scalar;
  Var<T> mu, log_variance, z;
  MatrixView<const T> noise;

  void backward(Tape<B>& tape) const {
    const MatrixView<const T> dz = z.grad();
    pass_gradient(tape, mu, dz, T(1));
    if (!log_variance.needs_grad()) return;
    const auto sink = tape.gradient(log_variance);
    tape.backend().for_rows(
        dz.rows, [=, s = log_variance.value(), e = noise] BRANCHLORA_BODY(auto team, Index i) {
          T* out = sink.view.row(i);
          team.loop(dz.cols, [=](Index c) {
            const T d = dz(i, c) * T(0.5) * math::exp(T(0.5) * s(i, c)) * e(i, c);
            out[c] = sink.add ? out[c] + d : d;
          });
        });
  }
};

/// A sample of N(mu, exp(log_variance)) made of standard normal `noise`, all of one shape. `noise`
/// must outlive the tape's step.
template <Backend B>
Var<typename B::Scalar> reparameterise(Tape<B>& tape, Var<typename B::Scalar> mu,
                                       Var<typename B::Scalar> log_variance,
                                       MatrixView<const typename B::Scalar> noise) {
  using T = typename B::Scalar;
  expect_shape(log_variance.value(), mu.rows(), mu.cols(), "the log variance of a latent");
  expect_shape(noise, mu.rows(), mu.cols(), "the noise of a latent");
  auto z = tape.result(mu.rows(), mu.cols(), mu, log_variance);
  tape.backend().for_rows(mu.rows(), [=, m = mu.value(), s = log_variance.value(),
                                      zv = z.value()] BRANCHLORA_BODY(auto team, Index i) {
    team.loop(zv.cols,
              [=](Index c) { zv(i, c) = m(i, c) + math::exp(T(0.5) * s(i, c)) * noise(i, c); });
  });
  tape.record(z, Reparameterise<B>{mu, log_variance, z, noise});
  return z;
}

/// kl = mean over rows of -1/2 sum(1 + log_variance - mu^2 - exp(log_variance)).
template <Backend B>
struct KlToNormal {
  using T = typename B::Scalar;
  Var<T> mu, log_variance, kl;

  void backward(Tape<B>& tape) const {
    pass<MeanSlope>(tape, mu);
    pass<LogVarianceSlope>(tape, log_variance);
  }

  /// Gives one input its gradient, `Slope` of each of its elements.
  template <class Slope>
  void pass(Tape<B>& tape, Var<T> input) const {
    if (!input.needs_grad()) return;
    const auto sink = tape.gradient(input);
    tape.backend().for_rows(input.rows(), [=, dk = kl.grad().data,
                                           v = input.value()] BRANCHLORA_BODY(auto team, Index i) {
      const T g = *dk / static_cast<T>(v.rows);
      T* out = sink.view.row(i);
      team.loop(v.cols, [=](Index c) {
        const T d = g * Slope::of(v(i, c));
        out[c] = sink.add ? out[c] + d : d;
      });
    });
  }

  struct MeanSlope {
    BRANCHLORA_HD static T of(T mu) { return mu; }
  };
  struct LogVarianceSlope {
    BRANCHLORA_HD static T of(T s) { return T(0.5) * (math::exp(s) - T(1)); }
  };
};

/// The divergence of N(mu, exp(log_variance)) from N(0, 1), summed over columns, mean over rows:
/// 1 x 1.
template <Backend B>
Var<typename B::Scalar> kl_to_normal(Tape<B>& tape, Var<typename B::Scalar> mu,
                                     Var<typename B::Scalar> log_variance) {
  using T = typename B::Scalar;
  expect_shape(log_variance.value(), mu.rows(), mu.cols(), "the log variance of a latent");
  auto kl = tape.result(1, 1, mu, log_variance);
  T* of_row = tape.template array<T>(mu.rows());
  tape.backend().for_rows(mu.rows(), [=, m = mu.value(), s = log_variance.value()] BRANCHLORA_BODY(
                                         auto team, Index i) {
    of_row[i] =
        team.sum(m.cols,
                 [=](Index c) { return m(i, c) * m(i, c) + math::exp(s(i, c)) - T(1) - s(i, c); }) *
        T(0.5) / static_cast<T>(m.rows);
  });
  tape.backend().reduce_columns(
      mu.rows(), 1, [=] BRANCHLORA_BODY(Index r, Index) { return of_row[r]; }, kl.value().data,
      false);
  tape.record(kl, KlToNormal<B>{mu, log_variance, kl});
  return kl;
}

}  // namespace branchlora::op

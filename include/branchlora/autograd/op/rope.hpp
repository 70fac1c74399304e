/// @file
/// Rotary position embedding (Su et al., arXiv 2104.09864), in the half-split layout of LLaMA.
#pragma once

#include <cmath>
#include <cstdint>

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// Cosines and sines of every position and frequency, computed once.
template <Backend B>
class RopeTable {
 public:
  using T = typename B::Scalar;

  /// For positions below `length` and heads of `head_size` (even), with frequencies
  /// base^(-2 i / head_size).
  RopeTable(B& backend, Index length, Index head_size, double base)
      : cos_(backend, length, head_size / 2), sin_(backend, length, head_size / 2) {
    expect(head_size % 2 == 0, "rotary embedding: expected an even head size, found {}", head_size);
    std::vector<T> c, s;
    for (Index p = 0; p < length; ++p) {
      for (Index i = 0; i < head_size / 2; ++i) {
        const double angle =
            static_cast<double>(p) *
            std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
        c.push_back(static_cast<T>(std::cos(angle)));
        s.push_back(static_cast<T>(std::sin(angle)));
      }
    }
    backend.upload(cos_.view().data, c.data(), c.size() * sizeof(T));
    backend.upload(sin_.view().data, s.data(), s.size() * sizeof(T));
  }

  MatrixView<const T> cos() const { return cos_.view(); }
  MatrixView<const T> sin() const { return sin_.view(); }
  Index length() const { return cos_.view().rows; }
  Index head_size() const { return cos_.view().cols * 2; }

 private:
  Buffer<B> cos_, sin_;
};

/// Turns each head of each row by the angles of its position, forwards (`direction` 1) or back
/// (-1), from x to y, which may be the same.
template <Backend B>
void rotate(B& backend, const RopeTable<B>& table, const std::int32_t* positions,
            MatrixView<const typename B::Scalar> x, MatrixView<typename B::Scalar> y,
            typename B::Scalar direction, bool add) {
  using T = typename B::Scalar;
  const auto cos = table.cos();
  const auto sin = table.sin();
  backend.for_rows(x.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
    const Index half = cos.cols;
    const T* c = cos.row(positions[i]);
    const T* s = sin.row(positions[i]);
    for (Index h = 0; h < x.cols; h += 2 * half) {
      const T* xi = x.row(i) + h;
      T* yi = y.row(i) + h;
      team.loop(half, [=](Index j) {
        const T a = xi[j];
        const T b = xi[j + half];
        const T ra = a * c[j] - direction * b * s[j];
        const T rb = b * c[j] + direction * a * s[j];
        yi[j] = add ? yi[j] + ra : ra;
        yi[j + half] = add ? yi[j + half] + rb : rb;
      });
    }
  });
}

/// y = the rotation of x.
template <Backend B>
struct Rope {
  using T = typename B::Scalar;
  Var<T> x, y;
  const RopeTable<B>* table;
  const std::int32_t* positions;

  void backward(Tape<B>& tape) const {
    const auto [dx, add] = tape.gradient(x);
    rotate(tape.backend(), *table, positions, MatrixView<const T>(y.grad()), dx, T(-1), add);
  }
};

/// Rotates each head of x (tokens x heads * head_size) by its row's position. `positions` is
/// backend memory that lives as long as the step.
template <Backend B>
Var<typename B::Scalar> rope(Tape<B>& tape, Var<typename B::Scalar> x, const RopeTable<B>& table,
                             const std::int32_t* positions) {
  using T = typename B::Scalar;
  expect(x.cols() % table.head_size() == 0,
         "rotary embedding: expected a width that is a multiple of the head size {}, found {}",
         table.head_size(), x.cols());
  auto y = tape.result(x.rows(), x.cols(), x);
  rotate(tape.backend(), table, positions, MatrixView<const T>(x.value()), y.value(), T(1), false);
  tape.record(y, Rope<B>{x, y, &table, positions});
  return y;
}

}  // namespace branchlora::op

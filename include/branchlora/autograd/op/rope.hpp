/// @file
/// Rotary position embedding (Su et al., arXiv 2104.09864), in the half-split layout of LLaMA.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// How a checkpoint stretches its rotary embedding over longer texts: frequencies are divided by
/// `factor`. All of them if `original` is 0 (linear); else, as LLaMA 3 does, those of a wavelength
/// above original / low, none below original / high, and a blend between.
struct RopeScaling {
  double factor = 1.0;
  double original = 0.0;  ///< Positions that the model was first trained with.
  double low = 1.0;
  double high = 4.0;

  double operator()(double frequency) const {
    if (original == 0) return frequency / factor;
    const double turns = original * frequency / (2 * std::numbers::pi);
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    return (1 - kept) * frequency / factor + kept * frequency;
  }

  bool operator==(const RopeScaling&) const = default;
};

/// base^(-2 i / head_size) for each pair i of a head (of even size), scaled.
inline std::vector<double> rope_frequencies(Index head_size, double base,
                                            const RopeScaling& scaling = {}) {
  expect(head_size % 2 == 0, "rotary embedding: expected an even head size, found {}", head_size);
  std::vector<double> frequencies;
  for (Index i = 0; i < head_size / 2; ++i) {
    frequencies.push_back(scaling(
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_size))));
  }
  return frequencies;
}

/// Cosines and sines of every position and frequency, computed once.
template <Backend B>
class RopeTable {
 public:
  using T = typename B::Scalar;

  /// For positions below `length` and heads of `head_size` (even), with frequencies
  /// base^(-2 i / head_size).
  RopeTable(B& backend, Index length, Index head_size, double base)
      : RopeTable(backend, length, rope_frequencies(head_size, base)) {}

  /// For positions below `length`, with the given frequency for each pair of a head.
  RopeTable(B& backend, Index length, std::span<const double> frequencies)
      : cos_(backend, length, std::ssize(frequencies)),
        sin_(backend, length, std::ssize(frequencies)) {
    std::vector<T> c, s;
    for (Index p = 0; p < length; ++p) {
      for (const double frequency : frequencies) {
        const double angle = static_cast<double>(p) * frequency;
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

/// @file
/// One description of what a backend does, run by every backend and compared. Sources that nvcc
/// compiles can not run the Eigen backend's bodies, so backends meet as plain numbers only.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "branchlora/autograd/op/linear.hpp"
#include "branchlora/autograd/op/reshape.hpp"
#include "branchlora/core/buffer.hpp"
#include "branchlora/core/math.hpp"
#include "support/naive.hpp"

namespace branchlora::test {

using Results = std::vector<Dense>;

/// A named calculation. `depth` is the longest chain of roundings on the way to a result: a sum of
/// n terms counts n.
template <Backend B>
struct Case {
  std::string name;
  double depth;
  std::function<Results(B&)> run;
};

/// A copy of backend memory.
template <Backend B>
Dense read(B& backend, MatrixView<const typename B::Scalar> m) {
  std::vector<typename B::Scalar> host(static_cast<std::size_t>(m.size()));
  if (m.contiguous()) {
    backend.download(host.data(), m.data, host.size() * sizeof(host[0]));
  } else {
    for (Index i = 0; i < m.rows; ++i) {
      backend.download(host.data() + i * m.cols, m.row(i),
                       static_cast<std::size_t>(m.cols) * sizeof(host[0]));
    }
  }
  return Dense(m.rows, m.cols, {host.begin(), host.end()});
}

/// Copies into backend memory.
template <Backend B>
void write(B& backend, MatrixView<typename B::Scalar> m, const Dense& from) {
  expect_shape(m, from.rows, from.cols, "the target of a test's copy");
  std::vector<typename B::Scalar> host(from.data.size());
  std::transform(from.data.begin(), from.data.end(), host.begin(),
                 [](double x) { return static_cast<typename B::Scalar>(x); });
  const Buffer<B> whole(backend, m.rows, m.cols);
  backend.upload(whole.view().data, host.data(), host.size() * sizeof(host[0]));
  backend.copy(whole.view(), m);
}

/// A matrix in backend memory with `margin` columns to its left and right, which hold -7.
template <Backend B>
class Matrix {
 public:
  using T = typename B::Scalar;

  Matrix(B& backend, const Dense& from, Index margin = 0)
      : backend_(&backend), buffer_(backend, from.rows, from.cols + 2 * margin), margin_(margin) {
    backend.fill(buffer_.view(), T(-7));
    write(backend, view(), from);
  }
  MatrixView<T> view() const {
    return buffer_.view().middle_cols(margin_, buffer_.view().cols - 2 * margin_);
  }
  T* data() const { return view().data; }
  /// All of it, margins included.
  Dense dense() const { return read(*backend_, buffer_.view()); }

 private:
  B* backend_;
  Buffer<B> buffer_;
  Index margin_;
};

/// A copy of a table in backend memory.
template <class U, Backend B>
std::shared_ptr<U> table(B& backend, const std::vector<U>& from) {
  std::shared_ptr<U> to(static_cast<U*>(backend.allocate(from.size() * sizeof(U))),
                        [&backend](U* p) { backend.release(p); });
  backend.upload(to.get(), from.data(), from.size() * sizeof(U));
  return to;
}

namespace cases {

template <Backend B>
Results products(B& b) {
  using T = typename B::Scalar;
  Results results;
  std::uint64_t stream = 1;
  for (const Op op_a : {Op::none, Op::transpose}) {
    for (const Op op_b : {Op::none, Op::transpose}) {
      for (const double beta : {0.0, 1.0, 0.5}) {
        for (const Index n : {Index{1}, Index{9}}) {
          const bool as_is_a = op_a == Op::none;
          const bool as_is_b = op_b == Op::none;
          const Matrix<B> a(b, random_dense(as_is_a ? 13 : 37, as_is_a ? 37 : 13, ++stream), 2);
          const Matrix<B> c(b, random_dense(as_is_b ? 37 : n, as_is_b ? n : 37, ++stream), 1);
          const Matrix<B> to(b, random_dense(13, n, ++stream), 3);
          b.gemm(op_a, op_b, T(0.75), a.view(), c.view(), T(beta), to.view());
          results.push_back(to.dense());
        }
      }
    }
  }
  // Nothing to add up.
  const Matrix<B> empty(b, Dense(4, 0));
  const Matrix<B> to(b, random_dense(4, 4, 1));
  b.gemm(Op::none, Op::transpose, T(1), empty.view(), empty.view(), T(0.5), to.view());
  results.push_back(to.dense());
  return results;
}

template <Backend B>
Results fills_and_copies(B& b) {
  using T = typename B::Scalar;
  const Matrix<B> from(b, random_dense(5, 7, 1), 2);
  const Matrix<B> to(b, random_dense(5, 7, 2), 3);
  const Matrix<B> zeros(b, random_dense(5, 7, 3), 1);
  const Matrix<B> ones(b, random_dense(5, 7, 4), 1);
  b.copy(from.view(), to.view());
  b.fill(zeros.view(), T(0));
  b.fill(ones.view(), T(1.25));
  b.fill(MatrixView<T>(nullptr, 0, 3), T(1));
  b.copy(MatrixView<const T>(nullptr, 0, 3), MatrixView<T>(nullptr, 0, 3));
  return {to.dense(), zeros.dense(), ones.dense()};
}

template <Backend B>
Results elements(B& b) {
  using T = typename B::Scalar;
  Results results;
  for (const Index n : {Index{1}, Index{31}, Index{1000}, Index{40000}}) {
    const Matrix<B> x(b, random_dense(1, n, 1), 1);
    b.for_each(
        n, [x = x.data()] BRANCHLORA_BODY(Index i) { x[i] = x[i] * x[i] - static_cast<T>(i % 3); });
    results.push_back(x.dense());
  }
  b.for_each(0, [] BRANCHLORA_BODY(Index) {});
  return results;
}

template <Backend B>
Results rows(B& b) {
  using T = typename B::Scalar;
  Results results;
  // Few rows and many rows are spread over the device in different ways.
  for (const Index n : {Index{1}, Index{17}, Index{16385}}) {
    for (const Index cols : {Index{1}, Index{33}, Index{n > 100 ? 5 : 700}}) {
      const Matrix<B> x(b, random_dense(n, cols, 1), 1);
      const Matrix<B> y(b, random_dense(n, cols, 2), 2);
      const Matrix<B> top(b, Dense(1, n));
      b.for_rows(
          n, [x = x.view(), y = y.view(), top = top.data()] BRANCHLORA_BODY(auto team, Index i) {
            const T* xi = x.row(i);
            T* yi = y.row(i);
            const T highest = team.max(x.cols, [=](Index c) { return xi[c]; });
            const T sum = team.sum(x.cols, [=](Index c) { return math::exp(xi[c] - highest); });
            team.loop(x.cols, [=](Index c) { yi[c] = math::exp(xi[c] - highest) / sum; });
            // Neighbours see what others have written.
            const T last = yi[x.cols - 1];
            team.loop(1, [=](Index) { top[i] = highest + last; });
          });
      results.push_back(y.dense());
      results.push_back(top.dense());
    }
  }
  return results;
}

template <Backend B>
Results column_sums(B& b) {
  Results results;
  for (const Index n : {Index{0}, Index{1}, Index{128}, Index{129}, Index{1000}}) {
    for (const bool add : {false, true}) {
      const Matrix<B> x(b, random_dense(std::max<Index>(n, 1), 35, 1), 1);
      const Matrix<B> out(b, random_dense(1, 35, 2), 1);
      b.reduce_columns(
          n, 35, [x = x.view()] BRANCHLORA_BODY(Index r, Index c) { return x(r, c) * x(r, c); },
          out.data(), add);
      results.push_back(out.dense());
    }
  }
  return results;
}

template <Backend B>
Results scattered_rows(B& b) {
  using T = typename B::Scalar;
  const Matrix<B> from(b, random_dense(40, 21, 1), 1);
  const Matrix<B> to(b, random_dense(6, 21, 2), 2);
  // Several rows meet in each target, and some have none.
  b.scatter_add_rows(from.view(), to.view(), T(0.5),
                     [] BRANCHLORA_BODY(Index i) { return i % 7 - 1; });
  return {to.dense()};
}

template <Backend B>
Results sums(B& b) {
  Results results;
  for (const Index n : {Index{0}, Index{1}, Index{1025}, Index{300000}}) {
    const Matrix<B> x(b, random_dense(1, std::max<Index>(n, 1), 1));
    results.push_back(Dense(1, 1, {b.sum(n, [x = x.data()] BRANCHLORA_BODY(Index i) {
                              return static_cast<double>(x[i]) * static_cast<double>(x[i]);
                            })}));
  }
  return results;
}

/// A row among others.
template <class T>
struct RowPart {
  T* data;
  Index size;
};

/// Rows of many lengths, none and less than a block of threads among them.
template <Backend B>
Results parts(B& b) {
  using Part = RowPart<typename B::Scalar>;
  std::vector<Matrix<B>> rows;
  std::vector<Part> list;
  std::uint64_t stream = 0;
  for (const Index n : {Index{1}, Index{0}, Index{256}, Index{255}, Index{20000}, Index{257}}) {
    rows.emplace_back(b, random_dense(1, n, ++stream), 1);
    list.push_back({rows.back().data(), n});
  }
  const std::span<const Part> all(list);
  const auto square = [&](std::span<const Part> of) {
    return Dense(1, 1, {b.sum(of, [] BRANCHLORA_BODY(const Part& part, Index i) {
                   return static_cast<double>(part.data[i]) * static_cast<double>(part.data[i]);
                 })});
  };
  Results results{square(all), square(all.first(2)), square(all.subspan(1, 1)), square({})};
  b.for_each(all, [] BRANCHLORA_BODY(const Part& part, Index i) {
    part.data[i] = part.data[i] * part.data[i] - static_cast<typename B::Scalar>(i % 3);
  });
  b.for_each(all.first(0), [] BRANCHLORA_BODY(const Part&, Index) {});
  for (const auto& row : rows) results.push_back(row.dense());
  return results;
}

/// A choice of 2 of 4 blocks for each of 50 tokens.
inline std::vector<std::int32_t> choices() {
  std::vector<std::int32_t> table;
  for (std::int32_t t = 0; t < 50; ++t) {
    table.push_back(t % 4);
    table.push_back((t * 3 + 1 + t % 4) % 4 == t % 4 ? (t + 1) % 4 : (t * 3 + 1 + t % 4) % 4);
  }
  return table;
}

template <Backend B>
Results skinny_products(B& b) {
  using T = typename B::Scalar;
  Results results;
  const auto chosen = table(b, choices());
  for (const Chosen choice : {Chosen{}, Chosen{chosen.get(), 2, 3}}) {
    for (const bool add : {false, true}) {
      const Matrix<B> x(b, random_dense(50, 71, 1), 1);
      const Matrix<B> w(b, random_dense(12, 71, 2), 2);
      const Matrix<B> u(b, random_dense(50, 12, 3), 1);
      const Matrix<B> dot(b, random_dense(50, 12, 4), 1);
      const Matrix<B> axpy(b, random_dense(50, 71, 5), 1);
      const Matrix<B> outer(b, random_dense(12, 71, 6), 1);
      b.skinny_dot(x.view(), w.view(), T(0.5), dot.view(), add, choice);
      b.skinny_axpy(u.view(), w.view(), T(2), axpy.view(), add, choice);
      b.skinny_outer(u.view(), x.view(), T(-1), outer.view(), add, choice);
      for (const auto* m : {&dot, &axpy, &outer}) results.push_back(m->dense());
      if (choice.everything()) continue;
      // The dot left zeros where nothing was chosen.
      b.skinny_dot(x.view(), w.view(), T(0.5), dot.view(), false, choice);
      Chosen zeros = choice;
      zeros.rest_is_zero = true;
      b.skinny_outer(dot.view(), x.view(), T(1), outer.view(), add, zeros);
      results.push_back(outer.dense());
    }
  }
  return results;
}

template <Backend B>
Results frozen_products(B& b) {
  Results results;
  const Matrix<B> w(b, random_dense(19, 45, 1));
  const auto frozen = b.freeze(w.view(), Storage::full);
  for (const bool add : {false, true}) {
    const Matrix<B> x(b, random_dense(11, 45, 2), 1);
    const Matrix<B> y(b, random_dense(11, 19, 3), 1);
    b.frozen_forward(x.view(), frozen, y.view());
    b.frozen_backward(y.view(), frozen, x.view(), add);
    results.push_back(y.dense());
    results.push_back(x.dense());
  }
  return results;
}

/// Products with a bias and their gradients, of matrices that lie among others.
template <Backend B>
Results biased_products(B& b) {
  using T = typename B::Scalar;
  Results results;
  const Matrix<B> x(b, random_dense(11, 45, 1), 1);
  const Matrix<B> w(b, random_dense(19, 45, 2), 2);
  const Matrix<B> whole(b, random_dense(19, 45, 2));
  const Matrix<B> bias(b, random_dense(1, 19, 3));
  const auto frozen = b.freeze(whole.view(), Storage::full);
  for (const Index margin : {Index{0}, Index{3}}) {
    const Matrix<B> y(b, random_dense(11, 19, 4), margin);
    const Matrix<B> z(b, random_dense(11, 19, 5), margin);
    op::affine<B>(b, x.view(), w.view(), bias.view(), y.view());
    op::affine<B>(b, x.view(), frozen, bias.view(), z.view());
    results.push_back(y.dense());
    results.push_back(z.dense());
  }
  for (const bool trained : {false, true}) {
    ParameterSet<B> parameters(b);
    for (const auto* m : {&x, &w, &bias}) {
      auto& p = parameters.add(std::to_string(parameters.size()), m->view().rows, m->view().cols);
      b.copy(m->view(), p.value);
      parameters.set_trainable(p, trained || m == &bias);
    }
    Tape<B> tape(b);
    // Gradients are written at first, then added to.
    for (int i = 0; i < 2; ++i) {
      std::vector<Var<T>> v;
      for (auto& p : parameters) v.push_back(tape.parameter(p));
      const auto y = op::linear(tape, v[0], v[1], v[2]);
      const auto weights = tape.scratch(1, y.value().size());
      write(b, weights, random_dense(1, y.value().size(), 6));
      tape.backward(
          op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(weights)));
      tape.reset();
    }
    for (auto& p : parameters) {
      if (p.has_grad) results.push_back(read(b, p.grad));
    }
  }
  return results;
}

/// Sequences of one span and of several turns about a prefix, some longer than a tile of keys.
inline Sequences spans() {
  Sequences s;
  s.push(150);
  s.push(1);
  s.push(140, {7, 131, 1});
  s.push(3, {2});
  return s;
}

template <Backend B>
Results attention(B& b) {
  using T = typename B::Scalar;
  Results results;
  const Sequences sequences = spans();
  const Index n = sequences.tokens();
  for (const bool causal : {true, false}) {
    for (const Index kv_heads : {Index{2}, Index{4}}) {
      const AttentionShape shape{4, kv_heads, 6, causal};
      const Matrix<B> q(b, random_dense(n, 24, 1), 1);
      const Matrix<B> k(b, random_dense(n, 6 * kv_heads, 2), 2);
      const Matrix<B> v(b, random_dense(n, 6 * kv_heads, 3), 1);
      const Matrix<B> out(b, random_dense(n, 24, 4), 1);
      const Matrix<B> dout(b, random_dense(n, 24, 5), 2);
      const Matrix<B> saved(b, Dense(1, b.attention_saved(sequences, shape)));
      b.attention_forward(sequences, shape, q.view(), k.view(), v.view(), out.view(), saved.data());
      const Matrix<B> dq(b, random_dense(n, 24, 6), 1);
      const Matrix<B> dk(b, random_dense(n, 6 * kv_heads, 7), 1);
      const Matrix<B> dv(b, random_dense(n, 6 * kv_heads, 8), 1);
      b.attention_backward(sequences, shape, q.view(), k.view(), v.view(),
                           static_cast<const T*>(saved.data()), dout.view(), dq.view(), dk.view(),
                           dv.view());
      for (const auto* m : {&out, &dq, &dk, &dv}) results.push_back(m->dense());
    }
  }
  return results;
}

template <Backend B>
Results cached_attention(B& b) {
  const AttentionShape shape{4, 2, 6, true};
  const Matrix<B> q(b, random_dense(3, 24, 1), 1);
  const Matrix<B> k(b, random_dense(300, 12, 2), 1);
  const Matrix<B> v(b, random_dense(300, 12, 3), 1);
  const Matrix<B> out(b, random_dense(3, 24, 4), 1);
  const auto ranges = table(b, std::vector<KeyRange>{{0, 1}, {10, 128}, {99, 201}});
  b.attention_cached(ranges.get(), shape, q.view(), k.view(), v.view(), out.view());
  return {out.dense()};
}

}  // namespace cases

/// What every backend must do alike, up to roundings.
template <Backend B>
std::vector<Case<B>> primitive_cases() {
  return {{"products", 37, cases::products<B>},
          {"fills and copies", 1, cases::fills_and_copies<B>},
          {"elements", 2, cases::elements<B>},
          {"rows", 700, cases::rows<B>},
          {"column sums", 1000, cases::column_sums<B>},
          {"scattered rows", 7, cases::scattered_rows<B>},
          {"sums", 300000, cases::sums<B>},
          {"parts", 20000, cases::parts<B>},
          {"skinny products", 71, cases::skinny_products<B>},
          {"frozen products", 45 * 19, cases::frozen_products<B>},
          {"products with a bias", 45, cases::biased_products<B>},
          {"attention", 300, cases::attention<B>},
          {"cached attention", 201, cases::cached_attention<B>}};
}

}  // namespace branchlora::test

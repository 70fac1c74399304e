/// @file
/// The Eigen backend: the reference of every other one.
///
/// Longer than most files: one class, which has every primitive of the concept `Backend`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include "branchlora/eigen/eigen.hpp"

#include "branchlora/core/backend.hpp"
#include "branchlora/core/fused.hpp"
#include "branchlora/core/low_rank_term.hpp"
#include "branchlora/core/row_work.hpp"
#include "branchlora/eigen/attention.hpp"
#include "branchlora/eigen/fill_copy.hpp"
#include "branchlora/eigen/interleaved.hpp"
#include "branchlora/eigen/memory.hpp"
#include "branchlora/eigen/packed_gemm.hpp"
#include "branchlora/eigen/parallel.hpp"
#include "branchlora/eigen/product.hpp"
#include "branchlora/eigen/skinny.hpp"
#include "branchlora/eigen/team.hpp"

namespace branchlora::eigen {

/// When the work that comes with a product (`RowWork`) is done: some rows at a time beside the
/// product, so that its parts find them in the cache; or all before it, one step after the other,
/// which is the reference. Both give the same bits.
enum class Schedule : std::uint8_t { interleaved, step_by_step };

/// Models `branchlora::Backend` on host memory, with threads inside each primitive. Any number of
/// threads gives the same bits: work is cut only where the cut cannot change a sum. Small
/// primitives are done by the calling thread, and so are large ones for a while after others have
/// been slow to help with one, so several threads do no harm on a busy machine (`ThreadPool`).
template <std::floating_point T = float>
class Backend {
 public:
  using Scalar = T;

  /// A frozen weight, packed for both directions in float, as it is in double.
  struct FrozenWeight {
    MatrixView<const T> weight;
    std::shared_ptr<const PackedMatrix<float>> forward, backward;
    std::shared_ptr<const PackedMatrix<bfloat16>> forward16, backward16;
  };

  explicit Backend(int threads = 1) { set_threads(threads); }

  int threads() const { return threads_; }
  /// Takes effect from the next primitive on.
  void set_threads(int threads) {
    expect(threads >= 1, "threads of the Eigen backend: expected at least 1, found {}", threads);
    threads_ = threads;
  }

  Schedule schedule() const { return schedule_; }
  /// Takes effect from the next primitive on.
  void set_schedule(Schedule schedule) { schedule_ = schedule; }

  void* allocate(std::size_t bytes) { return allocate_lines(bytes); }
  void release(void* pointer) noexcept { release_lines(pointer); }
  void upload(void* to, const void* from, std::size_t bytes) { std::memmove(to, from, bytes); }
  void download(void* to, const void* from, std::size_t bytes) { std::memmove(to, from, bytes); }

  void fill(MatrixView<T> m, T value) { eigen::fill(m, value); }
  void copy(MatrixView<const T> from, MatrixView<T> to) {
    expect_shape(to, from.rows, from.cols, "the target of a copy");
    eigen::copy(from, to);
  }

  /// c = alpha op(a) op(b) + beta c.
  void gemm(Op op_a, Op op_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
            MatrixView<T> c) {
    const Index inner = op_a == Op::none ? a.cols : a.rows;
    expect_shape(a, op_a == Op::none ? c.rows : inner, op_a == Op::none ? inner : c.rows,
                 "the first factor of a product");
    expect_shape(b, op_b == Op::none ? inner : c.cols, op_b == Op::none ? c.cols : inner,
                 "the second factor of a product");
    const int threads = threads_for(c.rows * c.cols * inner);
    parallel_blocks(c.rows, {16, 256}, threads, [&](Index first, Index last) {
      const Index n = last - first;
      const auto part = c.middle_rows(first, n);
      if (beta != T(0) && beta != T(1)) detail::map(part) *= beta;
      product(op_a, op_b, alpha,
              op_a == Op::none ? a.middle_rows(first, n) : a.middle_cols(first, n), b, part,
              beta != T(0));
    });
  }

  template <class Body>
  void for_each(Index n, Body body) {
    parallel_timed(n, 1024, threads_, [&](Index first, Index last) {
      const Team<T> team;
      team.loop(last - first, [&](Index i) { body(first + i); });
    });
  }

  template <class Part, class Body>
  void for_each(std::span<const Part> parts, Body body) {
    for (const Part& part : parts) for_each(part.size, [=](Index i) { body(part, i); });
  }

  template <class Body>
  void for_rows(Index n, Body body) {
    parallel_timed(n, 4, threads_, [&](Index first, Index last) {
      for (Index i = first; i < last; ++i) body(Team<T>{}, i);
    });
  }

  template <class F>
  void reduce_columns(Index rows, Index cols, F f, T* out, bool add) {
    parallel_blocks(cols, {16, 256}, threads_for(rows * cols * 16), [&](Index first, Index last) {
      if (!add) std::fill(out + first, out + last, T(0));
      for (Index r = 0; r < rows; ++r) {
        Team<T>{}.loop(last - first, [&](Index c) { out[first + c] += f(r, first + c); });
      }
    });
  }

  template <class Target>
  void scatter_add_rows(MatrixView<const T> from, MatrixView<T> to, T scale, Target target) {
    const int threads = threads_for(from.rows * to.cols * 16);
    parallel_blocks(to.cols, {16, 256}, threads, [&](Index first, Index last) {
      for (Index i = 0; i < from.rows; ++i) {
        const Index row = target(i);
        if (row < 0) continue;
        const T* f = from.row(i);
        T* t = to.row(row);
        Team<T>{}.loop(last - first, [=](Index c) { t[first + c] += scale * f[first + c]; });
      }
    });
  }

  template <class F>
  double sum(Index n, F f) {
    return Team<double>{}.sum(n, [&](Index i) { return static_cast<double>(f(i)); });
  }

  template <class Part, class F>
  double sum(std::span<const Part> parts, F f) {
    double total = 0;
    for (const Part& part : parts) total += sum(part.size, [&](Index i) { return f(part, i); });
    return total;
  }

  void skinny_dot(MatrixView<const T> x, MatrixView<const T> w, T scale, MatrixView<T> u, bool add,
                  Chosen chosen = {}) {
    eigen::skinny_dot(x, w, scale, u, add, chosen, threads_for_skinny(x, w.rows, chosen));
  }
  void skinny_axpy(MatrixView<const T> u, MatrixView<const T> w, T scale, MatrixView<T> y, bool add,
                   Chosen chosen = {}) {
    eigen::skinny_axpy(u, w, scale, y, add, chosen, threads_for_skinny(y, w.rows, chosen));
  }
  void skinny_outer(MatrixView<const T> u, MatrixView<const T> x, T scale, MatrixView<T> g,
                    bool add, Chosen chosen = {}) {
    eigen::skinny_outer(u, x, scale, g, add, chosen, threads_for_skinny(x, g.rows, chosen));
  }

  /// Does `work` on `n` rows. One thread does all steps on some rows at a time, while these are in
  /// the cache.
  void do_work(const RowWork<Backend>& work, Index n) {
    const Index columns = work.reads[0].cols + work.reads[1].cols;
    if (schedule_ == Schedule::step_by_step || n == 0 || threads_for(n * columns * 32) > 1) {
      return do_rows(*this, work, 0, n, true);
    }
    const auto some = [&](Index first, Index count) { do_rows(*this, work, first, count, true); };
    Interleaved(TokenWork<T>{std::cref(some)}, 0, n).finish(n);
  }

  /// `weight` (out x in) must stay alive and unchanged for as long as the result is used, if
  /// `reads_weight` says that it is read.
  FrozenWeight freeze(MatrixView<const T> weight, Storage storage) {
    FrozenWeight f{weight, {}, {}, {}, {}};
    if constexpr (std::is_same_v<T, float>) {
      if (storage == Storage::full) {
        pack(weight, f.forward, f.backward);
      } else {
        pack(weight, f.forward16, f.backward16);
      }
    } else {
      expect(storage == Storage::full, "frozen weights in bfloat16: the backend must be of float");
    }
    return f;
  }

  /// Whether products with a frozen weight read the matrix that was given to `freeze`.
  bool reads_weight(const FrozenWeight& w) const { return !w.forward && !w.forward16; }

  /// y = x w^T.
  void frozen_forward(MatrixView<const T> x, const FrozenWeight& w, MatrixView<T> y) {
    frozen_forward(x, w, y, {}, {});
  }
  /// y = x w^T + terms.
  void frozen_forward(MatrixView<const T> x, const FrozenWeight& w, MatrixView<T> y,
                      const LowRankTerms<T>& terms, const RowWork<Backend>& work) {
    if (schedule_ == Schedule::interleaved &&
        packed(x, w.forward, w.forward16, y, false, terms, TermOrder::after, work)) {
      return;
    }
    do_work(work, x.rows);
    if (packed(x, w.forward, w.forward16, y, false, {}, TermOrder::after, {})) {
      return fused::add_terms(*this, terms, y, true);
    }
    gemm(Op::none, Op::transpose, T(1), x, w.weight, T(0), y);
    fused::add_terms(*this, terms, y, true);
  }

  /// dx (+)= dy w.
  void frozen_backward(MatrixView<const T> dy, const FrozenWeight& w, MatrixView<T> dx, bool add) {
    if (packed(dy, w.backward, w.backward16, dx, add, {}, TermOrder::before, {})) return;
    gemm(Op::none, Op::none, T(1), dy, w.weight, T(add ? 1 : 0), dx);
  }
  /// dx (+)= terms + dy w. There must be a term.
  void frozen_backward(MatrixView<const T> dy, const FrozenWeight& w, MatrixView<T> dx, bool add,
                       const LowRankTerms<T>& terms, const RowWork<Backend>& work) {
    if (schedule_ == Schedule::interleaved &&
        packed(dy, w.backward, w.backward16, dx, add, terms, TermOrder::before, work)) {
      return;
    }
    do_work(work, dy.rows);
    fused::add_terms(*this, terms, dx, add);
    if (packed(dy, w.backward, w.backward16, dx, true, {}, TermOrder::before, {})) return;
    gemm(Op::none, Op::none, T(1), dy, w.weight, T(1), dx);
  }

  Index attention_saved(const Sequences& sequences, const AttentionShape& shape) const {
    Index total = 0;
    for (const Span& span : sequences.spans) total += detail::saved_size(span, shape);
    return total;
  }
  void attention_forward(const Sequences& sequences, const AttentionShape& shape,
                         MatrixView<const T> q, MatrixView<const T> k, MatrixView<const T> v,
                         MatrixView<T> out, T* saved) {
    const Index products = attention_saved(sequences, shape) * (2 * shape.head_size + 16);
    eigen::attention_forward(sequences, shape, q, k, v, out, saved, threads_for(products));
  }
  void attention_backward(const Sequences& sequences, const AttentionShape& shape,
                          MatrixView<const T> q, MatrixView<const T> k, MatrixView<const T> v,
                          const T* saved, MatrixView<const T> dout, MatrixView<T> dq,
                          MatrixView<T> dk, MatrixView<T> dv) {
    const Index products = attention_saved(sequences, shape) * (5 * shape.head_size + 16);
    eigen::attention_backward(sequences, shape, q, k, v, saved, dout, dq, dk, dv,
                              threads_for(products));
  }
  void attention_cached(const KeyRange* ranges, const AttentionShape& shape, MatrixView<const T> q,
                        MatrixView<const T> k, MatrixView<const T> v, MatrixView<T> out) {
    Index keys = 0;
    for (Index i = 0; i < q.rows; ++i) keys += ranges[i].count;
    eigen::attention_cached(ranges, shape, q, k, v, out, threads_for(keys * (4 * q.cols + 64)));
  }

 private:
  template <class S>
  static void pack(MatrixView<const float> weight, std::shared_ptr<const PackedMatrix<S>>& forward,
                   std::shared_ptr<const PackedMatrix<S>>& backward) {
    forward = std::make_shared<const PackedMatrix<S>>(PackedMatrix<S>::transposed(weight));
    backward = std::make_shared<const PackedMatrix<S>>(weight);
  }

  /// Threads for so many multiplications with additions.
  int threads_for(Index products) const { return worthwhile(threads_, duration_of(products)); }
  /// Threads for a product with a factor of a few `rows`: its passes over `m` count too.
  int threads_for_skinny(MatrixView<const T> m, Index rows, const Chosen& chosen) const {
    const Index used = chosen.everything() ? rows : chosen.k * chosen.block;
    return threads_for(m.rows * m.cols * (used + 8));
  }

  static void do_rows(Backend& backend, const RowWork<Backend>& work, Index first, Index count,
                      bool sums) {
    if (work.rows) work.rows(backend, first, count);
    if (sums && work.sums) work.sums(backend, first, count);
  }

  /// Multiplies by a packed form, if there is one, with `work` interleaved: one thread interleaves
  /// all of it, several do the sums after the product. Returns whether there is a packed form.
  template <class Packed, class Packed16>
  bool packed(MatrixView<const T> x, const Packed& full, const Packed16& rounded, MatrixView<T> y,
              bool add, const LowRankTerms<T>& terms, TermOrder order,
              const RowWork<Backend>& work) {
    if (!rounded && !full) return false;
    if constexpr (std::is_same_v<T, float>) {
      const int threads = threads_for(x.rows * x.cols * y.cols);
      const bool sums = threads == 1 && x.rows > 0;
      const auto some = [&](Index first, Index count) {
        Backend one;
        do_rows(one, work, first, count, sums);
      };
      TokenWork<T> interleaved;
      if (work.rows || (sums && work.sums)) interleaved = {std::cref(some), work.reads};
      if (rounded) multiply(x, *rounded, add, y, threads, terms, order, interleaved);
      if (full) multiply(x, *full, add, y, threads, terms, order, interleaved);
      if (!sums && work.sums) work.sums(*this, 0, x.rows);
    }
    return true;
  }

  int threads_ = 1;
  Schedule schedule_ = Schedule::interleaved;
};

static_assert(branchlora::Backend<Backend<float>>);
static_assert(branchlora::Backend<Backend<double>>);

}  // namespace branchlora::eigen

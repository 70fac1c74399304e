/// @file
/// The three products of a low-rank factor on the CPU, where one extent is a handful and the rest
/// is memory traffic: down (`skinny_dot`), up (`skinny_axpy`) and the weight gradient
/// (`skinny_outer`). All matrices are row-major.
///
/// An element is always summed in the same order, whatever register block it falls into, so results
/// do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "branchlora/core/chosen.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/fill_copy.hpp"
#include "branchlora/eigen/parallel.hpp"
#include "branchlora/eigen/simd.hpp"

namespace branchlora::eigen {
namespace skinny {

using namespace simd;

/// Register blocks: up to 24 of 32 vector registers, or 8 of 16, hold sums.
inline constexpr int dot_rows = many_registers ? 8 : 4;
inline constexpr int dot_sums = many_registers ? 24 : 8;
inline constexpr int axpy_tokens = 4;
inline constexpr int axpy_vectors = many_registers ? 4 : 2;
inline constexpr int outer_rows = 4;
inline constexpr int outer_vectors = many_registers ? 4 : 2;

/// Tokens that are worked on together: a multiple of every register block.
inline constexpr Index tile = 48;
/// Elements of a factor that are to stay in the second-level cache while tokens pass by.
inline constexpr Index cached = 65536;
/// Columns at whose multiples `skinny_outer` is divided among threads.
inline constexpr Index column_grain = 256;

/// Where lane `i` of a fold of a and b comes from: an index into a, or `lanes` more for b. Folds
/// interleave within 128 bits first and move 128-bit parts last, as shuffle instructions do.
template <class T>
constexpr int fold_source(int step, int i, bool high) {
  constexpr int n = lanes<T>;
  constexpr int quarter = 16 / static_cast<int>(sizeof(T));
  if (step < quarter) {
    const int chunk = i % quarter / step;
    return chunk % 2 * n + i / quarter * quarter + chunk / 2 * step + i % step +
           (high ? quarter / 2 : 0);
  }
  const int from = i % (n / 2);
  const bool last = 2 * step == n;
  return i / (n / 2) * n + (last ? from / quarter * 2 * quarter + from % quarter : from) +
         (high ? (last ? quarter : n / 2) : 0);
}

/// Halves the distance to complete sums: half the lanes of the result belong to `a`, half to `b`.
template <class T, int Step>
[[gnu::always_inline]] inline Simd<T> fold(Simd<T> a, Simd<T> b) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, fold_source<T>(Step, I, false)...) +
           __builtin_shufflevector(a, b, fold_source<T>(Step, I, true)...);
  }
  (std::make_integer_sequence<int, lanes<T>>{});
}

/// Lane i of the result is the sum of the lanes of `v[i]`. All sums take the same tree.
template <class T, int Count, int Step = 1>
[[gnu::always_inline]] inline Simd<T> sums(const Simd<T>* v) {
  if constexpr (Step == lanes<T>) {
    return v[0];
  } else {
    constexpr int half = (Count + 1) / 2;
    Simd<T> folded[half];
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i)
      folded[i] = fold<T, Step>(v[2 * i], v[std::min(2 * i + 1, Count - 1)]);
    return sums<T, half, 2 * Step>(folded);
  }
}

/// The tokens of one tile that use one block of rows.
struct Bucket {
  Index first_row = 0;
  Index rows = 0;
  const Index* tokens = nullptr;
  Index count = 0;
};

/// Sorts the tokens of a tile by the blocks they chose. Reused, so that it allocates once.
class Buckets {
 public:
  /// Tokens are counted from `first`; `rows` is the number of rows of the whole factor.
  void sort(const Chosen& chosen, Index first, Index count, Index rows) {
    buckets_.clear();
    if (chosen.everything()) {
      tokens_.resize(static_cast<std::size_t>(count));
      for (Index t = 0; t < count; ++t) tokens_[static_cast<std::size_t>(t)] = t;
      buckets_.push_back({0, rows, tokens_.data(), count});
      return;
    }
    const std::int32_t* table = chosen.table + first * chosen.k;
    const auto entries = static_cast<std::size_t>(count * chosen.k);
    ends_.assign(static_cast<std::size_t>(rows / chosen.block) + 1, 0);
    tokens_.resize(entries);
    for (std::size_t i = 0; i < entries; ++i) ++ends_[static_cast<std::size_t>(table[i]) + 1];
    for (std::size_t b = 1; b < ends_.size(); ++b) ends_[b] += ends_[b - 1];
    for (Index t = 0; t < count; ++t)
      for (Index i = 0; i < chosen.k; ++i)
        tokens_[static_cast<std::size_t>(ends_[static_cast<std::size_t>(*table++)]++)] = t;
    Index begin = 0;
    for (std::size_t b = 0; b + 1 < ends_.size(); ++b) {
      if (ends_[b] > begin)
        buckets_.push_back({static_cast<Index>(b) * chosen.block, chosen.block,
                            tokens_.data() + begin, ends_[b] - begin});
      begin = ends_[b];
    }
  }

  auto begin() const { return buckets_.begin(); }
  auto end() const { return buckets_.end(); }

  static Buckets& of_thread() {
    thread_local Buckets buckets;
    return buckets;
  }

 private:
  std::vector<Bucket> buckets_;
  std::vector<Index> tokens_;
  std::vector<Index> ends_;
};

/// The largest of Max, Max / 2, ... 1 that is at most `n`, as a constant.
template <int Max, class Call>
void with_power(Index n, Call&& call) {
  if constexpr (Max > 1) {
    if (n < Max) return with_power<Max / 2>(n, call);
  }
  call(std::integral_constant<int, Max>{});
}

/// Brings `lines` registers' worth of memory from `p` on into the second-level cache.
template <class T, int Lines>
[[gnu::always_inline]] inline void fetch(const T* p) {
#pragma GCC unroll 8
  for (int l = 0; l < Lines; ++l) __builtin_prefetch(p + l * lanes<T>, 0, 2);
}

/// `u[t][j] (+)= scale * x[t] w_j`. As it goes, fetches as many elements from `ahead` on, if given,
/// as it reads of x: in the order of memory, which the processor serves twice as fast as row beside
/// row.
template <class T, int Tokens, int Rows>
[[gnu::noinline]] void dot(const T* const* x, const T* w, Index stride, Index d, T scale,
                           T* const* u, bool add, const T* ahead) {
  constexpr int n = lanes<T>;
  Simd<T> sum[Tokens][Rows] = {};
  const auto step = [&](auto... count) {
    return [&, count...](Index i) {
      Simd<T> xs[Tokens];
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) xs[t] = load(x[t] + i, count...);
#pragma GCC unroll 8
      for (int j = 0; j < Rows; ++j) {
        Simd<T> ws = load(w + j * stride + i, count...);
        hold(ws);
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) sum[t][j] += xs[t] * ws;
      }
    };
  };
  Index i = 0;
  const auto whole = step();
  for (; i + n <= d; i += n) {
    if (ahead != nullptr) fetch<T, Tokens>(ahead + i * Tokens);
    whole(i);
  }
  if (i < d) step(d - i)(i);
  constexpr int group = Rows < n ? Rows : n;
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 8
    for (int j = 0; j < Rows; j += group) {
      Simd<T> result = scale * sums<T, group>(sum[t] + j);
      if (add) result += load(u[t] + j, group);
      store(u[t] + j, result, group);
    }
  }
}

/// `y[t] += sum_j c[t * rows + j] * w[j]` for adjacent column panels; `count` is given, and below a
/// register's lanes, only for a single panel of one register. `next` are the rows of y that come
/// after these.
template <class T, int Tokens, int Vectors, class... Count>
[[gnu::noinline]] void axpy(const T* c, Index rows, const T* w, Index stride, T* const* y,
                            const T* const* next, Index column, Index panels, bool add,
                            Count... count) {
  constexpr int n = lanes<T>;
  for (; panels > 0; --panels, column += Vectors * n) {
    Simd<T> sum[Tokens][Vectors] = {};
    if (add) {
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t)
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) sum[t][v] = load<T>(y[t] + column + v * n, count...);
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) __builtin_prefetch(next[t] + column + v * n);
    const T* from = w + column;
    for (Index j = 0; j < rows; ++j, from += stride) {
      Simd<T> ws[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) ws[v] = load<T>(from + v * n, count...);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        Simd<T> cs = c[t * rows + j] - Simd<T>{};
        hold(cs);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) sum[t][v] += cs * ws[v];
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) store(y[t] + column + v * n, sum[t][v], count...);
  }
}

/// `g[j] (+)= scale * sum_t u[t][row + j] x[t]` for one column panel. With each token, `lines`
/// cache lines from `ahead` on are fetched, as `dot` does.
template <class T, int Rows, int Vectors, class... Count>
[[gnu::noinline]] void outer(const T* const* u, const T* const* x, Index tokens, Index row,
                             Index column, T scale, T* g, Index stride, bool add, const T* ahead,
                             Index lines, Count... count) {
  constexpr int n = lanes<T>;
  Simd<T> sum[Rows][Vectors] = {};
  for (Index t = 0; t < tokens; ++t) {
    for (Index l = 0; l < lines; ++l, ahead += n) fetch<T, 1>(ahead);
    Simd<T> xs[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) xs[v] = load<T>(x[t] + column + v * n, count...);
#pragma GCC unroll 8
    for (int j = 0; j < Rows; ++j) {
      Simd<T> us = u[t][row + j] - Simd<T>{};
      hold(us);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[j][v] += us * xs[v];
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < Rows; ++j) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      T* to = g + (row + j) * stride + column + v * n;
      const Simd<T> scaled = scale * sum[j][v];
      store(to, add ? load<T>(to, count...) + scaled : scaled, count...);
    }
  }
}

/// Calls `panel(constant vectors, column, panels, count...)` so that the columns `first .. last`
/// are covered by runs of adjacent panels of that many registers; `count` is given for a last piece
/// narrower than a register.
template <class T, int Vectors, class Panel>
void for_panels(Index first, Index last, Panel&& panel) {
  constexpr int n = lanes<T>;
  while (last - first >= n) {
    with_power<Vectors>((last - first) / n, [&](auto vectors) {
      const Index panels = (last - first) / (vectors * n);
      panel(vectors, first, panels);
      first += panels * vectors * n;
    });
  }
  if (first < last) panel(std::integral_constant<int, 1>{}, first, Index{1}, last - first);
}

inline void expect_chosen(const Chosen& chosen, Index rows) {
  expect(chosen.everything() || (chosen.block > 0 && chosen.k > 0 && rows % chosen.block == 0 &&
                                 chosen.k <= rows / chosen.block),
         "skinny product: a choice of {} blocks of {} rows does not fit a factor of {} rows",
         chosen.k, chosen.block, rows);
}

template <class T>
void expect_dot(MatrixView<const T> x, MatrixView<const T> w, MatrixView<T> u,
                const Chosen& chosen) {
  expect_shape(u, x.rows, w.rows, "skinny_dot's u");
  expect_shape(w, w.rows, x.cols, "skinny_dot's w");
  expect_chosen(chosen, w.rows);
}

/// `skinny_dot` of the tokens `first .. first + count`, a tile at most. The rows of the next tile,
/// up to `last`, are fetched as it goes.
template <class T>
void dot_tile(MatrixView<const T> x, MatrixView<const T> w, T scale, MatrixView<T> u, bool add,
              const Chosen& chosen, Index first, Index count, Index last) {
  if (!add && !chosen.everything()) fill(u.middle_rows(first, count), T(0));
  Buckets& buckets = Buckets::of_thread();
  buckets.sort(chosen, first, count, w.rows);
  Index fetched = first + count;
  for (const Bucket& bucket : buckets) {
    for (Index j = 0; j < bucket.rows;) {
      with_power<dot_rows>(bucket.rows - j, [&](auto rows) {
        constexpr int most = std::min(dot_sums / rows, 6);
        const Index row = bucket.first_row + j;
        for (Index t = 0; t < bucket.count; t += most) {
          with_constant<most>(bucket.count - t, [&](auto tokens) {
            const T* from[tokens];
            T* to[tokens];
            for (int i = 0; i < tokens; ++i) {
              from[i] = x.row(first + bucket.tokens[t + i]);
              to[i] = u.row(first + bucket.tokens[t + i]) + row;
            }
            const bool fetches = fetched < std::min(first + count + tile, last);
            dot<T, tokens, rows>(from, w.row(row), w.stride, x.cols, scale, to, add,
                                 fetches ? x.row(fetched) : nullptr);
            fetched += tokens;
          });
        }
        j += rows;
      });
    }
  }
}

}  // namespace skinny

/// The down projection: `u[t, j] (+)= scale * sum_i x[t, i] w[j, i]` with x `T x d`, w `R x d`, u
/// `T x R`. Elements that were not chosen become 0, or stay as they are under `add`. Throws where
/// shapes disagree.
template <class T>
void skinny_dot(MatrixView<const std::type_identity_t<T>> x,
                MatrixView<const std::type_identity_t<T>> w, std::type_identity_t<T> scale,
                MatrixView<T> u, bool add, const Chosen& chosen, int threads) {
  using namespace skinny;
  expect_dot(x, w, u, chosen);
  parallel_blocks(x.rows, {tile, 2 * tile}, threads, [&](Index first, Index last) {
    for (; first < last; first += tile)
      dot_tile<T>(x, w, scale, u, add, chosen, first, std::min(tile, last - first), last);
  });
}

/// The weight gradient: `g[j, :] (+)= scale * sum_t u[t, j] x[t, :]` over the tokens t that chose
/// j, with u `T x R`, x `T x d`, g `R x d`. Throws where shapes disagree.
template <class T>
void skinny_outer(MatrixView<const std::type_identity_t<T>> u,
                  MatrixView<const std::type_identity_t<T>> x, std::type_identity_t<T> scale,
                  MatrixView<T> g, bool add, const Chosen& chosen, int threads) {
  using namespace skinny;
  expect_shape(g, u.cols, x.cols, "skinny_outer's g");
  expect_shape(x, u.rows, x.cols, "skinny_outer's x");
  expect_chosen(chosen, g.rows);
  parallel_blocks(g.cols, {column_grain, 2 * column_grain}, threads, [&](Index begin, Index end) {
    Buckets& buckets = Buckets::of_thread();
    if (!add && (!chosen.everything() || u.rows == 0))
      fill(g.middle_cols(begin, end - begin), T(0));
    for (Index first = 0; first < u.rows; first += tile) {
      const bool load_first = add || !chosen.everything() || first > 0;
      buckets.sort(chosen, first, std::min(tile, u.rows - first), g.rows);
      // The next tile, if there is one, is fetched at an even pace.
      Index passes = 0;
      for (const Bucket& b : buckets) passes += b.count * ((b.rows + outer_rows - 1) / outer_rows);
      const bool fetches = end - begin == x.cols && first + tile < u.rows && passes > 0;
      const T* ahead = x.row(fetches ? first + tile : first);
      const T* const stop =
          fetches ? x.row(std::min(first + 2 * tile, u.rows) - 1) + x.cols : ahead;
      const Index pace = fetches ? (tile * outer_vectors + passes - 1) / passes : 0;
      for (const Bucket& bucket : buckets) {
        const T* us[tile];
        const T* xs[tile];
        for (Index t = 0; t < bucket.count; ++t) {
          us[t] = u.row(first + bucket.tokens[t]) + bucket.first_row;
          xs[t] = x.row(first + bucket.tokens[t]);
        }
        T* to = g.row(bucket.first_row);
        const auto body = [&](auto vectors, Index column, Index panels, auto... narrow) {
          for (; panels > 0; --panels, column += vectors * lanes<T>) {
            for (Index j = 0; j < bucket.rows;) {
              with_power<outer_rows>(bucket.rows - j, [&](auto rows) {
                const Index lines = ahead < stop ? pace : 0;
                outer<T, rows, vectors>(us, xs, bucket.count, j, column, scale, to, g.stride,
                                        load_first, ahead, lines, narrow...);
                ahead += bucket.count * lines * lanes<T>;
                j += rows;
              });
            }
          }
        };
        for_panels<T, outer_vectors>(begin, end, body);
      }
    }
  });
}

}  // namespace branchlora::eigen

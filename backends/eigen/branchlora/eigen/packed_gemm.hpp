/// @file
/// Products with a frozen matrix: it is packed once, in the order in which the kernel reads it, and
/// multiplied many times.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/bfloat16.hpp"
#include "branchlora/eigen/memory.hpp"
#include "branchlora/eigen/parallel.hpp"
#include "branchlora/eigen/simd.hpp"
#include "branchlora/eigen/skinny.hpp"

namespace branchlora::eigen {
namespace gemm {

using namespace simd;

/// What a packed matrix may hold.
template <class S>
concept Storage = std::same_as<S, float> || std::same_as<S, double> || std::same_as<S, bfloat16>;

/// What is multiplied and summed: bfloat16 is summed in float.
template <Storage S>
using Scalar = std::conditional_t<std::same_as<S, bfloat16>, float, S>;

/// Products per step of the kernel: bfloat16 comes in pairs, which share a float's lane.
template <Storage S>
inline constexpr Index pair = std::same_as<S, bfloat16> ? 2 : 1;

/// The register block: `tokens` rows of the result by two registers of columns.
inline constexpr int tokens = many_registers ? 14 : 6;
template <Storage S>
inline constexpr Index panel = 2 * lanes<Scalar<S>>;

/// Depth of a block: a register block's share of x stays in the first-level cache.
template <Storage S>
inline constexpr Index depth = 1024 / static_cast<Index>(sizeof(S));
/// Elements between the rows of a block of x; the padding spreads rows over the cache.
template <Storage S>
inline constexpr Index row_step = depth<S> + 64 / static_cast<Index>(sizeof(S));
/// Tokens of a block of x, which stays in the second-level cache.
inline constexpr Index block = 168;
/// Columns of a block of y to which a term of low rank is added while they are in that cache.
inline constexpr Index strip = 256;

/// Memory at cache line boundaries.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_lines(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) { release_lines(p); }
  friend bool operator==(Aligned, Aligned) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, Aligned<T>>;

constexpr Index round_up(Index n, Index to) { return (n + to - 1) / to * to; }

template <class To, class From>
constexpr To cast(From value) {
  if constexpr (std::same_as<To, From>) {
    return value;
  } else if constexpr (std::same_as<From, bfloat16>) {
    return static_cast<To>(static_cast<float>(value));
  } else if constexpr (std::same_as<To, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

/// A register of bfloat16 pairs.
using Bits = Simd<std::uint32_t>;

/// The step of a bfloat16 kernel: `sum + a_even * b_even + a_odd * b_odd` in every lane, where a
/// and b hold pairs.
[[gnu::always_inline]] inline Simd<float> multiply_pairs(Bits a, Bits b, Simd<float> sum) {
#if defined(__AVX512BF16__)
  // The intrinsic's operand type differs between compilers, and clang 16 fails to compile casts
  // to it.
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
  sum += std::bit_cast<Simd<float>>(a << 16U) * std::bit_cast<Simd<float>>(b << 16U);
  sum += std::bit_cast<Simd<float>>(a & 0xFFFF0000U) * std::bit_cast<Simd<float>>(b & 0xFFFF0000U);
#endif
  return sum;
}

/// Fetches a panel of `rows` rows from `y` on.
template <class T>
void fetch(const T* y, Index stride, Index rows) {
  for (Index t = 0; t < rows; ++t, y += stride) {
    __builtin_prefetch(y);
    __builtin_prefetch(y + lanes<T>);
  }
}

/// `Tokens x panel` elements of the result, over `steps` steps of one block's depth. `a` holds rows
/// `row_step` apart, `b` a panel; `count` is the number of columns that the result has here.
template <Storage S, int Tokens>
[[gnu::noinline]] void kernel(const S* a, const S* b, Index steps, Scalar<S>* y, Index stride,
                              Index count, bool add) {
  using T = Scalar<S>;
  constexpr int n = lanes<T>;
  Simd<T> sum[Tokens][2] = {};
  fetch(y, stride, Tokens);
  for (Index p = 0; p < steps; ++p, a += pair<S>, b += pair<S> * panel<S>) {
    std::conditional_t<std::same_as<S, bfloat16>, Bits, Simd<T>> left;
    decltype(left) right;
    std::memcpy(&left, b, sizeof left);
    std::memcpy(&right, b + pair<S> * n, sizeof right);
    hold(left);
    hold(right);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const S* from = a + t * row_step<S>;
      if constexpr (std::same_as<S, bfloat16>) {
        std::uint32_t both;
        std::memcpy(&both, from, sizeof both);
        Bits x = both + Bits{};
        hold(x);
        sum[t][0] = multiply_pairs(x, left, sum[t][0]);
        sum[t][1] = multiply_pairs(x, right, sum[t][1]);
      } else {
        Simd<T> x = *from - Simd<T>{};
        hold(x);
        sum[t][0] += x * left;
        sum[t][1] += x * right;
      }
    }
  }
  if (count == panel<S>) {
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        T* to = y + t * stride + v * n;
        store(to, add ? load(to) + sum[t][v] : sum[t][v]);
      }
    }
    return;
  }
  const Index counts[2] = {std::min<Index>(count, n), std::max<Index>(count - n, 0)};
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      T* to = y + t * stride + v * n;
      const Index c = counts[v];
      if (c == n) store(to, add ? load(to) + sum[t][v] : sum[t][v]);
      if (c > 0 && c < n) store(to, add ? load(to, c) + sum[t][v] : sum[t][v], c);
    }
  }
}

}  // namespace gemm

/// A frozen `rows x cols` matrix, stored for products `y = x P`. The forward product of a linear
/// layer, `y = x W^T`, takes `PackedMatrix<S>::transposed(w)`; its backward, `dx = dy W`, takes
/// `PackedMatrix<S>(w)`.
template <gemm::Storage S>
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// Packs `m` (`rows x cols`); elements are rounded to the storage type.
  template <class T>
  explicit PackedMatrix(MatrixView<const T> m)
      : PackedMatrix(m.rows, m.cols, [&](Index i, Index j) { return gemm::cast<S>(m(i, j)); }) {}
  template <class T>
  explicit PackedMatrix(MatrixView<T> m) : PackedMatrix(MatrixView<const T>(m)) {}

  /// Packs the transpose of `m` (`cols x rows`).
  template <class T>
  static PackedMatrix transposed(MatrixView<T> m) {
    return PackedMatrix(m.cols, m.rows, [&](Index i, Index j) { return gemm::cast<S>(m(j, i)); });
  }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  /// Bytes of the packed elements, padding included.
  std::size_t bytes() const { return elements_.size() * sizeof(S); }

  /// The panel of columns from `column` on, in the block of rows from `row` on.
  const S* panel(Index row, Index column) const {
    const Index block_rows = gemm::round_up(std::min(gemm::depth<S>, rows_ - row), gemm::pair<S>);
    return elements_.data() + row * padded_cols() + column * block_rows;
  }

 private:
  Index padded_cols() const { return gemm::round_up(cols_, gemm::panel<S>); }

  template <class Element>
  PackedMatrix(Index rows, Index cols, const Element& element) : rows_(rows), cols_(cols) {
    elements_.resize(static_cast<std::size_t>(gemm::round_up(rows, gemm::pair<S>) * padded_cols()));
    S* to = elements_.data();
    for (Index block = 0; block < rows; block += gemm::depth<S>) {
      const Index end = std::min(block + gemm::depth<S>, rows);
      for (Index column = 0; column < cols; column += gemm::panel<S>)
        for (Index i = block; i < end; i += gemm::pair<S>)
          for (Index j = column; j < column + gemm::panel<S>; ++j)
            for (Index p = i; p < i + gemm::pair<S>; ++p)
              *to++ = p < rows && j < cols ? element(p, j) : S{};
    }
  }

  Index rows_ = 0;
  Index cols_ = 0;
  gemm::AlignedVector<S> elements_;
};

/// Whether a term of low rank is added to a result before the product is, or after.
enum class TermOrder : std::uint8_t { before, after };

/// `y = x P` or, under `add`, `y += x P`, with x `T x k`, P `k x n` and y `T x n`; a `term` that is
/// not empty is added too, while the part of y that it meets is in the cache. With bfloat16 storage
/// x is rounded to bfloat16 and products are summed in float. An element is always summed in the
/// same order, so the result does not depend on the number of threads. Throws where shapes
/// disagree.
template <gemm::Storage S>
void multiply(MatrixView<const gemm::Scalar<S>> x, const PackedMatrix<S>& packed, bool add,
              MatrixView<gemm::Scalar<S>> y, int threads,
              const LowRankTerm<gemm::Scalar<S>>& term = {}, TermOrder order = TermOrder::after) {
  using namespace gemm;
  using T = Scalar<S>;
  expect_shape(x, x.rows, packed.rows(), "packed product's x");
  expect_shape(y, x.rows, packed.cols(), "packed product's y");
  if (!term.empty()) skinny::expect_term(term, y);
  const Index k = packed.rows();
  if (k == 0 && !add) skinny::fill(y, T(0));
  const bool before = !term.empty() && order == TermOrder::before;
  const bool after = !term.empty() && order == TermOrder::after;

  const auto work = [&](Index first, Index last, Index begin, Index end) {
    thread_local AlignedVector<S> buffer(static_cast<std::size_t>(gemm::block * row_step<S>));
    S* const a = buffer.data();
    auto& update = skinny::Update<T>::of_thread();
    for (; first < last; first += gemm::block) {
      const Index count = std::min(gemm::block, last - first);
      if (!term.empty()) update.open(term, y, first, count);
      for (Index row = 0; row < k; row += depth<S>) {
        const Index terms = std::min(depth<S>, k - row);
        for (Index t = 0; t < count; ++t) {
          S* to = a + t * row_step<S>;
          const T* from = x.row(first + t) + row;
          if constexpr (std::same_as<S, bfloat16>) {
            convert(from, to, terms);
            if (terms % 2 != 0) to[terms] = S{};
          } else {
            std::copy_n(from, terms, to);
          }
        }
        const Index steps = (terms + pair<S> - 1) / pair<S>;
        const bool leads = before && row == 0;
        const bool follows = after && row + terms == k;
        for (Index edge = begin; edge < end; edge += strip) {
          const Index strip_end = std::min(edge + strip, end);
          if (leads) update(edge, strip_end, add);
          for (Index column = edge; column < strip_end; column += gemm::panel<S>) {
            const S* b = packed.panel(row, column);
            const Index columns = std::min(gemm::panel<S>, strip_end - column);
            for (Index t = 0; t < count; t += tokens) {
              with_constant<tokens>(count - t, [&](auto tokens_here) {
                T* const to = y.row(first + t) + column;
                if (leads && column + strip < end) fetch(to + strip, y.stride, tokens_here);
                kernel<S, tokens_here>(a + t * row_step<S>, b, steps, to, y.stride, columns,
                                       add || before || row > 0);
              });
            }
          }
          if (follows) update(edge, strip_end, true);
        }
      }
    }
  };
  if (x.rows >= 2 * tokens * threads) {
    parallel_blocks(x.rows, tokens, threads,
                    [&](Index first, Index last) { work(first, last, 0, y.cols); });
  } else {
    parallel_blocks(y.cols, gemm::panel<S>, threads,
                    [&](Index begin, Index end) { work(0, x.rows, begin, end); });
  }
}

}  // namespace branchlora::eigen

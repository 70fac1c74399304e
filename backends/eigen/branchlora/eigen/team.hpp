/// @file
/// How one thread goes over the elements of a row.
#pragma once

#include <algorithm>

#include "branchlora/core/math.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::eigen {

/// The team of one that runs a row's body on the CPU. Sums keep sixteen partial results, so that
/// compilers vectorise them and their order depends on the length alone.
template <class T>
struct Team {
  /// f(i) for i in 0 .. n - 1, in any order.
  template <class F>
  void loop(Index n, F f) const {
    // Clang has no such hint: its own pragma is an order, with a warning where it can not follow.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep
#endif
    for (Index i = 0; i < n; ++i) f(i);
  }

  /// The sum of f(i).
  template <class F>
  T sum(Index n, F f) const {
    T partial[lanes] = {};
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      for (Index l = 0; l < lanes; ++l) partial[l] += f(i + l);
    }
    for (Index l = 0; i < n; ++i, ++l) partial[l] += f(i);
    T total = 0;
    for (const T p : partial) total += p;
    return total;
  }

  /// The largest f(i); the lowest finite value if n is 0.
  template <class F>
  T max(Index n, F f) const {
    T partial[lanes];
    std::fill(partial, partial + lanes, math::lowest<T>());
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      for (Index l = 0; l < lanes; ++l) {
        const T x = f(i + l);
        partial[l] = x > partial[l] ? x : partial[l];
      }
    }
    for (Index l = 0; i < n; ++i, ++l) partial[l] = std::max(partial[l], T(f(i)));
    return *std::max_element(partial, partial + lanes);
  }

 private:
  static constexpr Index lanes = 16;
};

}  // namespace branchlora::eigen

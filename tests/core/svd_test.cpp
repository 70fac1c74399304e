#include "branchlora/core/svd.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "branchlora/core/error.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

HostMatrix<double> host(const Dense& m) { return {m.rows, m.cols, m.data}; }
Dense plain(const HostMatrix<double>& m) { return {m.rows, m.cols, m.values}; }
Dense transposed(const Dense& m) {
  return dense(m.cols, m.rows, [&](Index i, Index j) { return m(j, i); });
}
Dense identity(Index n) {
  return dense(n, n, [](Index i, Index j) { return i == j ? 1.0 : 0.0; });
}

}  // namespace

TEST_CASE("the factors are orthonormal, ordered, and give the matrix") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{7, 10}, {10, 7}, {40, 33}, {1, 5}}) {
    CAPTURE(rows);
    const Dense m = random_dense(rows, cols, 3);
    const Svd parts = svd(host(m));
    const Index k = std::min(rows, cols);
    const Dense u = plain(parts.u), vt = plain(parts.vt);
    // The decomposition is backward stable: each is off by a modest multiple of the dimension times
    // u = 1.1e-16, here ten.
    const double allowed = 10 * 40 * 1.1e-16;
    CHECK(distance(times_transposed(transposed(u), transposed(u)), identity(k)) < allowed);
    CHECK(distance(times_transposed(vt, vt), identity(k)) < allowed);
    const Dense us = dense(
        rows, k, [&](Index i, Index j) { return u(i, j) * parts.s[static_cast<std::size_t>(j)]; });
    CHECK(distance(times_transposed(us, transposed(vt)), m) < allowed * parts.s[0]);
    for (Index i = 0; i < k; ++i) {
      const auto s = static_cast<std::size_t>(i);
      CHECK(parts.s[s] >= 0);
      if (i > 0) CHECK(parts.s[s] <= parts.s[s - 1]);
      // The element of largest magnitude is positive.
      double high = -2, low = 2;
      for (Index c = 0; c < cols; ++c) {
        high = std::max(high, vt(i, c));
        low = std::min(low, vt(i, c));
      }
      CHECK(high >= -low);
    }
  }
}

TEST_CASE("a matrix and its negative have the same right singular vectors") {
  const Dense m = random_dense(6, 9, 5);
  const Dense negative = dense(6, 9, [&](Index i, Index j) { return -m(i, j); });
  // Signs and order alone differ in the sums.
  CHECK(distance(plain(svd(host(m)).vt), plain(svd(host(negative)).vt)) < 1e-13);
}

TEST_CASE("no rows, no values") {
  const Svd parts = svd({0, 4, {}});
  CHECK(parts.s.empty());
  CHECK(parts.vt.cols == 4);
}

TEST_CASE("what is not finite is refused") {
  CHECK_THROWS_WITH_AS(svd({1, 2, {1, std::numeric_limits<double>::quiet_NaN()}}),
                       "svd: expected a 1 x 2 matrix of finite numbers, found one that is not",
                       Error);
}

/// @file
/// Eigen's matrix product without its allocations and without its special cases.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "branchlora/core/backend.hpp"
#include "branchlora/eigen/eigen.hpp"
#include "branchlora/eigen/fill_copy.hpp"

namespace branchlora::eigen {

namespace detail {

/// Block sizes for a product of `rows x depth` by `depth x cols`, and memory for packed blocks that
/// each thread keeps: Eigen's own leaves the stack for the heap above 128 KiB.
template <class T>
struct Blocking : Eigen::internal::level3_blocking<T, T> {
  Blocking(Index rows, Index cols, Index depth) {
    this->m_mc = rows;
    this->m_nc = cols;
    this->m_kc = depth;
    Eigen::internal::computeProductBlockingSizes<T, T>(this->m_kc, this->m_mc, this->m_nc);
    this->m_blockA = memory<0>(this->m_mc * this->m_kc);
    this->m_blockB = memory<1>(this->m_nc * this->m_kc);
  }

 private:
  template <int Which>
  static T* memory(Index size) {
    struct alignas(64) Line {
      std::array<T, 64 / sizeof(T)> elements;
    };
    thread_local std::vector<Line> lines;
    const auto needed = static_cast<std::size_t>(size) / (64 / sizeof(T)) + 1;
    if (lines.size() < needed) lines.resize(needed);
    return lines.front().elements.data();
  }
};

}  // namespace detail

/// c = alpha op(a) op(b), or c += that if `add`. Always the same kernel of Eigen (which has others
/// for a single row or column and for small products), whose result for a row of c does not depend
/// on the rows beside it, as long as c is cut at multiples of 4 rows.
template <class T>
void product(Op op_a, Op op_b, std::type_identity_t<T> alpha,
             MatrixView<const std::type_identity_t<T>> a,
             MatrixView<const std::type_identity_t<T>> b, MatrixView<T> c, bool add) {
  if (!add) fill(c, T(0));
  const Index depth = op_a == Op::none ? a.cols : a.rows;
  if (c.empty() || depth == 0) return;
  // Eigen's kernel is column-major: c^T = op(b)^T op(a)^T, all of them read as they lie.
  detail::Blocking<T> blocking(c.cols, c.rows, depth);
  const auto run = [&]<int OrderB, int OrderA>() {
    Eigen::internal::general_matrix_matrix_product<Index, T, OrderB, false, T, OrderA, false,
                                                   Eigen::ColMajor, 1>::run(c.cols, c.rows, depth,
                                                                            b.data, b.stride,
                                                                            a.data, a.stride,
                                                                            c.data, 1, c.stride,
                                                                            alpha, blocking,
                                                                            nullptr);
  };
  constexpr int as_is = Eigen::ColMajor;
  constexpr int turned = Eigen::RowMajor;
  if (op_b == Op::none) {
    op_a == Op::none ? run.template operator()<as_is, as_is>()
                     : run.template operator()<as_is, turned>();
  } else {
    op_a == Op::none ? run.template operator()<turned, as_is>()
                     : run.template operator()<turned, turned>();
  }
}

}  // namespace branchlora::eigen

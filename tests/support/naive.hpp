/// @file
/// Matrices of doubles for the naive references of tests, and the way to and from backends.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora::test {

/// A dense matrix, as plain as it gets.
struct Dense {
  Index rows = 0;
  Index cols = 0;
  std::vector<double> data;

  Dense() = default;
  Dense(Index rows_, Index cols_)
      : rows(rows_), cols(cols_), data(static_cast<std::size_t>(rows_ * cols_)) {}
  Dense(Index rows_, Index cols_, std::vector<double> data_)
      : rows(rows_), cols(cols_), data(std::move(data_)) {}

  double& operator()(Index i, Index j) { return data[static_cast<std::size_t>(i * cols + j)]; }
  double operator()(Index i, Index j) const { return data[static_cast<std::size_t>(i * cols + j)]; }
  Index size() const { return rows * cols; }
  /// Exact equality: two results with the same bits (up to the sign of zero).
  bool operator==(const Dense&) const = default;
};

/// f(i, j) everywhere.
template <class F>
Dense dense(Index rows, Index cols, F f) {
  Dense m(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) m(i, j) = f(i, j);
  }
  return m;
}

/// Normal numbers, rounded to float so that both precisions start from the same matrix.
inline Dense random_dense(Index rows, Index cols, std::uint64_t stream, double deviation = 1.0) {
  const Random random(2025, stream);
  return dense(rows, cols, [&](Index i, Index j) {
    return static_cast<double>(
        static_cast<float>(deviation * random.normal(static_cast<std::uint64_t>(i * cols + j))));
  });
}

/// A copy of backend memory that the host can read.
template <class T>
Dense to_dense(const MatrixView<T>& m) {
  return dense(m.rows, m.cols, [&](Index i, Index j) { return static_cast<double>(m(i, j)); });
}

/// Copies into memory that the host can write.
template <class T>
void assign(const MatrixView<T>& to, const Dense& from) {
  expect_shape(to, from.rows, from.cols, "the target of a test's copy");
  for (Index i = 0; i < from.rows; ++i) {
    for (Index j = 0; j < from.cols; ++j) to(i, j) = static_cast<T>(from(i, j));
  }
}

/// a b^T, one sum after the other.
inline Dense times_transposed(const Dense& a, const Dense& b) {
  return dense(a.rows, b.rows, [&](Index i, Index j) {
    double sum = 0;
    for (Index k = 0; k < a.cols; ++k) sum += a(i, k) * b(j, k);
    return sum;
  });
}

/// The largest absolute element.
inline double largest(const Dense& m) {
  double most = 0;
  for (const double x : m.data) most = std::max(most, std::abs(x));
  return most;
}

/// The largest absolute difference; infinite if the shapes differ or anything is not a number.
inline double distance(const Dense& a, const Dense& b) {
  if (a.rows != b.rows || a.cols != b.cols) return std::numeric_limits<double>::infinity();
  double most = 0;
  for (std::size_t i = 0; i < a.data.size(); ++i) {
    const double d = std::abs(a.data[i] - b.data[i]);
    if (!(d <= most)) most = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  return most;
}

/// softmax of a few scores.
inline std::vector<double> softmax(std::vector<double> x) {
  const double highest = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double& v : x) sum += v = std::exp(v - highest);
  for (double& v : x) v /= sum;
  return x;
}

}  // namespace branchlora::test

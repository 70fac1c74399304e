/// @file
/// The bodies of `ridge.hpp`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "branchlora/selector/ridge.hpp"
#include "branchlora/selector/task_selector-inl.hpp"

namespace branchlora {

namespace detail {

/// Replaces the upper triangle of a symmetric, positive definite A (n x n, row-major) by R with
/// A = R^T R. Plain loops over rows, so that the bits depend on no library.
inline void cholesky(std::vector<double>& a, std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) {
    double* row = a.data() + k * n;
    expect(row[k] > 0,
           "selector: expected features that a ridge makes independent, found {} as "
           "pivot {}",
           row[k], k);
    const double pivot = std::sqrt(row[k]);
    for (std::size_t j = k; j < n; ++j) row[j] /= pivot;
    for (std::size_t i = k + 1; i < n; ++i) {
      double* below = a.data() + i * n;
      for (std::size_t j = i; j < n; ++j) below[j] -= row[i] * row[j];
    }
  }
}

/// Solves R^T R x = b in place, with R of `cholesky`.
inline void solve(const std::vector<double>& r, std::vector<double>& b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    b[k] /= r[k * n + k];
    for (std::size_t j = k + 1; j < n; ++j) b[j] -= r[k * n + j] * b[k];
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) b[k] -= r[k * n + j] * b[j];
    b[k] /= r[k * n + k];
  }
}

}  // namespace detail

BRANCHLORA_INLINE void RidgeSelector::make_room(std::span<const double> v, Part& part) {
  if (v.empty()) return;
  if (part.first >= 0) {
    detail::expect_alike(part.size, std::ssize(v));
    return;
  }
  part = {width_, std::ssize(v)};
  const Index wider = width_ + part.size;
  std::vector<double> gram(static_cast<std::size_t>(wider * wider), 0.0);
  for (Index r = 0; r < width_; ++r) {
    std::copy_n(gram_.begin() + r * width_, width_, gram.begin() + r * wider);
  }
  gram_ = std::move(gram);
  for (auto& sum : sums_) sum.resize(static_cast<std::size_t>(wider), 0.0);
  width_ = wider;
}

BRANCHLORA_INLINE std::vector<double> RidgeSelector::features(const Embedding& e) const {
  std::vector<double> f(static_cast<std::size_t>(width_), 0.0);
  f[0] = 1;
  const auto put = [&f](std::span<const double> v, const Part& part) {
    if (v.empty() || part.first < 0) return;
    detail::expect_alike(part.size, std::ssize(v));
    detail::add_unit(v, f.data() + part.first);
  };
  put(e.image, image_);
  put(e.text, text_);
  return f;
}

BRANCHLORA_INLINE void RidgeSelector::add(Index task, const Embedding& embedding) {
  detail::expect_known_or_next(task, tasks());
  const Embedding e = read(embedding, reads_);
  make_room(e.image, image_);
  make_room(e.text, text_);
  const std::vector<double> f = features(e);
  if (task == tasks()) sums_.emplace_back(f.size(), 0.0);
  auto& sum = sums_[static_cast<std::size_t>(task)];
  const std::size_t n = f.size();
  for (std::size_t r = 0; r < n; ++r) {
    sum[r] += f[r];
    double* row = gram_.data() + r * n;
    for (std::size_t c = r; c < n; ++c) row[c] += f[r] * f[c];
  }
}

BRANCHLORA_INLINE void RidgeSelector::end_task() {
  const auto n = static_cast<std::size_t>(width_);
  std::vector<double> r = gram_;
  for (std::size_t i = 0; i < n; ++i) r[i * n + i] += penalty_;
  detail::cholesky(r, n);
  weights_ = sums_;
  for (auto& w : weights_) detail::solve(r, w);
}

BRANCHLORA_INLINE Index RidgeSelector::select(const Embedding& embedding) const {
  const std::vector<double> f = features(read(embedding, reads_));
  return detail::best_task(std::ssize(weights_), [&](Index t) {
    return detail::dot(f, weights_[static_cast<std::size_t>(t)]);
  });
}

BRANCHLORA_INLINE Index RidgeSelector::bytes() const {
  // G is symmetric: a triangle of it says all.
  return (width_ * (width_ + 1) / 2 + width_ * tasks()) * static_cast<Index>(sizeof(double));
}

BRANCHLORA_INLINE HostMatrices<double> RidgeSelector::state() const {
  HostMatrix<double> sums{tasks(), width_, {}};
  for (const auto& sum : sums_) sums.values.insert(sums.values.end(), sum.begin(), sum.end());
  const auto number = [](Index i) { return static_cast<double>(i); };
  return {{"gram", {width_, width_, gram_}},
          {"sums", std::move(sums)},
          {"offsets",
           {2,
            2,
            {number(image_.first), number(image_.size), number(text_.first), number(text_.size)}}}};
}

BRANCHLORA_INLINE void RidgeSelector::restore(const HostMatrices<double>& state) {
  const auto& offsets = detail::matrix_of(state, "offsets", 2, 2).values;
  const Part image{static_cast<Index>(offsets[0]), static_cast<Index>(offsets[1])};
  const Part text{static_cast<Index>(offsets[2]), static_cast<Index>(offsets[3])};
  const Index width = 1 + image.size + text.size;
  const auto follows = [](const Part& part, Index first) {
    return part.size == 0 ? part.first == -1 : part.size > 0 && part.first == first;
  };
  const bool image_first = image.first == 1;
  const Part& one = image_first ? image : text;
  expect(follows(one, 1) && follows(image_first ? text : image, 1 + one.size),
         "selector: its matrix 'offsets' does not say where pictures and texts are");
  const auto& gram = detail::matrix_of(state, "gram", width, width);
  const auto& sums = detail::matrix_of(state, "sums", -1, width);
  image_ = image;
  text_ = text;
  width_ = width;
  gram_ = gram.values;
  sums_.clear();
  for (Index t = 0; t < sums.rows; ++t) {
    const auto* first = sums.values.data() + t * width;
    sums_.emplace_back(first, first + width);
  }
  weights_.clear();
  if (!sums_.empty()) end_task();
}

}  // namespace branchlora

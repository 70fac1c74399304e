/// @file
/// The bodies of `nearest_key.hpp`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "branchlora/selector/nearest_key.hpp"
#include "branchlora/selector/task_selector-inl.hpp"

namespace branchlora {

namespace detail {

/// The cosine of the angle between two vectors; 0 if one is missing or zero.
inline double cosine(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size() || a.empty()) return 0;  // a sample without a picture
  const double norms = std::sqrt(dot(a, a) * dot(b, b));
  return norms > 0 ? dot(a, b) / norms : 0;
}

/// key += v / |v|; a missing part adds nothing.
inline void add_to_key(std::span<const double> v, std::vector<double>& key) {
  if (v.empty()) return;
  if (key.empty()) key.assign(v.size(), 0.0);
  expect_alike(std::ssize(key), std::ssize(v));
  add_unit(v, key.data());
}

}  // namespace detail

BRANCHLORA_INLINE void NearestKeySelector::add(Index task, const Embedding& embedding) {
  detail::expect_known_or_next(task, tasks());
  if (task == tasks()) keys_.push_back({});
  Embedding& key = keys_[static_cast<std::size_t>(task)];
  const Embedding e = read(embedding, reads_);
  detail::add_to_key(e.image, key.image);
  detail::add_to_key(e.text, key.text);
}

BRANCHLORA_INLINE std::vector<double> NearestKeySelector::similarities(
    const Embedding& embedding) const {
  const Embedding e = read(embedding, reads_);
  std::vector<double> s;
  for (const Embedding& key : keys_) {
    s.push_back(detail::cosine(e.image, key.image) + detail::cosine(e.text, key.text));
  }
  return s;
}

BRANCHLORA_INLINE Index NearestKeySelector::select(const Embedding& embedding) const {
  const std::vector<double> s = similarities(embedding);
  return detail::best_task(tasks(), [&](Index t) { return s[static_cast<std::size_t>(t)]; });
}

BRANCHLORA_INLINE Index NearestKeySelector::bytes() const {
  std::size_t numbers = 0;
  for (const Embedding& key : keys_) numbers += key.image.size() + key.text.size();
  return static_cast<Index>(numbers * sizeof(double));
}

BRANCHLORA_INLINE HostMatrices<double> NearestKeySelector::state() const {
  const auto rows_of = [this](std::vector<double> Embedding::*part) {
    std::size_t width = 0;
    for (const Embedding& key : keys_) width = std::max(width, (key.*part).size());
    HostMatrix<double> m{tasks(), static_cast<Index>(width), {}};
    for (const Embedding& key : keys_) {
      m.values.insert(m.values.end(), (key.*part).begin(), (key.*part).end());
      m.values.resize(m.values.size() + width - (key.*part).size(), 0.0);
    }
    return m;
  };
  return {{"image", rows_of(&Embedding::image)}, {"text", rows_of(&Embedding::text)}};
}

BRANCHLORA_INLINE void NearestKeySelector::restore(const HostMatrices<double>& state) {
  const auto& image = detail::matrix_of(state, "image", -1, -1);
  const auto& text = detail::matrix_of(state, "text", image.rows, -1);
  const auto row = [](const HostMatrix<double>& m, Index r) {
    const auto* first = m.values.data() + r * m.cols;
    return std::vector<double>(first, first + m.cols);
  };
  keys_.clear();
  for (Index t = 0; t < image.rows; ++t) keys_.push_back({row(image, t), row(text, t)});
}

}  // namespace branchlora

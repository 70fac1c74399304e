/// @file
/// The bodies of `task_selector.hpp`, and what its models share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/selector/task_selector.hpp"

namespace branchlora {

BRANCHLORA_INLINE std::string_view to_string(Reads reads) {
  switch (reads) {
    case Reads::both:
      return "both";
    case Reads::picture:
      return "picture";
    case Reads::text:
      return "text";
    case Reads::hidden:
      return "hidden";
  }
  return "";
}

BRANCHLORA_INLINE Embedding read(const Embedding& embedding, Reads reads) {
  if (reads == Reads::hidden) {
    expect(!embedding.hidden.empty(),
           "selector: expected the decoder's hidden state, which it reads, found none prepared");
    return {{}, embedding.hidden};
  }
  Embedding part{embedding.image, embedding.text};
  if (reads == Reads::picture) part.text.clear();
  if (reads == Reads::text) part.image.clear();
  return part;
}

namespace detail {

/// The sum of the products of numbers of two vectors of the same length.
inline double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// to += v / |v|, for as many numbers as v has; nothing if it is zero.
inline void add_unit(std::span<const double> v, double* to) {
  const double norm = std::sqrt(dot(v, v));
  for (std::size_t i = 0; i < v.size() && norm > 0; ++i) to[i] += v[i] / norm;
}

/// Throws `Error` unless `task` is one of `tasks` that have begun, or comes next.
inline void expect_known_or_next(Index task, Index tasks) {
  expect(task >= 0 && task <= tasks, "selector: task {} comes before task {}", task, tasks);
}

/// Throws `Error` unless embeddings of `known` and `found` numbers are of the same length.
inline void expect_alike(Index known, Index found) {
  expect(known == found, "selector: embeddings of {} and {} numbers", known, found);
}

/// Throws `Error` if there is no task.
inline void expect_tasks(Index tasks) { expect(tasks > 0, "selector: there is no task to select"); }

/// The task with the largest `score(task)`; of equals, the first. Throws `Error` if there is none.
template <class Score>
Index best_task(Index tasks, Score score) {
  expect_tasks(tasks);
  Index best = 0;
  double highest = -std::numeric_limits<double>::infinity();
  for (Index t = 0; t < tasks; ++t) {
    const double s = score(t);
    if (s > highest) {
      highest = s;
      best = t;
    }
  }
  return best;
}

/// A matrix of a selector's state. Throws `Error` if it is not there, or of another size than
/// `rows` (-1: any) by `cols` (-1: any).
inline const HostMatrix<double>& matrix_of(const HostMatrices<double>& state, const char* name,
                                           Index rows, Index cols) {
  const auto found = state.find(name);
  expect(found != state.end(), "selector: expected its matrix '{}', found none", name);
  const HostMatrix<double>& m = found->second;
  expect(
      (rows < 0 || m.rows == rows) && (cols < 0 || m.cols == cols) &&
          std::ssize(m.values) == m.rows * m.cols,
      "selector: expected its matrix '{}' with {} rows and {} columns (-1: any), found {} and {}",
      name, rows, cols, m.rows, m.cols);
  return m;
}

}  // namespace detail

BRANCHLORA_INLINE Index most_selected(const TaskSelector& selector,
                                      std::span<const Embedding> samples) {
  expect(!samples.empty(), "selector: expected samples of a task, found none");
  std::vector<Index> selected(static_cast<std::size_t>(selector.tasks()), 0);
  for (const Embedding& e : samples) ++selected[static_cast<std::size_t>(selector.select(e))];
  return std::ranges::max_element(selected) - selected.begin();
}

}  // namespace branchlora

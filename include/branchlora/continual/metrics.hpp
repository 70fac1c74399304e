/// @file
/// Metrics of continual learning, each a function of the accuracy matrix, each with the exact
/// definition that a table prints under itself.
///
/// Surveys and libraries give different formulas one name, so every function here states its own:
/// `R[i][j]` is the score in percent on task j after training on task i, both 0-based, of T tasks,
/// and NaN is a score that was not measured. A metric that needs a missing score is NaN.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <xtensor/xtensor.hpp>

#include "branchlora/core/error.hpp"

namespace branchlora::continual {

/// `T x T` scores in percent: row i after training on task i, column j on task j; NaN where not
/// measured. A model that was trained once on everything has only its last row.
using AccuracyMatrix = xt::xtensor<double, 2>;

/// The value of whatever was not measured.
inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// A `tasks x tasks` matrix with nothing measured yet.
inline AccuracyMatrix empty_accuracy_matrix(std::size_t tasks) {
  return AccuracyMatrix(AccuracyMatrix::shape_type{tasks, tasks}, not_measured);
}

/// A metric as a footnote gives it.
struct Definition {
  std::string_view name;   ///< as the column is titled
  std::string_view text;   ///< plain text
  std::string_view latex;  ///< the same for LaTeX
};

/// The exact definitions, in the words and symbols that tables print.
namespace definition {

inline constexpr Definition matrix{
    "R[i][j]",
    "score in percent on task j after training on task i, i and j from 0 to T-1; "
    "averages run over tasks, each task counting once",
    "score in percent on task $j$ after training on task $i$, $0 \\le i, j < T$; "
    "averages run over tasks, each task counting once"};

inline constexpr Definition acc{"ACC", "1/T sum_j R[T-1][j], the final mean",
                                "$\\frac{1}{T} \\sum_{j} R_{T-1,j}$, the final mean"};

inline constexpr Definition maa{
    "MAA", "1/T sum_i 1/(i+1) sum_{j<=i} R[i][j], the mean over stages of the mean so far",
    "$\\frac{1}{T} \\sum_{i} \\frac{1}{i+1} \\sum_{j \\le i} R_{i,j}$, "
    "the mean over stages of the mean so far"};

inline constexpr Definition bwt{
    "BWT", "1/T sum_j (R[T-1][j] - R[j][j]), division by T (the last task adds zero)",
    "$\\frac{1}{T} \\sum_{j} (R_{T-1,j} - R_{j,j})$, division by $T$ "
    "(the last task adds zero)"};

inline constexpr Definition bwt_gem{"BWT (GEM)", "1/(T-1) sum_{j<T-1} (R[T-1][j] - R[j][j])",
                                    "$\\frac{1}{T-1} \\sum_{j<T-1} (R_{T-1,j} - R_{j,j})$"};

inline constexpr Definition forgetting{
    "Forgetting",
    "1/(T-1) sum_{j<T-1} (max_{l<T-1} R[l][j] - R[T-1][j]), the last stage not in the maximum",
    "$\\frac{1}{T-1} \\sum_{j<T-1} (\\max_{l<T-1} R_{l,j} - R_{T-1,j})$, "
    "the last stage not in the maximum"};

inline constexpr Definition forward_transfer{
    "FWT", "1/(T-1) sum_{j>=1} (R[j-1][j] - b[j]), b the scores of the untrained model",
    R"($\frac{1}{T-1} \sum_{j \ge 1} (R_{j-1,j} - b_j)$, $b$ the scores of the untrained model)"};

inline constexpr Definition just_trained{"Just trained", "1/T sum_j R[j][j]",
                                         "$\\frac{1}{T} \\sum_{j} R_{j,j}$"};

}  // namespace definition

/// T of a matrix. Throws unless it is square and not empty.
inline std::size_t task_count(const AccuracyMatrix& r) {
  expect(r.shape(0) == r.shape(1) && r.shape(0) > 0,
         "accuracy matrix: expected T x T with T >= 1, found {} x {}", r.shape(0), r.shape(1));
  return r.shape(0);
}

/// Final mean: `1/T sum_j R[T-1][j]`.
inline double acc(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t j = 0; j < tasks; ++j) sum += r(tasks - 1, j);
  return sum / static_cast<double>(tasks);
}

/// Mean average accuracy: `1/T sum_i 1/(i+1) sum_{j<=i} R[i][j]`, also known as average
/// incremental accuracy.
inline double maa(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t i = 0; i < tasks; ++i) {
    double seen = 0;
    for (std::size_t j = 0; j <= i; ++j) seen += r(i, j);
    sum += seen / static_cast<double>(i + 1);
  }
  return sum / static_cast<double>(tasks);
}

/// Backward transfer as CoIN divides it: `1/T sum_j (R[T-1][j] - R[j][j])`. Negative is
/// forgetting; 0 with one task.
inline double bwt(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t j = 0; j < tasks; ++j) sum += r(tasks - 1, j) - r(j, j);
  return sum / static_cast<double>(tasks);
}

/// Backward transfer of GEM (Lopez-Paz and Ranzato, 2017):
/// `1/(T-1) sum_{j<T-1} (R[T-1][j] - R[j][j])`. NaN with one task.
inline double bwt_gem(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  if (tasks == 1) return not_measured;
  return bwt(r) * static_cast<double>(tasks) / static_cast<double>(tasks - 1);
}

/// Forgetting (Chaudhry et al., 2018): `1/(T-1) sum_{j<T-1} (max_{l<T-1} R[l][j] - R[T-1][j])`.
/// The last stage is not in the maximum, so a task that ends better than it ever was counts
/// negative. Stages before a task's own (l < j) enter the maximum where they were measured. NaN
/// with one task.
inline double forgetting(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  if (tasks == 1) return not_measured;
  const std::size_t last = tasks - 1;
  double sum = 0;
  for (std::size_t j = 0; j < last; ++j) {
    double best = r(j, j);
    for (std::size_t l = 0; l < last; ++l) {
      if (l < j && std::isnan(r(l, j))) continue;
      if (std::isnan(r(l, j))) return not_measured;
      best = std::max(best, r(l, j));
    }
    sum += best - r(last, j);
  }
  return sum / static_cast<double>(last);
}

/// Forward transfer of GEM: `1/(T-1) sum_{j>=1} (R[j-1][j] - b[j])`, where `zero_shot` is b, the
/// T scores of the untrained model. NaN with one task or with an empty b; throws for any other
/// length.
inline double forward_transfer(const AccuracyMatrix& r, std::span<const double> zero_shot) {
  const std::size_t tasks = task_count(r);
  expect(zero_shot.empty() || zero_shot.size() == tasks,
         "forward transfer: expected {} zero-shot scores, found {}", tasks, zero_shot.size());
  if (tasks == 1 || zero_shot.empty()) return not_measured;
  double sum = 0;
  for (std::size_t j = 1; j < tasks; ++j) sum += r(j - 1, j) - zero_shot[j];
  return sum / static_cast<double>(tasks - 1);
}

/// Mean score of each task right after its own training: `1/T sum_j R[j][j]`.
inline double just_trained(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t j = 0; j < tasks; ++j) sum += r(j, j);
  return sum / static_cast<double>(tasks);
}

}  // namespace branchlora::continual

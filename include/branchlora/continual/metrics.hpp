/// @file
/// Metrics of continual learning, each a function of the accuracy matrix, each with the exact
/// definition that a table prints under itself.
///
/// Surveys and libraries give different formulas one name, so every function here states its own:
/// `R[i][j]` is the score in percent on task j after training on task i, both 0-based, of T tasks,
/// and NaN is a score that was not measured. A metric that needs a missing score is NaN.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "branchlora/continual/accuracy_matrix.hpp"

namespace branchlora::continual {

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

inline constexpr Definition selector_gap{
    "Gap", "ACC with the true task given less ACC with the task that the selector finds, in points",
    "ACC with the true task given less ACC with the task that the selector finds, in points"};

inline constexpr Definition just_trained{"Just trained", "1/T sum_j R[j][j]",
                                         "$\\frac{1}{T} \\sum_{j} R_{j,j}$"};

}  // namespace definition

/// T of a matrix. Throws unless it is square and not empty.
std::size_t task_count(const AccuracyMatrix& r);

/// Final mean: `1/T sum_j R[T-1][j]`.
double acc(const AccuracyMatrix& r);

/// Mean average accuracy: `1/T sum_i 1/(i+1) sum_{j<=i} R[i][j]`, also known as average
/// incremental accuracy.
double maa(const AccuracyMatrix& r);

/// Backward transfer as CoIN divides it: `1/T sum_j (R[T-1][j] - R[j][j])`. Negative is
/// forgetting; 0 with one task.
double bwt(const AccuracyMatrix& r);

/// Backward transfer of GEM (Lopez-Paz and Ranzato, 2017):
/// `1/(T-1) sum_{j<T-1} (R[T-1][j] - R[j][j])`. NaN with one task.
double bwt_gem(const AccuracyMatrix& r);

/// Forgetting (Chaudhry et al., 2018): `1/(T-1) sum_{j<T-1} (max_{l<T-1} R[l][j] - R[T-1][j])`.
/// The last stage is not in the maximum, so a task that ends better than it ever was counts
/// negative. Stages before a task's own (l < j) enter the maximum where they were measured. NaN
/// with one task.
double forgetting(const AccuracyMatrix& r);

/// Forward transfer of GEM: `1/(T-1) sum_{j>=1} (R[j-1][j] - b[j])`, where `zero_shot` is b, the
/// T scores of the untrained model. NaN with one task or with an empty b; throws for any other
/// length.
double forward_transfer(const AccuracyMatrix& r, std::span<const double> zero_shot);

/// What not knowing the task costs: ACC with the true task given less ACC with the task found.
double selector_gap(const AccuracyMatrix& found, const AccuracyMatrix& given);

/// Mean score of each task right after its own training: `1/T sum_j R[j][j]`.
double just_trained(const AccuracyMatrix& r);

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/metrics-inl.hpp"
#endif

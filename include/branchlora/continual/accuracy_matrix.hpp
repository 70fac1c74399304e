/// @file
/// The scores of a run, task by task.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace branchlora::continual {

/// The value of whatever was not measured.
inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// `T x T` scores in percent: row i after training on task i, column j on task j; NaN where not
/// measured. A model that was trained once on everything has only its last row. A plain holder of
/// numbers: whoever calculates with whole arrays takes `values`, row-major.
class AccuracyMatrix {
 public:
  AccuracyMatrix() = default;
  AccuracyMatrix(std::size_t rows, std::size_t cols, double value)
      : shape_{rows, cols}, values_(rows * cols, value) {}

  /// The number of rows (`axis` 0) or columns (1).
  std::size_t shape(std::size_t axis) const { return shape_[axis]; }
  double& operator()(std::size_t i, std::size_t j) { return values_[i * shape_[1] + j]; }
  double operator()(std::size_t i, std::size_t j) const { return values_[i * shape_[1] + j]; }
  std::span<double> values() { return values_; }
  std::span<const double> values() const { return values_; }

 private:
  std::array<std::size_t, 2> shape_{};
  std::vector<double> values_;
};

/// A `tasks x tasks` matrix with nothing measured yet.
inline AccuracyMatrix empty_accuracy_matrix(std::size_t tasks) {
  return {tasks, tasks, not_measured};
}

}  // namespace branchlora::continual

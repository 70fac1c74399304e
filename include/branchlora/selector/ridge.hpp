/// @file
/// The selector by ridge regression, in closed form.
#pragma once

#include <span>
#include <vector>

#include "branchlora/selector/task_selector.hpp"

namespace branchlora {

/// Finds the task by ridge regression from frozen features to one number a task:
///
///     W = (G + penalty I)^-1 P,   G = sum of f f^T,   P = sum of f e_task^T,   task = argmax f W
///
/// over all samples so far, with f = [image / |image|, text / |text|, 1] and e_task the unit vector
/// of a sample's task. G (width x width) and P (width x tasks) are sums, so nothing is forgotten,
/// and but for rounding the order of tasks does not count. A missing picture is zeros. The source
/// is RanPAC (arXiv 2307.02251), without its random projection.
///
/// The penalty matters little: features have norm sqrt(3), and there are thousands of samples.
class RidgeSelector final : public TaskSelector {
 public:
  explicit RidgeSelector(Reads reads = Reads::both, double penalty = 0.1)
      : reads_(reads), penalty_(penalty) {}

  void add(Index task, const Embedding& embedding) override;
  /// Solves for W.
  void end_task() override;
  Index select(const Embedding& embedding) const override;
  Index tasks() const override { return std::ssize(sums_); }
  Index bytes() const override;
  /// `gram` is G, of which the upper triangle counts, `sums` is P transposed, and `offsets` says
  /// where the features of pictures and texts begin (-1: there are none) and how long they are.
  HostMatrices<double> state() const override;
  void restore(const HostMatrices<double>& state) override;

 private:
  /// Where the features of one part of an embedding are in f.
  struct Part {
    Index first = -1;
    Index size = 0;
  };

  /// The features f of what was read of a sample, in the order in which parts have come first.
  std::vector<double> features(const Embedding& e) const;
  /// Makes room for a part that comes for the first time.
  void make_room(std::span<const double> v, Part& part);

  Reads reads_;
  double penalty_;
  Part image_, text_;
  Index width_ = 1;                        ///< Of f; number 0 is the 1.
  std::vector<double> gram_{0.0};          ///< width x width, the upper triangle.
  std::vector<std::vector<double>> sums_;  ///< Of each task, width numbers.
  std::vector<std::vector<double>> weights_;
};

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/selector/ridge-inl.hpp"
#endif

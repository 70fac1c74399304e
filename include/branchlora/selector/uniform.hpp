/// @file
/// The selector that mixes all tasks alike.
#pragma once

#include <vector>

#include "branchlora/selector/task_selector.hpp"

namespace branchlora {

/// Weighs each of T tasks by 1/T, whatever the sample: the mean of a bank. It learns nothing of a
/// task but that there is one more, and the task that it finds is the first.
class UniformSelector final : public TaskSelector {
 public:
  void add(Index task, const Embedding& embedding) override;
  Index select(const Embedding& embedding) const override;
  bool mixes() const override { return true; }
  std::vector<double> weights(const Embedding& embedding) const override;
  Index tasks() const override { return tasks_; }
  Index bytes() const override { return 0; }
  /// `tasks`, how many there are.
  HostMatrices<double> state() const override;
  void restore(const HostMatrices<double>& state) override;

 private:
  Index tasks_ = 0;
};

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/selector/uniform-inl.hpp"
#endif

/// @file
/// The weights of all tasks so far averaged into one model when a task ends.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual::strategy {

template <Backend B>
class WeightAverageOn;

/// When task t (from 0) ends, over everything that has trained in it and before it, adapters and,
/// where it trains, the projector:
///
///     theta_t <- (1 - share) theta_(t-1) + share theta_t
///
/// A share of 0 means 1 / (t + 1): the mean of what all tasks ended at. A constant share is the
/// moving average of CoMA (Marouf et al., "Weighted Ensemble Models Are Strong Continual Learners",
/// arXiv 2312.08977). The next task starts from the average.
///
/// A and B are averaged each by itself, so the adapter's product is not the average of products. A
/// parameter that first trains in this task, such as a new task's branch, stays as it is.
struct WeightAverage {
  template <Backend B>
  using On = WeightAverageOn<B>;

  double share = 0.0;
};

/// `WeightAverage` on a backend. Holds a copy of what trains while a task is learned.
template <Backend B>
class WeightAverageOn final : public Strategy<B> {
 public:
  using T = typename B::Scalar;

  WeightAverageOn(B& backend, const WeightAverage& settings)
      : backend_(&backend), settings_(settings) {
    expect(settings.share >= 0 && settings.share <= 1,
           "weight average: expected a share from 0 (the mean of all tasks) to 1, found {}",
           settings.share);
  }

  RunConfig config() const override {
    return nlohmann::json{{"name", "WeightAverage"}, {"share", settings_.share}};
  }

  /// Copies the weights that the tasks before have left.
  void begin_task(const Lesson<B>& lesson) override {
    if (lesson.number() == 0) return;
    for (auto& p : lesson.model.parameters()) {
      if (!p.trainable) continue;
      auto& copy = before_[p.name];
      if (copy.empty()) copy = Buffer<B>(*backend_, p.value.rows, p.value.cols);
      backend_->copy(p.value, copy.view());
    }
  }

  void end_task(const Lesson<B>& lesson) override {
    const double share =
        settings_.share > 0 ? settings_.share : 1.0 / static_cast<double>(lesson.number() + 1);
    for (auto& p : lesson.model.parameters()) {
      const auto found = before_.find(p.name);
      if (!p.trainable || found == before_.end()) continue;
      backend_->for_each(p.value.size(), [w = p.value.data, before = found->second.view().data,
                                          share = static_cast<T>(share)] BRANCHLORA_BODY(Index i) {
        w[i] = before[i] + share * (w[i] - before[i]);
      });
    }
  }

  /// Of the copy.
  Index bytes() const override {
    Index total = 0;
    for (const auto& [name, copy] : before_) {
      total += copy.view().size() * static_cast<Index>(sizeof(T));
    }
    return total;
  }

 private:
  B* backend_;
  WeightAverage settings_;
  std::map<std::string, Buffer<B>> before_;  ///< By the name of the parameter.
};

}  // namespace branchlora::continual::strategy

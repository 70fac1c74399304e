/// @file
/// Experience replay from a buffer of a stated size.
#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual::strategy {

template <Backend B>
class ReplayOn;

/// Replay (Chaudhry et al., arXiv 1902.10486): `share` of every batch comes from a buffer of the
/// tasks before and replaces as many samples of the task, so that a step costs what it does
/// without. At least one sample is replayed if there are any and the share is not zero.
///
/// The buffer holds `bytes` bytes. A stored sample costs the vision features of its picture, which
/// is what the trained part of the model reads, and 4 bytes for each token of its turns; two
/// samples about one picture pay for it twice. The tasks so far have equal parts of the buffer,
/// each filled with a uniform sample of the task's training split without replacement: a random
/// order of it, cut where the part is full. With each new task the parts shrink and the ends of all
/// are dropped, so that nothing is needed that was dropped before. Replayed samples are drawn task
/// first, then sample.
///
/// The run holds every task's samples anyway, so the buffer refers to them; the bytes are those
/// that a run without them would need.
struct Replay {
  template <Backend B>
  using On = ReplayOn<B>;

  Index bytes = 1 << 20;
  double share = 0.5;
};

/// `Replay` on a backend.
template <Backend B>
class ReplayOn final : public Strategy<B> {
 public:
  using T = typename B::Scalar;

  ReplayOn(B& /*backend*/, const Replay& settings) : settings_(settings) {
    expect(settings.bytes > 0 && settings.share >= 0 && settings.share <= 1,
           "replay: expected a budget above 0 and a share from 0 to 1, found {} bytes and {}",
           settings.bytes, settings.share);
  }

  RunConfig config() const override {
    return nlohmann::json{
        {"name", "Replay"}, {"bytes", settings_.bytes}, {"share", settings_.share}};
  }

  /// Fills the buffer from the tasks before this one.
  void begin_task(const Lesson<B>& lesson) override {
    random_ = Random(lesson.options.seed).fork("replay");
    stored_.clear();
    bytes_ = 0;
    for (Index t = 0; t < lesson.number(); ++t) {
      stored_.push_back(part(lesson, t, settings_.bytes / lesson.number()));
    }
    random_ = random_.fork(static_cast<std::uint64_t>(lesson.number()));
  }

  void choose(std::vector<Pick<B>>& samples, Index step) override {
    if (stored_.empty() || settings_.share == 0) return;
    const auto size = std::ssize(samples);
    const auto wanted =
        static_cast<Index>(std::lround(settings_.share * static_cast<double>(size)));
    const Index replayed = std::clamp<Index>(wanted, 1, size);
    const Random draw = random_.fork(static_cast<std::uint64_t>(step));
    for (Index i = 0; i < replayed; ++i) {
      const auto k = 2 * static_cast<std::uint64_t>(i);
      const auto& task = stored_[static_cast<std::size_t>(draw.below(k, std::ssize(stored_)))];
      samples[static_cast<std::size_t>(size - replayed + i)] =
          task[static_cast<std::size_t>(draw.below(k + 1, std::ssize(task)))];
    }
  }

  /// Of the samples in the buffer, at most the budget.
  Index bytes() const override { return bytes_; }

  /// The buffer: the samples of each task before the present one.
  const std::vector<std::vector<Pick<B>>>& stored() const { return stored_; }

  /// What it takes to store a sample: the features of its picture, and its tokens.
  static Index cost(const Pick<B>& sample) {
    Index tokens = 0;
    for (const auto& turn : sample.example().turns) {
      tokens += std::ssize(turn.prompt) + std::ssize(turn.answer);
    }
    const Index features =
        sample.example().image >= 0 ? sample.split->bank.tokens * sample.split->bank.all().cols : 0;
    return features * static_cast<Index>(sizeof(T)) +
           tokens * static_cast<Index>(sizeof(std::int32_t));
  }

 private:
  /// As many samples of a task as fit into `budget` bytes, in its random order.
  std::vector<Pick<B>> part(const Lesson<B>& lesson, Index task, Index budget) {
    const auto& [info, train, test] = lesson.tasks[static_cast<std::size_t>(task)];
    std::vector<Pick<B>> samples;
    for (const Index i : random_.fork(static_cast<std::uint64_t>(task)).permutation(train.size())) {
      const Pick<B> sample{&train, i};
      const Index bytes = cost(sample);
      expect(!samples.empty() || bytes <= budget,
             "replay: expected room for one sample of each of {} tasks, found {} bytes for {}, of "
             "which a sample takes {}",
             lesson.number(), budget, info.name, bytes);
      if (bytes > budget) break;
      budget -= bytes;
      bytes_ += bytes;
      samples.push_back(sample);
    }
    return samples;
  }

  Replay settings_;
  Random random_{0};
  std::vector<std::vector<Pick<B>>> stored_;
  Index bytes_ = 0;
};

}  // namespace branchlora::continual::strategy

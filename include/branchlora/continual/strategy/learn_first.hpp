/// @file
/// Nothing is learned after the first tasks: the baseline that forgets nothing.
#pragma once

#include <nlohmann/json.hpp>

#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual::strategy {

template <Backend B>
class LearnFirstOn;

/// The first `tasks` tasks are learned; in later ones every gradient is zero, so that adapters and
/// projector keep their bits. What a method adds to this is what it learns later without losing
/// what it knew. Later tasks run their steps all the same, so a step costs what it does without.
struct LearnFirst {
  template <Backend B>
  using On = LearnFirstOn<B>;

  Index tasks = 1;
};

/// `LearnFirst` on a backend.
template <Backend B>
class LearnFirstOn final : public Strategy<B> {
 public:
  LearnFirstOn(B& /*backend*/, const LearnFirst& settings) : settings_(settings) {
    expect(settings.tasks >= 1, "learn first: expected at least 1 task to learn, found {}",
           settings.tasks);
  }

  RunConfig config() const override {
    return nlohmann::json{{"name", "LearnFirst"}, {"tasks", settings_.tasks}};
  }

  void begin_task(const Lesson<B>& lesson) override { learns_ = lesson.number() < settings_.tasks; }

  void change_gradient(Tape<B>& /*tape*/, model::Multimodal<B>& model) override {
    if (!learns_) model.parameters().clear_gradients();
  }

 private:
  LearnFirst settings_;
  bool learns_ = true;
};

}  // namespace branchlora::continual::strategy

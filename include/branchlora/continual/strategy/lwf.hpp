/// @file
/// Learning without forgetting (Li and Hoiem, arXiv 1606.09282).
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "branchlora/autograd/op/distillation.hpp"
#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual::strategy {

template <Backend B>
class LwfOn;

/// LwF: what the model said before a task about the task's own samples is kept up while it learns,
///
///     loss += alpha T^2 mean over predicting rows of KL(p_old || p),  p softmax(logits / T)
///
/// without the old tasks' samples. The old model is that of the end of the task before, with that
/// task's routers where routers are per task; the first task has none.
///
/// The teacher's logits are computed once, before the task begins, and kept in the model's
/// precision (rows that predict x vocabulary, see `bytes`): a task's samples come round several
/// times, so this is less work than a second forward pass a step, and it needs no second copy of
/// the adapters.
struct Lwf {
  template <Backend B>
  using On = LwfOn<B>;

  double alpha = 0.5;
  double temperature = 2.0;
};

/// `Lwf` on a backend.
template <Backend B>
class LwfOn final : public Strategy<B> {
 public:
  using T = typename B::Scalar;

  LwfOn(B& backend, const Lwf& settings) : backend_(&backend), settings_(settings) {
    expect(settings.alpha >= 0 && settings.temperature > 0,
           "LwF: expected alpha of at least 0 and a temperature above 0, found {} and {}",
           settings.alpha, settings.temperature);
  }

  RunConfig config() const override {
    return nlohmann::json{
        {"name", "LwF"}, {"alpha", settings_.alpha}, {"temperature", settings_.temperature}};
  }

  void begin_task(const Lesson<B>& lesson) override {
    split_ = nullptr;
    if (lesson.number() == 0 || settings_.alpha == 0) return;
    split_ = &lesson.train();
    first_row_.assign(1, 0);
    for (const model::Example& e : split_->examples) {
      first_row_.push_back(first_row_.back() + rows_of(e));
    }
    teacher_ = Buffer<B>(*backend_, first_row_.back(), lesson.model.config().decoder.vocabulary);
    lesson.tape.set_recording(false);
    for (Index first = 0; first < split_->size(); first += lesson.options.evaluation_batch) {
      ask(lesson, first, std::min(split_->size(), first + lesson.options.evaluation_batch));
    }
    lesson.tape.set_recording(true);
  }

  Var<T> add_loss(Tape<B>& tape, const TrainingStep<B>& step, Var<T> loss) override {
    if (split_ == nullptr) return loss;
    std::vector<std::int32_t> rows;
    for (const Pick<B>& p : step.samples) {
      const Index first = first_row_[static_cast<std::size_t>(p.split == split_ ? p.sample : 0)];
      for (Index i = 0; i < rows_of(p.example()); ++i) {
        const bool counts = p.split == split_ && step.batch.targets[rows.size()] >= 0;
        rows.push_back(counts ? static_cast<std::int32_t>(first + i) : -1);
      }
    }
    return op::add(tape, loss,
                   op::distillation(tape, step.logits, MatrixView<const T>(teacher_.view()),
                                    std::span<const std::int32_t>(rows), settings_.temperature,
                                    settings_.alpha));
  }

  /// Of the teacher's logits.
  Index bytes() const override {
    return split_ == nullptr ? 0 : teacher_.view().size() * static_cast<Index>(sizeof(T));
  }

 private:
  /// How many rows of a batch predict a token of this example.
  static Index rows_of(const model::Example& example) {
    Index rows = 0;
    for (const auto& turn : example.turns) rows += std::max<Index>(1, std::ssize(turn.answer));
    return rows;
  }

  /// Keeps what the model says about samples `first` to `last`.
  void ask(const Lesson<B>& lesson, Index first, Index last) {
    lesson.tape.reset();
    std::vector<Pick<B>> samples;
    for (Index i = first; i < last; ++i) samples.push_back({split_, i});
    const model::Batch batch = make_batch(samples);
    const std::vector<std::int32_t> before(samples.size(),
                                           static_cast<std::int32_t>(lesson.number() - 1));
    const RoutingContext routing{.sequences = &batch.sequences, .tasks = before};
    const auto features = gather_features(lesson.tape, samples);
    const auto logits = lesson.model.logits(lesson.tape, batch, features, routing).value();
    backend_->copy(logits, teacher_.view().middle_rows(first_row_[static_cast<std::size_t>(first)],
                                                       logits.rows));
  }

  B* backend_;
  Lwf settings_;
  const Split<B>* split_ = nullptr;  ///< What the teacher was asked about; null: there is none.
  std::vector<Index> first_row_;     ///< Of each sample, in the teacher's logits.
  Buffer<B> teacher_;
};

}  // namespace branchlora::continual::strategy

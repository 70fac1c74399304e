/// @file
/// Elastic weight consolidation (Kirkpatrick et al., PNAS 2017), in its online form.
#pragma once

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/to_host.hpp"

namespace branchlora::continual::strategy {

template <Backend B>
class EwcOn;

/// Online EWC (Schwarz et al., arXiv 1805.06370) over everything that trains, adapters and, where
/// it trains, the projector:
///
///     loss += lambda / 2 sum_i F_i (theta_i - theta*_i)^2
///     F <- gamma F + F_new,  theta* <- theta                  after each task
///     F_new = 1/n sum_s (d log p(answer_s | question_s) / d theta)^2
///
/// F_new is the diagonal of the empirical Fisher information: one gradient a sample, of the sum of
/// the answer's log likelihoods, on at most `samples` training samples drawn without replacement.
/// A parameter that is new since the last task has F = 0. Where adapters have a balance loss, its
/// gradient is part of a sample's. Some implementations leave the 1/2 out: their lambda is half of
/// this one.
struct Ewc {
  template <Backend B>
  using On = EwcOn<B>;

  double lambda = 1e4;
  double gamma = 1.0;
  Index samples = 256;
};

/// `Ewc` on a backend. Holds two numbers for each parameter that has trained.
template <Backend B>
class EwcOn final : public Strategy<B> {
 public:
  using T = typename B::Scalar;

  EwcOn(B& backend, const Ewc& settings) : backend_(&backend), settings_(settings) {
    expect(settings.lambda >= 0 && settings.gamma >= 0 && settings.samples > 0,
           "EWC: expected lambda and gamma of at least 0 and samples, found {}, {} and {}",
           settings.lambda, settings.gamma, settings.samples);
  }

  RunConfig config() const override {
    return nlohmann::json{{"name", "EWC"},
                          {"lambda", settings_.lambda},
                          {"gamma", settings_.gamma},
                          {"samples", settings_.samples}};
  }

  /// gradient += lambda F (theta - theta*).
  void change_gradient(Tape<B>& tape, model::Multimodal<B>& model) override {
    if (settings_.lambda == 0) return;
    for (auto& p : model.parameters()) {
      const auto found = memories_.find(p.name);
      if (!p.trainable || found == memories_.end()) continue;
      open_gradient(tape.backend(), p);
      const T lambda = static_cast<T>(settings_.lambda);
      const T* fisher = found->second.fisher.view().data;
      const T* anchor = found->second.anchor.view().data;
      tape.backend().for_each(p.value.size(),
                              [=, g = p.grad.data, w = p.value.data] BRANCHLORA_BODY(Index i) {
                                g[i] += lambda * fisher[i] * (w[i] - anchor[i]);
                              });
    }
  }

  void end_task(const Lesson<B>& lesson) override {
    auto& parameters = lesson.model.parameters();
    for (auto& p : parameters) {
      if (!p.trainable) continue;
      Memory& memory = memory_of(p.name, p.value.rows, p.value.cols);
      backend_->copy(p.value, memory.anchor.view());
      backend_->for_each(
          p.value.size(),
          [f = memory.fisher.view().data,
           gamma = static_cast<T>(settings_.gamma)] BRANCHLORA_BODY(Index i) { f[i] *= gamma; });
    }
    const auto order = lesson.random.fork("fisher").permutation(lesson.train().size());
    const Index count = std::min(settings_.samples, lesson.train().size());
    for (Index s = 0; s < count; ++s) {
      back_from_likelihood(lesson, {&lesson.train(), order[static_cast<std::size_t>(s)]});
      const T weight = T(1) / static_cast<T>(count);
      for (auto& p : parameters) {
        if (!p.trainable || !p.has_grad) continue;
        T* fisher = memories_.at(p.name).fisher.view().data;
        backend_->for_each(p.value.size(), [=, g = p.grad.data] BRANCHLORA_BODY(Index i) {
          fisher[i] += weight * g[i] * g[i];
        });
      }
      parameters.clear_gradients();
    }
  }

  Index bytes() const override {
    Index total = 0;
    for (const auto& [name, memory] : memories_) {
      total += 2 * memory.fisher.view().size() * static_cast<Index>(sizeof(T));
    }
    return total;
  }

  StrategyState<T> state() const override {
    StrategyState<T> state;
    for (const auto& [name, memory] : memories_) {
      state["fisher." + name] = download(memory.fisher.view());
      state["anchor." + name] = download(memory.anchor.view());
    }
    return state;
  }

  void restore(const StrategyState<T>& state) override {
    for (const auto& [name, matrix] : state) {
      Memory& memory = memory_of(name.substr(name.find('.') + 1), matrix.rows, matrix.cols);
      const auto& to = name.starts_with("fisher.") ? memory.fisher : memory.anchor;
      backend_->upload(to.view().data, matrix.values.data(), matrix.values.size() * sizeof(T));
    }
  }

 private:
  struct Memory {
    Buffer<B> fisher, anchor;
  };

  Memory& memory_of(const std::string& name, Index rows, Index cols) {
    const auto [found, fresh] = memories_.try_emplace(name);
    if (fresh) found->second = {Buffer<B>(*backend_, rows, cols), Buffer<B>(*backend_, rows, cols)};
    return found->second;
  }

  /// Leaves the gradient of minus one sample's log likelihood in the parameters.
  static void back_from_likelihood(const Lesson<B>& lesson, const Pick<B>& sample) {
    Tape<B>& tape = lesson.tape;
    tape.reset();
    const std::vector<Pick<B>> samples{sample};
    const model::Batch batch = make_batch(samples);
    const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
    const auto loss = lesson.model.loss(tape, batch, gather_features(tape, samples), routing);
    const auto tokens = std::ranges::count_if(batch.targets, [](auto t) { return t >= 0; });
    tape.backward(loss, static_cast<T>(tokens));  // the loss is the mean over the tokens
  }

  HostMatrix<T> download(MatrixView<const T> from) const {
    return {from.rows, from.cols, to_host(*backend_, from)};
  }

  B* backend_;
  Ewc settings_;
  std::map<std::string, Memory> memories_;  ///< By the name of the parameter.
};

}  // namespace branchlora::continual::strategy

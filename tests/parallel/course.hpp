/// @file
/// A training of the tiny model in double that says what happened in each step.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/continual/run.hpp"
#include "model/tiny_model.hpp"

namespace branchlora::test {

using DoubleBackend = eigen::Backend<double>;

/// What one rank saw of a training.
struct Trace {
  std::vector<double> losses;                          ///< Of its share of each step's batch.
  std::vector<double> tokens;                          ///< That count in that share.
  std::vector<double> norms;                           ///< Of the gradient that was clipped.
  std::map<std::string, std::vector<double>> weights;  ///< What trained, in the end.
  bool operator==(const Trace&) const = default;
};

/// A strategy that changes nothing and fills in a trace.
class Watch final : public continual::Strategy<DoubleBackend> {
 public:
  explicit Watch(Trace& trace) : trace_(&trace) {}
  nlohmann::json config() const override { return {{"name", "Watch"}}; }
  Var<double> add_loss(Tape<DoubleBackend>& /*tape*/, const continual::Step<DoubleBackend>& step,
                       Var<double> loss) override {
    trace_->losses.push_back(loss.value()(0, 0));
    trace_->tokens.push_back(static_cast<double>(
        std::ranges::count_if(step.batch.targets, [](auto t) { return t >= 0; })));
    return loss;
  }
  void add_gradient(Tape<DoubleBackend>& /*tape*/,
                    model::Multimodal<DoubleBackend>& model) override {
    trace_->norms.push_back(gradient_norm(model.parameters()));
  }

 private:
  Trace* trace_;
};

/// The tiny model on disk, and samples of three tasks: with and without a picture, of one turn and
/// of two, with answers of one to four tokens, one without an answer.
struct Course {
  Course() : base(make_base()) {
    split.bank = tiny.bank(3);
    for (std::int32_t t = 0; t < 3; ++t) {
      const auto a = static_cast<std::int32_t>(4 + t);
      split.examples.push_back({0, t, {{{1, a, 5}, {3, 2}}}});
      split.examples.push_back({-1, t, {{{1, a}, {4, 9, 8, 2}}}});
      split.examples.push_back({2, t, {{{1, a, 7}, {9, 8, 2}}, {{1, 6}, {2}}}});
      split.examples.push_back({1, t, {{{1, a, 8, 6}, {}}}});
      split.examples.push_back({0, t, {{{1, 9}, {a, 2}}}});
    }
    split.samples.resize(split.examples.size());
    options.steps = 8;
    options.batch = 6;
    options.rate = 1e-2;
    options.projector_rate = 1;
    options.hyper.alpha = 8;
    options.hyper.balance_weight = 0;
  }

  /// Trains all tasks mixed with adapters of `V`.
  template <class V, parallel::Communicator C = parallel::SingleProcess>
  Trace train(const C& ranks = C{}) const {
    DoubleBackend backend;
    Trace trace;
    const auto method = method_of<DoubleBackend, V>();
    const continual::Listener silent;
    continual::Learner<DoubleBackend> learner(
        backend, base, method, options, silent,
        {[&](DoubleBackend&) { return std::make_unique<Watch>(trace); }});
    for (Index t = 0; t < 3; ++t) {
      learner.model.for_each_adapter([&](auto& adapter) { adapter.begin_task(t); });
    }
    continual::train(learner, split, "course", options.steps, learner.random, ranks);
    for (const auto& p : learner.model.parameters()) {
      if (p.trainable) trace.weights[p.name] = to_host(backend, p.value);
    }
    return trace;
  }

  TemporaryFolder folder;
  TinyModel<double> tiny;
  continual::Base base;
  continual::Split<DoubleBackend> split;
  continual::Options options;

 private:
  continual::Base make_base() const {
    const auto vocabulary =
        folder.write("vocab.json", R"([["a",1],["b",1],["c",1],["d",1],["e",1],["f",1],["g",1]])");
    const nlohmann::json config = tiny.net.config();
    const auto checkpoint = folder.path() / "base.safetensors";
    model::save_parameters(checkpoint, tiny.net.parameters(), [](const auto&) { return true; },
                           {{"model", config.dump()}});
    return continual::Base::open(checkpoint, vocabulary);
  }
};

}  // namespace branchlora::test

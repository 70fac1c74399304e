/// @file
/// A training of the tiny model in double, on any backend, that says what happened in each step.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/continual/run.hpp"
#include "model/tiny_config.hpp"

namespace branchlora::test {

/// What one rank saw of a training.
struct Trace {
  std::vector<double> losses;                          ///< Of its share of each step's batch.
  std::vector<double> tokens;                          ///< That count in that share.
  std::vector<double> norms;                           ///< Of the gradient that was clipped.
  std::map<std::string, std::vector<double>> weights;  ///< What trained, in the end.
  bool operator==(const Trace&) const = default;
};

/// A strategy that changes nothing and fills in a trace.
template <Backend B>
class Watch final : public continual::Strategy<B> {
 public:
  explicit Watch(Trace& trace) : trace_(&trace) {}
  continual::RunConfig config() const override { return nlohmann::json{{"name", "Watch"}}; }
  Var<double> add_loss(Tape<B>& tape, const continual::TrainingStep<B>& step,
                       Var<double> loss) override {
    trace_->losses.push_back(to_host(tape.backend(), loss.value()).front());
    trace_->tokens.push_back(static_cast<double>(
        std::ranges::count_if(step.batch.targets, [](auto t) { return t >= 0; })));
    return loss;
  }
  void change_gradient(Tape<B>& /*tape*/, model::Multimodal<B>& model) override {
    trace_->norms.push_back(gradient_norm(model.parameters()));
  }

 private:
  Trace* trace_;
};

/// The tiny model on disk, and samples of three tasks: with and without a picture, of one turn and
/// of two, with answers of one to four tokens, one without an answer.
template <Backend B>
struct Course {
  Course() : base(make_base()) {
    for (std::int32_t t = 0; t < 3; ++t) {
      const auto a = static_cast<std::int32_t>(4 + t);
      examples.push_back({0, t, {{{1, a, 5}, {3, 2}}}});
      examples.push_back({-1, t, {{{1, a}, {4, 9, 8, 2}}}});
      examples.push_back({2, t, {{{1, a, 7}, {9, 8, 2}}, {{1, 6}, {2}}}});
      examples.push_back({1, t, {{{1, a, 8, 6}, {}}}});
      examples.push_back({0, t, {{{1, 9}, {a, 2}}}});
    }
    options.steps = 8;
    options.batch = 6;
    options.rate = 1e-2;
    options.projector_rate = 1;
    options.hyper.alpha = 8;
    options.hyper.balance_weight = 0;
  }

  /// The samples with their pictures in a backend's memory.
  continual::Split<B> split(B& backend) const {
    model::Multimodal<B> net(backend, base.config);
    base.load(net);
    Tape<B> tape(backend);
    continual::Split<B> split;
    split.bank = net.features_of(tape, 3, [](Index i) { return picture(i); });
    split.examples = examples;
    split.samples.resize(examples.size());
    return split;
  }

  /// Trains all tasks mixed with adapters of `V`.
  template <class V, parallel::Communicator C = parallel::SingleProcess>
  Trace train(B& backend, const C& ranks = C{}) const {
    Trace trace;
    const auto method = method_of<B, V>();
    const continual::Listener silent;
    continual::Learner<B> learner(backend, base, method, options, silent,
                                  {[&](B&) { return std::make_unique<Watch<B>>(trace); }});
    for (Index t = 0; t < 3; ++t) {
      learner.model.for_each_adapter([&](auto& adapter) { adapter.begin_task(t); });
    }
    continual::train(learner, split(backend), "course", options.steps, learner.random, ranks);
    for (const auto& p : learner.model.parameters()) {
      if (p.trainable) trace.weights[p.name] = to_host(backend, p.value);
    }
    return trace;
  }
  template <class V, parallel::Communicator C = parallel::SingleProcess>
  Trace train(const C& ranks = C{}) const {
    B backend;
    return train<V>(backend, ranks);
  }

  TemporaryFolder folder;
  continual::Base base;
  std::vector<model::Example> examples;
  continual::Options options;

 private:
  static std::vector<float> picture(Index number) {
    const Random random = Random(7).fork(static_cast<std::uint64_t>(number));
    const Index side = tiny_config().vision.image;
    std::vector<float> rgb(static_cast<std::size_t>(side * side * 3));
    for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<float>(random.below(i, 256));
    return rgb;
  }

  /// Every parameter of it is away from zero and one.
  continual::Base make_base() const {
    const auto vocabulary =
        folder.write("vocab.json", R"([["a",1],["b",1],["c",1],["d",1],["e",1],["f",1],["g",1]])");
    B backend;
    model::Multimodal<B> net(backend, tiny_config());
    net.initialize(Random(1));
    for (auto& p : net.parameters()) {
      auto values = to_host(backend, MatrixView<const double>(p.value));
      const Random own = Random(11).fork(p.name);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.2 * own.normal(i);
      backend.upload(p.value.data, values.data(), values.size() * sizeof(double));
    }
    const nlohmann::json config = net.config();
    const auto checkpoint = folder.path() / "base.safetensors";
    model::save_parameters(checkpoint, net.parameters(), [](const auto&) { return true; },
                           {{"model", config.dump()}});
    return continual::Base::open(checkpoint, vocabulary);
  }
};

}  // namespace branchlora::test

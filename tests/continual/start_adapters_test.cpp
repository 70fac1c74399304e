#include "branchlora/continual/start_adapters.hpp"

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/policy/init/corda.hpp"
#include "branchlora/adapter/policy/init/eva.hpp"
#include "branchlora/adapter/policy/init/lora_ga.hpp"
#include "branchlora/adapter/policy/init/pissa.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "branchlora/continual/joint.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;
using continual::Options;
using continual::RunResult;

namespace {

using Pissa = Lora<2>::with<init::Pissa>;
using Gradient = Lora<2>::with<init::LoraGa<>>;
using BankEva = LoraBank<2, 3>::with<init::Eva>;
using BankGradient = LoraBank<2, 3>::with<init::LoraGa<>>;

Options few_steps() {
  Options options = Stream::options();
  options.steps = 5;
  options.start_samples = 7;
  return options;
}

/// The tensors of a run's last snapshot.
template <class V>
Tensors run(Stream& stream, const Options& options, const std::string& file,
            const continual::Listener& listener = {}) {
  continual::run_stream(stream.backend, stream.base, stream.first(3), method_of<B, V>(), "Tiny",
                        options, stream.path(file), listener);
  return tensors_of(stream.path(file));
}

using Values = std::map<std::string, Dense>;

/// Of all parameters whose memory was not given back.
Values values_of(model::Multimodal<B>& model) {
  Values values;
  for (const auto& p : model.parameters()) {
    if (p.value.data != nullptr) values[p.name] = to_dense(p.value);
  }
  return values;
}

}  // namespace

TYPE_TO_STRING(Pissa);
TYPE_TO_STRING(Gradient);
TYPE_TO_STRING(BankEva);
TYPE_TO_STRING(BankGradient);

TEST_CASE_TEMPLATE("a start touches what starts alone, and leaves the model as it was", V, Pissa,
                   Gradient, BankEva, BankGradient) {
  Stream stream;
  const Options options = few_steps();
  const auto method = method_of<B, V>();
  const continual::Listener nobody;
  continual::Learner<B> learner(stream.backend, stream.base, method, options, nobody);
  auto& model = learner.model;
  model.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  const Values before = values_of(model);
  const auto& train = stream.tasks.front().train;
  const auto logits = [&] {
    learner.tape.reset();
    std::vector<continual::Pick<B>> picks{{&train, 0}, {&train, 1}};
    const model::Batch batch = continual::make_batch(picks);
    const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
    return to_dense(
        model.logits(learner.tape, batch, continual::gather_features(learner.tape, picks), routing)
            .value());
  };
  const Dense base = logits();
  continual::start_adapters(model, learner.tape, train, options);
  model.for_each_adapter([](auto& adapter) { CHECK_FALSE(adapter.needs().any()); });
  for (const auto& p : model.parameters()) {
    CAPTURE(p.name);
    CHECK_FALSE(p.has_grad);
    if (p.value.data == nullptr) continue;
    const bool a = p.name.ends_with(".lora_A") || p.name.ends_with(".lora_A.0");
    if (a) CHECK_FALSE(to_dense(p.value) == before.at(p.name));
    if (p.name.find(".lora_") == std::string::npos) CHECK(to_dense(p.value) == before.at(p.name));
  }
  CHECK(learner.tape.recording());
  // The function is the base's but for rounding, here in float through two blocks.
  CHECK(distance(logits(), base) < 1e-4 * std::max(1.0, largest(base)));
  CHECK(distance(logits(), Dense(base.rows, base.cols)) > 0.01);
}

TEST_CASE_TEMPLATE(
    "a start gives the same bits with any number of threads, and with activations "
    "that are calculated again",
    V, Pissa, Gradient, BankEva, BankGradient) {
  Stream stream;
  Options options = few_steps();
  options.hyper.dropout = 0.1;
  const Tensors one = run<V>(stream, options, "1.safetensors");
  options.recompute = true;
  CHECK(run<V>(stream, options, "again.safetensors") == one);
  options.recompute = false;
  stream.backend.set_threads(3);
  CHECK(run<V>(stream, options, "3.safetensors") == one);
}

TEST_CASE_TEMPLATE("a run that is killed goes on to the same bits", V, Pissa, Gradient, BankEva,
                   BankGradient) {
  struct Killed {};
  Stream stream;
  const Options options = few_steps();
  const Tensors whole = run<V>(stream, options, "whole.safetensors");
  CHECK_THROWS_AS(run<V>(stream, options, "killed.safetensors",
                         [](Index, const std::string& now) {
                           if (now == "task say") throw Killed{};
                         }),
                  Killed);
  CHECK(run<V>(stream, options, "killed.safetensors") == whole);
}

TEST_CASE("how many samples a start sees is said where it sees any") {
  Stream stream;
  Options options = few_steps();
  options.steps = 1;
  options.start_samples = 256;
  const auto record = [&]<class V>(std::type_identity<V>) {
    return continual::run_stream(stream.backend, stream.base, stream.first(1), method_of<B, V>(),
                                 "Tiny", options)
        .front();
  };
  const RunResult gradient = record(std::type_identity<Gradient>{});
  const RunResult pissa = record(std::type_identity<Pissa>{});
  const RunResult lora = record(std::type_identity<Lora<2>>{});
  CHECK(gradient.config.json().at("start_samples") == 256);
  CHECK_FALSE(pissa.config.json().contains("start_samples"));
  CHECK_FALSE(lora.config.json().contains("start_samples"));
  // What is taken off the weight does not train.
  CHECK(gradient.trainable == lora.trainable);
  CHECK(pissa.trainable == lora.trainable);
  // It tells runs apart.
  CHECK_FALSE(options.to_json().contains("start_samples"));
  options.start_samples = 12;
  CHECK(options.to_json().at("start_samples") == 12);
}

TEST_CASE("how many samples there are matters, and joint training starts every branch") {
  Stream stream;
  Options options = few_steps();
  options.steps = 1;
  const Tensors few = run<Gradient>(stream, options, "few.safetensors");
  options.start_samples = 12;
  CHECK_FALSE(run<Gradient>(stream, options, "more.safetensors") == few);
  CHECK_NOTHROW(continual::run_joint(stream.backend, stream.base, stream.first(3),
                                     method_of<B, BankEva>(), "Tiny", options));
}

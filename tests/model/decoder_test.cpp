#include "branchlora/model/decoder.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/method.hpp"
#include "model/tiny_model.hpp"
#include "support/gradient_check.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;
using model::Recompute;

namespace {

// What a training step leaves behind.
struct Outcome {
  std::vector<Dense> gradients;
  std::vector<std::vector<double>> activity;
  std::vector<std::vector<std::uint64_t>> states;
  std::size_t peak = 0;
};

// A step with dropout, and with every loss that an adapter can have of its own.
template <class V>
Outcome step(Recompute recompute, bool every_row, Index layers = 2) {
  model::ModelConfig config = tiny_config();
  config.decoder.layers = layers;
  TinyModel<double> tiny(config);
  tiny.net.freeze_base(Storage::full, 0.5);
  tiny.net.attach(method_of<Double, V>(),
                  {.alpha = 6.0, .dropout = 0.2, .balance_weight = 0.7, .contrast_weight = 0.5},
                  Random(5));
  tiny.net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  tiny.randomise(".lora_", 0.5);
  tiny.net.decoder().set_recompute(recompute);
  const model::Batch batch = batch_of({{0, 0, {{{1, 4, 5}, {6, 2}}}},
                                       {1, 0, {{{1, 7}, {3, 2}}, {{1, 8, 9, 4}, {2}}}},
                                       {-1, 0, {{{1, 9}, {7, 2}}}}});
  const auto bank = tiny.bank(2);
  const Random dropout(8);
  Outcome outcome;
  tiny.tape.reset();
  const RoutingContext routing{.sequences = &batch.sequences,
                               .tasks = batch.tasks,
                               .observe = true,
                               .dropout = &dropout,
                               .supervise = true};
  const auto features = tiny.net.gather(tiny.tape, batch, bank);
  Tape<Double>& tape = tiny.tape;
  Var<double> loss;
  if (every_row) {
    const auto h = tiny.net.hidden(tape, batch, features, routing);
    loss = op::linear(tape, op::reshape(tape, h, 1, h.value().size()),
                      op::reshape(tape, h, 1, h.value().size()));
  } else {
    loss = tiny.net.loss(tape, batch, features, routing);
  }
  tape.backward(loss, 0.5);
  outcome.gradients.push_back(to_dense(loss.value()));
  for (auto& p : tiny.net.parameters()) {
    if (p.has_grad) outcome.gradients.push_back(to_dense(p.grad));
  }
  tiny.net.for_each_adapter([&](auto& adapter) {
    outcome.activity.push_back(adapter.activity());
    outcome.states.push_back(adapter.state());
  });
  outcome.peak = tape.peak_bytes();
  return outcome;
}

}  // namespace

TEST_CASE_TEMPLATE("blocks that are run again leave the same gradients and states to the bit", V,
                   Lora4, Moe, MoeBalanced, Branch, BranchBalanced, LoraMoe5, SMora6, Moa6) {
  for (const bool every_row : {false, true}) {
    const Outcome kept = step<V>(Recompute::none, every_row);
    const Outcome again = step<V>(Recompute::block, every_row);
    CHECK(kept.gradients.size() > 10);
    CHECK(again.gradients == kept.gradients);
    CHECK(again.activity == kept.activity);
    CHECK(again.states == kept.states);
  }
}

TEST_CASE("of blocks that are run again little more than the input is kept") {
  const auto of_four = [](Recompute recompute) {
    return step<Branch>(recompute, false, 6).peak - step<Branch>(recompute, false, 2).peak;
  };
  // Four more blocks of about thirty matrices each, or of their results and gradients.
  CHECK(10 * of_four(Recompute::block) < of_four(Recompute::none));
  CHECK(step<Branch>(Recompute::block, false).peak < step<Branch>(Recompute::none, false).peak);
}

TEST_CASE("a pass that fills a cache is not recorded") {
  TinyModel<double> tiny;
  tiny.net.train_base();
  tiny.net.decoder().set_recompute(Recompute::block);
  const model::Batch batch = batch_of({{0, 0, {{{1, 4, 5}, {6, 2}}}}});
  model::KvCache<Double> cache(tiny.backend, 2, 4, batch.sequences, 3);
  const RoutingContext routing{&batch.sequences, batch.tasks};
  const auto bank = tiny.bank(1);
  CHECK_THROWS_WITH_AS(
      tiny.net.logits(tiny.tape, batch, tiny.net.gather(tiny.tape, batch, bank), routing, &cache),
      "decoder: a pass that fills a cache can not be recorded", Error);
}

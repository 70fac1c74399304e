/// @file
/// The start of adapters that ask for more than a shape, before the first step of a task.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "branchlora/continual/options.hpp"
#include "branchlora/continual/pick.hpp"
#include "branchlora/model/multimodal.hpp"

namespace branchlora::continual {

/// Starts what waits for it (`AnyAdapter::needs`) in a model whose adapters have begun the task of
/// `split`. Where a start asks for inputs or a gradient, the model sees `Options::start_samples` of
/// the split first, which lie evenly in it, without dropout: the gradient is that of the mean loss
/// over their tokens. Parameters are the same afterwards, but for those that start.
///
/// Every process of several does the same, on all of these samples.
template <Backend B>
void start_adapters(model::Multimodal<B>& model, Tape<B>& tape, const Split<B>& split,
                    const Options& o) {
  init::Needs needs;
  model.for_each_adapter([&](auto& adapter) { needs = needs | adapter.needs(); });
  if (!needs.any()) return;
  if (needs.inputs || needs.gradient) {
    const Index count = std::min(o.start_samples, split.size());
    std::vector<Pick<B>> all;
    for (Index i = 0; i < count; ++i) all.push_back({&split, i * split.size() / count});
    model.decoder().for_each_linear([](auto& linear) { linear.prepare_start(); });
    tape.set_recording(needs.gradient);
    for (Index first = 0; first < count; first += o.batch) {
      tape.reset();
      const std::vector<Pick<B>> picks(all.begin() + first,
                                       all.begin() + std::min(first + o.batch, count));
      const model::Batch batch = make_batch(picks);
      const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
      const auto loss = model.loss(tape, batch, gather_features(tape, picks), routing);
      if (needs.gradient) {
        tape.backward(loss, static_cast<typename B::Scalar>(loss_weight(picks, all)));
      }
    }
    tape.reset();
    tape.set_recording(true);
    model.parameters().clear_gradients();
  }
  model.decoder().for_each_linear([](auto& linear) { linear.start(); });
}

}  // namespace branchlora::continual

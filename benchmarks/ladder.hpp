/// @file
/// The training step of the ablation ladder: a batch of sequences of random tokens and random image
/// features through the model of examples/ablation, and AdamW.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/optim/adamw.hpp"
#include "branchlora/optim/schedule.hpp"

namespace branchlora::benchmarks {

/// The sizes of examples/ablation.
inline model::ModelConfig ladder_config() {
  model::ModelConfig config;
  config.decoder.vocabulary = 1332;
  return config;
}

/// A model with an adapter at every linear layer of its decoder, and a batch for it.
class Ladder {
 public:
  using B = eigen::Backend<float>;

  Ladder(const Method<B>& method, const model::ModelConfig& config, Index batch_size,
         Storage storage, int threads)
      : backend_(threads), model_(backend_, config), inputs_(backend_), tape_(backend_) {
    const Random random(1);
    model_.initialize(random);
    model_.freeze_base(storage, 0.1);
    model_.attach(method, {.alpha = 64.0}, random);
    model_.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
    optimiser_.emplace(model_.parameters());
    features_ = &inputs_.add("features", batch_size * config.vision.tokens(),
                             config.vision.feature_width());
    nn::fill_normal(inputs_, *features_, random, 1.0);
    fill_batch(random, batch_size, config);
  }

  /// One training step: forward, backward, gradient norm and AdamW.
  void step() {
    tape_.reset();
    const RoutingContext routing{.sequences = &batch_.sequences, .tasks = batch_.tasks};
    const auto loss = model_.loss(tape_, batch_, tape_.constant(features_->value), routing);
    tape_.backward(loss);
    optimiser_->step(1e-3, clip_factor(gradient_norm(model_.parameters()), 1.0));
  }

  /// Threads of the next step.
  void set_threads(int threads) { backend_.set_threads(threads); }

  Index tokens() const { return batch_.sequences.tokens(); }
  Index trainable() { return model_.parameters().trainable_count(); }

 private:
  static constexpr Index answer = 3;  ///< Tokens to predict, the end of the sequence among them.

  /// Input tokens of sequence i of the batch, 40 to 56, image and answer included.
  static constexpr Index length(Index i) { return 40 + 7 * i % 17; }

  void fill_batch(const Random& random, Index size, const model::ModelConfig& config) {
    const Index image_tokens = config.vision.tokens();
    std::uint64_t drawn = 0;
    const auto tokens = [&](Index count) {
      std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
      for (auto& id : ids)
        id = static_cast<std::int32_t>(random.below(drawn++, config.decoder.vocabulary));
      return ids;
    };
    for (Index i = 0; i < size; ++i) {
      batch_.push({i, 0, {{tokens(length(i) - image_tokens - answer + 1), tokens(answer)}}},
                  image_tokens);
    }
  }

  B backend_;
  model::Multimodal<B> model_;
  ParameterSet<B> inputs_;
  Parameter<float>* features_ = nullptr;
  model::Batch batch_;
  Tape<B> tape_;
  std::optional<AdamW<B>> optimiser_;
};

}  // namespace branchlora::benchmarks

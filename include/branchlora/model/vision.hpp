/// @file
/// The vision tower.
#pragma once

#include <string>
#include <vector>

#include "branchlora/autograd/ops.hpp"
#include "branchlora/model/config.hpp"
#include "branchlora/nn/layer_norm.hpp"
#include "branchlora/nn/linear.hpp"

namespace branchlora::model {

/// One pre-norm block: attention over the patches of an image, then a GELU layer.
template <Backend B>
class VisionBlock {
 public:
  using T = typename B::Scalar;

  VisionBlock(ParameterSet<B>& parameters, const std::string& name, const VisionConfig& config)
      : shape_{config.heads, config.heads, config.width / config.heads, false},
        norm1_(parameters, name + ".norm1", config.width, config.epsilon),
        norm2_(parameters, name + ".norm2", config.width, config.epsilon),
        q_(parameters, name + ".q", config.width, config.width, true),
        k_(parameters, name + ".k", config.width, config.width, true),
        v_(parameters, name + ".v", config.width, config.width, true),
        o_(parameters, name + ".o", config.width, config.width, true),
        up_(parameters, name + ".up", config.width, config.hidden, true),
        down_(parameters, name + ".down", config.hidden, config.width, true) {}

  Var<T> operator()(Tape<B>& tape, Var<T> x, const Sequences& images) const {
    const Var<T> h = norm1_(tape, x);
    const Var<T> a =
        op::attention(tape, images, shape_, q_(tape, h), k_(tape, h), v_(tape, h));
    x = op::add(tape, x, o_(tape, a));
    return op::add(tape, x, down_(tape, op::gelu(tape, up_(tape, norm2_(tape, x)))));
  }

  /// Calls f on every layer of the block.
  template <class F>
  void for_each_layer(F f) {
    f(norm1_);
    f(norm2_);
    for (auto* linear : {&q_, &k_, &v_, &o_, &up_, &down_}) f(*linear);
  }

 private:
  AttentionShape shape_;
  nn::LayerNorm<B> norm1_, norm2_;
  nn::Linear<B> q_, k_, v_, o_, up_, down_;
};

/// From pixels to the features that the projector reads.
template <Backend B>
class VisionTower {
 public:
  using T = typename B::Scalar;

  VisionTower(ParameterSet<B>& parameters, const VisionConfig& config)
      : config_(config),
        parameters_(&parameters),
        embed_(parameters, "vision.embed", config.patch_size(), config.width, true),
        position_(&parameters.add("vision.position", config.patches(), config.width)),
        norm_(parameters, "vision.norm", config.width, config.epsilon) {
    for (Index i = 0; i < config.layers; ++i) {
      blocks_.emplace_back(parameters, "vision.block." + std::to_string(i), config);
    }
  }

  /// Random weights.
  void initialize(const Random& random) {
    embed_.initialize(random);
    nn::fill_normal(*parameters_, *position_, random, 0.02);
    for_each_layer([&](auto& layer) { layer.initialize(random); });
  }

  /// Patches (images * patches x patch_size, in the order of `unfold`) to images * tokens x
  /// feature_width. `images` has one sequence of `patches` rows for each image.
  Var<T> operator()(Tape<B>& tape, Var<T> patches, const Sequences& images) const {
    Var<T> x = op::add_rows(tape, embed_(tape, patches), tape.parameter(*position_));
    for (const auto& block : blocks_) x = block(tape, x, images);
    x = norm_(tape, x);
    return op::reshape(tape, x, images.count() * config_.tokens(), config_.feature_width());
  }

  void set_trainable(bool trainable) {
    embed_.set_trainable(trainable);
    parameters_->set_trainable(*position_, trainable);
    for_each_layer([&](auto& layer) { layer.set_trainable(trainable); });
  }

  const VisionConfig& config() const { return config_; }

 private:
  template <class F>
  void for_each_layer(F f) {
    for (auto& block : blocks_) block.for_each_layer(f);
    f(norm_);
  }

  VisionConfig config_;
  ParameterSet<B>* parameters_;
  nn::Linear<B> embed_;
  Parameter<T>* position_;
  std::vector<VisionBlock<B>> blocks_;
  nn::LayerNorm<B> norm_;
};

}  // namespace branchlora::model

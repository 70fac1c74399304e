/// @file
/// The vision tower.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "branchlora/autograd/ops.hpp"
#include "branchlora/core/numbered.hpp"
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
        quick_gelu_(config.quick_gelu),
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
    const Var<T> a = op::attention(tape, images, shape_, q_(tape, h), k_(tape, h), v_(tape, h));
    x = op::add(tape, x, o_(tape, a));
    const Var<T> u = up_(tape, norm2_(tape, x));
    return op::add(tape, x, down_(tape, quick_gelu_ ? op::quick_gelu(tape, u) : op::gelu(tape, u)));
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
  bool quick_gelu_;
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
        embed_(parameters, "vision.embed", config.patch_size(), config.width, config.patch_bias),
        class_(config.class_token ? &parameters.add("vision.class", 1, config.width) : nullptr),
        position_(&parameters.add("vision.position", config.rows(), config.width)),
        pre_norm_(norm_if(config.pre_norm, "vision.pre_norm")),
        norm_(norm_if(config.last_norm, "vision.norm")) {
    for (Index i = 0; i < config.layers; ++i) {
      blocks_.emplace_back(parameters, numbered("vision.block", i), config);
    }
  }

  /// Random weights.
  void initialize(const Random& random) {
    embed_.initialize(random);
    if (class_ != nullptr) nn::fill_normal(*parameters_, *class_, random, 0.02);
    nn::fill_normal(*parameters_, *position_, random, 0.02);
    for_each_layer([&](auto& layer) { layer.initialize(random); });
  }

  /// Patches (images * patches x patch_size, in the order of `unfold`) to images * tokens x
  /// feature_width. `images` has one sequence of `config().rows()` rows for each image.
  Var<T> operator()(Tape<B>& tape, Var<T> patches, const Sequences& images) const {
    Var<T> x = embed_(tape, patches);
    if (class_ != nullptr) {
      x = op::interleave(tape, x, tape.parameter(*class_), with_class(images.count()));
    }
    x = op::add_rows(tape, x, tape.parameter(*position_));
    if (pre_norm_) x = (*pre_norm_)(tape, x);
    for (const auto& block : blocks_) x = block(tape, x, images);
    if (class_ != nullptr) x = op::gather(tape, x, without_class(images.count()));
    if (norm_) x = (*norm_)(tape, x);
    return op::reshape(tape, x, images.count() * config_.tokens(), config_.feature_width());
  }

  void set_trainable(bool trainable) {
    embed_.set_trainable(trainable);
    if (class_ != nullptr) parameters_->set_trainable(*class_, trainable);
    parameters_->set_trainable(*position_, trainable);
    for_each_layer([&](auto& layer) { layer.set_trainable(trainable); });
  }

  const VisionConfig& config() const { return config_; }

 private:
  template <class F>
  void for_each_layer(F f) {
    if (pre_norm_) f(*pre_norm_);
    for (auto& block : blocks_) block.for_each_layer(f);
    if (norm_) f(*norm_);
  }

  std::optional<nn::LayerNorm<B>> norm_if(bool wanted, const char* name) {
    if (!wanted) return {};
    return nn::LayerNorm<B>(*parameters_, name, config_.width, config_.epsilon);
  }

  /// For `op::interleave`: before the patches of each image the class token.
  std::vector<std::int32_t> with_class(Index images) const {
    std::vector<std::int32_t> order;
    for (Index i = 0; i < images * config_.patches(); ++i) {
      if (i % config_.patches() == 0) order.push_back(-1);
      order.push_back(static_cast<std::int32_t>(i));
    }
    return order;
  }

  /// The rows of the patches among those of `with_class`.
  std::vector<std::int32_t> without_class(Index images) const {
    std::vector<std::int32_t> rows;
    for (Index i = 0; i < images * config_.rows(); ++i) {
      if (i % config_.rows() != 0) rows.push_back(static_cast<std::int32_t>(i));
    }
    return rows;
  }

  VisionConfig config_;
  ParameterSet<B>* parameters_;
  nn::Linear<B> embed_;
  Parameter<T>* class_;  ///< Or null.
  Parameter<T>* position_;
  std::optional<nn::LayerNorm<B>> pre_norm_;
  std::vector<VisionBlock<B>> blocks_;
  std::optional<nn::LayerNorm<B>> norm_;
};

}  // namespace branchlora::model

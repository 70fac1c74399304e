/// @file
/// The language model: a LLaMA-style decoder with adapters on all seven linear layers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "branchlora/adapter/any_ffn.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/model/config.hpp"
#include "branchlora/model/kept_rows.hpp"
#include "branchlora/model/kv_cache.hpp"
#include "branchlora/nn/rms_norm.hpp"

namespace branchlora::model {

/// Which activations are calculated again in the backward pass, in place of being kept: none, or
/// all but the input of each block, which costs a training step one more forward pass.
enum class Recompute : std::uint8_t { none, block };

/// What a pass through the decoder needs to know beside its input.
template <Backend B>
struct DecoderPass {
  const Sequences* sequences = nullptr;
  const std::int32_t* positions = nullptr;  ///< Of each row, in backend memory.
  const RoutingContext* routing = nullptr;
  KvCache<B>* cache = nullptr;  ///< Filled by a prefill, read and extended by a decoding step.
  bool decoding = false;        ///< Every row is one more token of its sequence.
  /// The rows whose hidden state is asked for, and the first of each sequence, ascending; null:
  /// all.
  const KeptRows* kept = nullptr;
};

/// One block: RMS norm, rotary attention, RMS norm, SwiGLU.
template <Backend B>
class DecoderBlock {
 public:
  using T = typename B::Scalar;

  DecoderBlock(ParameterSet<B>& parameters, const std::string& name, const DecoderConfig& c)
      : parameters_(&parameters),
        shape_{c.heads, c.kv_heads, c.head_size(), true},
        norm1_(parameters, name + ".norm1", c.width, c.epsilon),
        norm2_(parameters, name + ".norm2", c.width, c.epsilon),
        q_(parameters, name + ".q", c.width, c.heads * c.head_size()),
        k_(parameters, name + ".k", c.width, c.kv_heads * c.head_size()),
        v_(parameters, name + ".v", c.width, c.kv_heads * c.head_size()),
        o_(parameters, name + ".o", c.heads * c.head_size(), c.width),
        gate_(parameters, name + ".gate", c.width, c.hidden),
        up_(parameters, name + ".up", c.width, c.hidden),
        down_(parameters, name + ".down", c.hidden, c.width) {}

  /// With `kept`, what follows the attention is done, and returned, for those rows alone.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Index layer, const op::RopeTable<B>& rope,
                    const DecoderPass<B>& pass, const KeptRows* kept = nullptr) {
    RoutingContext routing = *pass.routing;
    Var<T> h = norm1_(tape, x);
    const Var<T> q = op::rope(tape, q_(tape, h, routing), rope, pass.positions);
    const Var<T> k = op::rope(tape, k_(tape, h, routing), rope, pass.positions);
    const Var<T> v = v_(tape, h, routing);
    Var<T> a;
    if (pass.decoding) {
      a = tape.result(q.rows(), q.cols(), q);
      pass.cache->append(layer, k.value(), v.value());
      pass.cache->attend(layer, shape_, q.value(), a.value(), tape);
    } else {
      a = op::attention(tape, *pass.sequences, shape_, q, k, v);
      if (pass.cache != nullptr) pass.cache->fill(layer, *pass.sequences, k.value(), v.value());
    }
    if (kept != nullptr) {
      a = op::gather(tape, a, kept->rows);
      x = op::gather(tape, x, kept->rows);
      routing.sequences = &kept->sequences;
    }
    x = op::add(tape, x, o_(tape, a, routing));
    h = norm2_(tape, x);
    if (ffn_) return op::add(tape, x, (*ffn_)(tape, {gate_, up_, down_}, h, routing));
    h = op::swiglu(tape, gate_(tape, h, routing), up_(tape, h, routing));
    return op::add(tape, x, down_(tape, h, routing));
  }

  /// Random weights, those that close a residual branch times `closing`.
  void initialize(const Random& random, double closing) {
    for (auto* linear : {&q_, &k_, &v_, &gate_, &up_}) linear->base().initialize(random);
    for (auto* linear : {&o_, &down_}) linear->base().initialize(random, closing);
  }

  /// Adds the adapters of a method, and its feed-forward layer if it has one of its own, to block
  /// `block` of `blocks`.
  void attach(const Method<B>& method, const Hyper& hyper, const Random& random, Index block,
              Index blocks) {
    const auto attach_to = [&](auto... linears) {
      (linears->attach(method, hyper, random, block, blocks), ...);
    };
    attach_to(&q_, &k_, &v_, &o_);
    if (method.make_ffn) {
      ffn_ = method.make_ffn(*parameters_, {gate_, up_, down_}, hyper, random);
    } else {
      attach_to(&gate_, &up_, &down_);
    }
    for_each_linear([&](AdaptedLinear<B>& linear) {
      if (&linear != &q_ && linear.adapter() != nullptr) linear.adapter()->follow(*q_.adapter());
    });
  }

  /// Whether what follows the attention may be done for some rows alone.
  bool can_keep_rows() {
    for (auto* linear : {&o_, &gate_, &up_, &down_}) {
      if (linear->adapter() != nullptr && linear->adapter()->needs_every_token()) return false;
    }
    return true;
  }

  /// Calls f on every adapted linear layer.
  template <class F>
  void for_each_linear(F f) {
    for (auto* linear : {&q_, &k_, &v_, &o_, &gate_, &up_, &down_}) f(*linear);
  }

  /// Calls f on both norms.
  template <class F>
  void for_each_norm(F f) {
    f(norm1_);
    f(norm2_);
  }

 private:
  ParameterSet<B>* parameters_;
  AttentionShape shape_;
  nn::RmsNorm<B> norm1_, norm2_;
  AdaptedLinear<B> q_, k_, v_, o_, gate_, up_, down_;
  std::unique_ptr<AnyFfn<B>> ffn_;  ///< In place of the block's own, or null.
};

/// The decoder. As its configuration says, the table of word embeddings is its output layer too,
/// and embeddings are scaled by the square root of the width on the way in.
template <Backend B>
class Decoder {
 public:
  using T = typename B::Scalar;

  Decoder(ParameterSet<B>& parameters, const DecoderConfig& config)
      : config_(config),
        parameters_(&parameters),
        embedding_(&parameters.add("decoder.embedding", config.vocabulary, config.width)),
        head_(config.tied ? embedding_
                          : &parameters.add("decoder.head", config.vocabulary, config.width)),
        norm_(parameters, "decoder.norm", config.width, config.epsilon),
        rope_(parameters.backend(), config.length,
              op::rope_frequencies(config.head_size(), config.rope_base, config.rope_scaling)) {
    expect(config.head > 0 || config.heads * config.head_size() == config.width,
           "decoder: {} heads do not divide the width {}", config.heads, config.width);
    for (Index i = 0; i < config.layers; ++i) {
      blocks_.emplace_back(parameters, numbered("decoder.block", i), config);
    }
  }

  /// Random weights; the layers that close a residual branch start smaller, by 1 / sqrt(2 layers).
  void initialize(const Random& random) {
    for (auto* table : {embedding_, head_}) {
      nn::fill_normal(*parameters_, *table, random,
                      1.0 / std::sqrt(static_cast<double>(config_.width)));
    }
    const double closing = 1.0 / std::sqrt(2.0 * static_cast<double>(config_.layers));
    for (auto& block : blocks_) block.initialize(random, closing);
  }

  /// The embeddings of token ids, tokens x width.
  Var<T> embed(Tape<B>& tape, std::span<const std::int32_t> ids) const {
    const double scale =
        config_.scaled_embeddings ? std::sqrt(static_cast<double>(config_.width)) : 1.0;
    return op::gather(tape, tape.parameter(*embedding_), ids, static_cast<T>(scale));
  }

  /// Hidden states before the last norm, tokens x width, or kept rows x width. Rows that are not
  /// kept are dropped as soon as no other row reads them: within the last block.
  Var<T> operator()(Tape<B>& tape, Var<T> x, const DecoderPass<B>& pass) {
    const KeptRows* kept = pass.kept;
    for (Index i = 0; i < config_.layers; ++i) {
      auto& block = blocks_[static_cast<std::size_t>(i)];
      const bool last = i + 1 == config_.layers && kept != nullptr && block.can_keep_rows();
      if (recompute_ == Recompute::block && tape.recording()) {
        x = op::recompute(tape, x, again(i, pass, last ? kept : nullptr));
      } else {
        x = block(tape, x, i, rope_, pass, last ? kept : nullptr);
      }
      if (last) return x;
    }
    return kept == nullptr ? x : op::gather(tape, x, kept->rows);
  }

  /// Logits of the given rows of the hidden states, rows x vocabulary.
  Var<T> logits(Tape<B>& tape, Var<T> hidden, std::span<const std::int32_t> rows) const {
    return scores(tape, op::gather(tape, hidden, rows));
  }

  /// The scores of every word for each row of x, as if x were hidden states: rows x vocabulary.
  Var<T> scores(Tape<B>& tape, Var<T> x) const {
    return op::linear(tape, norm_(tape, x), tape.parameter(*head_));
  }

  /// Adds the adapters of a method.
  void attach(const Method<B>& method, const Hyper& hyper, const Random& random) {
    for (Index i = 0; i < config_.layers; ++i) {
      blocks_[static_cast<std::size_t>(i)].attach(method, hyper, random, i, config_.layers);
    }
  }

  /// Calls f on every adapted linear layer, block by block.
  template <class F>
  void for_each_linear(F f) {
    for (auto& block : blocks_) block.for_each_linear(f);
  }

  /// Makes every base weight trainable, or freezes them all and packs them (`nn::Linear::freeze`).
  void set_base_trainable(bool trainable, Storage storage = Storage::full,
                          nn::Unpacked unpacked = nn::Unpacked::keep) {
    for (auto* table : {embedding_, head_}) parameters_->set_trainable(*table, trainable);
    norm_.set_trainable(trainable);
    for (auto& block : blocks_) {
      block.for_each_norm([&](auto& norm) { norm.set_trainable(trainable); });
    }
    for_each_linear([&](AdaptedLinear<B>& linear) {
      if (trainable) {
        linear.base().set_trainable(true);
      } else {
        linear.base().freeze(storage, unpacked);
      }
    });
  }

  /// Which activations are kept from now on. Values and gradients are the same to the bit.
  void set_recompute(Recompute recompute) { recompute_ = recompute; }

  const DecoderConfig& config() const { return config_; }
  const Parameter<T>& embedding() const { return *embedding_; }

 private:
  /// A block as a function of its input alone. Its branches are observed once.
  auto again(Index layer, const DecoderPass<B>& pass, const KeptRows* kept) {
    expect(pass.cache == nullptr, "decoder: a pass that fills a cache can not be recorded");
    return [=, this, routing = *pass.routing](Tape<B>& tape, Var<T> x, bool second) {
      RoutingContext now = routing;
      now.observe = now.observe && !second;
      DecoderPass<B> own = pass;
      own.routing = &now;
      return blocks_[static_cast<std::size_t>(layer)](tape, x, layer, rope_, own, kept);
    };
  }

  DecoderConfig config_;
  ParameterSet<B>* parameters_;
  Parameter<T>* embedding_;
  Parameter<T>* head_;  ///< Of the output; the same one where they are tied.
  std::vector<DecoderBlock<B>> blocks_;
  nn::RmsNorm<B> norm_;
  op::RopeTable<B> rope_;
  Recompute recompute_ = Recompute::none;
};

}  // namespace branchlora::model

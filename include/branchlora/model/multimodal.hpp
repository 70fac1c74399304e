/// @file
/// The multimodal model: what LLaVA is, at any size.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/model/batch.hpp"
#include "branchlora/model/decoder.hpp"
#include "branchlora/model/projector.hpp"
#include "branchlora/model/unfold.hpp"
#include "branchlora/model/vision.hpp"

namespace branchlora::model {

/// The vision features of many images, computed once, since the tower is frozen while tasks are
/// learned: `tokens` rows for each image. Copies share the memory.
template <Backend B>
struct FeatureBank {
  std::shared_ptr<const Buffer<B>> features;
  Index tokens = 0;

  /// All rows.
  MatrixView<typename B::Scalar> all() const { return features->view(); }
  /// The rows of one image.
  MatrixView<typename B::Scalar> image(Index i) const {
    return all().middle_rows(i * tokens, tokens);
  }
};

/// Vision tower, projector and decoder, with adapters on every linear layer of the decoder once
/// they are attached. Where the configuration has no tower it is the decoder alone, and everything
/// below is about text. Not movable: its layers refer to its parameters.
template <Backend B>
class Multimodal {
 public:
  using T = typename B::Scalar;

  Multimodal(B& backend, const ModelConfig& config)
      : config_(config),
        parameters_(backend),
        vision_(if_seen<VisionTower<B>>(config.vision)),
        projector_(if_seen<Projector<B>>(config)),
        decoder_(parameters_, config.decoder) {
    expect(config.vision.side() % config.vision.merge == 0,
           "model: {} patches a side can not be merged by {}", config.vision.side(),
           config.vision.merge);
  }
  Multimodal(const Multimodal&) = delete;
  Multimodal& operator=(const Multimodal&) = delete;

  /// Random weights everywhere.
  void initialize(const Random& random) {
    if (vision_) vision_->initialize(random);
    if (projector_) projector_->initialize(random);
    decoder_.initialize(random);
  }

  /// Makes the base trainable as a whole (pretraining).
  void train_base() {
    if (vision_) vision_->set_trainable(true);
    if (projector_) projector_->for_each_layer([](auto& layer) { layer.set_trainable(true); });
    decoder_.set_base_trainable(true);
  }

  /// Freezes tower and decoder, holding the decoder's weights as `storage` says, and leaves the
  /// projector trainable at `projector_rate` times the learning rate (0: frozen too). The memory
  /// that the decoder's weights had before is kept or released as `unpacked` says.
  void freeze_base(Storage storage, double projector_rate,
                   nn::Unpacked unpacked = nn::Unpacked::keep) {
    decoder_.set_base_trainable(false, storage, unpacked);
    if (!config_.vision.present()) return;
    vision_->set_trainable(false);
    projector_->for_each_layer([&](auto& layer) {
      if (projector_rate > 0) {
        layer.set_trainable(true);
        for (auto* p : {&layer.weight(), layer.bias()}) p->learning_rate = projector_rate;
      } else {
        layer.freeze();
      }
    });
  }

  /// Adds the adapters of a method.
  void attach(const Method<B>& method, const Hyper& hyper, const Random& random) {
    decoder_.attach(method, hyper, random);
  }

  /// Calls f on every adapter.
  template <class F>
  void for_each_adapter(F f) {
    decoder_.for_each_linear([&](auto& linear) {
      if (linear.adapter() != nullptr) f(*linear.adapter());
    });
  }

  /// The features of images given as patches (images * patches rows).
  Var<T> features(Tape<B>& tape, Var<T> patches, const Sequences& images) const {
    return (*vision_)(tape, patches, images);
  }

  /// The features of `count` images, `chunk` at a time; `rgb(i)` is the pixels of image i.
  template <class Rgb>
  FeatureBank<B> features_of(Tape<B>& tape, Index count, Rgb rgb, Index chunk = 32) const {
    const VisionConfig& c = config_.vision;
    FeatureBank<B> bank{std::make_shared<const Buffer<B>>(parameters_.backend(), count * c.tokens(),
                                                          c.feature_width()),
                        c.tokens()};
    const bool recording = tape.recording();
    tape.set_recording(false);
    for (Index first = 0; first < count; first += chunk) {
      const Index n = std::min(chunk, count - first);
      tape.reset();
      Sequences images;
      std::vector<T> host(static_cast<std::size_t>(n * c.patches() * c.patch_size()));
      for (Index i = 0; i < n; ++i) {
        images.push(c.rows());
        unfold<T>(rgb(first + i), c,
                  {host.data() + i * c.patches() * c.patch_size(), c.patches(), c.patch_size()});
      }
      T* patches = tape.upload(std::span<const T>(host));
      const Var<T> x = tape.constant({patches, n * c.patches(), c.patch_size()});
      parameters_.backend().copy(features(tape, x, images).value(),
                                 bank.all().middle_rows(first * c.tokens(), n * c.tokens()));
    }
    tape.reset();
    tape.set_recording(recording);
    return bank;
  }

  /// The features of a batch's images from a bank, in the order of its sequences.
  Var<T> gather(Tape<B>& tape, const Batch& batch, const FeatureBank<B>& bank) const {
    const auto all =
        tape.scratch(std::ssize(batch.images) * bank.tokens, config_.vision.feature_width());
    for (std::size_t s = 0; s < batch.images.size(); ++s) {
      parameters_.backend().copy(bank.image(batch.images[s]),
                                 all.middle_rows(static_cast<Index>(s) * bank.tokens, bank.tokens));
    }
    return tape.constant(all);
  }

  /// Hidden states of a batch, tokens x width.
  Var<T> hidden(Tape<B>& tape, const Batch& batch, Var<T> features, const RoutingContext& routing) {
    return decode(tape, batch, features, {.routing = &routing});
  }

  /// Logits of the rows that predict a token, `batch.rows` x vocabulary.
  Var<T> logits(Tape<B>& tape, const Batch& batch, Var<T> features, const RoutingContext& routing,
                KvCache<B>* cache = nullptr) {
    const Var<T> h =
        decode(tape, batch, features, {.routing = &routing, .cache = cache, .kept = &batch.kept});
    return decoder_.logits(tape, h, batch.predicting);
  }

  /// The mean cross-entropy of the batch's targets, 1 x 1.
  Var<T> loss(Tape<B>& tape, const Batch& batch, Var<T> features, const RoutingContext& routing) {
    return op::cross_entropy(tape, logits(tape, batch, features, routing), batch.targets);
  }

  ParameterSet<B>& parameters() { return parameters_; }
  const ParameterSet<B>& parameters() const { return parameters_; }
  Decoder<B>& decoder() { return decoder_; }
  /// The projector of a model that has one.
  Projector<B>& projector() { return *projector_; }
  const ModelConfig& config() const { return config_; }

 private:
  Var<T> decode(Tape<B>& tape, const Batch& batch, Var<T> features, DecoderPass<B> pass) {
    expect(batch.longest() <= config_.decoder.length,
           "model: a sequence of {} tokens, but positions for {}", batch.longest(),
           config_.decoder.length);
    expect(config_.vision.present() || batch.images.empty(),
           "model: {} pictures for a model that reads text alone", batch.images.size());
    Var<T> x = decoder_.embed(tape, batch.text);
    if (projector_) x = op::interleave(tape, (*projector_)(tape, features), x, batch.order);
    pass.sequences = &batch.sequences;
    pass.positions = tape.upload(std::span<const std::int32_t>(batch.positions));
    return decoder_(tape, x, pass);
  }

  template <class Part, class Config>
  std::optional<Part> if_seen(const Config& config) {
    if (!config_.vision.present()) return {};
    return Part(parameters_, config);
  }

  ModelConfig config_;
  mutable ParameterSet<B> parameters_;
  std::optional<VisionTower<B>> vision_;
  std::optional<Projector<B>> projector_;
  Decoder<B> decoder_;
};

}  // namespace branchlora::model

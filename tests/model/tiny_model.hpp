/// @file
/// A multimodal model that is small enough for finite differences, with pictures to look at.
#pragma once

#include <string>
#include <vector>

#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/model/multimodal.hpp"
#include "model/tiny_config.hpp"
#include "support/naive.hpp"

namespace branchlora::test {

/// The linears of `tiny_config`, for what is counted at compile time.
inline constexpr ModelShape tiny_shape{.name = "tiny",
                                       .layers = 2,
                                       .linears = {{{"q", 8, 8},
                                                    {"k", 8, 4},
                                                    {"v", 8, 4},
                                                    {"o", 8, 8},
                                                    {"gate", 8, 6},
                                                    {"up", 8, 6},
                                                    {"down", 6, 8}}},
                                       .projector = {}};

/// The pixels of a random picture.
inline std::vector<float> picture(const model::VisionConfig& config, Index number) {
  const Random random = Random(7).fork(static_cast<std::uint64_t>(number));
  std::vector<float> rgb(static_cast<std::size_t>(config.image * config.image * 3));
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<float>(random.below(i, 256));
  return rgb;
}

/// The model and its surroundings, every parameter away from zero and one.
template <std::floating_point T>
class TinyModel {
 public:
  using B = eigen::Backend<T>;

  explicit TinyModel(const model::ModelConfig& config = tiny_config(), std::uint64_t seed = 1)
      : net(backend, config), tape(backend) {
    net.initialize(Random(seed));
    randomise("", 0.2);
  }

  /// Adds normal numbers to every parameter whose name contains `part`.
  void randomise(const std::string& part, double deviation) {
    for (auto& p : net.parameters()) {
      if (p.name.find(part) == std::string::npos) continue;
      const Random own = Random(11).fork(p.name);
      for (Index i = 0; i < p.value.size(); ++i) {
        p.value.data[i] += static_cast<T>(deviation * own.normal(static_cast<std::uint64_t>(i)));
      }
    }
  }

  /// The features of pictures 0 .. count - 1.
  model::FeatureBank<B> bank(Index count, Index chunk = 32) {
    return net.features_of(
        tape, count, [&](Index i) { return picture(net.config().vision, i); }, chunk);
  }

  /// The logits of a batch's predicting rows, without recording.
  Dense logits(const model::Batch& batch, const model::FeatureBank<B>& features) {
    tape.reset();
    tape.set_recording(false);
    const RoutingContext routing{&batch.sequences, batch.tasks};
    const Dense result =
        to_dense(net.logits(tape, batch, net.gather(tape, batch, features), routing).value());
    tape.set_recording(true);
    return result;
  }

  Dense value(const std::string& name) {
    const auto* p = net.parameters().find(name);
    expect(p != nullptr, "there is no parameter '{}'", name);
    return to_dense(p->value);
  }

  B backend;
  model::Multimodal<B> net;
  Tape<B> tape;
};

/// The batch of examples about pictures of the tiny model.
inline model::Batch batch_of(const std::vector<model::Example>& examples) {
  model::Batch batch;
  for (const model::Example& e : examples) batch.push(e, tiny_config().vision.tokens());
  return batch;
}

}  // namespace branchlora::test

/// @file
/// The generator of ICM-LoRA: a conditional variational autoencoder of 1-D convolutions over flat
/// adapter weights (Shao et al., arXiv 2501.17635).
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "branchlora/autograd/op/batch_norm.hpp"
#include "branchlora/autograd/op/concat.hpp"
#include "branchlora/autograd/op/conv_transpose1d.hpp"
#include "branchlora/autograd/op/elu.hpp"
#include "branchlora/autograd/op/gaussian_latent.hpp"
#include "branchlora/autograd/op/leaky_relu.hpp"
#include "branchlora/autograd/op/mean_squared_error.hpp"
#include "branchlora/autograd/op/reshape.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/nn/init.hpp"
#include "branchlora/nn/linear.hpp"

namespace branchlora::generator {

/// The sizes of the autoencoder; the defaults are the authors'. Fewer stages suit short vectors.
struct CvaeConfig {
  Index length = 1;       ///< L: elements of the flat vector.
  Index condition = 768;  ///< Elements of a task vector.
  Index latent = 256;     ///< Elements of z, and of the encoder's linear layer before it.
  /// Output channels of each stage of the encoder; each halves the length.
  std::vector<Index> channels{8, 16, 32, 64, 128, 256, 256, 128, 64, 32, 16, 8};

  static constexpr Index kernel = 7;
  static constexpr op::Window halve{kernel, 2, 3};
  static constexpr op::Window keep{kernel, 1, 3};

  Index stages() const { return std::ssize(channels); }
  /// The length after zeros were put behind: the next multiple of 2^stages.
  Index padded() const;
  /// Elements of a vector after the last stage, over all of its channels.
  Index features() const { return (padded() >> stages()) * channels.back(); }

  /// Trainable parameters, without building anything. A convolution of C to D channels has 7 C D +
  /// D and its batch norm 2 D; a linear layer of n to m has n m + m.
  Index parameters() const;

  /// Throws `Error` where a size makes no network.
  void check() const;
};

namespace detail {

/// Parameters of one stage: a convolution, or a transposed one, and a batch norm behind it.
template <Backend B>
class ConvNorm {
 public:
  using T = typename B::Scalar;

  /// `rows x cols` is the weight's shape and `out` the channels after it. Weight and bias start
  /// uniform in +-1/sqrt(cols).
  ConvNorm(ParameterSet<B>& parameters, const std::string& name, Index rows, Index cols, Index out,
           const Random& random)
      : weight_(&parameters.add(name + ".weight", rows, cols)),
        bias_(&parameters.add(name + ".bias", 1, out)),
        gain_(&parameters.add(name + ".norm.weight", 1, out)),
        shift_(&parameters.add(name + ".norm.bias", 1, out)),
        mean_(&parameters.add(name + ".norm.running_mean", 1, out)),
        variance_(&parameters.add(name + ".norm.running_var", 1, out)) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(cols));
    nn::fill_uniform(parameters, *weight_, random, bound);
    nn::fill_uniform(parameters, *bias_, random, bound);
    nn::fill_constant(parameters, *gain_, 1.0);
    nn::fill_constant(parameters, *variance_, 1.0);
    for (auto* p : {weight_, bias_, gain_, shift_}) parameters.set_trainable(*p, true);
    for (auto* p : {bias_, gain_, shift_}) p->decays = false;
  }

  Var<T> weight(Tape<B>& tape) const { return tape.parameter(*weight_); }
  Var<T> bias(Tape<B>& tape) const { return tape.parameter(*bias_); }

  /// Normalises by the batch and remembers its statistics (training), or by those remembered.
  Var<T> norm(Tape<B>& tape, Var<T> x, bool training) const {
    const op::RunningStatistics<T> running{mean_->value, variance_->value};
    const Var<T> gain = tape.parameter(*gain_);
    const Var<T> shift = tape.parameter(*shift_);
    return training ? op::batch_norm(tape, x, gain, shift, running, 0.1, 1e-5)
                    : op::batch_norm_inference(tape, x, gain, shift, running, 1e-5);
  }

 private:
  Parameter<T>*weight_, *bias_, *gain_, *shift_, *mean_, *variance_;
};

}  // namespace detail

/// Encoder and decoder over flat weights x, given a task vector c:
///
///     h = linear(stages of [conv 7, stride 2; batch norm; leaky ReLU] (x))
///     mu, log sigma^2 = linear([h, c]), linear([h, c])
///     z = mu + sigma * noise
///     x' = conv 7 (stages of [transposed conv 7, stride 2; batch norm; ELU] (linear([z, c])))
///
/// A vector is padded with zeros at its end; a batch of them is a matrix, a vector a row. Not
/// movable: its layers refer to its parameters.
template <Backend B>
class Cvae {
 public:
  using T = typename B::Scalar;

  /// What the encoder makes of a vector: the normal distribution of its z, batch x latent each.
  struct Posterior {
    Var<T> mu, log_variance;
  };
  /// The loss and its parts, 1 x 1 each.
  struct Loss {
    Var<T> total, reconstruction, divergence;
  };

  /// Random weights; throws `Error` on sizes that make no network.
  Cvae(B& backend, const CvaeConfig& config, const Random& random)
      : config_((config.check(), config)),
        parameters_(backend),
        code_(parameters_, "encoder.linear", config.features(), config.latent, true),
        mu_(parameters_, "encoder.mu", config.latent + config.condition, config.latent, true),
        log_variance_(parameters_, "encoder.log_variance", config.latent + config.condition,
                      config.latent, true),
        expand_(parameters_, "decoder.linear", config.latent + config.condition, config.features(),
                true) {
    for (Index i = 0; i < config.stages(); ++i) {
      const Index in = i == 0 ? 1 : channels(i - 1);
      const Index out = channels(i);
      encoder_.emplace_back(parameters_, fmt::format("encoder.stage.{}", i), out,
                            CvaeConfig::kernel * in, out, random);
      const Index up = i == 0 ? channels(0) : in;
      decoder_.emplace_back(parameters_, fmt::format("decoder.stage.{}", i), out,
                            CvaeConfig::kernel * up, up, random);
    }
    last_weight_ = &parameters_.add("decoder.conv.weight", 1, CvaeConfig::kernel * channels(0));
    last_bias_ = &parameters_.add("decoder.conv.bias", 1, 1);
    last_bias_->decays = false;
    start(*last_weight_, last_bias_, random);
    for (auto* linear : {&code_, &mu_, &log_variance_, &expand_}) {
      start(linear->weight(), linear->bias(), random);
    }
  }
  Cvae(const Cvae&) = delete;
  Cvae& operator=(const Cvae&) = delete;

  /// x is batch x padded length, c batch x condition.
  Posterior encode(Tape<B>& tape, Var<T> x, Var<T> c, bool training) const {
    expect_shape(x.value(), x.rows(), config_.padded(), "the CVAE's input");
    expect_shape(c.value(), x.rows(), config_.condition, "the CVAE's task vectors");
    Index length = config_.padded();
    Var<T> h = op::reshape(tape, x, x.value().size(), 1);
    for (const auto& stage : encoder_) {
      h = op::conv1d(tape, h, stage.weight(tape), stage.bias(tape), length, CvaeConfig::halve);
      h = op::leaky_relu(tape, stage.norm(tape, h, training));
      length /= 2;
    }
    h = code_(tape, op::reshape(tape, h, x.rows(), config_.features()));
    h = op::concat(tape, h, c);
    return {mu_(tape, h), log_variance_(tape, h)};
  }

  /// Vectors of the padded length, a row each, from z (batch x latent) and c (batch x condition).
  Var<T> decode(Tape<B>& tape, Var<T> z, Var<T> c, bool training) const {
    expect_shape(z.value(), z.rows(), config_.latent, "the CVAE's latent");
    expect_shape(c.value(), z.rows(), config_.condition, "the CVAE's task vectors");
    const Var<T> code = expand_(tape, op::concat(tape, z, c));
    Var<T> h = op::reshape(tape, code, code.value().size() / config_.channels.back(),
                           config_.channels.back());
    Index length = config_.padded() >> config_.stages();
    for (auto stage = decoder_.rbegin(); stage != decoder_.rend(); ++stage) {
      length *= 2;
      h = op::conv_transpose1d(tape, h, stage->weight(tape), stage->bias(tape), length,
                               CvaeConfig::halve);
      h = op::elu(tape, stage->norm(tape, h, training));
    }
    h = op::conv1d(tape, h, tape.parameter(*last_weight_), tape.parameter(*last_bias_), length,
                   CvaeConfig::keep);
    return op::reshape(tape, h, z.rows(), config_.padded());
  }

  /// mean (x' - x)^2, padding included, + kl_weight * KL(N(mu, sigma^2) || N(0, 1)), the latter
  /// summed over the latent and averaged over the batch. `noise` is batch x latent.
  Loss loss(Tape<B>& tape, Var<T> x, Var<T> c, MatrixView<const T> noise, double kl_weight) const {
    const Posterior q = encode(tape, x, c, true);
    const Var<T> z = op::reparameterise(tape, q.mu, q.log_variance, noise);
    const Var<T> reconstruction =
        op::mean_squared_error(tape, decode(tape, z, c, true), MatrixView<const T>(x.value()));
    const Var<T> divergence = op::kl_to_normal(tape, q.mu, q.log_variance);
    return {op::add(tape, reconstruction, divergence, static_cast<T>(kl_weight)), reconstruction,
            divergence};
  }

  /// The flat weights (z-scores, `length` of them) that stand at `z` for the task `condition`, with
  /// the statistics of batch norm that training left. The tape is reset. Throws `Error` unless both
  /// have the config's sizes.
  std::vector<T> generate(Tape<B>& tape, std::span<const double> condition,
                          std::span<const double> z) const {
    expect(std::ssize(condition) == config_.condition && std::ssize(z) == config_.latent,
           "CVAE: expected a task vector of {} numbers and a latent of {}, found {} and {}",
           config_.condition, config_.latent, condition.size(), z.size());
    const bool recording = tape.recording();
    tape.set_recording(false);
    tape.reset();
    const auto row = [&](std::span<const double> values) {
      const std::vector<T> host(values.begin(), values.end());
      return tape.constant({tape.upload(std::span<const T>(host)), 1, std::ssize(values)});
    };
    const auto x = decode(tape, row(z), row(condition), false).value();
    std::vector<T> flat(static_cast<std::size_t>(config_.length));
    tape.backend().download(flat.data(), x.data, flat.size() * sizeof(T));
    tape.reset();
    tape.set_recording(recording);
    return flat;
  }

  const CvaeConfig& config() const { return config_; }
  ParameterSet<B>& parameters() { return parameters_; }

  /// Bytes of the generator: every parameter and running statistic.
  Index bytes() const {
    Index elements = 0;
    for (const auto& p : parameters_) elements += p.value.size();
    return elements * static_cast<Index>(sizeof(T));
  }

 private:
  Index channels(Index stage) const { return config_.channels[static_cast<std::size_t>(stage)]; }

  void start(Parameter<T>& weight, Parameter<T>* bias, const Random& random) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(weight.value.cols));
    for (auto* p : {&weight, bias}) {
      nn::fill_uniform(parameters_, *p, random, bound);
      parameters_.set_trainable(*p, true);
    }
  }

  CvaeConfig config_;
  mutable ParameterSet<B> parameters_;
  std::vector<detail::ConvNorm<B>> encoder_, decoder_;  // the decoder's last runs first
  nn::Linear<B> code_, mu_, log_variance_, expand_;
  Parameter<T>* last_weight_ = nullptr;
  Parameter<T>* last_bias_ = nullptr;
};

}  // namespace branchlora::generator

#ifndef BRANCHLORA_COMPILED
#include "branchlora/generator/cvae-inl.hpp"
#endif

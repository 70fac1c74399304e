/// @file
/// AdamW (Loshchilov and Hutter, arXiv 1711.05101).
#pragma once

#include <cmath>
#include <span>
#include <unordered_map>
#include <vector>

#include "branchlora/autograd/parameter.hpp"

namespace branchlora {

/// The settings of AdamW, PyTorch's defaults but for no weight decay (CoIN trains without).
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
};

/// A gradient among many.
template <class T>
struct GradientPart {
  const T* data;
  Index size;
};

/// The norm of all gradients of trainable parameters as one vector.
template <Backend B>
double gradient_norm(ParameterSet<B>& parameters) {
  using Part = GradientPart<typename B::Scalar>;
  thread_local std::vector<Part> parts;
  parts.clear();
  for (const auto& p : parameters) {
    if (p.trainable && p.has_grad) parts.push_back({p.grad.data, p.grad.size()});
  }
  return std::sqrt(parameters.backend().sum(
      std::span<const Part>(parts), [] BRANCHLORA_BODY(const Part& part, Index i) {
        return static_cast<double>(part.data[i]) * static_cast<double>(part.data[i]);
      }));
}

/// Moments for each parameter that was ever trained; decoupled weight decay; bias correction by
/// each parameter's own count of steps. Parameters that are frozen or got no gradient in a step
/// keep their bits.
template <Backend B>
class AdamW {
 public:
  using T = typename B::Scalar;

  explicit AdamW(ParameterSet<B>& parameters, AdamWOptions options = {})
      : parameters_(&parameters), options_(options) {}

  /// One step with `learning_rate`. Gradients are multiplied by `gradient_scale` on the way in
  /// (clipping).
  void step(double learning_rate, double gradient_scale = 1.0) {
    parts_.clear();
    for (auto& p : *parameters_) {
      if (p.trainable && p.has_grad) parts_.push_back(part(p, learning_rate * p.learning_rate));
    }
    const T b1 = static_cast<T>(options_.beta1);
    const T b2 = static_cast<T>(options_.beta2);
    const T scale = static_cast<T>(gradient_scale);
    const T epsilon = static_cast<T>(options_.epsilon);
    parameters_->backend().for_each(
        std::span<const Part>(parts_), [=] BRANCHLORA_BODY(const Part& p, Index i) {
          const T g = scale * p.gradient[i];
          p.first[i] = b1 * p.first[i] + (T(1) - b1) * g;
          p.second[i] = b2 * p.second[i] + (T(1) - b2) * g * g;
          p.value[i] = p.keep * p.value[i] -
                       p.rate * p.first[i] / (std::sqrt(p.second[i] * p.inverse) + epsilon);
        });
    parameters_->clear_gradients();
  }

  /// Forgets all moments, as at the start of a new task.
  void reset() {
    for (auto& [p, state] : states_) {
      state.steps = 0;
      parameters_->backend().fill(state.first.view(), T(0));
      parameters_->backend().fill(state.second.view(), T(0));
    }
  }

  /// One parameter in one step: the rate is that of this step, corrected for the bias of the first
  /// moment, and `inverse` corrects the second. Public since nvcc takes no body's types from
  /// private members.
  struct Part {
    T *value, *first, *second;
    const T* gradient;
    Index size;
    T rate, inverse, keep;
  };

 private:
  struct State {
    Buffer<B> first, second;
    int steps = 0;
  };

  /// Counts a step of `p` at that rate.
  Part part(Parameter<T>& p, double rate) {
    State& state = states_[&p];
    if (state.first.empty()) {
      state.first = Buffer<B>(parameters_->backend(), p.value.rows, p.value.cols);
      state.second = Buffer<B>(parameters_->backend(), p.value.rows, p.value.cols);
    }
    ++state.steps;
    const double correction1 = 1.0 - std::pow(options_.beta1, state.steps);
    const double correction2 = 1.0 - std::pow(options_.beta2, state.steps);
    const double decay = p.decays ? rate * options_.weight_decay : 0.0;
    return {p.value.data,
            state.first.view().data,
            state.second.view().data,
            p.grad.data,
            p.value.size(),
            static_cast<T>(rate / correction1),
            static_cast<T>(1.0 / correction2),
            static_cast<T>(1.0 - decay)};
  }

  ParameterSet<B>* parameters_;
  AdamWOptions options_;
  std::unordered_map<Parameter<T>*, State> states_;
  std::vector<Part> parts_;
};

}  // namespace branchlora

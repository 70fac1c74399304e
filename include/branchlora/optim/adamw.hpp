/// @file
/// AdamW (Loshchilov and Hutter, arXiv 1711.05101).
#pragma once

#include <cmath>
#include <unordered_map>

#include "branchlora/autograd/parameter.hpp"

namespace branchlora {

/// The settings of AdamW, PyTorch's defaults but for no weight decay (CoIN trains without).
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
};

/// The norm of all gradients of trainable parameters as one vector.
template <Backend B>
double gradient_norm(ParameterSet<B>& parameters) {
  double square = 0;
  for (const auto& p : parameters) {
    if (!p.trainable || !p.has_grad) continue;
    const auto* g = p.grad.data;
    square += parameters.backend().sum(p.grad.size(), [=] BRANCHLORA_BODY(Index i) {
      return static_cast<double>(g[i]) * static_cast<double>(g[i]);
    });
  }
  return std::sqrt(square);
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
    for (auto& p : *parameters_) {
      if (p.trainable && p.has_grad) update(p, learning_rate * p.learning_rate, gradient_scale);
    }
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

  /// One step of one parameter, for `step`. Public since nvcc takes bodies from public functions
  /// only.
  void update(Parameter<T>& p, double rate, double gradient_scale) {
    State& state = states_[&p];
    if (state.first.empty()) {
      state.first = Buffer<B>(parameters_->backend(), p.value.rows, p.value.cols);
      state.second = Buffer<B>(parameters_->backend(), p.value.rows, p.value.cols);
    }
    ++state.steps;
    const double correction1 = 1.0 - std::pow(options_.beta1, state.steps);
    const double correction2 = 1.0 - std::pow(options_.beta2, state.steps);
    const T b1 = static_cast<T>(options_.beta1);
    const T b2 = static_cast<T>(options_.beta2);
    const T scale = static_cast<T>(gradient_scale);
    const T rate1 = static_cast<T>(rate / correction1);
    const T inverse2 = static_cast<T>(1.0 / correction2);
    const T epsilon = static_cast<T>(options_.epsilon);
    const T keep = static_cast<T>(1.0 - (p.decays ? rate * options_.weight_decay : 0.0));
    T* w = p.value.data;
    T* m = state.first.view().data;
    T* v = state.second.view().data;
    const T* g = p.grad.data;
    parameters_->backend().for_each(p.value.size(), [=] BRANCHLORA_BODY(Index i) {
      const T gi = scale * g[i];
      m[i] = b1 * m[i] + (T(1) - b1) * gi;
      v[i] = b2 * v[i] + (T(1) - b2) * gi * gi;
      w[i] = keep * w[i] - rate1 * m[i] / (std::sqrt(v[i] * inverse2) + epsilon);
    });
  }

 private:
  struct State {
    Buffer<B> first, second;
    int steps = 0;
  };

  ParameterSet<B>* parameters_;
  AdamWOptions options_;
  std::unordered_map<Parameter<T>*, State> states_;
};

}  // namespace branchlora

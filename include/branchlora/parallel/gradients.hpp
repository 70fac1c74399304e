/// @file
/// The gradients of a model that several processes train on parts of each batch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/hash.hpp"
#include "branchlora/core/to_host.hpp"
#include "branchlora/parallel/communicator.hpp"

namespace branchlora::parallel {

/// Throws `Error`, in every rank, unless all have the same values in the parameters that train: the
/// same base, method, seed and tasks so far.
template <Backend B, Communicator C>
void expect_alike(const ParameterSet<B>& parameters, const C& ranks) {
  if (ranks.size() == 1) return;
  std::uint64_t digest = 0;
  for (const auto& p : parameters) {
    if (!p.trainable) continue;
    const auto values = to_host(parameters.backend(), p.value);
    const auto bytes = std::as_bytes(std::span(values));
    digest = 31 * digest + hash({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  const auto own = static_cast<double>(digest >> 11);  // exact: a double holds 53 bits
  double first = own;
  ranks.broadcast(std::span(&first, 1));
  double others = first == own ? 0 : 1;
  ranks.sum(std::span(&others, 1));
  expect(others == 0,
         "parallel: expected the weights of process 1 in all {}, found others in {}: do they have "
         "the same base, method, options and seed?",
         Index{ranks.size()}, others);
}

/// Sums gradients over ranks. What trains is small: a step sends all gradients of trainable
/// parameters in one message, and for each a count of the ranks in which it has one. A communicator
/// that can leaves the gradients in the backend's memory; any other gets all of it in one message.
template <Backend B, Communicator C>
class GradientSum {
 public:
  using T = typename B::Scalar;

  /// `parameters` and `ranks` must outlive it.
  GradientSum(ParameterSet<B>& parameters, const C& ranks)
      : parameters_(&parameters), ranks_(&ranks) {}

  /// Puts the sum over the ranks in the place of every gradient; where only some ranks have one,
  /// all have it afterwards. The result is the same to the bit in all of them.
  void operator()() {
    if (ranks_->size() == 1) return;
    if constexpr (DeviceCommunicator<C, B>) {
      sum_in_place();
    } else {
      sum_through_host();
    }
  }

 private:
  /// The host's message has the counts alone, and does not wait for the device.
  void sum_in_place() {
    B& backend = parameters_->backend();
    write_counts();
    ranks_->sum(std::span<T>(values_));
    gradients_.clear();
    const T* count = values_.data();
    for (auto& p : *parameters_) {
      if (!p.trainable || *count++ == T(0)) continue;
      if (!p.has_grad) backend.fill(p.grad, T(0));
      p.has_grad = true;
      gradients_.emplace_back(p.grad.data, static_cast<std::size_t>(p.grad.size()));
    }
    ranks_->sum(backend, std::span<const std::span<T>>(gradients_));
  }

  void sum_through_host() {
    B& backend = parameters_->backend();
    write_counts();
    for (const auto& p : *parameters_) {
      if (!p.trainable) continue;
      const auto first = values_.size();
      values_.resize(first + static_cast<std::size_t>(p.grad.size()), T(0));
      if (p.has_grad) backend.download(values_.data() + first, p.grad.data, bytes(p));
    }
    ranks_->sum(std::span<T>(values_));
    const T* count = values_.data();
    const T* sum = count + std::ranges::count_if(*parameters_, &Parameter<T>::trainable);
    for (auto& p : *parameters_) {
      if (!p.trainable) continue;
      p.has_grad = *count++ > T(0);
      if (p.has_grad) backend.upload(p.grad.data, sum, bytes(p));
      sum += p.grad.size();
    }
  }

  /// Begins the message: whether each trainable parameter has a gradient here.
  void write_counts() {
    values_.clear();
    for (const auto& p : *parameters_) {
      if (p.trainable) values_.push_back(p.has_grad ? T(1) : T(0));
    }
  }

  static std::size_t bytes(const Parameter<T>& p) {
    return static_cast<std::size_t>(p.grad.size()) * sizeof(T);
  }

  ParameterSet<B>* parameters_;
  const C* ranks_;
  std::vector<T> values_;                ///< The host's message, kept for its memory.
  std::vector<std::span<T>> gradients_;  ///< Those in the backend's memory, likewise.
};

}  // namespace branchlora::parallel

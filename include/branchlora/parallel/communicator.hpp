/// @file
/// Processes that compute one thing together.
#pragma once

#include <concepts>
#include <span>
#include <vector>

#include "branchlora/core/backend.hpp"

namespace branchlora::parallel {

/// One process's end of what connects `size` of them, called ranks. Every rank calls the same
/// members in the same order.
///
/// - `sum(values)`: puts the sum over all ranks in the place of each value, added in the order of
///   the ranks, so that every rank gets the same bits and these depend on nothing else.
/// - `broadcast(values)`: puts the values of rank 0 in their place.
///
/// Values lie in host memory; all ranks pass as many.
template <class C>
concept Communicator = requires(const C& c, std::span<float> floats, std::span<double> doubles) {
  { c.rank() } -> std::convertible_to<Index>;
  { c.size() } -> std::convertible_to<Index>;
  c.sum(floats);
  c.sum(doubles);
  c.broadcast(floats);
  c.broadcast(doubles);
};

/// A communicator that also adds up what lies in the memory of backend `B`, without a copy in host
/// memory.
///
/// - `sum(backend, arrays)`: puts the sum over all ranks in the place of each value of each array.
///   Every rank gets the same bits; in which order they are added is the communicator's affair.
///   Ordered with the backend's other work.
///
/// All ranks pass as many arrays, of the same sizes.
template <class C, class B>
concept DeviceCommunicator = Communicator<C> && Backend<B> &&
    requires(const C& c, B& b, std::span<const std::span<typename B::Scalar>> arrays) {
  c.sum(b, arrays);
};

/// A process by itself.
struct SingleProcess {
  static constexpr Index rank() { return 0; }
  static constexpr Index size() { return 1; }
  template <std::floating_point T>
  void sum(std::span<T> /*values*/) const {}
  template <std::floating_point T>
  void broadcast(std::span<T> /*values*/) const {}
};

/// What this rank has of a list that all ranks hold: every `size`-th item, so that items that stand
/// close to each other in the list are spread over the ranks. Throws `Error` if a rank would have
/// none.
template <class T, Communicator C>
std::vector<T> share_of(const std::vector<T>& all, const C& ranks) {
  expect(std::ssize(all) >= ranks.size(),
         "parallel: expected at least one sample of a batch for each of {} processes, found {}",
         Index{ranks.size()}, all.size());
  std::vector<T> own;
  for (Index i = ranks.rank(); i < std::ssize(all); i += ranks.size()) {
    own.push_back(all[static_cast<std::size_t>(i)]);
  }
  return own;
}

}  // namespace branchlora::parallel

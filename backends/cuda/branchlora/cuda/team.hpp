/// @file
/// How the threads of a warp or a block go over the elements of a row together.
#pragma once

#include "branchlora/core/host_device.hpp"
#include "branchlora/core/math.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::cuda {

/// `Threads` neighbours of one block that run a body together: a warp, or the whole block. All of
/// them run the code between the team's calls, so it may write only what each of them may write
/// alike; `loop(1, f)` is for what one thread must do alone.
///
/// Sums are taken in an order that depends on the length alone. Compiled for the host, one thread
/// takes the part of all of them in the same order, so that a body can be tested without a GPU.
template <class T, int Threads>
class Team {
 public:
  static_assert(Threads % 32 == 0 && Threads <= 1024, "a team is made of whole warps of one block");

  /// Whether the calling thread has a part in the team.
  BRANCHLORA_BODY bool takes_part() const {
#if defined(__CUDA_ARCH__)
    return true;
#else
    return lane() == 0;
#endif
  }

  /// f(i) for i in 0 .. n - 1, in any order. What f wrote is seen by the whole team afterwards.
  template <class F>
  BRANCHLORA_BODY void loop(Index n, F f) const {
#if defined(__CUDA_ARCH__)
    for (Index i = lane(); i < n; i += Threads) f(i);
    if constexpr (Threads == warp) {
      __syncwarp();
    } else {
      __syncthreads();
    }
#else
    for (Index first = 0; first < Threads; ++first) {
      for (Index i = first; i < n; i += Threads) f(i);
    }
#endif
  }

  /// The sum of f(i), the same on every thread.
  template <class F>
  BRANCHLORA_BODY T sum(Index n, F f) const {
    return reduce(n, f, T(0), [](T a, T b) { return a + b; });
  }

  /// The largest f(i), the same on every thread; the lowest finite value if n is 0.
  template <class F>
  BRANCHLORA_BODY T max(Index n, F f) const {
    return reduce(n, f, math::lowest<T>(), [](T a, T b) { return a < b ? b : a; });
  }

 private:
  static constexpr int warp = 32;
  static constexpr int warps = Threads / warp;

  BRANCHLORA_BODY static int lane() { return static_cast<int>(threadIdx.x) % Threads; }

  template <class F, class Combine>
  BRANCHLORA_BODY static T reduce(Index n, F f, T start, Combine combine) {
#if defined(__CUDA_ARCH__)
    T value = start;
    for (Index i = lane(); i < n; i += Threads) value = combine(value, T(f(i)));
    for (int distance = warp / 2; distance > 0; distance /= 2) {
      value = combine(value, __shfl_xor_sync(0xFFFFFFFFU, value, distance));
    }
    if constexpr (warps > 1) {
      __shared__ T values[warps];
      __syncthreads();
      if (lane() % warp == 0) values[lane() / warp] = value;
      __syncthreads();
      value = values[0];
      for (int w = 1; w < warps; ++w) value = combine(value, values[w]);
    }
    return value;
#else
    T values[Threads];
    for (Index first = 0; first < Threads; ++first) {
      values[first] = start;
      for (Index i = first; i < n; i += Threads) values[first] = combine(values[first], T(f(i)));
    }
    for (int w = 0; w < warps; ++w) {
      T* of_warp = values + w * warp;
      for (int distance = warp / 2; distance > 0; distance /= 2) {
        for (int l = 0; l < distance; ++l) {
          of_warp[l] = combine(of_warp[l], of_warp[l + distance]);
        }
      }
    }
    for (int w = 1; w < warps; ++w) values[0] = combine(values[0], values[w * warp]);
    return values[0];
#endif
  }
};

}  // namespace branchlora::cuda

/// @file
/// The one way in which the CPU backend uses threads.
#pragma once

#include <algorithm>

#include "branchlora/core/matrix.hpp"

namespace branchlora::eigen {

/// Calls `body(first, last)` for contiguous ranges that together cover `[0, n)`: at most `threads`
/// of them, cut at multiples of `grain` and as even as that allows. One range runs on the calling
/// thread; several run under OpenMP if it is compiled in, and one after the other if not. `body`
/// must not throw.
template <class Body>
void parallel_blocks(Index n, Index grain, int threads, Body&& body) {
  if (n <= 0) return;
  const Index blocks = (n + grain - 1) / grain;
  const int ranges = static_cast<int>(std::clamp<Index>(blocks, 1, std::max(threads, 1)));
  if (ranges == 1) {
    body(Index{0}, n);
    return;
  }
  const auto cut = [=](int range) { return std::min(n, blocks * range / ranges * grain); };
#if defined(_OPENMP)
#pragma omp parallel for num_threads(ranges) schedule(static, 1)
#endif
  for (int range = 0; range < ranges; ++range) body(cut(range), cut(range + 1));
}

}  // namespace branchlora::eigen

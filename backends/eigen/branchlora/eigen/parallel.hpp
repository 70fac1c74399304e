/// @file
/// The one way in which the CPU backend uses threads.
#pragma once

#include <algorithm>
#include <chrono>

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/thread_pool.hpp"

namespace branchlora::eigen {

/// Where work may be cut, in indices.
struct Cut {
  Index grain;  ///< Only at multiples of this.
  /// A piece of this size or above costs its share and hardly more. Smaller ones are cut only so
  /// that each thread has one.
  Index piece;
};

/// Calls `body(first, last)` as code that is compiled once, for one thread and for several: two
/// copies, one of them inlined, may fuse other multiplications with additions and so differ in
/// bits.
#if defined(__GNUC__) && !defined(__clang__)
template <class Body>
[[gnu::noipa]] void do_range(Body& body, Index first, Index last) {
#else
template <class Body>
[[gnu::noinline]] void do_range(Body& body, Index first, Index last) {
#endif
  body(first, last);
}

/// Calls `body(first, last)` for contiguous ranges that together cover `[0, n)`: one range for one
/// thread and within another region, and else a multiple of `threads`, as even as the grain allows.
/// Ranges may be done in any order and side by side. The first exception of a body is thrown.
template <class Body>
void parallel_blocks(Index n, Cut cut, int threads, Body&& body) {
  if (n <= 0) return;
  const Index grains = (n + cut.grain - 1) / cut.grain;
  const Index each = std::max<Index>(n / (std::max(threads, 1) * cut.piece), 1);
  const Index ranges = std::min(grains, threads * each);
  if (ranges <= 1 || threads == 1 || ThreadPool::busy()) return do_range(body, Index{0}, n);
  const auto at = [=](Index range) { return std::min(n, grains * range / ranges * cut.grain); };
  ThreadPool::of_thread().run(threads, ranges,
                              [&](Index range) { do_range(body, at(range), at(range + 1)); });
}

/// Nanoseconds that a core takes for so many multiplications with additions, about: more than a
/// slow one takes for whole registers of float, and less than any for what waits for memory.
constexpr std::chrono::nanoseconds duration_of(Index products) {
  return std::chrono::nanoseconds(products / 32);
}

/// How many of `threads` to use for work that takes one so long: all of them, or one.
inline int worthwhile(int threads, std::chrono::nanoseconds work) {
  return threads > 1 && !ThreadPool::busy() && ThreadPool::of_thread().worth(work) ? threads : 1;
}

/// `parallel_blocks` for work whose duration nobody knows: the calling thread does a grain, and
/// then uses as many threads as are worthwhile for the rest.
template <class Body>
void parallel_timed(Index n, Index grain, int threads, Body&& body) {
  if (threads == 1 || n <= 2 * grain || ThreadPool::busy()) {
    if (n > 0) do_range(body, Index{0}, n);
    return;
  }
  using std::chrono::nanoseconds;
  const auto start = std::chrono::steady_clock::now();
  do_range(body, Index{0}, grain);
  const nanoseconds taken = std::chrono::steady_clock::now() - start;
  const Index piece =
      std::max<Index>(ThreadPool::least / std::max(taken, nanoseconds(1)), 1) * grain;
  parallel_blocks(n - grain, {grain, piece}, worthwhile(threads, taken * (n / grain - 1)),
                  [&](Index first, Index last) { do_range(body, grain + first, grain + last); });
}

}  // namespace branchlora::eigen

/// @file
/// Work that is interleaved with a product: done between its blocks.
#pragma once

#include <algorithm>
#include <array>
#include <functional>

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/memory.hpp"
#include "branchlora/eigen/skinny.hpp"

namespace branchlora::eigen {

/// Work on tokens: `call(first, count)` does some of them and reads their rows of `reads`.
template <class T>
struct TokenWork {
  /// Tokens that are done at a time, at most: as many as the products of an adapter sum up
  /// together, so that sums of parts have the bits of the whole.
  static constexpr Index tile = skinny::tile;

  std::function<void(Index first, Index count)> call{};
  std::array<MatrixView<const T>, 2> reads{};

  bool empty() const { return !call; }
};

/// Lines of some rows, fetched into the second-level cache in the order of memory.
template <class T>
class RowFetch {
 public:
  /// The rows of `m`, to be fetched by `calls` calls.
  void aim(MatrixView<const T> m, Index calls) {
    at_ = m;
    column_ = 0;
    const Index lines = (m.cols + line - 1) / line * m.rows;
    share_ = calls > 0 ? (lines + calls - 1) / calls : 0;
  }

  void operator()() {
    for (Index i = 0; i < share_ && at_.rows > 0; ++i) {
      __builtin_prefetch(at_.data + column_, 0, 2);
      column_ += line;
      if (column_ < at_.cols) continue;
      column_ = 0;
      at_ = at_.middle_rows(1, at_.rows - 1);
    }
  }

 private:
  static constexpr Index line = static_cast<Index>(cache_line / sizeof(T));

  MatrixView<const T> at_;
  Index column_ = 0;
  Index share_ = 0;
};

/// The work on the tokens `first .. last`, done in their order, some at a time, and fetched before.
template <class T>
class Interleaved {
 public:
  Interleaved(const TokenWork<T>& work, Index first, Index last)
      : work_(&work), done_(work.empty() ? last : first), aim_(done_), last_(last) {}

  /// Does the tokens before `until`, and those that share a tile with them.
  void finish(Index until) {
    for (; done_ < until; done_ += std::min(tile, last_ - done_))
      work_->call(done_, std::min(tile, last_ - done_));
    aim_ = done_;
  }

  /// Aims at what is to be finished next, of the tokens before `until`: the share of one of `parts`
  /// equal parts. It is fetched by `calls` calls of `fetch`.
  void aim(Index until, Index parts, Index calls) {
    const Index tiles = (std::max(std::min(until, last_) - done_, Index{0}) + tile - 1) / tile;
    aim_ = std::min(done_ + tiles / parts * tile, last_);
    for (std::size_t i = 0; i < fetches_.size(); ++i) {
      const auto& m = work_->reads[i];
      fetches_[i].aim(m.empty() ? m : m.middle_rows(done_, aim_ - done_), calls);
    }
  }
  void finish() { finish(aim_); }

  void fetch() {
    for (auto& f : fetches_) f();
  }

 private:
  static constexpr Index tile = TokenWork<T>::tile;

  const TokenWork<T>* work_;
  Index done_, aim_, last_;
  std::array<RowFetch<T>, 2> fetches_;
};

}  // namespace branchlora::eigen

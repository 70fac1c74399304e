/// @file
/// Products with a frozen matrix: it is packed once and multiplied many times.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "branchlora/core/low_rank_term.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/fill_copy.hpp"
#include "branchlora/eigen/interleaved.hpp"
#include "branchlora/eigen/low_rank_update.hpp"
#include "branchlora/eigen/packed_kernel.hpp"
#include "branchlora/eigen/packed_matrix.hpp"
#include "branchlora/eigen/parallel.hpp"
#include "branchlora/eigen/tile_kernel.hpp"

namespace branchlora::eigen {

/// Whether terms of low rank are added to a result before the product is, or after.
enum class TermOrder : std::uint8_t { before, after };

namespace gemm {

/// Columns of a block of y, which stays in that cache until it is complete.
inline constexpr Index strip = 256;
/// Depths at the end of a strip in which is fetched what is worked on after it.
inline constexpr Index fetching = 2;
/// Elements between the rows of a block of y where it is summed up.
template <class T>
inline constexpr Index y_step = strip + line<T>;
/// Cache lines of a row of x that are fetched at a time: a block is fetched while a strip is made.
template <Storage S>
inline constexpr int x_lines = static_cast<int>(std::max(depth<S>* panel<S> / (strip * line<float>),
                                                         Index{1}));

/// The even share of `n` elements among `parts`, in whole cache lines.
template <class S>
constexpr Index share(Index n, Index parts) {
  return round_up((n + parts - 1) / parts, line<S>);
}

/// Copies x, or rounds it, to rows `row_step` apart, and fills these up with zeros to whole
/// granules.
template <Storage S>
void pack(MatrixView<const float> x, S* to) {
  if constexpr (std::same_as<S, bfloat16>) {
    for (Index t = 0; t < x.rows; ++t, to += row_step<S>) {
      convert(x.row(t), to, x.cols);
      std::fill(to + x.cols, to + round_up(x.cols, granule<S>), S{});
    }
  } else {
    copy(x, MatrixView<S>(to, x.rows, x.cols, row_step<S>));
  }
}

/// `y (+)= x P + terms` as one thread does it: a block of tokens after the other, of each a strip
/// of columns after the other, and of each one depth after the other. The work on the tokens of a
/// block is done between the strips of the block before it.
template <Storage S, class Kernel>
class Product {
 public:
  using T = float;

  Product(MatrixView<const T> x, const PackedMatrix<S>& p, bool add, MatrixView<T> y,
          const LowRankTerms<T>& terms, TermOrder order, const TokenWork<T>& work)
      : x_(x), p_(&p), add_(add), y_(y), terms_(&terms), order_(order), work_(&work) {}

  /// Does the columns `begin .. end` of the rows `first .. last`.
  void operator()(Index first, Index last, Index begin, Index end) const {
    Memory& memory = Memory::of_thread();
    memory.reserve(depths());
    Interleaved<T> work(*work_, first, last);
    for (; first < last; first += Kernel::block) {
      const Index count = std::min(Kernel::block, last - first);
      work.finish(first + count);
      if (has_terms()) memory.update.open(*terms_, first, count);
      for (Index edge = begin; edge < end; edge += strip) {
        const Strip s{first, count, last, begin, end, edge, std::min(strip, end - edge)};
        do_strip(memory, s, work);
        work.finish();
      }
    }
  }

 private:
  static constexpr int tokens = Kernel::tokens;
  static constexpr Index x_block = Kernel::block * row_step<S>;

  struct Memory {
    AlignedVector<S> x;  ///< All depths of a block.
    AlignedVector<T> y = AlignedVector<T>(static_cast<std::size_t>(Kernel::block * y_step<T>));
    LowRankUpdate<T> update;

    void reserve(Index depths) {
      const auto size = static_cast<std::size_t>(depths * x_block);
      if (x.size() < size) x.resize(size);
    }

    static Memory& of_thread() {
      thread_local Memory memory;
      return memory;
    }
  };

  /// A strip, of `width` columns from `edge` on, of the block of `count` tokens from `first` on, in
  /// what the thread does.
  struct Strip {
    Index first, count, last;
    Index begin, end, edge, width;

    bool leads() const { return edge == begin; }
    bool ends() const { return edge + strip >= end; }
    Index last_of_next() const { return first + count + Kernel::block; }
    /// Strips of the block from this one on.
    Index left() const { return (end - edge + strip - 1) / strip; }
    Index tiles() const { return (count + tokens - 1) / tokens; }
    Index panels() const { return (width + panel<S> - 1) / panel<S>; }
  };

  Index depths() const { return (x_.cols + depth<S> - 1) / depth<S>; }
  bool has_terms() const {
    return std::any_of(terms_->begin(), terms_->end(), [](const auto& t) { return !t.empty(); });
  }

  void do_strip(Memory& memory, const Strip& s, Interleaved<T>& work) const {
    [[maybe_unused]] const typename Kernel::Registers registers{};
    // Tokens after the block are in sight, to be fetched.
    const auto target = y_.middle_rows(s.first, y_.rows - s.first).middle_cols(s.edge, s.width);
    // What is summed up in several depths is so where it is compact, and then copied.
    const bool apart = depths() > 1;
    const auto part = apart ? MatrixView<T>(memory.y.data(), s.count, s.width, y_step<T>) : target;
    if (apart && add_) copy(target.middle_rows(0, s.count), part);
    const bool before = order_ == TermOrder::before && has_terms();
    if (before) memory.update(part, s.edge, add_);
    for (Index d = 0; d < depths(); ++d) {
      if (d == std::max(depths() - fetching, Index{0}))
        work.aim(s.last_of_next(), s.left(), (depths() - d) * s.tiles() * s.panels());
      do_depth(memory, s, d, part, add_ || before || d > 0, apart ? target : MatrixView<T>(), work);
    }
    if (order_ == TermOrder::after && has_terms()) memory.update(part, s.edge, true);
    if (apart) copy(part, target.middle_rows(0, s.count));
  }

  /// Adds the products of one depth to `part`, which is copied to `target` later, if that is given.
  void do_depth(Memory& memory, const Strip& s, Index d, MatrixView<T> part, bool add,
                MatrixView<T> target, Interleaved<T>& work) const {
    const Index row = d * depth<S>;
    const Index terms = std::min(depth<S>, x_.cols - row);
    const bool last = d + 1 == depths();
    S* const a = memory.x.data() + d * x_block;
    if (s.leads()) pack<S>(x_.middle_rows(s.first, s.count).middle_cols(row, terms), a);

    const Index padded = round_up(terms, granule<S>);
    const Index x_share = share<S>(s.count * row_step<S>, s.tiles() * s.panels());
    const Index p_share = share<S>(padded * panel<S>, s.tiles());
    Ahead<S> ahead{memory.x.data() + (last ? 0 : d + 1) * x_block, nullptr};
    for (Index column = 0; column < s.width; column += panel<S>) {
      const S* const b = p_->panel(row, s.edge + column);
      ahead.p = panel_after(s, d, column);
      for (Index t = 0; t < s.count; t += tokens, ahead.x += x_share, ahead.p += p_share) {
        fetch_x(s, d, column, t);
        work.fetch();
        if (last && !target.empty())
          fetch<panel_lines<S>, true>(target.row(t) + column, target.stride,
                                      std::min<Index>(tokens, s.count - t));
        Kernel::run(a + t * row_step<S>, b, padded, part.row(t) + column, part.stride,
                    std::min<Index>(tokens, s.count - t), std::min(panel<S>, s.width - column), add,
                    ahead);
      }
    }
  }

  /// The panel that is used after the one at a column of strip `s` and depth `d`.
  const S* panel_after(const Strip& s, Index d, Index column) const {
    if (column + panel<S> < s.width) return p_->panel(d * depth<S>, s.edge + column + panel<S>);
    if (d + 1 < depths()) return p_->panel((d + 1) * depth<S>, s.edge);
    return p_->panel(0, s.ends() ? s.begin : s.edge + strip);
  }

  /// Fetches some of x that is packed at the next depth, or for the next block.
  void fetch_x(const Strip& s, Index d, Index column, Index t) const {
    const bool last = d + 1 == depths();
    const bool leaves = last && s.ends() && s.first + Kernel::block < s.last;
    if (!leaves && (last || !s.leads())) return;
    const Index first = (leaves ? s.first + Kernel::block : s.first) + t;
    const Index from = (leaves ? 0 : (d + 1) * depth<S>)+column / panel<S> * x_lines<S> * line<T>;
    const Index rows = std::min<Index>(tokens, s.last - first);
    if (rows > 0 && from < x_.cols) fetch<x_lines<S>>(x_.row(first) + from, x_.stride, rows);
  }

  MatrixView<const T> x_;
  const PackedMatrix<S>* p_;
  bool add_;
  MatrixView<T> y_;
  const LowRankTerms<T>* terms_;
  TermOrder order_;
  const TokenWork<T>* work_;
};

/// `multiply` by one kind of register block.
template <class Kernel, Storage S>
void multiply_by(MatrixView<const float> x, const PackedMatrix<S>& packed, bool add,
                 MatrixView<float> y, int threads, const LowRankTerms<float>& terms,
                 TermOrder order, const TokenWork<float>& work) {
  if (x.rows >= 2 * Kernel::tokens * threads) {
    const Product<S, Kernel> product(x, packed, add, y, terms, order, work);
    parallel_blocks(x.rows, {Kernel::tokens, Kernel::block / 2}, threads,
                    [&](Index first, Index last) { product(first, last, 0, y.cols); });
  } else {
    Interleaved(work, 0, x.rows).finish(x.rows);
    const TokenWork<float> none;
    const Product<S, Kernel> product(x, packed, add, y, terms, order, none);
    parallel_blocks(y.cols, {panel<S>, strip}, threads,
                    [&](Index begin, Index end) { product(0, x.rows, begin, end); });
  }
}

}  // namespace gemm

/// `y = x P` or, under `add`, `y += x P`, with x `T x k`, P `k x n` and y `T x n`; `terms` that are
/// not empty are added too, while the part of y that they meet is in the cache. `work` is done on
/// every token before its terms are read, by one thread in the order of tokens and from a multiple
/// of `TokenWork::tile` on, by several side by side. With bfloat16 storage x is rounded to bfloat16
/// and products are summed in float, in tiles where the processor and the system have them. An
/// element is always summed in the same order, so the result does not depend on the number of
/// threads. Throws where shapes disagree.
template <gemm::Storage S>
void multiply(MatrixView<const float> x, const PackedMatrix<S>& packed, bool add,
              MatrixView<float> y, int threads, const LowRankTerms<float>& terms = {},
              TermOrder order = TermOrder::after, const TokenWork<float>& work = {}) {
  using namespace gemm;
  expect_shape(x, x.rows, packed.rows(), "packed product's x");
  expect_shape(y, x.rows, packed.cols(), "packed product's y");
  for (const auto& term : terms)
    if (!term.empty()) expect_term(term, y);
  if (x.cols == 0 && !add) fill(y, 0);
#if defined(BRANCHLORA_TILES)
  if constexpr (std::same_as<S, bfloat16>)
    if (tiles::allowed())
      return multiply_by<TileKernel>(x, packed, add, y, threads, terms, order, work);
#endif
  multiply_by<VectorKernel<S>>(x, packed, add, y, threads, terms, order, work);
}

}  // namespace branchlora::eigen

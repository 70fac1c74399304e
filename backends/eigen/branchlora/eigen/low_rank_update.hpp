/// @file
/// Terms of low rank, added to a matrix part by part.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "branchlora/core/low_rank_term.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/fill_copy.hpp"
#include "branchlora/eigen/parallel.hpp"
#include "branchlora/eigen/skinny.hpp"

namespace branchlora::eigen {

/// Adds terms of low rank to a matrix, some tokens at a time and of these some columns at a time.
/// To every element a term's rows are added in ascending order, and the terms in theirs. Rows that
/// the same tokens use are added in one pass over these, which costs as much as the products do:
/// those of terms that choose nothing, and those that a run of tokens chose. Reused, so that it
/// allocates once.
template <class T>
class LowRankUpdate {
 public:
  /// Prepares for the tokens `first .. first + count`.
  void open(const LowRankTerms<T>& terms, Index first, Index count) {
    terms_ = terms;
    count_ = count;
    clears_ = false;
    groups_.clear();
    pieces_.clear();
    tokens_.clear();
    bool dense = false;
    for (const LowRankTerm<T>& term : terms_) {
      if (term.empty()) continue;
      const bool covered = !groups_.empty();
      if (term.chosen.everything()) {
        if (!dense) begin_group(covered), push_tokens(0, count);
        push_piece(term, 0, term.w.rows);
      } else if (shortest_run * runs(term.chosen, first, count) <= count) {
        open_runs(term, first, covered);
      } else {
        clears_ = clears_ || !covered;
        open_buckets(term, first);
      }
      dense = term.chosen.everything();
    }
    collect(first);
  }

  /// Does some columns, from `begin` on, of which `y` are these tokens' elements and may be later
  /// ones' too: adds to what is there, or replaces it.
  void operator()(MatrixView<T> y, Index begin, bool add) {
    if (!add && clears_) fill(y.middle_rows(0, count_), T(0));
    const T* c = coefficients_.data();
    const Index* token = tokens_.data();
    for (const Group& group : groups_) {
      const MatrixView<const T> w = rows_of(group, begin, y.cols);
      for (Index t = 0; t < group.tokens; t += skinny::axpy_tokens) {
        simd::with_constant<skinny::axpy_tokens>(group.tokens - t, [&](auto tokens) {
          T* into[tokens];
          const T* next[tokens];
          for (int i = 0; i < tokens; ++i, ++token) {
            into[i] = y.row(*token);
            next[i] = y.row(std::min(*token + skinny::axpy_tokens, y.rows - 1));
          }
          const auto body = [&](auto vectors, Index column, Index panels, auto... narrow) {
            skinny::axpy<T, tokens, vectors>(c, w.rows, w.data, w.stride, into, next, column,
                                             panels, add || group.adds, narrow...);
          };
          skinny::for_panels<T, skinny::axpy_vectors>(0, y.cols, body);
          c += tokens * w.rows;
        });
      }
    }
  }

  static LowRankUpdate& of_thread() {
    thread_local LowRankUpdate update;
    return update;
  }

 private:
  /// Tokens that a run of one choice has in the mean, if runs are worth it.
  static constexpr Index shortest_run = 2 * skinny::axpy_tokens;

  /// Tokens that use the same rows.
  struct Group {
    Index tokens = 0;
    std::size_t first_piece = 0, last_piece = 0;
    bool adds = false;  ///< To what an earlier group made.
  };
  /// Rows of a term that follow each other.
  struct Piece {
    const LowRankTerm<T>* term;
    Index row, rows;
  };

  static bool same_choice(const Chosen& chosen, Index a, Index b) {
    return std::equal(chosen.table + a * chosen.k, chosen.table + (a + 1) * chosen.k,
                      chosen.table + b * chosen.k);
  }

  static Index runs(const Chosen& chosen, Index first, Index count) {
    Index n = 1;
    for (Index t = first + 1; t < first + count; ++t) n += same_choice(chosen, t - 1, t) ? 0 : 1;
    return n;
  }

  void begin_group(bool adds) { groups_.push_back({0, pieces_.size(), pieces_.size(), adds}); }
  void push_tokens(Index first, Index count) {
    for (Index t = first; t < first + count; ++t) tokens_.push_back(t);
    groups_.back().tokens += count;
  }
  void push_piece(const LowRankTerm<T>& term, Index row, Index rows) {
    pieces_.push_back({&term, row, rows});
    groups_.back().last_piece = pieces_.size();
  }

  void open_runs(const LowRankTerm<T>& term, Index first, bool covered) {
    const Chosen& chosen = term.chosen;
    for (Index t = 0; t < count_;) {
      const Index begin = t;
      while (t < count_ && same_choice(chosen, first + begin, first + t)) ++t;
      begin_group(covered);
      push_tokens(begin, t - begin);
      const auto* table = chosen.table + (first + begin) * chosen.k;
      blocks_.assign(table, table + chosen.k);
      std::sort(blocks_.begin(), blocks_.end());
      for (const Index block : blocks_) push_piece(term, block * chosen.block, chosen.block);
    }
  }

  void open_buckets(const LowRankTerm<T>& term, Index first) {
    buckets_.sort(term.chosen, first, count_, term.w.rows);
    for (const skinny::Bucket& bucket : buckets_) {
      begin_group(true);
      tokens_.insert(tokens_.end(), bucket.tokens, bucket.tokens + bucket.count);
      groups_.back().tokens = bucket.count;
      push_piece(term, bucket.first_row, bucket.rows);
    }
  }

  /// Gathers what the rows are multiplied by, group by group and of each token by token.
  void collect(Index first) {
    coefficients_.clear();
    const Index* token = tokens_.data();
    for (const Group& group : groups_) {
      for (Index t = 0; t < group.tokens; ++t, ++token) {
        for (std::size_t p = group.first_piece; p < group.last_piece; ++p) {
          const auto& [term, row, rows] = pieces_[p];
          const T* from = term->u.row(first + *token) + row;
          for (Index j = 0; j < rows; ++j) coefficients_.push_back(term->scale * from[j]);
        }
      }
    }
  }

  /// `width` columns from `begin` on of a group's rows: where they lie, or copied together.
  MatrixView<const T> rows_of(const Group& group, Index begin, Index width) {
    const auto view = [&](const Piece& p) {
      return p.term->w.middle_rows(p.row, p.rows).middle_cols(begin, width);
    };
    if (group.last_piece - group.first_piece == 1) return view(pieces_[group.first_piece]);
    Index rows = 0;
    for (std::size_t p = group.first_piece; p < group.last_piece; ++p) rows += pieces_[p].rows;
    together_.resize(static_cast<std::size_t>(rows * width));
    const MatrixView<T> all(together_.data(), rows, width);
    for (std::size_t p = group.first_piece, row = 0; p < group.last_piece; ++p) {
      copy(view(pieces_[p]), all.middle_rows(static_cast<Index>(row), pieces_[p].rows));
      row += static_cast<std::size_t>(pieces_[p].rows);
    }
    return all;
  }

  LowRankTerms<T> terms_;
  Index count_ = 0;
  bool clears_ = false;  ///< Whether groups add to each other from the first one on.
  std::vector<Group> groups_;
  std::vector<Piece> pieces_;
  std::vector<Index> tokens_;
  std::vector<Index> blocks_;
  std::vector<T> coefficients_;
  std::vector<T> together_;
  skinny::Buckets buckets_;
};

template <class T>
void expect_term(const LowRankTerm<T>& term, MatrixView<T> y) {
  expect_shape(y, term.u.rows, term.w.cols, "skinny_axpy's y");
  expect_shape(term.w, term.u.cols, term.w.cols, "skinny_axpy's w");
  skinny::expect_chosen(term.chosen, term.w.rows);
}

/// The up projection: `y[t, :] (+)= scale * sum_j u[t, j] w[j, :]` over the chosen j, with u
/// `T x R`, w `R x d`, y `T x d`. Throws where shapes disagree.
template <class T>
void skinny_axpy(MatrixView<const std::type_identity_t<T>> u,
                 MatrixView<const std::type_identity_t<T>> w, std::type_identity_t<T> scale,
                 MatrixView<T> y, bool add, const Chosen& chosen, int threads) {
  using skinny::tile;
  const LowRankTerms<T> terms{LowRankTerm<T>{u, w, scale, chosen}};
  expect_term(terms[0], y);
  const Index columns =
      chosen.everything()
          ? std::max(skinny::cached / std::max<Index>(w.rows, 1) / 64 * 64, Index{512})
          : 512;
  parallel_blocks(u.rows, {tile, 2 * tile}, threads, [&](Index first, Index last) {
    auto& update = LowRankUpdate<T>::of_thread();
    for (; first < last; first += tile) {
      update.open(terms, first, std::min(tile, last - first));
      const auto rest = y.middle_rows(first, y.rows - first);
      for (Index begin = 0; begin < w.cols; begin += columns)
        update(rest.middle_cols(begin, std::min(columns, w.cols - begin)), begin, add);
    }
  });
}

}  // namespace branchlora::eigen

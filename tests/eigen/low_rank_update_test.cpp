#include "branchlora/eigen/low_rank_update.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

using branchlora::Chosen;
using branchlora::Index;
using branchlora::LowRankTerm;
using branchlora::LowRankTerms;
using branchlora::MatrixView;
using branchlora::eigen::LowRankUpdate;
using branchlora::eigen::skinny_axpy;

namespace {

constexpr Index tokens = 90;
constexpr Index cols = 301;
constexpr Index block = 3;
constexpr Index blocks = 5;

template <class T>
struct Matrix {
  Index rows, cols;
  std::vector<T> data;

  Matrix(Index rows_, Index cols_, std::mt19937& engine)
      : rows(rows_), cols(cols_), data(static_cast<std::size_t>(rows_ * cols_)) {
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (T& value : data) value = static_cast<T>(uniform(engine));
  }
  MatrixView<T> view() { return {data.data(), rows, cols}; }
  MatrixView<const T> read() const { return {data.data(), rows, cols}; }
};

/// Two blocks a token, drawn for each, or for so many that follow each other.
std::vector<std::int32_t> draw(std::mt19937& engine, Index run) {
  std::vector<std::int32_t> table;
  for (Index t = 0; t < tokens; ++t) {
    if (t % run != 0) {
      table.insert(table.end(), {table[table.size() - 2], table[table.size() - 1]});
      continue;
    }
    const auto one = static_cast<std::int32_t>(engine() % blocks);
    table.insert(table.end(), {one, static_cast<std::int32_t>((one + 2) % blocks)});
  }
  return table;
}

/// Whether a token uses a row of a term.
template <class T>
bool uses(const LowRankTerm<T>& term, Index token, Index row) {
  const auto* table = term.chosen.table + token * term.chosen.k;
  return term.chosen.everything() ||
         std::find(table, table + term.chosen.k, row / term.chosen.block) != table + term.chosen.k;
}

}  // namespace

TEST_CASE_TEMPLATE("terms are added in their order and that of their rows, however tokens choose",
                   T, float, double) {
  std::mt19937 engine(1);
  const Matrix<T> u(tokens, block * blocks, engine);
  const Matrix<T> u2(tokens, 7, engine);
  const Matrix<T> w(block * blocks, cols, engine);
  const Matrix<T> w2(7, cols, engine);
  const auto by_token = draw(engine, 1);
  const auto by_sequence = draw(engine, 25);
  const LowRankTerm<T> all{u.read(), w.read(), T(0.5), {}};
  const LowRankTerm<T> other{u2.read(), w2.read(), T(-2), {}};
  const LowRankTerm<T> of_tokens{u.read(), w.read(), T(0.5), {by_token.data(), 2, block}};
  const LowRankTerm<T> of_sequences{u.read(), w.read(), T(0.5), {by_sequence.data(), 2, block}};
  LowRankUpdate<T> update;
  const std::vector<LowRankTerms<T>> cases{{all},
                                           {of_tokens},
                                           {of_sequences},
                                           {all, other},
                                           {of_tokens, other},
                                           {of_sequences, other},
                                           {other, of_tokens},
                                           {other, of_sequences},
                                           {LowRankTerm<T>{}, other}};
  for (const auto& terms : cases) {
    for (const auto& [first, count] : {std::pair<Index, Index>{0, tokens}, {3, 61}, {20, 1}}) {
      for (const bool add : {false, true}) {
        const Matrix<T> start(count, cols, engine);
        Matrix<T> y = start;
        Matrix<T> one_by_one = start;
        if (!add) y.data.assign(y.data.size(), std::numeric_limits<T>::quiet_NaN());
        update.open(terms, first, count);
        for (Index begin = 0; begin < cols; begin += 128) {
          update(y.view().middle_cols(begin, std::min<Index>(128, cols - begin)), begin, add);
        }

        bool onto = add;
        for (const auto& term : terms) {
          if (term.empty()) continue;
          for (Index t = 0; t < count; ++t) {
            skinny_axpy(term.u.middle_rows(first + t, 1), term.w, term.scale,
                        one_by_one.view().middle_rows(t, 1), onto, term.chosen.from(first + t), 1);
          }
          onto = true;
        }
        CHECK(std::memcmp(y.data.data(), one_by_one.data.data(), y.data.size() * sizeof(T)) == 0);

        // n products that are rounded and summed up in any order are off by less than
        // (n + 1) eps times the sum of magnitudes (Higham, section 3.1), here with a factor each.
        double worst = 0;
        for (Index t = 0; t < count; ++t) {
          for (Index i = 0; i < cols; ++i) {
            double sum = add ? static_cast<double>(start.read()(t, i)) : 0;
            double magnitude = std::abs(sum);
            Index n = 1;
            for (const auto& term : terms) {
              for (Index j = 0; j < term.w.rows; ++j) {
                if (!uses(term, first + t, j)) continue;
                const double part = static_cast<double>(term.scale) *
                                    static_cast<double>(term.u(first + t, j)) *
                                    static_cast<double>(term.w(j, i));
                sum += part;
                magnitude += std::abs(part);
                ++n;
              }
            }
            const double bound = static_cast<double>(n + 2) *
                                 static_cast<double>(std::numeric_limits<T>::epsilon()) * magnitude;
            worst = std::max(worst, std::abs(static_cast<double>(y.read()(t, i)) - sum) / bound);
          }
        }
        CHECK(worst <= 1);
      }
    }
  }
}

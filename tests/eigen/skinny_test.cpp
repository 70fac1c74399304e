#include "branchlora/eigen/skinny.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "branchlora/eigen/low_rank_update.hpp"
#include "branchlora/eigen/parallel.hpp"

namespace {

using branchlora::Chosen;
using branchlora::Index;
using branchlora::MatrixView;
using branchlora::eigen::parallel_blocks;
using branchlora::eigen::skinny_axpy;
using branchlora::eigen::skinny_dot;
using branchlora::eigen::skinny_outer;

/// A matrix with rows further apart than they are long, and a mark in every gap.
template <class T>
struct Padded {
  static constexpr T mark = T(-77);
  Index rows, cols, stride;
  std::vector<T> data;

  Padded(Index rows_, Index cols_)
      : rows(rows_),
        cols(cols_),
        stride(cols_ + 3),
        data(static_cast<std::size_t>(rows_ * stride), mark) {}

  static Padded random(Index rows, Index cols, std::uint32_t seed) {
    Padded m(rows, cols);
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) m.view()(i, j) = static_cast<T>(uniform(engine));
    return m;
  }
  static Padded filled(Index rows, Index cols, T value) {
    Padded m(rows, cols);
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) m.view()(i, j) = value;
    return m;
  }

  MatrixView<T> view() { return {data.data(), rows, cols, stride}; }
  MatrixView<const T> read() const { return {data.data(), rows, cols, stride}; }
  bool gaps_intact() const {
    for (Index i = 0; i < rows; ++i)
      for (Index j = cols; j < stride; ++j)
        if (data[static_cast<std::size_t>(i * stride + j)] != mark) return false;
    return true;
  }
  bool same_bits(const Padded& other) const {
    return data.empty() ||
           std::memcmp(data.data(), other.data.data(), data.size() * sizeof(T)) == 0;
  }
};

/// Which rows of the factor a token uses.
bool uses(const Chosen& chosen, Index token, Index row) {
  if (chosen.everything()) return true;
  for (Index i = 0; i < chosen.k; ++i)
    if (chosen.table[token * chosen.k + i] == row / chosen.block) return true;
  return false;
}

/// A sum of n products in any order, scaled and added to something, is off by at most
/// gamma_(n + 3) times the sum of magnitudes (Higham, "Accuracy and Stability of Numerical
/// Algorithms", section 3.1), with gamma_n = n u / (1 - n u) < n eps where u = eps / 2.
template <class T>
bool close(T found, double expected, double magnitude, Index terms) {
  const double gamma =
      static_cast<double>(terms + 3) * static_cast<double>(std::numeric_limits<T>::epsilon());
  return std::abs(static_cast<double>(found) - expected) <= gamma * magnitude;
}

/// One product `out(i, j) (+)= scale * sum_p left(i, p) right(p, j)`, in double.
struct Sum {
  double value = 0;
  double magnitude = 0;
  void add(double product) {
    value += product;
    magnitude += std::abs(product);
  }
};

/// What was not chosen is NaN here, so that reading it cannot go unnoticed.
template <class T>
Padded<T> coefficients(Index tokens, Index rows, const Chosen& chosen) {
  auto u = Padded<T>::random(tokens, rows, 4);
  for (Index t = 0; t < tokens; ++t)
    for (Index j = 0; j < rows; ++j)
      if (!uses(chosen, t, j)) u.view()(t, j) = std::numeric_limits<T>::quiet_NaN();
  return u;
}

constexpr double scale = 0.75;

/// Runs `product(out, add)`, a rows x cols product over `terms` terms, and compares every element
/// with the sum of `scale * term(i, j, p)` over p; a term that takes no part is `std::nullopt`.
template <class T, class Product, class Term>
void check(const char* name, Index rows, Index cols, Index terms, bool add, Product product,
           Term term) {
  CAPTURE(name);
  CAPTURE(rows);
  CAPTURE(cols);
  CAPTURE(terms);
  CAPTURE(add);
  const auto before = add ? Padded<T>::random(rows, cols, 3)
                          : Padded<T>::filled(rows, cols, std::numeric_limits<T>::quiet_NaN());
  auto out = before;
  product(out.view(), add);
  bool good = true;
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      Sum sum;
      if (add) sum.add(before.read()(i, j));
      for (Index p = 0; p < terms; ++p)
        if (const std::optional<double> value = term(i, j, p)) sum.add(scale * *value);
      good = good && close(out.read()(i, j), sum.value, sum.magnitude, terms);
    }
  }
  CHECK(good);
  CHECK(out.gaps_intact());
}

template <class T>
void check_all(Index tokens, Index d, Index rows, const Chosen& chosen) {
  const auto x = Padded<T>::random(tokens, d, 1);
  const auto w = Padded<T>::random(rows, d, 2);
  const auto u = coefficients<T>(tokens, rows, chosen);
  const auto s = static_cast<T>(scale);
  const auto term = [&](Index token, Index row, double left, double right) {
    return uses(chosen, token, row) ? std::optional(left * right) : std::nullopt;
  };
  for (const bool add : {false, true}) {
    check<T>(
        "skinny_dot", tokens, rows, d, add,
        [&](auto out, bool a) { skinny_dot(x.read(), w.read(), s, out, a, chosen, 1); },
        [&](Index t, Index j, Index i) { return term(t, j, x.read()(t, i), w.read()(j, i)); });
    check<T>(
        "skinny_axpy", tokens, d, rows, add,
        [&](auto out, bool a) { skinny_axpy(u.read(), w.read(), s, out, a, chosen, 1); },
        [&](Index t, Index i, Index j) { return term(t, j, u.read()(t, j), w.read()(j, i)); });
    check<T>(
        "skinny_outer", rows, d, tokens, add,
        [&](auto out, bool a) { skinny_outer(u.read(), x.read(), s, out, a, chosen, 1); },
        [&](Index j, Index i, Index t) { return term(t, j, u.read()(t, j), x.read()(t, i)); });
  }
}

/// Distinct random blocks for each run of `run` tokens.
std::vector<std::int32_t> random_table(Index tokens, Index blocks, Index k, Index run) {
  std::mt19937 engine(9);
  std::vector<std::int32_t> order(static_cast<std::size_t>(blocks));
  for (std::size_t b = 0; b < order.size(); ++b) order[b] = static_cast<std::int32_t>(b);
  std::vector<std::int32_t> table;
  for (Index t = 0; t < tokens; ++t) {
    if (t % run == 0) std::shuffle(order.begin(), order.end(), engine);
    table.insert(table.end(), order.begin(), order.begin() + k);
  }
  return table;
}

}  // namespace

TEST_CASE("parallel_blocks covers every index once and cuts at multiples of the grain") {
  for (const Index n : {0, 1, 7, 8, 9, 64, 100}) {
    for (const Index piece : {8, 16, 1000}) {
      for (const int threads : {1, 2, 3, 7, 200}) {
        std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
        std::atomic<bool> cuts = true;
        std::atomic<Index> ranges = 0;
        parallel_blocks(n, {8, piece}, threads, [&](Index first, Index last) {
          if (first % 8 != 0 || (last % 8 != 0 && last != n)) cuts = false;
          ++ranges;
          for (Index i = first; i < last; ++i) ++seen[static_cast<std::size_t>(i)];
        });
        CHECK(cuts);
        CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& count) { return count == 1; }));
        CHECK(ranges <= std::max<Index>(threads, n / piece));
        if (threads == 1) CHECK(ranges <= 1);
      }
    }
  }
}

TEST_CASE_TEMPLATE("skinny products match naive sums at every edge size", T, float, double) {
  for (const Index tokens : {1, 2, 5, 48, 53})
    for (const Index d : {1, 7, 16, 33, 64, 163})
      for (const Index rows : {1, 3, 4, 5, 8, 15}) check_all<T>(tokens, d, rows, {});
  check_all<T>(101, 160, 40, {});
  check_all<T>(7, 2100, 37, {});
  // Several tiles of tokens: what is fetched ahead lies within x, and at its end.
  check_all<T>(145, 40, 9, {});
}

TEST_CASE_TEMPLATE("skinny products use the chosen blocks and nothing else", T, float, double) {
  struct Case {
    Index tokens, d, blocks, block, k, run;
  };
  for (const Case c :
       {Case{1, 17, 2, 1, 1, 1}, Case{101, 48, 8, 4, 2, 1}, Case{101, 48, 8, 4, 2, 9},
        Case{96, 163, 4, 8, 1, 200}, Case{60, 35, 5, 3, 5, 1}, Case{50, 1100, 3, 12, 2, 10}}) {
    const auto table = random_table(c.tokens, c.blocks, c.k, c.run);
    check_all<T>(c.tokens, c.d, c.blocks * c.block, {table.data(), c.k, c.block});
  }
}

TEST_CASE("skinny_dot does not read rows that nobody chose") {
  const auto x = Padded<float>::random(10, 20, 1);
  auto w = Padded<float>::random(6, 20, 2);
  for (Index i = 0; i < 20; ++i)
    w.view()(2, i) = w.view()(3, i) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::int32_t> table{0, 2, 2, 0, 0, 0, 2, 2, 0, 2};
  auto u = Padded<float>::filled(10, 6, 5.0F);
  skinny_dot(x.read(), w.read(), 1.0F, u.view(), false, {table.data(), 1, 2}, 1);
  for (Index t = 0; t < 10; ++t) {
    for (Index j = 0; j < 6; ++j) {
      const bool used = table[static_cast<std::size_t>(t)] == j / 2;
      CHECK((u.read()(t, j) != 0) == used);
      CHECK(std::isfinite(u.read()(t, j)));
    }
  }
}

TEST_CASE_TEMPLATE("skinny products do not depend on the number of threads, bit for bit", T, float,
                   double) {
  const Index tokens = 205;
  const Index d = 1037;
  const Index rows = 24;
  const auto table = random_table(tokens, 6, 2, 7);
  const auto x = Padded<T>::random(tokens, d, 1);
  const auto w = Padded<T>::random(rows, d, 2);
  const auto c = Padded<T>::random(tokens, rows, 3);
  for (const Chosen chosen : {Chosen{}, Chosen{table.data(), 2, 4}}) {
    const auto run = [&](int threads) {
      auto u = Padded<T>(tokens, rows);
      auto y = Padded<T>::random(tokens, d, 4);
      auto g = Padded<T>(rows, d);
      skinny_dot(x.read(), w.read(), T(0.3), u.view(), false, chosen, threads);
      skinny_axpy(c.read(), w.read(), T(0.3), y.view(), true, chosen, threads);
      skinny_outer(c.read(), x.read(), T(0.3), g.view(), false, chosen, threads);
      return std::tuple{u, y, g};
    };
    const auto [u, y, g] = run(1);
    for (const int threads : {2, 3, 4, 5}) {
      const auto [u2, y2, g2] = run(threads);
      CHECK(u.same_bits(u2));
      CHECK(y.same_bits(y2));
      CHECK(g.same_bits(g2));
    }
  }
}

TEST_CASE("a token's result does not depend on the tokens beside it, bit for bit") {
  const Index tokens = 61;
  const Index d = 165;
  const Index rows = 8;
  const auto table = random_table(tokens, 4, 2, 1);
  const auto x = Padded<float>::random(tokens, d, 1);
  const auto w = Padded<float>::random(rows, d, 2);
  const auto c = Padded<float>::random(tokens, rows, 3);
  for (const Chosen chosen : {Chosen{}, Chosen{table.data(), 2, 2}}) {
    auto u = Padded<float>(tokens, rows);
    auto y = Padded<float>(tokens, d);
    skinny_dot(x.read(), w.read(), 0.3F, u.view(), false, chosen, 1);
    skinny_axpy(c.read(), w.read(), 0.3F, y.view(), false, chosen, 1);
    auto u2 = Padded<float>(tokens, rows);
    auto y2 = Padded<float>(tokens, d);
    for (Index t = 0; t < tokens; ++t) {
      skinny_dot(x.read().middle_rows(t, 1), w.read(), 0.3F, u2.view().middle_rows(t, 1), false,
                 chosen.from(t), 1);
      skinny_axpy(c.read().middle_rows(t, 1), w.read(), 0.3F, y2.view().middle_rows(t, 1), false,
                  chosen.from(t), 1);
    }
    CHECK(u.same_bits(u2));
    CHECK(y.same_bits(y2));
  }
}

TEST_CASE("no tokens: gradients become zero, or stay") {
  auto g = Padded<float>::filled(4, 20, 3.0F);
  const MatrixView<const float> u(nullptr, 0, 4);
  const MatrixView<const float> x(nullptr, 0, 20);
  skinny_outer(u, x, 1.0F, g.view(), true, {}, 2);
  CHECK(g.read()(3, 19) == 3.0F);
  skinny_outer(u, x, 1.0F, g.view(), false, {}, 2);
  CHECK(g.read()(0, 0) == 0.0F);
  CHECK(g.read()(3, 19) == 0.0F);
}

TEST_CASE("skinny products refuse shapes that disagree") {
  auto x = Padded<float>::random(5, 16, 1);
  auto w = Padded<float>::random(4, 17, 2);
  auto u = Padded<float>(5, 4);
  CHECK_THROWS_AS(skinny_dot(x.read(), w.read(), 1.0F, u.view(), false, {}, 1), branchlora::Error);
  CHECK_THROWS_AS(skinny_axpy(u.read(), w.read(), 1.0F, x.view(), false, {}, 1), branchlora::Error);
  CHECK_THROWS_AS(skinny_outer(u.read(), x.read(), 1.0F, w.view(), false, {}, 1),
                  branchlora::Error);
  auto fit = Padded<float>::random(4, 16, 2);
  const std::vector<std::int32_t> table(5, 0);
  CHECK_THROWS_AS(skinny_dot(x.read(), fit.read(), 1.0F, u.view(), false, {table.data(), 1, 3}, 1),
                  branchlora::Error);
}

#include "branchlora/eigen/packed_gemm.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

namespace {

using branchlora::Chosen;
using branchlora::Index;
using branchlora::LowRankTerm;
using branchlora::LowRankTerms;
using branchlora::MatrixView;
using branchlora::eigen::bfloat16;
using branchlora::eigen::multiply;
using branchlora::eigen::PackedMatrix;
using branchlora::eigen::skinny_axpy;
using branchlora::eigen::TermOrder;
using branchlora::eigen::TokenWork;

/// Rows lie two further apart than they are long.
template <class T>
struct Matrix {
  Index rows, cols;
  std::vector<T> data;

  Matrix(Index rows_, Index cols_, T value)
      : rows(rows_), cols(cols_), data(static_cast<std::size_t>(rows_ * (cols_ + 2)), value) {}
  Matrix(Index rows_, Index cols_, std::mt19937& engine) : Matrix(rows_, cols_, T(0)) {
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (T& value : data) value = static_cast<T>(uniform(engine));
  }
  MatrixView<T> view() { return {data.data(), rows, cols, cols + 2}; }
  MatrixView<const T> read() const { return {data.data(), rows, cols, cols + 2}; }
  bool same_bits(const Matrix& other) const {
    return std::memcmp(data.data(), other.data.data(), data.size() * sizeof(T)) == 0;
  }
};

/// What the storage type makes of a value.
template <class S, class T>
double stored(T value) {
  if constexpr (std::is_same_v<S, bfloat16>) {
    return static_cast<float>(bfloat16(value));
  } else {
    return static_cast<double>(value);
  }
}

/// Checks both orientations against sums in double of the stored operands. Products of bfloat16 are
/// exact in float, so the bound is the same for all: k products summed in any order and added to
/// what was there are off by less than (k + 2) eps times the sum of magnitudes (Higham, "Accuracy
/// and Stability of Numerical Algorithms", section 3.1). Results below the smallest normal number
/// cannot occur with these operands, so flushing them does not matter.
template <class S, class Multiply>
void check(Index tokens, Index k, Index n, bool add, const Multiply& multiplied) {
  CAPTURE(tokens);
  CAPTURE(k);
  CAPTURE(n);
  CAPTURE(add);
  using T = float;
  std::mt19937 engine(11);
  const Matrix<T> x(tokens, k, engine);
  const Matrix<T> b(k, n, engine);
  Matrix<T> transposed(n, k, T(0));
  for (Index i = 0; i < k; ++i)
    for (Index j = 0; j < n; ++j) transposed.view()(j, i) = b.read()(i, j);
  const Matrix<T> before = add ? Matrix<T>(tokens, n, engine)
                               : Matrix<T>(tokens, n, std::numeric_limits<T>::quiet_NaN());
  Matrix<T> y = before;
  const PackedMatrix<S> packed(b.read());
  CHECK(packed.rows() == k);
  CHECK(packed.cols() == n);
  multiplied(x.read(), packed, add, y.view());
  bool good = true;
  for (Index t = 0; t < tokens; ++t) {
    for (Index j = 0; j < n; ++j) {
      double sum = add ? double(before.read()(t, j)) : 0.0;
      double magnitude = std::abs(sum);
      for (Index i = 0; i < k; ++i) {
        const double product = stored<S>(x.read()(t, i)) * stored<S>(b.read()(i, j));
        sum += product;
        magnitude += std::abs(product);
      }
      const double bound =
          static_cast<double>(k + 2) * double(std::numeric_limits<T>::epsilon()) * magnitude;
      good = good && std::abs(double(y.read()(t, j)) - sum) <= bound;
    }
    for (Index j = n; j < n + 2; ++j)
      good = good &&
             std::memcmp(&y.data[static_cast<std::size_t>(t * (n + 2) + j)],
                         &before.data[static_cast<std::size_t>(t * (n + 2) + j)], sizeof(T)) == 0;
  }
  CHECK(good);
  Matrix<T> z = before;
  multiplied(x.read(), PackedMatrix<S>::transposed(transposed.read()), add, z.view());
  CHECK(z.same_bits(y));
}

/// Checks every edge size, and more than one block of tokens, depth and columns.
template <class S, class Multiply>
void check_sizes(const Multiply& multiplied) {
  for (const Index tokens : {1, 2, 6, 13, 14, 15, 29, 32, 33, 48})
    for (const Index k : {1, 2, 3, 17, 160})
      for (const Index n : {1, 8, 15, 16, 17, 31, 32, 33, 160})
        check<S>(tokens, k, n, k % 2 == 0, multiplied);
  for (const bool add : {false, true}) {
    check<S>(20, 1031, 40, add, multiplied);  // more than one block of depth, the last of them odd
    check<S>(343, 30, 33, add, multiplied);   // more than one block of tokens
    check<S>(3, 512, 32, add, multiplied);
    check<S>(183, 1031, 290, add, multiplied);  // more than one of tokens, depth and columns
  }
}

}  // namespace

TEST_CASE_TEMPLATE("packed products match naive sums at every edge size", S, float, bfloat16) {
  using T = float;
  check_sizes<S>([](MatrixView<const T> x, const PackedMatrix<S>& packed, bool add,
                    MatrixView<T> y) { multiply(x, packed, add, y, 1); });
}

TEST_CASE(
    "packed products of bfloat16 in vector registers match naive sums where tiles exist too") {
  using branchlora::eigen::gemm::VectorKernel;
  check_sizes<bfloat16>([](MatrixView<const float> x, const PackedMatrix<bfloat16>& packed,
                           bool add, MatrixView<float> y) {
    branchlora::eigen::gemm::multiply_by<VectorKernel<bfloat16>>(x, packed, add, y, 1, {},
                                                                 TermOrder::after, {});
  });
}

TEST_CASE_TEMPLATE("packed products do not depend on the number of threads, bit for bit", S, float,
                   bfloat16) {
  using T = float;
  std::mt19937 engine(12);
  for (const Index tokens : {5, 61, 211}) {
    const Matrix<T> x(tokens, 700, engine);
    const Matrix<T> b(700, 170, engine);
    const PackedMatrix<S> packed(b.read());
    Matrix<T> y(tokens, 170, T(1));
    multiply(x.read(), packed, true, y.view(), 1);
    for (const int threads : {2, 3, 5}) {
      Matrix<T> z(tokens, 170, T(1));
      multiply(x.read(), packed, true, z.view(), threads);
      CHECK(z.same_bits(y));
    }
    Matrix<T> alone(tokens, 170, T(1));
    for (Index t = 0; t < tokens; ++t)
      multiply(x.read().middle_rows(t, 1), packed, true, alone.view().middle_rows(t, 1), 1);
    CHECK(alone.same_bits(y));
  }
}

// What `skinny_axpy` adds is compared with naive sums in skinny_test.cpp.
TEST_CASE_TEMPLATE("a term of low rank changes a product as skinny_axpy would, bit for bit", S,
                   float, bfloat16) {
  using T = float;
  constexpr Index blocks = 4;
  constexpr Index rank = 3;
  std::mt19937 engine(15);
  for (const auto& [tokens, k, n] : {std::tuple<Index, Index, Index>{1, 5, 7},
                                     {175, 30, 300},      // more than one block of tokens
                                     {30, 1031, 530}}) {  // more than one of depth and of columns
    CAPTURE(tokens);
    const Matrix<T> x(tokens, k, engine);
    const PackedMatrix<S> packed(Matrix<T>(k, n, engine).read());
    const Matrix<T> u(tokens, blocks * rank, engine);
    const Matrix<T> w(blocks * rank, n, engine);
    std::vector<std::int32_t> table;
    for (Index t = 0; t < tokens; ++t) {
      const auto one = static_cast<std::int32_t>(engine() % blocks);
      table.insert(table.end(), {one, static_cast<std::int32_t>((one + 1) % blocks)});
    }
    for (const Chosen& chosen : {Chosen{}, Chosen{table.data(), 2, rank}}) {
      const LowRankTerm<T> term{u.read(), w.read(), T(0.75), chosen};
      for (const bool add : {false, true}) {
        CAPTURE(add);
        const Matrix<T> start = add ? Matrix<T>(tokens, n, engine)
                                    : Matrix<T>(tokens, n, std::numeric_limits<T>::quiet_NaN());
        const auto update = [&](Matrix<T>& y, bool onto) {
          skinny_axpy(term.u, term.w, term.scale, y.view(), onto, chosen, 1);
        };
        Matrix<T> after = start;
        multiply(x.read(), packed, add, after.view(), 1);
        update(after, true);
        Matrix<T> before = start;
        update(before, add);
        multiply(x.read(), packed, true, before.view(), 1);
        for (const int threads : {1, 2, 3}) {
          Matrix<T> y = start;
          multiply(x.read(), packed, add, y.view(), threads, LowRankTerms<T>{term});
          CHECK(y.same_bits(after));
          Matrix<T> z = start;
          multiply(x.read(), packed, add, z.view(), threads, LowRankTerms<T>{term},
                   TermOrder::before);
          CHECK(z.same_bits(before));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("work on tokens is done before their terms are read, once, and in order", S,
                   float, bfloat16) {
  using T = float;
  std::mt19937 engine(15);
  constexpr Index rank = 3;
  for (const auto& [tokens, k, n] :
       {std::tuple<Index, Index, Index>{1, 5, 7},
        {40, 600, 700},
        {500, 30, 300},       // more than four blocks of tokens
        {300, 1031, 530}}) {  // more than one block of depth and of columns too
    CAPTURE(tokens);
    const Matrix<T> x(tokens, k, engine);
    const PackedMatrix<S> packed(Matrix<T>(k, n, engine).read());
    const Matrix<T> made(tokens, rank, engine);
    const Matrix<T> w(rank, n, engine);
    for (const TermOrder order : {TermOrder::before, TermOrder::after}) {
      Matrix<T> expected(tokens, n, T(0));
      multiply(x.read(), packed, false, expected.view(), 1,
               LowRankTerms<T>{LowRankTerm<T>{made.read(), w.read(), T(0.75)}}, order);
      for (const int threads : {1, 2, 3}) {
        Matrix<T> u(tokens, rank, std::numeric_limits<T>::quiet_NaN());
        std::vector<int> times(static_cast<std::size_t>(tokens), 0);
        Index next = 0;
        bool in_order = true;
        const TokenWork<T> work{[&](Index first, Index count) {
                                  if (threads == 1) {
                                    in_order = in_order && first == next &&
                                               first % TokenWork<T>::tile == 0;
                                    next = first + count;
                                  }
                                  for (Index t = first; t < first + count; ++t) {
                                    ++times[static_cast<std::size_t>(t)];
                                    for (Index j = 0; j < rank; ++j)
                                      u.view()(t, j) = made.read()(t, j);
                                  }
                                },
                                {x.read(), made.read()}};
        Matrix<T> y(tokens, n, T(0));
        multiply(x.read(), packed, false, y.view(), threads,
                 LowRankTerms<T>{LowRankTerm<T>{u.read(), w.read(), T(0.75)}}, order, work);
        CHECK(y.same_bits(expected));
        CHECK(times == std::vector<int>(static_cast<std::size_t>(tokens), 1));
        CHECK(in_order);
      }
    }
  }
}

TEST_CASE("empty products and shapes that disagree") {
  std::mt19937 engine(13);
  const Matrix<float> x(3, 0, engine);
  Matrix<float> y(3, 5, 7.0F);
  const PackedMatrix<float> none(MatrixView<const float>(nullptr, 0, 5));
  multiply(x.read(), none, true, y.view(), 2);
  CHECK(y.read()(2, 4) == 7.0F);
  multiply(x.read(), none, false, y.view(), 2);
  CHECK(y.read()(2, 4) == 0.0F);

  const Matrix<float> b(4, 5, engine);
  CHECK_THROWS_AS(multiply(x.read(), PackedMatrix<float>(b.read()), false, y.view(), 1),
                  branchlora::Error);
  const Matrix<float> u(3, 2, engine);
  CHECK_THROWS_AS(multiply(x.read(), none, false, y.view(), 1,
                           LowRankTerms<float>{LowRankTerm<float>{u.read(), b.read(), 1.0F}}),
                  branchlora::Error);
}

TEST_CASE("a packed matrix costs its elements and the padding of its last panel") {
  std::mt19937 engine(14);
  const Matrix<float> b(160, 416, engine);
  CHECK(PackedMatrix<float>(b.read()).bytes() == 160 * 416 * 4);
  CHECK(PackedMatrix<bfloat16>(b.read()).bytes() == 160 * 416 * 2);
}

TEST_CASE("bfloat16 rounds to nearest, ties to even, and keeps what it can hold") {
  const auto round = [](float value) { return static_cast<float>(bfloat16(value)); };
  CHECK(round(1.0F) == 1.0F);
  CHECK(round(-3.140625F) == -3.140625F);
  CHECK(round(1.0F + 0x1p-8F) == 1.0F);                      // tie, down to even
  CHECK(round(1.0F + 0x1p-7F + 0x1p-8F) == 1.0F + 0x1p-6F);  // tie, up to even
  CHECK(round(1.0F + 0x1p-8F + 0x1p-20F) == 1.0F + 0x1p-7F);
  CHECK(std::isinf(round(std::numeric_limits<float>::max())));
  CHECK(round(std::numeric_limits<float>::infinity()) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(round(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(round(std::bit_cast<float>(0x7F800001U))));  // whose upper half is an infinity
  CHECK(std::signbit(round(-0.0F)));
  int changed = 0;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    bfloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    changed += !std::isnan(wide) && bfloat16(wide) != value;
  }
  CHECK(changed == 0);
  const std::vector<float> from{0.1F, -2.7F, 1e30F};
  std::vector<bfloat16> narrow(3);
  std::vector<float> back(3);
  branchlora::eigen::convert(from.data(), narrow.data(), 3);
  branchlora::eigen::convert(narrow.data(), back.data(), 3);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(std::abs(back[i] - from[i]) <= std::abs(from[i]) * 0x1p-8F);
}

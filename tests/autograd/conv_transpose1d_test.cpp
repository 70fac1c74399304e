#include "branchlora/autograd/op/conv_transpose1d.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

constexpr Index outputs = 3;

// Spreads each step of x over its window: y(o stride + k - padding) += w_k^T x(o), two signals.
Dense naive(const Inputs& in, const op::Window& window, Index length) {
  const auto& [x, w, b] = std::tie(in[0], in[1], in[2]);
  const Index count = x.rows / 2;
  Dense y = dense(2 * length, outputs, [&](Index, Index j) { return b(0, j); });
  for (Index r = 0; r < x.rows; ++r) {
    for (Index k = 0; k < window.kernel; ++k) {
      const Index i = r % count * window.stride + k - window.padding;
      if (i < 0 || i >= length) continue;
      for (Index j = 0; j < outputs; ++j) {
        for (Index c = 0; c < x.cols; ++c) {
          y(r / count * length + i, j) += x(r, c) * w(c, k * outputs + j);
        }
      }
    }
  }
  return y;
}

// `length_of(tokens)` is the length that `tokens` steps are spread to.
template <class LengthOf>
void check(const op::Window& window, LengthOf length_of) {
  const auto inputs = [=](Index tokens, Index width) {
    return Inputs{random_dense(2 * tokens, width, 1),
                  random_dense(width, window.kernel * outputs, 2), random_dense(1, outputs, 3)};
  };
  // An output sums at most kernel * width products, a gradient of the weight as many as there are
  // steps, of the bias as many as outputs. Partial results are below 4 of the largest result.
  check_operation(Operation{
      inputs,
      [=](auto& tape, const auto& in, Keep&) {
        return op::conv_transpose1d(tape, in[0], in[1], in[2], length_of(in[0].rows() / 2), window);
      },
      [=](const Inputs& in) { return naive(in, window, length_of(in[0].rows / 2)); },
      [=](Index tokens, Index width) {
        return 4.0 * static_cast<double>(2 * length_of(tokens) + window.kernel * width + 8);
      }});
}

}  // namespace

TEST_CASE("transposed convolution that doubles the length") {
  check({7, 2, 3}, [](Index n) { return 2 * n; });
}
TEST_CASE("transposed convolution without padding") {
  check({3, 1, 0}, [](Index n) { return n + 2; });
}
TEST_CASE("transposed convolution whose windows leave gaps") {
  check({2, 3, 0}, [](Index n) { return 3 * n - 1; });
}

// <conv(x), y> = <x, conv_transpose(y)>: what "transposed" means.
TEST_CASE("a transposed convolution is the convolution's transpose") {
  Double backend;
  Tape<Double> tape(backend);
  const op::Window window{7, 2, 3};
  const auto put = [&](const Dense& m) {
    const auto view = tape.scratch(m.rows, m.cols);
    assign(view, m);
    return tape.constant(view);
  };
  const Dense x = random_dense(10, 2, 1);
  const Dense y = random_dense(5, 3, 2);
  // conv1d holds w as out x (kernel * in); its transpose maps those 3 channels back to the 2.
  const Dense w = random_dense(3, 7 * 2, 3);
  const Dense there =
      to_dense(op::conv1d(tape, put(x), put(w), put(Dense(1, 3)), 10, window).value());
  const Dense back =
      to_dense(op::conv_transpose1d(tape, put(y), put(w), put(Dense(1, 2)), 10, window).value());
  double left = 0;
  double right = 0;
  for (std::size_t i = 0; i < y.data.size(); ++i) left += there.data[i] * y.data[i];
  for (std::size_t i = 0; i < x.data.size(); ++i) right += x.data[i] * back.data[i];
  // About 200 products of normal numbers each: 1000 roundings of 1.1e-16 of a sum below 100.
  CHECK(std::abs(left - right) <= 1e-11);
}

TEST_CASE("a transposed convolution refuses what does not fit") {
  Double backend;
  Tape<Double> tape(backend);
  const auto matrix = [&](Index rows, Index cols) {
    return tape.constant(tape.scratch(rows, cols));
  };
  const auto conv = [&](Index rows, Index cols, Index out_length) {
    return error_of([&] {
      op::conv_transpose1d(tape, matrix(rows, 2), matrix(2, cols), matrix(1, 3), out_length,
                           {7, 2, 3});
    });
  };
  check_mentions(conv(9, 21, 8), "rows in signals of 4", "9");
  check_mentions(conv(8, 20, 8), "weight", "2 x 21", "2 x 20");
}

#include "branchlora/autograd/op/conv1d.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

constexpr Index outputs = 3;

// Two signals of `tokens` steps, a weight and a bias.
auto inputs_for(const op::Window& window) {
  return [=](Index tokens, Index width) {
    return Inputs{random_dense(2 * tokens, width, 1),
                  random_dense(outputs, window.kernel * width, 2), random_dense(1, outputs, 3)};
  };
}

// The definition, element by element: y(o) = b + sum over taps k of w_k x(o stride + k - padding).
Dense naive(const Inputs& in, const op::Window& window) {
  const auto& [x, w, b] = std::tie(in[0], in[1], in[2]);
  const Index length = x.rows / 2;
  const Index count = (length + 2 * window.padding - window.kernel) / window.stride + 1;
  return dense(2 * count, outputs, [&](Index r, Index j) {
    double sum = b(0, j);
    for (Index k = 0; k < window.kernel; ++k) {
      const Index i = r % count * window.stride + k - window.padding;
      if (i < 0 || i >= length) continue;
      for (Index c = 0; c < x.cols; ++c) sum += w(j, k * x.cols + c) * x(r / count * length + i, c);
    }
    return sum;
  });
}

void check(const op::Window& window) {
  // An output sums kernel * width products; a gradient of the weight as many as there are steps,
  // one of x kernel * outputs. The largest of a sum's partial results is below 4 of its results.
  check_operation(
      Operation{inputs_for(window),
                [=](auto& tape, const auto& in, Keep&) {
                  return op::conv1d(tape, in[0], in[1], in[2], in[0].rows() / 2, window);
                },
                [=](const Inputs& in) { return naive(in, window); },
                [=](Index tokens, Index width) {
                  return 4.0 * static_cast<double>(2 * tokens + window.kernel * width + 8);
                }});
}

}  // namespace

TEST_CASE("convolution with padding and stride 2") { check({7, 2, 3}); }
TEST_CASE("convolution without padding") { check({3, 1, 0}); }
TEST_CASE("convolution whose windows leave gaps and a rest") { check({2, 3, 1}); }

TEST_CASE("a convolution that moves the signal by one step") {
  Double backend;
  Tape<Double> tape(backend);
  // One channel, taps (0, 0, 1) with padding 1: y(o) = x(o + 1), and zero at the end.
  double x[] = {1, 2, 3, 10, 20, 30};
  double w[] = {0, 0, 1};
  double b[] = {0};
  const auto y = op::conv1d(tape, tape.constant({x, 6, 1}), tape.constant({w, 1, 3}),
                            tape.constant({b, 1, 1}), 3, {3, 1, 1});
  CHECK(to_dense(y.value()) == Dense(6, 1, {2, 3, 0, 20, 30, 0}));
}

TEST_CASE("a convolution refuses what does not fit") {
  Double backend;
  Tape<Double> tape(backend);
  const auto matrix = [&](Index rows, Index cols) {
    return tape.constant(tape.scratch(rows, cols));
  };
  const auto conv = [&](Index rows, Index taps, Index biases, Index length, op::Window window) {
    return error_of([&] {
      op::conv1d(tape, matrix(rows, 2), matrix(4, taps * 2), matrix(1, biases), length, window);
    });
  };
  check_mentions(conv(7, 3, 4, 6, {3, 1, 0}), "rows in signals of 6", "7");
  check_mentions(conv(6, 2, 4, 6, {3, 1, 0}), "weight", "4 x 6", "4 x 4");
  check_mentions(conv(6, 3, 3, 6, {3, 1, 0}), "bias", "1 x 4", "1 x 3");
  check_mentions(conv(2, 5, 4, 2, {5, 1, 1}), "kernel 5", "padding 1", "length 2");
  check_mentions(conv(6, 3, 4, 6, {3, 0, 0}), "stride 0");
}

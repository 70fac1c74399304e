#include "branchlora/autograd/op/batch_norm.hpp"

#include <doctest/doctest.h>

#include <array>

#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

constexpr double epsilon = 1e-5;

Inputs inputs(Index tokens, Index width) {
  return {random_dense(tokens, width, 1), random_dense(1, width, 2), random_dense(1, width, 3)};
}

// Mean and variance of a column, the latter divided by `rows - less`.
std::pair<double, double> moments(const Dense& x, Index c, Index less = 0) {
  double mean = 0;
  for (Index i = 0; i < x.rows; ++i) mean += x(i, c) / static_cast<double>(x.rows);
  double square = 0;
  for (Index i = 0; i < x.rows; ++i) square += (x(i, c) - mean) * (x(i, c) - mean);
  return {mean, square / static_cast<double>(x.rows - less)};
}

// Running statistics of a width that live as long as the test's operation.
template <Backend B>
op::RunningStatistics<typename B::Scalar> fresh_statistics(B& backend, Index width, Keep& keep) {
  const auto owner = std::make_shared<Buffer<B>>(backend, 2, width);
  keep.push_back(owner);
  const auto all = owner->view();
  assign(all, dense(2, width, [](Index i, Index c) {
           return i == 0 ? 0.25 * static_cast<double>(c % 3) : 0.5 + static_cast<double>(c % 2);
         }));
  return {all.middle_rows(0, 1), all.middle_rows(1, 1)};
}

// A column's mean and variance are sums over `tokens` rows, as are the gradients, each used again
// in the next sum; the inverse deviation is at most 2 for normal numbers, gain and weights below 5.
constexpr auto steps = [](Index tokens, Index) { return 64.0 * static_cast<double>(tokens + 8); };

}  // namespace

TEST_CASE("batch norm in training") {
  check_operation(Operation{
      inputs,
      [](auto& tape, const auto& in, Keep& keep) {
        const auto running = fresh_statistics(tape.backend(), in[0].cols(), keep);
        return op::batch_norm(tape, in[0], in[1], in[2], running, 0.1, epsilon);
      },
      [](const Inputs& in) {
        return dense(in[0].rows, in[0].cols, [&](Index i, Index c) {
          const auto [mean, variance] = moments(in[0], c);
          return (in[0](i, c) - mean) / std::sqrt(variance + epsilon) * in[1](0, c) + in[2](0, c);
        });
      },
      steps});
}

TEST_CASE("batch norm at inference") {
  check_operation(Operation{
      inputs,
      [](auto& tape, const auto& in, Keep& keep) {
        const auto running = fresh_statistics(tape.backend(), in[0].cols(), keep);
        return op::batch_norm_inference(tape, in[0], in[1], in[2], running, epsilon);
      },
      [](const Inputs& in) {
        return dense(in[0].rows, in[0].cols, [&](Index i, Index c) {
          const double mean = 0.25 * static_cast<double>(c % 3);
          const double variance = 0.5 + static_cast<double>(c % 2);
          return (in[0](i, c) - mean) / std::sqrt(variance + epsilon) * in[1](0, c) + in[2](0, c);
        });
      },
      steps});
}

TEST_CASE("running statistics move by the momentum towards each batch") {
  Double backend;
  Tape<Double> tape(backend);
  const Dense x = random_dense(5, 3, 4);
  std::array<double, 6> memory{0, 0, 0, 1, 1, 1};
  const op::RunningStatistics<double> running{{memory.data(), 1, 3}, {memory.data() + 3, 1, 3}};
  const auto put = [&](const Dense& m) {
    const auto view = tape.scratch(m.rows, m.cols);
    assign(view, m);
    return tape.constant(view);
  };
  const auto one = put(Dense(1, 3, {1, 1, 1}));
  const auto zero = put(Dense(1, 3));
  for (int round = 1; round <= 2; ++round) {
    op::batch_norm(tape, put(x), one, zero, running, 0.1, epsilon);
    for (Index c = 0; c < 3; ++c) {
      const auto [mean, variance] = moments(x, c, 1);
      const double left = std::pow(0.9, round);  // of where they began
      CHECK(running.mean(0, c) == doctest::Approx((1 - left) * mean).epsilon(1e-13));
      CHECK(running.variance(0, c) == doctest::Approx(left + (1 - left) * variance).epsilon(1e-13));
    }
  }
  const auto before = memory;
  op::batch_norm_inference(tape, put(x), one, zero, running, epsilon);
  CHECK(memory == before);
}

TEST_CASE("batch norm refuses what does not fit") {
  Double backend;
  Tape<Double> tape(backend);
  const auto matrix = [&](Index rows, Index cols) {
    return tape.constant(tape.scratch(rows, cols));
  };
  const auto running = [&](Index cols) {
    return op::RunningStatistics<double>{tape.scratch(1, cols), tape.scratch(1, 3)};
  };
  check_mentions(error_of([&] {
                   op::batch_norm(tape, matrix(1, 3), matrix(1, 3), matrix(1, 3), running(3), 0.1,
                                  epsilon);
                 }),
                 "batch norm", "two rows", "1");
  check_mentions(error_of([&] {
                   op::batch_norm_inference(tape, matrix(4, 3), matrix(1, 2), matrix(1, 3),
                                            running(3), epsilon);
                 }),
                 "gain", "1 x 3", "1 x 2");
  check_mentions(error_of([&] {
                   op::batch_norm(tape, matrix(4, 3), matrix(1, 3), matrix(1, 3), running(2), 0.1,
                                  epsilon);
                 }),
                 "running mean", "1 x 3", "1 x 2");
}

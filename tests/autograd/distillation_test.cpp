#include "branchlora/autograd/op/distillation.hpp"

#include <doctest/doctest.h>

#include "continual/lesson.hpp"
#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;
using op::distillation;

namespace {

std::vector<std::int32_t> teacher_rows(Index rows) {
  std::vector<std::int32_t> of;
  for (Index i = 0; i < rows; ++i) {
    of.push_back(i % 3 == 1 ? -1 : static_cast<std::int32_t>(i * 2 % 5));
  }
  return of;
}

/// The five rows of a teacher, on the tape.
template <Backend B>
MatrixView<const typename B::Scalar> teacher(Tape<B>& tape, const Dense& from) {
  const auto to = tape.scratch(from.rows, from.cols);
  assign(to, from);
  return to;
}

}  // namespace

TEST_CASE("distillation") {
  const double temperature = 2;
  const double alpha = 0.7;
  check_operation(Operation{
      [](Index tokens, Index width) { return Inputs{random_dense(tokens, width, 1)}; },
      [=](auto& tape, const auto& in, Keep&) {
        const auto rows = teacher_rows(in[0].rows());
        return distillation(tape, in[0], teacher(tape, random_dense(5, in[0].cols(), 2)),
                            std::span<const std::int32_t>(rows), temperature, alpha);
      },
      [=](const Inputs& in) {
        const auto rows = teacher_rows(in[0].rows);
        const Dense old = random_dense(5, in[0].cols, 2);
        double sum = 0;
        int counted = 0;
        for (Index i = 0; i < in[0].rows; ++i) {
          const Index row = rows[static_cast<std::size_t>(i)];
          if (row < 0) continue;
          const auto p = log_softmax(old, row, temperature);
          const auto q = log_softmax(in[0], i, temperature);
          for (std::size_t c = 0; c < p.size(); ++c) sum += std::exp(p[c]) * (p[c] - q[c]);
          ++counted;
        }
        return Dense(1, 1, {alpha * temperature * temperature * sum / counted});
      },
      // A sum over the classes and one over the rows, of terms that went through exp and log.
      [](Index tokens, Index width) { return static_cast<double>(tokens + width + 40); }});
}

TEST_CASE("a student who is the teacher has no loss and no gradient at all") {
  const Dense logits = random_dense(5, 7, 3);
  Bench<float> bench({logits}, 1);
  const std::vector<std::int32_t> rows{0, 1, 2, 3, 4};
  const auto outcome = bench.run([&](auto& tape, const auto& in, Keep&) {
    return distillation(tape, in[0], teacher(tape, logits), std::span<const std::int32_t>(rows),
                        2.0, 0.5);
  });
  CHECK(outcome.gradients[0] == Dense(5, 7));
  CHECK(std::abs(outcome.value(0, 0)) <= 1e-6);
}

TEST_CASE("distillation of nothing is zero, and so is its gradient") {
  Bench<double> bench({random_dense(2, 5, 1)}, 1);
  const std::vector<std::int32_t> rows{-1, -1};
  const auto outcome = bench.run([&](auto& tape, const auto& in, Keep&) {
    return distillation(tape, in[0], teacher(tape, random_dense(1, 5, 2)),
                        std::span<const std::int32_t>(rows), 2.0, 1.0);
  });
  CHECK(outcome.value == Dense(1, 1));
  CHECK(outcome.gradients[0] == Dense(2, 5));
}

TEST_CASE("distillation refuses a teacher that does not fit") {
  Double backend;
  Tape<Double> tape(backend);
  const auto x = tape.constant(tape.scratch(2, 6));
  const auto call = [&](Index classes, std::vector<std::int32_t> rows) {
    return error_of([&] {
      distillation(tape, x, MatrixView<const double>(tape.scratch(3, classes)),
                   std::span<const std::int32_t>(rows), 2.0, 1.0);
    });
  };
  check_mentions(call(5, {0, 1}), "distillation", "6 classes", "and 5");
  check_mentions(call(6, {0}), "distillation", "2 rows", "1 and");
  check_mentions(call(6, {0, 3}), "distillation", "row 3", "of 3");
}

#include "branchlora/autograd/op/gaussian_latent.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

Inputs mu_and_log_variance(Index tokens, Index width) {
  return {random_dense(tokens, width, 1), random_dense(tokens, width, 2)};
}

}  // namespace

TEST_CASE("reparameterise") {
  const auto noise_of = [](Index rows, Index cols) { return random_dense(rows, cols, 8); };
  check_operation(
      Operation{mu_and_log_variance,
                [=](auto& tape, const auto& in, Keep&) {
                  const auto noise = tape.scratch(in[0].rows(), in[0].cols());
                  assign(noise, noise_of(noise.rows, noise.cols));
                  return op::reparameterise(tape, in[0], in[1], noise);
                },
                [=](const Inputs& in) {
                  const Dense noise = noise_of(in[0].rows, in[0].cols);
                  return dense(in[0].rows, in[0].cols, [&](Index i, Index c) {
                    return in[0](i, c) + std::exp(in[1](i, c) / 2) * noise(i, c);
                  });
                },
                // A few roundings and the 5 u of `math::exp`, of products of two numbers below 5.
                [](Index, Index) { return 64.0; }});
}

TEST_CASE("divergence from the standard normal") {
  check_operation(Operation{
      mu_and_log_variance,
      [](auto& tape, const auto& in, Keep&) { return op::kl_to_normal(tape, in[0], in[1]); },
      [](const Inputs& in) {
        double sum = 0;
        for (std::size_t i = 0; i < in[0].data.size(); ++i) {
          const double m = in[0].data[i];
          const double s = in[1].data[i];
          sum -= 0.5 * (1 + s - m * m - std::exp(s));
        }
        return Dense(1, 1, {sum / static_cast<double>(in[0].rows)});
      },
      // Terms are not negative in sum; the 5 u of `math::exp` enter each.
      [](Index tokens, Index width) { return 8.0 * static_cast<double>(tokens + width + 8); }});
}

TEST_CASE("divergence by hand") {
  Double backend;
  Tape<Double> tape(backend);
  double mu[] = {0, 1, 2, 0};
  double log_variance[] = {0, 0, 0, std::log(4.0)};
  const auto kl =
      op::kl_to_normal(tape, tape.constant({mu, 2, 2}), tape.constant({log_variance, 2, 2}));
  // First row: 0 + 1/2. Second: 2 + (4 - 1 - ln 4) / 2 = 3.5 - ln 2. Their mean is 2 - ln(2) / 2.
  CHECK(kl.value()(0, 0) == doctest::Approx(2 - std::log(2.0) / 2).epsilon(1e-15));
}

TEST_CASE("a latent refuses what does not fit") {
  Double backend;
  Tape<Double> tape(backend);
  const auto matrix = [&](Index rows, Index cols) {
    return tape.constant(tape.scratch(rows, cols));
  };
  check_mentions(error_of([&] { op::kl_to_normal(tape, matrix(2, 3), matrix(2, 4)); }),
                 "log variance", "2 x 3", "2 x 4");
  check_mentions(
      error_of([&] { op::reparameterise(tape, matrix(2, 3), matrix(2, 3), tape.scratch(1, 3)); }),
      "noise", "2 x 3", "1 x 3");
}

#include "branchlora/autograd/op/rope.hpp"

#include <doctest/doctest.h>

#include "branchlora/eigen/backend.hpp"

using namespace branchlora;

TEST_CASE("frequencies of a head, plain and stretched") {
  CHECK(op::rope_frequencies(4, 100.0) == std::vector<double>{1.0, 0.1});
  CHECK(op::rope_frequencies(4, 100.0, {.factor = 4.0}) == std::vector<double>{0.25, 0.025});
}

TEST_CASE("LLaMA 3 stretches long wavelengths alone") {
  const op::RopeScaling llama3{.factor = 8, .original = 64, .low = 1, .high = 4};
  const double turn = 2 * std::numbers::pi / 64;  // one turn in the original length
  CHECK(llama3(5 * turn) == 5 * turn);
  CHECK(llama3(0.5 * turn) == doctest::Approx(0.5 * turn / 8));
  // Half way between 1 and 4 turns: half of it kept, half of it stretched.
  CHECK(llama3(2.5 * turn) == doctest::Approx(2.5 * turn * (0.5 + 0.5 / 8)));
}

TEST_CASE("a table of given frequencies is that of their base") {
  eigen::Backend<double> backend;
  const op::RopeTable<eigen::Backend<double>> base(backend, 7, 6, 50.0);
  const op::RopeTable<eigen::Backend<double>> given(backend, 7, op::rope_frequencies(6, 50.0));
  CHECK(base.head_size() == 6);
  for (Index p = 0; p < 7; ++p) {
    for (Index i = 0; i < 3; ++i) {
      const double angle = static_cast<double>(p) * std::pow(50.0, -static_cast<double>(i) / 3);
      CHECK(base.cos()(p, i) == doctest::Approx(std::cos(angle)).epsilon(1e-14));
      CHECK(given.cos()(p, i) == base.cos()(p, i));
      CHECK(given.sin()(p, i) == base.sin()(p, i));
    }
  }
}

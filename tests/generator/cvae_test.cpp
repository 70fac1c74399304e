#include "branchlora/generator/cvae.hpp"

#include <doctest/doctest.h>

#include "generator/toy_bank.hpp"
#include "io/temporary_folder.hpp"
#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::generator;
using namespace branchlora::test;

namespace {

/// The toy generator with a batch of inputs.
struct Bench {
  Double backend;
  Cvae<Double> cvae{backend, toy_config(), Random(5)};
  Tape<Double> tape{backend};
  Dense x = random_dense(3, 48, 1);
  Dense c = random_dense(3, 3, 2);
  Dense noise = random_dense(3, 4, 3);

  static Var<double> put(Tape<Double>& on, const Dense& m) {
    const auto view = on.scratch(m.rows, m.cols);
    assign(view, m);
    return on.constant(view);
  }
  Cvae<Double>::Loss loss(Tape<Double>& on) {
    return cvae.loss(on, put(on, x), put(on, c), put(on, noise).value(), 0.005);
  }
};

}  // namespace

TEST_CASE("the authors' sizes have 7.51 million parameters") {
  const CvaeConfig config{.length = 1'929'928};
  CHECK(config.padded() == 1'933'312);  // 472 * 4096
  CHECK(config.features() == 472 * 8);
  // Products of neighbouring channels, 1 first: 8 + 128 + 512 + ... = 152,840; the decoder has 8 *
  // 8 for its last stage in place of 1 * 8. Channels sum to 1008, once more in the decoder.
  const Index convolutions = 7 * 152'840 + 7 * (152'840 - 8 + 64) + 2 * 3 * 1008 + 7 * 8 + 1;
  const Index linear = (3776 * 256 + 256) + 2 * (1024 * 256 + 256) + (1024 * 3776 + 3776);
  CHECK(config.parameters() == convolutions + linear);
  CHECK(std::abs(static_cast<double>(config.parameters()) / 1e6 - 7.51) < 0.005);
}

TEST_CASE("the count of parameters is that of the tensors") {
  Double backend;
  for (const auto& channels : {std::vector<Index>{4, 6, 4}, {5}, {2, 3}}) {
    CvaeConfig config = toy_config();
    config.channels = channels;
    Cvae<Double> cvae(backend, config, Random(1));
    CHECK(cvae.parameters().trainable_count() == config.parameters());
    // Running means and variances: two for each channel of each batch norm.
    Index running = 0;
    for (std::size_t i = 0; i < channels.size(); ++i) {
      running += 2 * channels[i] + 2 * channels[i == 0 ? 0 : i - 1];
    }
    CHECK(cvae.bytes() == (config.parameters() + running) * 8);
  }
}

TEST_CASE("zeros fill a vector up to a multiple of 2^stages") {
  CvaeConfig config{.channels = {1, 1, 1}};
  for (const auto& [length, padded] :
       {std::pair<Index, Index>{1, 8}, {8, 8}, {9, 16}, {40, 40}, {41, 48}}) {
    config.length = length;
    CHECK(config.padded() == padded);
  }
}

TEST_CASE("gradients of the whole autoencoder") {
  Bench bench;
  check_gradients(bench.cvae.parameters(),
                  [&](Tape<Double>& tape) { return bench.loss(tape).total; });
}

TEST_CASE("the loss is its parts, and they are what they are called") {
  Bench bench;
  const auto x = Bench::put(bench.tape, bench.x);
  const auto c = Bench::put(bench.tape, bench.c);
  const auto q = bench.cvae.encode(bench.tape, x, c, true);
  const Dense mu = to_dense(q.mu.value());
  const Dense log_variance = to_dense(q.log_variance.value());
  double divergence = 0;
  Dense z(3, 4);
  for (std::size_t i = 0; i < z.data.size(); ++i) {
    const double m = mu.data[i];
    const double s = log_variance.data[i];
    z.data[i] = m + std::exp(s / 2) * bench.noise.data[i];
    divergence += -0.5 * (1 + s - m * m - std::exp(s)) / 3;
  }
  const Dense y =
      to_dense(bench.cvae.decode(bench.tape, Bench::put(bench.tape, z), c, true).value());
  double error = 0;
  for (std::size_t i = 0; i < y.data.size(); ++i) {
    error += (y.data[i] - bench.x.data[i]) * (y.data[i] - bench.x.data[i]) / (3 * 48);
  }
  const auto loss = bench.loss(bench.tape);
  // Sums of a few hundred terms of one sign, behind the same network in both.
  CHECK(loss.divergence.value()(0, 0) == doctest::Approx(divergence).epsilon(1e-12));
  CHECK(loss.reconstruction.value()(0, 0) == doctest::Approx(error).epsilon(1e-12));
  CHECK(loss.total.value()(0, 0) == doctest::Approx(error + 0.005 * divergence).epsilon(1e-12));
}

TEST_CASE("the same seed makes the same generator, another a different one") {
  Double backend;
  const std::vector<double> c{1, 2, 3};
  const std::vector<double> z{0.1, -0.2, 0.3, 0.4};
  const auto output = [&](std::uint64_t seed) {
    Cvae<Double> cvae(backend, toy_config(), Random(seed));
    Tape<Double> tape(backend);
    return cvae.generate(tape, c, z);
  };
  CHECK(output(1).size() == 42);
  CHECK(output(1) == output(1));
  CHECK(output(1) != output(2));
}

TEST_CASE("what is generated depends on the task vector and on z") {
  Bench bench;
  const std::vector<double> c{1, 2, 3}, other{1, 2, -3}, z{0, 0, 0, 0}, further{0, 0, 1, 0};
  const auto first = bench.cvae.generate(bench.tape, c, z);
  CHECK(first != bench.cvae.generate(bench.tape, other, z));
  CHECK(first != bench.cvae.generate(bench.tape, c, further));
}

TEST_CASE("the generator refuses sizes that make no network, and inputs of others") {
  Double backend;
  const auto build = [&](CvaeConfig config) {
    return error_of([&] { Cvae<Double>(backend, config, Random(1)); });
  };
  check_mentions(build({.length = 0}), "length 0");
  check_mentions(build({.length = 4, .condition = -1}), "condition -1");
  check_mentions(build({.length = 4, .latent = 0}), "latent 0");
  check_mentions(build({.length = 4, .channels = {}}), "stages");
  check_mentions(build({.length = 4, .channels = {3, 0}}), "[3, 0]");

  Bench bench;
  const std::vector<double> three(3), four(4), five(5);
  check_mentions(error_of([&] { bench.cvae.generate(bench.tape, four, four); }), "task vector of 3",
                 "found 4 and 4");
  check_mentions(error_of([&] { bench.cvae.generate(bench.tape, three, five); }), "latent of 4",
                 "found 3 and 5");
  bench.tape.reset();
  const auto narrow = Bench::put(bench.tape, Dense(2, 42));
  const auto c = Bench::put(bench.tape, Dense(2, 3));
  check_mentions(error_of([&] { bench.cvae.encode(bench.tape, narrow, c, true); }), "input",
                 "2 x 48", "2 x 42");
}

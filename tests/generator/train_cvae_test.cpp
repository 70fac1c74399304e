#include "branchlora/generator/train_cvae.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "branchlora/eigen/backend.hpp"
#include "generator/toy_bank.hpp"
#include "io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::generator;
using namespace branchlora::test;

namespace {

using B = eigen::Backend<float>;

constexpr CvaeTraining quick{.steps = 800, .batch = 6, .rate = 5e-3};
const std::vector<double> origin(4, 0.0);

/// The toy generator, trained on the toy bank.
struct Trained {
  explicit Trained(CvaeTraining options = quick, std::uint64_t seed = 1, int threads = 1)
      : backend(threads), cvae(backend, toy_config(), Random(seed)), tape(backend) {
    history = train_cvae<B>(cvae, tape, bank, toy_vectors(), options, Random(seed));
  }

  Weights adapter(Index task, Denormalise how) {
    return generate_adapter<B>(cvae, tape, bank, task,
                               toy_vectors()[static_cast<std::size_t>(task)], origin, how);
  }

  CheckpointBank bank = toy_bank();
  B backend;
  Cvae<B> cvae;
  Tape<B> tape;
  std::vector<CvaeLoss> history;
};

/// The mean squared distance of what is generated from the mean of a task's z-scores.
double distance_to_task(Trained& trained, Index from, Index to) {
  const auto flat =
      trained.cvae.generate(trained.tape, toy_vectors()[static_cast<std::size_t>(from)], origin);
  double square = 0;
  for (std::size_t i = 0; i < flat.size(); ++i) {
    double mean = 0;
    for (const auto& s : trained.bank.snapshots()) {
      if (s.task == to) mean += double{s.values[i]} / toy_snapshots;
    }
    square +=
        (double{flat[i]} - mean) * (double{flat[i]} - mean) / static_cast<double>(flat.size());
  }
  return square;
}

}  // namespace

TEST_CASE("a generator learns two tasks and tells them apart by their vectors") {
  Trained trained;
  const CvaeLoss& first = trained.history.front();
  double last = 0;
  for (std::size_t i = 790; i < 800; ++i) last += trained.history[i].reconstruction / 10;
  // It starts near the variance of z-scores, 42 of 48 places, or above.
  CHECK(first.reconstruction > 0.5);
  // Checkpoints differ from their task's mean by 0.1 of a deviation, which the mean can not tell.
  CHECK(last < 0.02);
  // Z-scores of two tasks are independent, with variance 1: a generator that is blind to the task
  // does best halfway, at a squared distance of 1/2 from both. One that knows the task is at 0 but
  // for what it still has to learn: allow it a fifth of the blind one's distance. The other task
  // then lies near 2.
  for (const Index task : {0, 1}) {
    CAPTURE(task);
    CHECK(distance_to_task(trained, task, task) < 0.01);
    CHECK(distance_to_task(trained, task, 1 - task) > 1);
  }
}

TEST_CASE("a generated adapter has the exact shapes and statistics of the trained one") {
  Trained trained({.steps = 3, .batch = 2});
  for (const Index task : {0, 1}) {
    const Weights found = trained.adapter(task, Denormalise::matched);
    const Weights original = toy_weights(task, toy_snapshots - 1);
    CHECK(Layout::of(found) == Layout::of(original));
    for (const NamedTensor* t : Layout::sorted(original)) {
      CAPTURE(t->name);
      const NamedTensor& g = t->name == found[0].name ? found[0] : found[1];
      CHECK(g.values != t->values);
      const auto expected = Statistics::of(std::span<const float>(t->values));
      const auto s = Statistics::of(std::span<const float>(g.values));
      // Exact but for the rounding of each element to float, which lies within 6 deviations of the
      // mean.
      const double tolerance = std::numeric_limits<float>::epsilon() / 2.0 *
                               (std::abs(expected.mean) + 6 * expected.deviation);
      CHECK(std::abs(s.mean - expected.mean) <= tolerance);
      CHECK(std::abs(s.deviation - expected.deviation) <= tolerance);
    }
  }
}

TEST_CASE("as released, the decoder's own mean and deviation stay in the weights") {
  Trained trained({.steps = 3, .batch = 2});
  const auto flat = trained.cvae.generate(trained.tape, toy_vectors()[0], origin);
  const Weights found = trained.adapter(0, Denormalise::applied);
  const auto& statistics = trained.bank.reference(0).statistics;
  for (std::size_t t = 0; t < 2; ++t) {
    const auto& e = trained.bank.layout().entries()[t];
    for (Index i = 0; i < e.size; ++i) {
      const double z = flat[static_cast<std::size_t>(e.first + i)];
      const double expected = z * statistics[t].deviation + statistics[t].mean;
      CHECK(found[t].values[static_cast<std::size_t>(i)] ==
            doctest::Approx(expected).epsilon(1e-6));
    }
  }
}

TEST_CASE("training depends on the seed alone, not on threads") {
  const CvaeTraining options{.steps = 5, .batch = 2};
  const auto weights = [&](std::uint64_t seed, int threads) {
    return Trained(options, seed, threads).adapter(1, Denormalise::matched);
  };
  const Weights one = weights(1, 1);
  CHECK(weights(1, 1) == one);
  CHECK(weights(1, 2) == one);
  CHECK(weights(2, 1) != one);
}

TEST_CASE("the listener hears of every step") {
  B backend;
  Cvae<B> cvae(backend, toy_config(), Random(1));
  Tape<B> tape(backend);
  std::vector<double> heard;
  const auto history = train_cvae<B>(cvae, tape, toy_bank(), toy_vectors(), {.steps = 3}, Random(1),
                                     [&](Index step, const CvaeLoss& loss) {
                                       CHECK(step == std::ssize(heard));
                                       heard.push_back(loss.total);
                                     });
  REQUIRE(heard.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(heard[i] == history[i].total);
}

TEST_CASE("training refuses what does not fit together") {
  B backend;
  Cvae<B> cvae(backend, toy_config(), Random(1));
  Tape<B> tape(backend);
  const auto train = [&](const CheckpointBank& bank, const std::vector<std::vector<double>>& v) {
    return error_of([&] { train_cvae<B>(cvae, tape, bank, v, {.steps = 1}, Random(1)); });
  };
  check_mentions(train({}, toy_vectors()), "bank", "none");
  CheckpointBank short_bank;
  short_bank.add(0, {{"a", {1, 2}, {1, 3}}});
  check_mentions(train(short_bank, toy_vectors()), "42 elements", "2");
  check_mentions(train(toy_bank(), {{1, 0, 0}}), "task 1", "1 vectors");
  check_mentions(train(toy_bank(), {{1, 0, 0}, {1, 0}}), "3 numbers", "task 1", "found 2");
}

TEST_CASE("a loss that is not finite says how large the task vectors are") {
  B backend;
  Cvae<B> cvae(backend, toy_config(), Random(1));
  Tape<B> tape(backend);
  const std::vector<std::vector<double>> large{{1e5, 0, 1e5}, {0, -2e5, 1e5}};
  check_mentions(
      error_of([&] { train_cvae<B>(cvae, tape, toy_bank(), large, {.steps = 4}, Random(1)); }),
      "CVAE", "step 0", "up to 200000");
}

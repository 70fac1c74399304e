// Selectors that weigh several tasks in one answer.
#include <doctest/doctest.h>

#include <cmath>

#include "../io/temporary_folder.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/selector/softmax_keys.hpp"
#include "branchlora/selector/uniform.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

/// Three tasks with two samples each: pictures along an axis, texts that are much alike.
template <class Selector>
Selector taught(Selector selector) {
  for (Index task = 0; task < 3; ++task) {
    Embedding e{{0, 0, 0}, {1, 0.1 * static_cast<double>(task)}};
    e.image[static_cast<std::size_t>(task)] = 5;
    selector.add(task, e);
    selector.add(task, e);
    selector.end_task();
  }
  return selector;
}

const Embedding question{{3, 4, 0}, {2, 0.1}};

double sum(const std::vector<double>& w) {
  double s = 0;
  for (const double v : w) s += v;
  return s;
}

}  // namespace

TEST_CASE("softmax of the keys' similarities over the temperature") {
  const auto selector = taught(SoftmaxKeySelector(Reads::picture, 0.5));
  CHECK(selector.mixes());
  const auto w = selector.weights(question);
  REQUIRE(w.size() == 3);
  // Cosines are 0.6, 0.8 and 0.
  const double total = std::exp(1.2) + std::exp(1.6) + 1;
  CHECK(w[0] == doctest::Approx(std::exp(1.2) / total));
  CHECK(w[1] == doctest::Approx(std::exp(1.6) / total));
  CHECK(w[2] == doctest::Approx(1 / total));

  // Both cosines are summed, as the nearest key sums them; the largest weight is its task's.
  const auto both = taught(SoftmaxKeySelector());
  const auto nearest = taught(NearestKeySelector());
  CHECK(both.select(question) == nearest.select(question));
  const auto soft = both.weights(question);
  CHECK(std::ranges::max_element(soft) - soft.begin() == nearest.select(question));
  CHECK(sum(soft) == doctest::Approx(1));
  // Cold, it is the nearest key, and nothing overflows.
  CHECK(taught(SoftmaxKeySelector(Reads::both, 1e-6)).weights(question) ==
        nearest.weights(question));
  CHECK(nearest.weights(question) == std::vector<double>{0, 1, 0});
  CHECK(!nearest.mixes());
}

TEST_CASE("uniform weights are one over the tasks so far") {
  auto selector = taught(UniformSelector());
  CHECK(selector.mixes());
  CHECK(selector.weights(question) == std::vector<double>(3, 1.0 / 3));
  CHECK(selector.select(question) == 0);
  CHECK(selector.bytes() == 0);
  UniformSelector restored;
  restored.restore(selector.state());
  CHECK(restored.weights({}) == selector.weights(question));
  CHECK(restored.state() == selector.state());
}

TEST_CASE("what makes no sense is refused") {
  check_mentions(error_of([] { SoftmaxKeySelector(Reads::both, 0); }), "temperature above 0");
  check_mentions(error_of([] { (void)SoftmaxKeySelector().weights(question); }), "no task");
  check_mentions(error_of([] { (void)UniformSelector().weights(question); }), "no task");
  check_mentions(error_of([] { (void)UniformSelector().select(question); }), "no task");
  check_mentions(error_of([] { UniformSelector().add(1, question); }), "task 1 comes before");
  check_mentions(error_of([] {
                   UniformSelector().restore({{"tasks", {1, 1, {0.5}}}});
                 }),
                 "a number of tasks, found 0.5");
  check_mentions(error_of([] { UniformSelector().restore({}); }), "'tasks', found none");
}

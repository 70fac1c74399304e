#include "branchlora/selector/ridge.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>

#include "../io/temporary_folder.hpp"
#include "branchlora/core/random.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

constexpr int image_size = 5;
constexpr int text_size = 4;

/// Number `i` of the samples of a task: noise around a direction of its own.
Embedding sample(std::uint64_t task, std::uint64_t i) {
  const Random centre = Random(7).fork(task);
  const Random noise = Random(8).fork(task).fork(i);
  Embedding e;
  for (std::uint64_t k = 0; k < image_size + text_size; ++k) {
    (k < image_size ? e.image : e.text).push_back(0.5 * centre.normal(k) + noise.normal(k));
  }
  return e;
}

/// A selector that has learned tasks of `samples` each, in this order.
RidgeSelector learned(const std::vector<std::uint64_t>& tasks, std::uint64_t samples = 40) {
  RidgeSelector selector(Reads::both, 0.3);
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    for (std::uint64_t i = 0; i < samples; ++i) {
      selector.add(static_cast<Index>(t), sample(tasks[t], i));
    }
    selector.end_task();
  }
  return selector;
}

Eigen::RowVectorXd features(const Embedding& e) {
  Eigen::RowVectorXd f(1 + image_size + text_size);
  f << 1, Eigen::Map<const Eigen::RowVectorXd>(e.image.data(), image_size).normalized(),
      Eigen::Map<const Eigen::RowVectorXd>(e.text.data(), text_size).normalized();
  return f;
}

}  // namespace

TEST_CASE("a hidden state is read instead of picture and text, and must be there") {
  const Embedding e{{1, 2}, {3}, {4, 5, 6}};
  const Embedding hidden = read(e, Reads::hidden);
  CHECK(hidden.image.empty());
  CHECK(hidden.text == e.hidden);
  const Embedding both = read(e, Reads::both);
  CHECK(both.image == e.image);
  CHECK(both.text == e.text);
  CHECK(both.hidden.empty());
  CHECK(to_string(Reads::hidden) == "hidden");
  RidgeSelector selector(Reads::hidden);
  check_mentions(error_of([&] { selector.add(0, {{1}, {2}}); }), "hidden state", "none prepared");
  for (Index task = 0; task < 2; ++task) {
    selector.add(task, {{1}, {1}, {1, task == 0 ? 1.0 : -1.0}});
    selector.end_task();
  }
  CHECK(selector.select({{}, {}, {2, 1.5}}) == 0);
  CHECK(selector.select({{}, {}, {2, -1.5}}) == 1);
}

TEST_CASE("it decides as the normal equations do, solved by a library") {
  const std::vector<std::uint64_t> tasks{0, 1, 2};
  Eigen::MatrixXd f(120, 1 + image_size + text_size);
  Eigen::MatrixXd targets = Eigen::MatrixXd::Zero(120, 3);
  for (int t = 0; t < 3; ++t) {
    for (int i = 0; i < 40; ++i) {
      f.row(40 * t + i) =
          features(sample(static_cast<std::uint64_t>(t), static_cast<std::uint64_t>(i)));
      targets(40 * t + i, t) = 1;
    }
  }
  const Eigen::MatrixXd gram =
      f.transpose() * f + 0.3 * Eigen::MatrixXd::Identity(f.cols(), f.cols());
  const Eigen::MatrixXd w = gram.fullPivLu().solve(f.transpose() * targets);
  const RidgeSelector selector = learned(tasks);
  int right = 0;
  for (std::uint64_t t = 0; t < 3; ++t) {
    for (std::uint64_t i = 100; i < 200; ++i) {
      const Embedding e = sample(t, i);
      Eigen::Index best = 0;
      (features(e) * w).maxCoeff(&best);
      REQUIRE(selector.select(e) == best);
      right += best == static_cast<Eigen::Index>(t) ? 1 : 0;
    }
  }
  CHECK(right > 150);  // chance is 100
}

TEST_CASE("the order of the tasks does not count") {
  const RidgeSelector forward = learned({0, 1, 2});
  const RidgeSelector backward = learned({2, 1, 0});
  for (std::uint64_t i = 100; i < 200; ++i) {
    CHECK(forward.select(sample(i % 3, i)) == 2 - backward.select(sample(i % 3, i)));
  }
}

TEST_CASE("its state comes back to the bit, and it goes on from there") {
  RidgeSelector first = learned({0, 1});
  RidgeSelector second(Reads::both, 0.3);
  second.restore(first.state());
  CHECK(second.tasks() == 2);
  CHECK(second.state() == first.state());
  for (auto* s : {&first, &second}) {
    for (std::uint64_t i = 0; i < 40; ++i) s->add(2, sample(2, i));
    s->end_task();
  }
  CHECK(second.state() == first.state());
  for (std::uint64_t i = 100; i < 200; ++i) {
    CHECK(first.select(sample(i % 3, i)) == second.select(sample(i % 3, i)));
  }
  const int width = 1 + image_size + text_size;
  CHECK(first.bytes() == 8 * (width * (width + 1) / 2 + 3 * width));
}

TEST_CASE("pictures may come late, and be missing") {
  RidgeSelector selector;
  for (std::uint64_t i = 0; i < 40; ++i) selector.add(0, {{}, sample(0, i).text});
  selector.end_task();
  CHECK(selector.select(sample(0, 100)) == 0);  // of a picture it knows nothing yet
  for (std::uint64_t i = 0; i < 40; ++i) selector.add(1, sample(1, i));
  selector.end_task();
  // Only task 1 has pictures.
  CHECK(selector.select({{}, sample(0, 100).text}) == 0);
  CHECK(selector.select(sample(1, 100)) == 1);
  RidgeSelector back;
  back.restore(selector.state());
  CHECK(back.state() == selector.state());
}

TEST_CASE("it may read one part alone") {
  RidgeSelector selector(Reads::text);
  for (std::uint64_t t = 0; t < 2; ++t) {
    for (std::uint64_t i = 0; i < 40; ++i) selector.add(static_cast<Index>(t), sample(t, i));
    selector.end_task();
  }
  Embedding other = sample(1, 100);
  const Index chosen = selector.select(other);
  other.image = sample(0, 100).image;
  CHECK(selector.select(other) == chosen);
}

TEST_CASE("what can not be is refused") {
  RidgeSelector selector;
  check_mentions(error_of([&] { selector.select({{1}, {1}}); }), "no task");
  check_mentions(error_of([&] { selector.add(1, {{1}, {1}}); }), "task 1", "task 0");
  selector.add(0, {{1, 2}, {1}});
  check_mentions(error_of([&] { selector.add(0, {{1, 2, 3}, {1}}); }), "2 and 3");
  check_mentions(error_of([&] { selector.restore({}); }), "offsets");
  auto state = learned({0, 1}).state();
  state.at("sums").cols = 3;
  check_mentions(error_of([&] { selector.restore(state); }), "sums");
  state = learned({0, 1}).state();
  state.at("offsets").values[0] = 2;
  check_mentions(error_of([&] { selector.restore(state); }), "offsets");
}

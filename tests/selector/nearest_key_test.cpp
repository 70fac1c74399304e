#include "branchlora/selector/nearest_key.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("keys are the sums of unit embeddings, so each sample counts alike") {
  NearestKeySelector selector;
  selector.add(0, {{3, 4}, {0, 5}});
  selector.add(0, {{80, -60}, {2, 0}});
  selector.add(1, {{0, 0}, {1, 1}});
  REQUIRE(selector.tasks() == 2);
  const Embedding& key = selector.keys()[0];
  CHECK(key.image[0] == doctest::Approx(0.6 + 0.8));
  CHECK(key.image[1] == doctest::Approx(0.8 - 0.6));
  CHECK(key.text == std::vector<double>{1, 1});
  CHECK(selector.keys()[1].image == std::vector<double>{0, 0});  // zero has no direction
  CHECK(selector.keys()[1].text[0] == doctest::Approx(std::sqrt(0.5)));
}

TEST_CASE("a sample goes to the largest sum of both cosines") {
  NearestKeySelector selector;
  selector.add(0, {{1, 0}, {1, 0}});
  selector.add(1, {{0, 1}, {1, 1}});
  // Cosines with task 0: 0.8 + 0.6 = 1.4; with task 1: 0.6 + 1.4 / sqrt 2 = 1.59.
  CHECK(selector.select({{4, 3}, {3, 4}}) == 1);
  // 0.8 + 1 = 1.8 against 0.6 + 1 / sqrt 2 = 1.31: the picture alone would not tell more than 0.2.
  CHECK(selector.select({{4, 3}, {7, 0}}) == 0);
  // The image is for task 1 (1 against 0), the text for task 0 by less (1 against 0.71).
  CHECK(selector.select({{0, 2}, {1, 0}}) == 1);
}

TEST_CASE("of equals the earlier task, and lengths do not count") {
  NearestKeySelector selector;
  selector.add(0, {{1, 0}, {0, 1}});
  selector.add(1, {{5, 0}, {0, 9}});
  selector.add(1, {{5, 0}, {0, 9}});
  CHECK(selector.select({{1, 1}, {1, 1}}) == 0);
}

TEST_CASE("a sample without a picture is told by its text alone") {
  NearestKeySelector selector;
  selector.add(0, {{1, 0}, {1, 0}});
  selector.add(1, {{}, {0, 1}});
  CHECK(selector.select({{}, {0.1, 1}}) == 1);
  CHECK(selector.select({{1, 0}, {0.1, 1}}) == 0);  // 1 + 0.1 against 0 + 1
}

TEST_CASE("what can not be is refused") {
  NearestKeySelector selector;
  check_mentions(error_of([&] { selector.select({{1}, {1}}); }), "no task");
  check_mentions(error_of([&] { selector.add(1, {{1}, {1}}); }), "task 1", "task 0");
  selector.add(0, {{1, 2}, {1}});
  check_mentions(error_of([&] { selector.add(0, {{1, 2, 3}, {1}}); }), "2 and 3");
}

TEST_CASE("it may read one part alone") {
  const Embedding sample{{4, 3}, {3, 4}};
  for (const auto& [reads, task] : {std::pair(Reads::picture, 0), std::pair(Reads::text, 1)}) {
    NearestKeySelector selector(reads);
    selector.add(0, {{1, 0}, {1, 0}});
    selector.add(1, {{0, 1}, {1, 1}});
    CHECK(selector.select(sample) == task);
  }
}

TEST_CASE("its state comes back, and it goes on from there") {
  NearestKeySelector first;
  first.add(0, {{3, 4}, {0.1, 5}});
  first.add(1, {{}, {1, 1}});
  NearestKeySelector second;
  second.restore(first.state());
  CHECK(second.state() == first.state());
  for (auto* s : {&first, &second}) {
    s->add(1, {{7, 1}, {0.3, 1}});
    s->add(2, {{1, 7}, {3, 1}});
  }
  CHECK(second.state() == first.state());
  CHECK(first.bytes() == 3 * 4 * 8);
  check_mentions(error_of([&] { second.restore({}); }), "image");
}

TEST_CASE("most of a task's samples say to which it is nearest, and of equals the earlier") {
  NearestKeySelector selector;
  selector.add(0, {{}, {1, 0}});
  selector.add(1, {{}, {0, 1}});
  selector.end_task();
  const Embedding first{{}, {3, 1}}, second{{}, {1, 2}};
  CHECK(most_selected(selector, std::vector{first, second, second}) == 1);
  CHECK(most_selected(selector, std::vector{second, first, first}) == 0);
  CHECK(most_selected(selector, std::vector{second, first}) == 0);
  CHECK_THROWS_AS(most_selected(selector, {}), Error);
}

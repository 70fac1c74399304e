#include "branchlora/generator/layout.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::generator;
using branchlora::test::check_mentions;
using branchlora::test::error_of;

TEST_CASE("mean and deviation by hand") {
  const std::vector<float> values{1, 3, 5, 7};
  const auto s = Statistics::of(std::span<const float>(values));
  CHECK(s.mean == 4);
  CHECK(s.deviation == doctest::Approx(std::sqrt(5.0)).epsilon(1e-15));  // (9 + 1 + 1 + 9) / 4
}

TEST_CASE("a layout orders tensors by name") {
  const Layout layout = Layout::of({{"b", {2, 1}, {5, 6}}, {"a", {1, 3}, {1, 2, 3}}});
  REQUIRE(layout.entries().size() == 2);
  CHECK(layout.entries()[0] == Layout::Entry{"a", {1, 3}, 0, 3});
  CHECK(layout.entries()[1] == Layout::Entry{"b", {2, 1}, 3, 2});
  CHECK(layout.size() == 5);
}

TEST_CASE("a layout refuses adapters that are none") {
  check_mentions(error_of([] { Layout::of({}); }), "tensors", "none");
  check_mentions(error_of([] { Layout::of({{"a", {2, 3}, {1, 2, 3}}}); }), "'a'", "[2, 3]", "3");
  check_mentions(error_of([] { Layout::of({{"a", {0, 3}, {}}}); }), "'a'", "[0, 3]", "0");
  check_mentions(error_of([] { Layout::of({{"a", {1}, {1}}, {"a", {1}, {1}}}); }), "'a'", "twice");
}

TEST_CASE("denormalise by hand") {
  const Layout layout = Layout::of({{"a", {1, 2}, {0, 0}}, {"b", {1, 3}, {0, 0, 0}}});
  const std::vector<double> flat{1, 3, -1, 0, 4};
  const std::vector<Statistics> statistics{{10, 2}, {-1, 0.5}};
  const auto restore = [&](Denormalise how) {
    return denormalise(layout, std::span<const double>(flat),
                       std::span<const Statistics>(statistics), how);
  };
  CHECK(restore(Denormalise::applied) ==
        Weights{{"a", {1, 2}, {12, 16}}, {"b", {1, 3}, {-1.5F, -1, 1}}});
  // "a" has mean 2 and deviation 1; "b" mean 1 and deviation sqrt(14 / 3).
  const Weights matched = restore(Denormalise::matched);
  CHECK(matched[0] == NamedTensor{"a", {1, 2}, {8, 12}});
  const double unit = 0.5 / std::sqrt(14.0 / 3.0);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(matched[1].values[i] == doctest::Approx(-1 + (flat[2 + i] - 1) * unit).epsilon(1e-7));
  }
}

TEST_CASE("a constant tensor stays constant") {
  const Layout layout = Layout::of({{"a", {1, 3}, {0, 0, 0}}});
  const std::vector<float> flat{7, 7, 7};
  const std::vector<Statistics> statistics{{0.25, 3}};
  CHECK(denormalise(layout, std::span<const float>(flat), std::span<const Statistics>(statistics),
                    Denormalise::matched)[0]
            .values == std::vector<float>{0.25F, 0.25F, 0.25F});
}

TEST_CASE("denormalise refuses vectors of another layout") {
  const Layout layout = Layout::of({{"a", {1, 3}, {0, 0, 0}}});
  const std::vector<float> flat{1, 2};
  const std::vector<Statistics> statistics{{0, 1}};
  check_mentions(error_of([&] {
                   denormalise(layout, std::span<const float>(flat),
                               std::span<const Statistics>(statistics), Denormalise::applied);
                 }),
                 "3 values", "1 tensors", "2 and 1");
}

TEST_CASE("relative error by hand") {
  const Weights a{{"x", {1, 2}, {3, 4}}, {"y", {1, 1}, {0}}};
  const Weights b{{"y", {1, 1}, {0}}, {"x", {1, 2}, {0, 5}}};
  CHECK(relative_error(a, b) == doctest::Approx(std::sqrt(10.0) / 5).epsilon(1e-15));
  CHECK(relative_error(b, b) == 0);
  check_mentions(error_of([&] { relative_error(a, {{"x", {1, 2}, {3, 4}}}); }), "one layout");
}

#include "branchlora/report/statistics.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace branchlora::report;

TEST_CASE("mean and sample standard deviation") {
  // Squares of deviations from 5: 9 1 1 1 0 0 4 16, sum 32; 32 / 7.
  const std::vector<double> values{2, 4, 4, 4, 5, 5, 7, 9};
  const Statistic s = summarize(values);
  CHECK(s.count == 8);
  CHECK(s.mean == doctest::Approx(5).epsilon(1e-14));
  CHECK(s.sd == doctest::Approx(std::sqrt(32.0 / 7)).epsilon(1e-14));

  CHECK(std::isnan(summarize({}).mean));
  CHECK(std::isnan(summarize(std::vector<double>{3}).sd));
  CHECK(summarize(std::vector<double>{3}).mean == 3);
}

TEST_CASE("a seed without a value makes the statistic missing") {
  CHECK(format_statistic(summarize(std::vector<double>{1, NAN, 3})) == "–");
}

TEST_CASE("statistics as text and as LaTeX") {
  const Statistic several{.mean = 12.34, .sd = 0.44, .count = 3};
  CHECK(format_statistic(several) == "12.3 ± 0.4");
  CHECK(format_statistic(several, 2) == "12.34 ± 0.44");

  const Statistic one{.mean = -20.98, .count = 1};
  CHECK(format_statistic(one) == "-21.0");

  CHECK(format_statistic({}) == "–");
  CHECK(format_number(-0.04) == "0.0");
  CHECK(format_number(-0.06) == "-0.1");
}

TEST_CASE("counts of parameters") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(213504) == "213,504");
  CHECK(format_count(-213504) == "-213,504");
  CHECK(format_count(9'100'000) == "9.10 M");
  CHECK(format_count(349'900'000) == "349.9 M");
}

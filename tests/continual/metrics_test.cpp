#include "branchlora/continual/metrics.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "branchlora/core/error.hpp"

using branchlora::Error;
using branchlora::continual::AccuracyMatrix;
namespace continual = branchlora::continual;

namespace {

/// Rows of any length; the rest of the matrix is not measured.
AccuracyMatrix matrix(const std::vector<std::vector<double>>& rows) {
  AccuracyMatrix r = continual::empty_accuracy_matrix(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < rows[i].size(); ++j) r(i, j) = rows[i][j];
  return r;
}

/// Only the diagonal and the last row, which is what papers print.
AccuracyMatrix just_trained_and_final(const std::vector<double>& just,
                                      const std::vector<double>& final_scores) {
  AccuracyMatrix r = continual::empty_accuracy_matrix(just.size());
  for (std::size_t j = 0; j < just.size(); ++j) {
    r(j, j) = just[j];
    r(just.size() - 1, j) = final_scores[j];
  }
  return r;
}

doctest::Approx exactly(double value) { return doctest::Approx(value).epsilon(1e-12); }

}  // namespace

TEST_CASE("LoRA's and MoELoRA's published rows on CoIN come out to the last printed digit") {
  // Printed values have two decimals, so the means agree to half a unit of the last.
  const double half = 0.005 + 1e-9;
  const AccuracyMatrix lora =
      just_trained_and_final({82.45, 49.99, 96.05, 56.40, 55.45, 31.27, 62.20, 57.08},
                             {21.26, 28.74, 10.25, 36.78, 32.45, 0.83, 42.50, 57.08});
  CHECK(std::abs(continual::acc(lora) - 28.74) <= half);
  CHECK(std::abs(continual::bwt(lora) - -32.62) <= half);
  CHECK(continual::just_trained(lora) == exactly(490.89 / 8));

  const AccuracyMatrix moe =
      just_trained_and_final({75.78, 51.73, 96.70, 59.42, 58.88, 37.50, 64.22, 60.08},
                             {63.09, 38.63, 10.50, 37.38, 43.62, 0.59, 43.15, 60.08});
  CHECK(std::abs(continual::acc(moe) - 37.13) <= half);
  CHECK(std::abs(continual::bwt(moe) - -25.91) <= half);

  // Division by T-1, as GEM has it, does not reproduce them.
  CHECK(std::abs(continual::bwt_gem(lora) - -32.62) > 4);
  CHECK(continual::bwt_gem(lora) == exactly((229.89 - 490.89) / 7));
}

TEST_CASE("forgetting leaves the last stage out of the maximum") {
  const AccuracyMatrix recovers = matrix({{90}, {70, 80}, {95, 60, 85}});
  CHECK(continual::forgetting(recovers) == exactly((90 - 95 + 80 - 60) / 2.0));  // 7.5, not 10
  CHECK(continual::bwt_gem(recovers) == exactly(-7.5));

  const AccuracyMatrix peaks_later = matrix({{90}, {95, 80}, {90, 60, 85}});
  CHECK(continual::forgetting(peaks_later) == exactly(12.5));
  CHECK(continual::bwt_gem(peaks_later) == exactly(-10));

  SUBCASE("stages before a task's own count where they were measured") {
    AccuracyMatrix r = peaks_later;
    r(0, 1) = 84;
    CHECK(continual::forgetting(r) == exactly((95 - 90 + 84 - 60) / 2.0));
  }
  SUBCASE("a stage missing after a task's own makes it unknown") {
    AccuracyMatrix r = peaks_later;
    r(1, 0) = continual::not_measured;
    CHECK(std::isnan(continual::forgetting(r)));
  }
}

TEST_CASE("every metric of a full matrix by hand") {
  const AccuracyMatrix r = matrix({{60, 10, 5}, {40, 70, 8}, {30, 50, 80}});
  const std::vector<double> b{2, 4, 6};
  CHECK(continual::acc(r) == exactly(160.0 / 3));
  CHECK(continual::maa(r) == exactly((60 + 55 + 160.0 / 3) / 3));
  CHECK(continual::bwt(r) == exactly((-30 - 20 + 0) / 3.0));
  CHECK(continual::bwt_gem(r) == exactly(-25));
  CHECK(continual::forgetting(r) == exactly(25));
  CHECK(continual::forward_transfer(r, b) == exactly(((10 - 4) + (8 - 6)) / 2.0));
  CHECK(continual::just_trained(r) == exactly(70));
}

TEST_CASE("what was not measured stays unknown, never zero") {
  AccuracyMatrix joint = continual::empty_accuracy_matrix(2);
  joint(1, 0) = 50;
  joint(1, 1) = 70;
  CHECK(continual::acc(joint) == exactly(60));
  CHECK(std::isnan(continual::maa(joint)));
  CHECK(std::isnan(continual::bwt(joint)));
  CHECK(std::isnan(continual::forgetting(joint)));
  CHECK(std::isnan(continual::just_trained(joint)));
  CHECK(std::isnan(continual::forward_transfer(joint, std::vector<double>{1, 2})));
  CHECK(std::isnan(continual::forward_transfer(matrix({{1, 2}, {3, 4}}), {})));
}

TEST_CASE("the gap is what the true task adds to ACC") {
  const AccuracyMatrix found = matrix({{60, 0}, {30, 50}});
  const AccuracyMatrix given = matrix({{60, 0}, {40, 46}});
  CHECK(continual::selector_gap(found, given) == exactly(3));
  CHECK(continual::selector_gap(given, given) == 0);
  CHECK(std::isnan(continual::selector_gap(continual::empty_accuracy_matrix(2), given)));
}

TEST_CASE("one task: nothing to forget and nothing to average over T-1") {
  const AccuracyMatrix r = matrix({{42}});
  CHECK(continual::acc(r) == 42);
  CHECK(continual::maa(r) == 42);
  CHECK(continual::bwt(r) == 0);
  CHECK(std::isnan(continual::bwt_gem(r)));
  CHECK(std::isnan(continual::forgetting(r)));
  CHECK(std::isnan(continual::forward_transfer(r, std::vector<double>{1})));
}

TEST_CASE("shapes that are no accuracy matrix are refused") {
  CHECK_THROWS_WITH_AS(continual::acc(AccuracyMatrix(2, 3, 0.0)),
                       "accuracy matrix: expected T x T with T >= 1, found 2 x 3", Error);
  CHECK_THROWS_AS(continual::maa(continual::empty_accuracy_matrix(0)), Error);
  CHECK_THROWS_WITH_AS(
      continual::forward_transfer(matrix({{1, 2}, {3, 4}}), std::vector<double>{1}),
      "forward transfer: expected 2 zero-shot scores, found 1", Error);
}

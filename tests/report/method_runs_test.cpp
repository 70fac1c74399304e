#include "branchlora/report/method_runs.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "runs.hpp"

using namespace branchlora::report;
using branchlora::Error;
using test::make_joint_run;
using test::make_run;

TEST_CASE("methods keep the order of first appearance, seeds average") {
  const std::vector<RunResult> runs{make_run("B", 0), make_run("A", 0, 1), make_run("B", 1, 4)};
  const std::vector<MethodRuns> groups = group_by_method(runs);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].method == "B");
  CHECK(groups[1].method == "A");
  REQUIRE(groups[0].runs.size() == 2);
  CHECK(groups[0].mean_matrix()(2, 1) == 52);  // 50 and 54
  CHECK(groups[1].mean_matrix()(0, 0) == 61);
  CHECK(groups[0].mean_zero_shot() == std::vector<double>{2, 4, 6});
  const Statistic step = groups[0].over_seeds([](const RunResult& run) { return run.step_ms; });
  CHECK(step.mean == 7.25);
  CHECK(step.sd == doctest::Approx(std::sqrt(8.0)).epsilon(1e-14));
  CHECK(describe_mean(groups) == "mean over 1 to 2 seeds");
}

TEST_CASE("a score that one seed lacks is missing from the mean") {
  std::vector<RunResult> runs{make_run("A", 0), make_run("A", 1)};
  runs[1].R(0, 2) = not_measured;
  runs[1].zero_shot.clear();
  const std::vector<MethodRuns> groups = group_by_method(runs);
  CHECK(std::isnan(groups[0].mean_matrix()(0, 2)));
  CHECK(groups[0].mean_matrix()(0, 1) == 10);
  CHECK(groups[0].mean_zero_shot().empty());
  CHECK(describe_mean(groups) == "mean over 2 seeds");
  CHECK(only_end_scored(make_joint_run().R));
  CHECK_FALSE(only_end_scored(runs[0].R));
}

TEST_CASE("runs that cannot share a table are refused") {
  CHECK_THROWS_WITH_AS(group_by_method({}), "report: expected at least one run, found none", Error);
  std::vector<RunResult> runs{make_run("A", 7), make_run("A", 7)};
  CHECK_THROWS_WITH_AS(group_by_method(runs), "A, seed 7: expected one run a seed, found two",
                       Error);
  runs[1] = make_run("B", 8);
  std::swap(runs[1].tasks[0], runs[1].tasks[1]);
  CHECK_THROWS_WITH_AS(group_by_method(runs),
                       "B, seed 8: expected the tasks of A, seed 7, in their order, found others",
                       Error);
}

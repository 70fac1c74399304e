#include "branchlora/report/curves.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runs.hpp"
#include "xml.hpp"

using namespace branchlora::report;
using branchlora::Error;
using test::count;
using test::make_joint_run;
using test::make_run;

TEST_CASE("one panel a task: all stages of every method, levels for what was scored once") {
  const std::vector<RunResult> runs{make_run("A <1>", 0), make_run("B", 0, 4), make_joint_run()};
  const std::string svg = curves_by_task_svg(runs, "Title");
  CHECK(test::xml_error(svg) == "");
  for (const char* text : {">1 Letters<", ">2 Counting<", ">3 Boxes<", ">A &lt;1&gt;<", ">B<",
                           ">Joint<", ">Title</text>"}) {
    CAPTURE(text);
    CHECK(count(svg, text) == 1);
  }
  CHECK(count(svg, "<polyline") == 6);                     // 3 tasks, 2 methods
  CHECK(count(svg, "stroke-dasharray=\"3 3\"") == 3);      // the stage of each task
  CHECK(count(svg, "stroke-dasharray=\"1.5 2.5\"") == 4);  // a level a panel and the legend's
  CHECK(count(svg, ">tasks trained<") == 3);
  CHECK(count(svg, "nan") == 0);
}

TEST_CASE("points lie where their scores are") {
  // One method, one panel a task. The highest score is 80, so the axis ends at 80 and the first
  // panel's 60, 40, 30 lie a quarter, a half and five eighths of the way down from its top.
  std::vector<RunResult> runs{make_run("A", 0)};
  const std::string svg = curves_by_task_svg(runs);
  CHECK(count(svg, "points=\"72,125.5 170,163 268,181.75 \"") == 1);
  CHECK(count(svg, ">80<") == 3);
  CHECK(count(svg, ">100<") == 0);
}

TEST_CASE("a missing stage breaks the line instead of dropping it to zero") {
  std::vector<RunResult> runs{make_run("A", 0)};
  runs[0].R(1, 0) = not_measured;
  const std::string svg = curves_by_task_svg(runs);
  CHECK(test::xml_error(svg) == "");
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, "<circle") == 9);  // 8 scores and the legend
}

TEST_CASE("one panel a method: each task from its own stage") {
  const std::vector<RunResult> runs{make_run("A", 0), make_run("B", 0), make_joint_run()};
  const std::string svg = curves_by_method_svg(runs);
  CHECK(test::xml_error(svg) == "");
  CHECK(count(svg, ">A</text>") == 1);
  CHECK(count(svg, ">Joint</text>") == 0);
  CHECK(count(svg, "<polyline") == 4);  // the last task of each has one point only
  CHECK_FALSE(has_stages(std::vector{make_joint_run()}));
  CHECK_THROWS_WITH_AS(curves_by_method_svg(std::vector{make_joint_run()}),
                       "curves: expected a method scored after every task, found none", Error);
}

TEST_CASE("one task and scores of zero") {
  RunResult run = make_run("A", 0);
  run.tasks = {"Only"};
  run.R = branchlora::continual::empty_accuracy_matrix(1);
  run.R(0, 0) = 0;
  run.zero_shot.clear();
  run.stage_steps.clear();
  run.stage_seconds.clear();
  for (const std::string& svg :
       {curves_by_task_svg(std::vector{run}), curves_by_method_svg(std::vector{run})}) {
    CHECK(test::xml_error(svg) == "");
    CHECK(count(svg, "nan") == 0);
    CHECK(count(svg, "inf") == 0);
  }
}

#include "branchlora/report/heat_map.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runs.hpp"
#include "xml.hpp"

using namespace branchlora::report;
using test::count;
using test::make_joint_run;
using test::make_run;

TEST_CASE("every mean score is printed once in its cell") {
  std::vector<RunResult> runs{make_run("A & B", 0, 0.25), make_run("A & B", 1, 0.25)};
  runs[0].R(2, 2) = 81.5;  // mean with 80.25: 80.875
  const std::string svg = heat_map_svg(runs, "Title");
  CHECK(test::xml_error(svg) == "");
  CHECK(count(svg, ">A &amp; B</text>") == 1);
  for (const char* score : {">60.2<", ">10.2<", ">5.2<", ">40.2<", ">70.2<", ">8.2<", ">30.2<",
                            ">50.2<", ">80.9<", ">2.0<", ">4.0<", ">6.0<"}) {
    CAPTURE(score);
    CHECK(count(svg, score) == 1);
  }
  CHECK(count(svg, "stroke=\"#e69f00\"") == 3);  // a frame for each task just trained
  CHECK(count(svg, ">Counting</text>") == 2);    // a row and a column
  CHECK(count(svg, "mean over 2 seeds") == 1);
}

TEST_CASE("scores that were not measured are grey and empty") {
  std::vector<RunResult> runs{make_run("A", 0)};
  runs[0].zero_shot.clear();
  runs[0].R(0, 1) = runs[0].R(0, 2) = runs[0].R(1, 2) = not_measured;
  const std::string svg = heat_map_svg(runs);
  CHECK(count(svg, "fill=\"#f1f1f1\"") == 3);
  CHECK(count(svg, "untrained") == 0);
  CHECK(count(svg, "nan") == 0);
}

TEST_CASE("methods scored only at the end share a map") {
  const std::vector<RunResult> runs{make_run("A", 0), make_joint_run()};
  const std::string svg = heat_map_svg(runs);
  CHECK(test::xml_error(svg) == "");
  CHECK(count(svg, ">Scored at the end</text>") == 1);
  CHECK(count(svg, ">Joint</text>") == 1);
  for (const char* score : {">85.0<", ">86.0<", ">87.0<"}) CHECK(count(svg, score) == 1);
  CHECK(count(svg, "fill=\"#f1f1f1\"") == 0);

  const std::string alone = heat_map_svg(std::vector{make_joint_run()});
  CHECK(test::xml_error(alone) == "");
  CHECK(count(alone, ">86.0<") == 1);
}

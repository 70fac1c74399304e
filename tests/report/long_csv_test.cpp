#include "branchlora/report/long_csv.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "runs.hpp"

using namespace branchlora::report;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("a line a value, with the steps done by then") {
  RunResult run = test::make_run("Branch, \"given\"", 5);
  run.R(0, 2) = not_measured;
  const std::vector<std::string> lines = lines_of(to_long_csv(std::vector{run}));
  const auto has = [&](const char* line) { return std::ranges::count(lines, line) == 1; };
  CHECK(lines.front() == "seed,method,trained_task,eval_task,step,metric,value");
  CHECK(has("5,\"Branch, \"\"given\"\"\",,Counting,0,score,4"));  // untrained
  CHECK(has("5,\"Branch, \"\"given\"\"\",Letters,Counting,300,score,10"));
  CHECK(has("5,\"Branch, \"\"given\"\"\",Boxes,Letters,900,score,30"));
  CHECK(has("5,\"Branch, \"\"given\"\"\",Boxes,,900,stage_seconds,4.5"));
  CHECK(has("5,\"Branch, \"\"given\"\"\",Boxes,,900,acc,53.333333333333336"));
  CHECK(has("5,\"Branch, \"\"given\"\"\",Boxes,,900,trainable_parameters,1234"));
  // 3 untrained scores, 8 of the 9 scores, 3 stages, 13 totals: R[0][2] enters none of those.
  CHECK(lines.size() == 1 + 3 + 8 + 3 + 13);
  CHECK_FALSE(has("5,\"Branch, \"\"given\"\"\",Letters,Boxes,300,score,0"));
}

TEST_CASE("what was not measured has no line") {
  RunResult run = test::make_joint_run();
  run.stage_steps.clear();
  run.stage_seconds.clear();
  run.zero_shot.clear();
  run.step_ms = not_measured;
  const std::string csv = to_long_csv(std::vector{run});
  CHECK(csv ==
        "seed,method,trained_task,eval_task,step,metric,value\n"
        "0,Joint,Boxes,Letters,,score,85\n"
        "0,Joint,Boxes,Counting,,score,86\n"
        "0,Joint,Boxes,Boxes,,score,87\n"
        "0,Joint,Boxes,,,acc,86\n"
        "0,Joint,Boxes,,,train_seconds,12.5\n"
        "0,Joint,Boxes,,,trainable_parameters,1234\n"
        "0,Joint,Boxes,,,router_parameters,34\n");
}

#include "branchlora/report/comparison.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "branchlora/continual/metrics.hpp"
#include "runs.hpp"

using namespace branchlora::report;
using test::make_joint_run;
using test::make_run;

namespace {

std::string cell(const Table& table, std::size_t row, const std::string& title) {
  const auto column = std::ranges::find(table.columns, title, &Table::Column::title);
  REQUIRE_MESSAGE(column != table.columns.end(), title);
  return table.rows.at(row).at(static_cast<std::size_t>(column - table.columns.begin()));
}

std::string note(const Table& table, const std::string& label) {
  const auto found = std::ranges::find(table.notes, label, &Table::Note::label);
  return found == table.notes.end() ? "none" : found->text;
}

}  // namespace

TEST_CASE("a row a method, mean and deviation over seeds, missing values as a dash") {
  std::vector<RunResult> runs{make_joint_run(0), make_run("Branch", 0), make_run("Branch", 1, 2)};
  const Table table = comparison_table(runs, {.title = "Study"});
  REQUIRE(table.rows.size() == 2);
  CHECK(cell(table, 0, "Method") == "Joint");
  CHECK(cell(table, 1, "Method") == "Branch");
  CHECK(cell(table, 1, "Trainable") == "1,234");
  CHECK(cell(table, 1, "Router") == "34");
  // Seeds 0 and 1 differ by 2 in every score: sd sqrt(2); metrics of differences do not vary.
  CHECK(cell(table, 1, "ACC ↑") == "54.3 ± 1.4");  // 160/3 and two more
  CHECK(cell(table, 1, "MAA ↑") == "57.1 ± 1.4");  // (60 + 55 + 160/3)/3 = 56.11 and two more
  CHECK(cell(table, 1, "BWT ↑") == "-16.7 ± 0.0");
  CHECK(cell(table, 1, "Forgetting ↓") == "25.0 ± 0.0");
  CHECK(cell(table, 1, "FWT ↑") == "5.0 ± 1.4");  // 4 and 6
  CHECK(cell(table, 1, "Step (ms)") == "6.2 ± 1.4");
  CHECK(cell(table, 1, "Selector (%) ↑") == "91.0 ± 1.4");
  CHECK(cell(table, 1, "Gap ↓") == "1.5 ± 0.7");  // 2 and 1
  CHECK(cell(table, 0, "ACC ↑") == "86.0");
  for (const char* title : {"MAA ↑", "BWT ↑", "Forgetting ↓", "FWT ↑", "Selector (%) ↑", "Gap ↓"}) {
    CAPTURE(title);
    CHECK(cell(table, 0, title) == "–");
  }

  SUBCASE("each metric is defined under the table") {
    using namespace branchlora::continual::definition;
    for (const auto& definition :
         {acc, maa, bwt, forgetting, forward_transfer, selector_gap, matrix})
      CHECK(note(table, std::string(definition.name)) == definition.text);
  }
  SUBCASE("all three forms hold the numbers") {
    CHECK(to_terminal(table).find("54.3 ± 1.4") != std::string::npos);
    CHECK(to_markdown(table).find("| 54.3 ± 1.4 |") != std::string::npos);
    CHECK(to_latex(table).find("& 54.3 $\\pm$ 1.4 &") != std::string::npos);
    CHECK(to_latex(table).find("& $-$16.7 $\\pm$ 0.0 &") != std::string::npos);
  }
  SUBCASE("the protocol names what differs") {
    runs[0].protocol = "Class-IL";
    CHECK(note(comparison_table(runs), "Protocol") ==
          "Class-IL (Branch: Domain-IL); T = 3 tasks in the order Letters → Counting → Boxes; "
          "training steps a task: 900 in all (Branch: 300); seeds: 0 (Branch: 0, 1); "
          "mean ± sample standard deviation over seeds");
  }
}

TEST_CASE("a column that no method has is left out, with its definition") {
  std::vector<RunResult> runs{make_run("A", 3)};
  runs[0].zero_shot.clear();
  runs[0].selector_accuracy.reset();
  runs[0].selector_gap.reset();
  const Table table = comparison_table(runs, {.decimals = 2});
  for (const Table::Column& column : table.columns) {
    CHECK(column.title != "FWT ↑");
    CHECK(column.title != "Selector (%) ↑");
    CHECK(column.title != "Gap ↓");
  }
  CHECK(note(table, "FWT") == "none");
  CHECK(cell(table, 0, "ACC ↑") == "53.33");
  CHECK(note(table, "Protocol") ==
        "Domain-IL; T = 3 tasks in the order Letters → Counting → Boxes; training steps a task: "
        "300; seed: 3");
}

TEST_CASE("parameters that differ between seeds show their range") {
  std::vector<RunResult> runs{make_run("A", 0), make_run("A", 1)};
  runs[1].trainable = 2000;
  CHECK(cell(comparison_table(runs), 0, "Trainable") == "1,234–2,000");
}

TEST_CASE("each task just trained and at the end") {
  const std::vector<RunResult> runs{make_run("A", 0), make_run("A", 1, 2), make_joint_run()};
  const Table table = per_task_table(runs);
  CHECK(table.rows[0] == std::vector<std::string>{"A", "61.0 → 31.0", "71.0 → 51.0", "81.0"});
  CHECK(table.rows[1] == std::vector<std::string>{"Joint", "85.0", "86.0", "87.0"});
  CHECK(note(table, "Cells").starts_with("R[j][j] → R[T-1][j]"));
}

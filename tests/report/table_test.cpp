#include "branchlora/report/table.hpp"

#include <doctest/doctest.h>

#include "branchlora/core/error.hpp"

using namespace branchlora::report;
using branchlora::Error;

namespace {

Table make_table() {
  Table table{.title = "A & B", .columns = {{"Method", false}, {"BWT ↑"}}, .rows = {}, .notes = {}};
  table.add_row({"x_1", "-2.0 ± 0.5"});
  table.add_row({"a|b", "–"});
  table.notes = {{"BWT", "sum_j < 0", "$\\sum_j < 0$"}, {"Other", "50 %"}};
  return table;
}

}  // namespace

TEST_CASE("terminal") {
  std::string rule;
  for (int i = 0; i < 60; ++i) rule += "─";
  CHECK(to_terminal(make_table()) == "A & B\n" + rule +
                                         "\n"
                                         "Method       BWT ↑\n" +
                                         rule +
                                         "\n"
                                         "x_1     -2.0 ± 0.5\n"
                                         "a|b              –\n" +
                                         rule +
                                         "\n"
                                         "BWT: sum_j < 0\n"
                                         "Other: 50 %\n");
}

TEST_CASE("Markdown") {
  CHECK(to_markdown(make_table()) ==
        "**A & B**\n\n"
        "| Method | BWT ↑ |\n"
        "|:---|---:|\n"
        "| x_1 | -2.0 ± 0.5 |\n"
        "| a\\|b | – |\n"
        "\n"
        "- BWT: sum_j &lt; 0\n"
        "- Other: 50 %\n");
}

TEST_CASE("LaTeX") {
  CHECK(to_latex(make_table()) ==
        "% \\usepackage{booktabs}\n"
        "\\begin{table}\n\\centering\n\\caption{A \\& B}\n"
        "\\begin{tabular}{@{}lr@{}}\n"
        "\\toprule\n"
        "Method & BWT $\\uparrow$ \\\\\n"
        "\\midrule\n"
        "x\\_1 & $-$2.0 $\\pm$ 0.5 \\\\\n"
        "a|b & -- \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\par\\medskip\n"
        "\\begin{minipage}{\\linewidth}\\footnotesize\n"
        "BWT: $\\sum_j < 0$.\\\\\n"
        "Other: 50 \\%.\n"
        "\\end{minipage}\n"
        "\\end{table}\n");
}

TEST_CASE("a row of the wrong length is refused") {
  Table table = make_table();
  CHECK_THROWS_WITH_AS(table.add_row({"alone"}),
                       "table \"A & B\": expected a row of 2 cells, found 1", Error);
}

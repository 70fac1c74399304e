#include "branchlora/report/report.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "branchlora/io/atomic_file.hpp"
#include "runs.hpp"
#include "xml.hpp"

using namespace branchlora::report;
using branchlora::Error;

TEST_CASE("a study leaves its tables, values and pictures, and nothing else") {
  const auto folder = std::filesystem::temp_directory_path() / "branchlora_report_test";
  std::filesystem::remove_all(folder);
  const std::vector<RunResult> runs{test::make_run("A", 0), test::make_run("A", 1, 2),
                                    test::make_joint_run()};
  write_report(folder / "study", runs, {.title = "The study"});
  const auto content = [&](const char* name) { return branchlora::io::read_file(folder / name); };
  CHECK(content("study.md").find("**The study**") == 0);
  CHECK(content("study.md").find("31.0") != std::string::npos);
  CHECK(content("study.tex").find("\\caption{The study}") != std::string::npos);
  CHECK(content("study.csv") == to_long_csv(runs));
  for (const char* name : {"study-matrix.svg", "study-tasks.svg", "study-methods.svg"})
    CHECK(test::xml_error(content(name)) == "");
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++files;
  CHECK(files == 6);
  std::filesystem::remove_all(folder);

  CHECK_THROWS_AS(write_report(folder / "study", {}), Error);
  CHECK_FALSE(std::filesystem::exists(folder));
}

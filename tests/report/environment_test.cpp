#include "branchlora/report/environment.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

using namespace branchlora::report;

TEST_CASE("dates are UTC") {
  using std::chrono::seconds;
  using std::chrono::system_clock;
  CHECK(format_date(system_clock::time_point(seconds(0))) == "1970-01-01T00:00:00Z");
  CHECK(format_date(system_clock::time_point(seconds(951'827'696))) == "2000-02-29T12:34:56Z");
}

TEST_CASE("the processor's name is the first of its file") {
  const auto path = std::filesystem::temp_directory_path() / "branchlora_cpuinfo_test";
  std::ofstream(path) << "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Other\n";
  CHECK(detail::first_value(path, "model name") == "Some CPU @ 2 GHz");
  CHECK(detail::first_value(path, "flags") == "unknown");
  std::filesystem::remove(path);
  CHECK(detail::first_value(path, "model name") == "unknown");
}

TEST_CASE("this process") {
  const Environment e = current_environment(2);
  CHECK(e.threads == 2);
  CHECK(e.compiler != "unknown");
  CHECK_FALSE(e.cpu.empty());
  CHECK(e.date.size() == 20);
}

#include "branchlora/report/run_record.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "runs.hpp"

using namespace branchlora::report;
using branchlora::Error;

namespace {

RunRecord make_record() {
  RunResult run = test::make_run("BranchLoRA", std::numeric_limits<std::uint64_t>::max());
  run.R(0, 1) = not_measured;
  run.R(1, 1) = 100.0 / 3;  // needs all its digits
  run.train_seconds = not_measured;
  run.config = nlohmann::json{{"learning_rate", 0.001}, {"policies", {"rank 8", "top-2"}}};
  return {run, {"0.1.0", "g++ 12", "-O3", "Some \"CPU\"", 2, "2000-02-29T12:34:56Z"}};
}

nlohmann::json valid_json() { return nlohmann::json::parse(to_json(make_record()).dump()); }

/// The message with which `json` is refused.
std::string refusal(const nlohmann::json& json) {
  try {
    from_json(json, "run.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a record survives its file, bit for bit") {
  const auto path = std::filesystem::temp_directory_path() / "branchlora_run_record_test.json";
  const RunRecord written = make_record();
  write_run(path, written);
  const RunRecord read = read_run(path);
  std::filesystem::remove(path);

  const RunResult& a = written.result;
  const RunResult& b = read.result;
  CHECK(a.method == b.method);
  CHECK(a.seed == b.seed);
  CHECK(a.protocol == b.protocol);
  CHECK(a.trainable == b.trainable);
  CHECK(a.router == b.router);
  CHECK(a.step_ms == b.step_ms);
  CHECK(std::isnan(b.train_seconds));
  CHECK(a.zero_shot == b.zero_shot);
  CHECK(a.selector_accuracy == b.selector_accuracy);
  CHECK(a.selector_gap == b.selector_gap);
  CHECK(a.tasks == b.tasks);
  CHECK(a.stage_steps == b.stage_steps);
  CHECK(a.stage_seconds == b.stage_seconds);
  CHECK(a.config == b.config);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      CAPTURE(i);
      CAPTURE(j);
      CHECK((a.R(i, j) == b.R(i, j) || (std::isnan(a.R(i, j)) && std::isnan(b.R(i, j)))));
    }
  }
  CHECK(written.environment == read.environment);
}

TEST_CASE("no selector, no zero-shot scores, no stages") {
  RunRecord record = make_record();
  record.result.selector_accuracy.reset();
  record.result.selector_gap.reset();
  record.result.zero_shot.clear();
  record.result.stage_steps.clear();
  record.result.stage_seconds.clear();
  const RunRecord read = from_json(nlohmann::json::parse(to_json(record).dump()), "run.json");
  CHECK_FALSE(read.result.selector_accuracy.has_value());
  CHECK_FALSE(read.result.selector_gap.has_value());
  CHECK(read.result.zero_shot.empty());
  CHECK(read.result.stage_steps.empty());
}

TEST_CASE("a record from before there was a gap is read, and has none") {
  nlohmann::json json = valid_json();
  json.erase("selector_gap");
  const RunRecord read = from_json(json, "run.json");
  CHECK_FALSE(read.result.selector_gap.has_value());
  CHECK(read.result.selector_accuracy == 90);
}

TEST_CASE("what is no record is refused by name") {
  REQUIRE(refusal(valid_json()) == "accepted");
  const auto with = [](const char* key, const nlohmann::json& value) {
    nlohmann::json json = valid_json();
    json[key] = value;
    return refusal(json);
  };
  CHECK(with("surprise", 1) == "run.json: found an unknown field \"surprise\"");
  CHECK(with("seed", -1) == "run.json: seed: expected a whole number from 0, found -1");
  CHECK(with("seed", 1.5) == "run.json: seed: expected a whole number from 0, found 1.5");
  CHECK(with("method", 3) == "run.json: method: expected a string, found 3");
  CHECK(with("method", "") == "run.json: expected the name of a method, found none");
  CHECK(with("step_ms", "fast") == "run.json: step_ms: expected a number or null, found \"fast\"");
  CHECK(with("zero_shot", {1, 2}) == "run.json: zero_shot: expected 3 values, one a task, found 2");
  CHECK(with("stage_steps", {1, 2, -3}) ==
        "run.json: stage_steps[2]: expected a whole number from 0, found -3");
  CHECK(with("R", nlohmann::json::array({{1, 2, 3}, {1, 2}, {1, 2, 3}})) ==
        "run.json: R[1]: expected 3 scores, found 2");
  CHECK(with("R", nlohmann::json::array()) == "run.json: R: expected 3 rows, one a task, found 0");
  CHECK(with("R", {{1, 2, 3}, {1, "x", 3}, {1, 2, 3}}) ==
        "run.json: R[1][1]: expected a number or null, found \"x\"");
  CHECK(with("tasks", nlohmann::json::array()).starts_with("run.json: "));
  CHECK(with("format", "other") ==
        "run.json: format: expected \"branchlora run 1\", found \"other\"");
  CHECK(with("environment", 5) == "run.json: environment: expected an object, found number");

  nlohmann::json json = valid_json();
  json.erase("router_parameters");
  CHECK(refusal(json) == "run.json: expected a field \"router_parameters\", found none");
  json = valid_json();
  json["environment"].erase("cpu");
  CHECK(refusal(json) == "run.json: environment: expected a field \"cpu\", found none");
  CHECK(refusal(nlohmann::json::array()) == "run.json: expected an object, found array");
}

TEST_CASE("a record that contradicts itself is not written") {
  RunRecord record = make_record();
  record.result.stage_seconds.pop_back();
  const auto path = std::filesystem::temp_directory_path() / "branchlora_bad_record_test.json";
  CHECK_THROWS_WITH_AS(write_run(path, record),
                       "run record: stage_seconds: expected 3 values, one a task, found 2", Error);
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("files that are missing or cut off name themselves") {
  const auto path = std::filesystem::temp_directory_path() / "branchlora_cut_record_test.json";
  CHECK_THROWS_AS(read_run(path), Error);
  std::ofstream(path) << to_json(make_record()).dump().substr(0, 100);
  std::string message;
  try {
    read_run(path);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find(path.string()) != std::string::npos);
  std::filesystem::remove(path);
}

/// @file
/// The bodies of `run_record.hpp`.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/report/run_record.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE void validate(const RunResult& run, std::string_view where) {
  const std::size_t tasks = run.tasks.size();
  expect(!run.method.empty(), "{}: expected the name of a method, found none", where);
  expect(tasks > 0, "{}: expected at least one task, found none", where);
  expect(run.R.shape(0) == tasks && run.R.shape(1) == tasks,
         "{}: R: expected {} x {} scores, one row and column a task, found {} x {}", where, tasks,
         tasks, run.R.shape(0), run.R.shape(1));
  const auto one_per_task = [&](std::string_view field, std::size_t size) {
    expect(size == 0 || size == tasks, "{}: {}: expected {} values, one a task, found {}", where,
           field, tasks, size);
  };
  one_per_task("zero_shot", run.zero_shot.size());
  one_per_task("stage_steps", run.stage_steps.size());
  one_per_task("stage_seconds", run.stage_seconds.size());
}

namespace detail {

using OrderedJson = nlohmann::ordered_json;

using io::Json;

inline constexpr std::string_view record_format = "branchlora run 1";

/// NaN is null in JSON.
BRANCHLORA_INLINE OrderedJson number(double value) {
  return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
}

BRANCHLORA_INLINE OrderedJson numbers(const std::vector<double>& values) {
  OrderedJson list = OrderedJson::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

/// Reads the fields of a JSON object, each exactly once, and complains by full name.
class FieldReader {
 public:
  FieldReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    expect(object.is_object(), "{}: expected an object, found {}", where_, object.type_name());
  }

  const Json& field(const std::string& key) {
    expect(object_.contains(key), "{}: expected a field \"{}\", found none", where_, key);
    read_.insert(key);
    return object_.at(key);
  }
  bool has(const std::string& key) const { return object_.contains(key); }
  std::string name(const std::string& key) const { return where_ + ": " + key; }

  std::string string(const std::string& key) { return as_string(field(key), name(key)); }
  double number(const std::string& key) { return as_number(field(key), name(key)); }
  Index index(const std::string& key) { return as_index(field(key), name(key)); }

  std::uint64_t whole(const std::string& key) { return as_whole(field(key), name(key)); }

  /// A list whose elements `read(element, name)` reads.
  template <class Read>
  auto list(const std::string& key, Read read) {
    return as_list(field(key), name(key), read);
  }

  /// Throws if the object has a field that nobody read.
  void done() const {
    for (const auto& item : object_.items())
      expect(read_.contains(item.key()), "{}: found an unknown field \"{}\"", where_, item.key());
  }

  static std::string as_string(const Json& value, const std::string& name) {
    expect(value.is_string(), "{}: expected a string, found {}", name, value.dump());
    return value.get<std::string>();
  }
  static double as_number(const Json& value, const std::string& name) {
    expect(value.is_number() || value.is_null(), "{}: expected a number or null, found {}", name,
           value.dump());
    return value.is_null() ? not_measured : value.get<double>();
  }
  static std::uint64_t as_whole(const Json& value, const std::string& name) {
    const bool whole =
        value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
    expect(whole, "{}: expected a whole number from 0, found {}", name, value.dump());
    return value.get<std::uint64_t>();
  }
  static Index as_index(const Json& value, const std::string& name) {
    const std::uint64_t whole = as_whole(value, name);
    expect(std::in_range<Index>(whole), "{}: expected a count, found {}", name, whole);
    return static_cast<Index>(whole);
  }
  template <class Read>
  static auto as_list(const Json& value, const std::string& name, Read read) {
    expect(value.is_array(), "{}: expected a list, found {}", name, value.dump());
    std::vector<decltype(read(value, name))> out;
    for (const Json& element : value)
      out.push_back(read(element, fmt::format("{}[{}]", name, out.size())));
    return out;
  }

 private:
  const Json& object_;
  std::string where_;
  std::set<std::string> read_;
};

}  // namespace detail

BRANCHLORA_INLINE nlohmann::ordered_json to_json(const RunRecord& record) {
  const RunResult& run = record.result;
  const Environment& env = record.environment;
  validate(run, "run record");
  detail::OrderedJson scores = detail::OrderedJson::array();
  for (std::size_t i = 0; i < run.tasks.size(); ++i) {
    detail::OrderedJson row = detail::OrderedJson::array();
    for (std::size_t j = 0; j < run.tasks.size(); ++j) row.push_back(detail::number(run.R(i, j)));
    scores.push_back(std::move(row));
  }
  return {{"format", detail::record_format},
          {"method", run.method},
          {"seed", run.seed},
          {"protocol", run.protocol},
          {"tasks", run.tasks},
          {"trainable_parameters", run.trainable},
          {"router_parameters", run.router},
          {"step_ms", detail::number(run.step_ms)},
          {"train_seconds", detail::number(run.train_seconds)},
          {"stage_steps", run.stage_steps},
          {"stage_seconds", detail::numbers(run.stage_seconds)},
          {"R", std::move(scores)},
          {"zero_shot", detail::numbers(run.zero_shot)},
          {"selector_accuracy", detail::number(run.selector_accuracy.value_or(not_measured))},
          {"selector_gap", detail::number(run.selector_gap.value_or(not_measured))},
          {"config", run.config.json()},
          {"environment",
           {{"library", env.library},
            {"compiler", env.compiler},
            {"flags", env.flags},
            {"cpu", env.cpu},
            {"threads", env.threads},
            {"date", env.date}}}};
}

BRANCHLORA_INLINE RunRecord from_json(const nlohmann::json& json, const std::string& where) {
  using detail::FieldReader;
  FieldReader fields(json, where);
  const std::string format = fields.string("format");
  expect(format == detail::record_format, R"({}: format: expected "{}", found "{}")", where,
         detail::record_format, format);

  RunRecord record;
  RunResult& run = record.result;
  run.method = fields.string("method");
  run.seed = fields.whole("seed");
  run.protocol = fields.string("protocol");
  run.tasks = fields.list("tasks", FieldReader::as_string);
  run.trainable = fields.index("trainable_parameters");
  run.router = fields.index("router_parameters");
  run.step_ms = fields.number("step_ms");
  run.train_seconds = fields.number("train_seconds");
  run.stage_steps = fields.list("stage_steps", FieldReader::as_index);
  run.stage_seconds = fields.list("stage_seconds", FieldReader::as_number);
  run.zero_shot = fields.list("zero_shot", FieldReader::as_number);
  run.config = fields.field("config");

  const auto rows = fields.list("R", [](const detail::Json& row, const std::string& name) {
    return FieldReader::as_list(row, name, FieldReader::as_number);
  });
  run.R = continual::empty_accuracy_matrix(run.tasks.size());
  expect(rows.size() == run.tasks.size(), "{}: R: expected {} rows, one a task, found {}", where,
         run.tasks.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    expect(rows[i].size() == rows.size(), "{}: R[{}]: expected {} scores, found {}", where, i,
           rows.size(), rows[i].size());
    for (std::size_t j = 0; j < rows.size(); ++j) run.R(i, j) = rows[i][j];
  }
  const auto measured = [&](const char* key) {
    const double value = fields.number(key);
    return std::isnan(value) ? std::nullopt : std::optional(value);
  };
  run.selector_accuracy = measured("selector_accuracy");
  // Records of earlier versions do not have it.
  if (fields.has("selector_gap")) run.selector_gap = measured("selector_gap");

  FieldReader env(fields.field("environment"), fields.name("environment"));
  record.environment = {.library = env.string("library"),
                        .compiler = env.string("compiler"),
                        .flags = env.string("flags"),
                        .cpu = env.string("cpu"),
                        .threads = env.index("threads"),
                        .date = env.string("date")};
  env.done();
  fields.done();
  validate(run, where);
  return record;
}

BRANCHLORA_INLINE void write_run(const std::filesystem::path& path, const RunRecord& record) {
  io::write_file(path, to_json(record).dump(2) + "\n");
}

BRANCHLORA_INLINE RunRecord read_run(const std::filesystem::path& path) {
  return from_json(io::read_json(path), path.string());
}

}  // namespace branchlora::report

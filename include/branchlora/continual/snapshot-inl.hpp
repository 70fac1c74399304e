/// @file
/// The bodies of `snapshot.hpp`.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/continual/snapshot.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::continual {

namespace detail {

BRANCHLORA_INLINE std::string snapshot_text(const Progressed& progress,
                                            const AdapterStates& adapters, const std::string& run,
                                            bool strategies) {
  nlohmann::json json{{"tasks_done", progress.tasks_done},
                      {"scores", progress.scores},
                      {"selectors", nlohmann::json::array()},
                      {"stage_seconds", progress.stage_seconds},
                      {"adapters", adapters},
                      {"run", run}};
  for (const Selected& s : progress.selectors) {
    json["selectors"].push_back({{"scores", s.scores}, {"accuracy", s.accuracy}});
  }
  if (strategies) json["strategy_bytes"] = progress.strategy_bytes;
  return json.dump();
}

BRANCHLORA_INLINE std::pair<Progressed, AdapterStates> read_snapshot_text(
    const std::string& text, const std::string& path, const std::optional<std::string>& run,
    bool strategies) {
  const auto json = io::parse_json(text, path);
  Progressed progress;
  AdapterStates adapters;
  try {
    expect(!run || json.at("run") == *run,
           "{}: this checkpoint is of another run: expected {}, found {}", path, *run,
           json.at("run").get<std::string>());
    json.at("tasks_done").get_to(progress.tasks_done);
    json.at("scores").get_to(progress.scores);
    json.at("stage_seconds").get_to(progress.stage_seconds);
    const auto expect_all = [&](const std::vector<std::vector<double>>& rows) {
      expect(std::ssize(rows) == progress.tasks_done,
             "{}: expected scores after each of {} tasks, found {} rows", path, progress.tasks_done,
             rows.size());
    };
    expect_all(progress.scores);
    for (const auto& entry : json.at("selectors")) {
      Selected& s = progress.selectors.emplace_back();
      entry.at("scores").get_to(s.scores);
      entry.at("accuracy").get_to(s.accuracy);
      expect_all(s.scores);
    }
    if (strategies) json.at("strategy_bytes").get_to(progress.strategy_bytes);
    json.at("adapters").get_to(adapters);
  } catch (const nlohmann::json::exception& e) {
    fail("{}: the state of the run can not be read: {}", path, e.what());
  }
  return {std::move(progress), std::move(adapters)};
}

BRANCHLORA_INLINE std::string strategy_prefix(std::size_t i) {
  return fmt::format("strategy.{}.", i);
}

BRANCHLORA_INLINE std::string selector_prefix(std::size_t i) {
  return fmt::format("selector.{}.", i);
}

}  // namespace detail

}  // namespace branchlora::continual

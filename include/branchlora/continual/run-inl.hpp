/// @file
/// The bodies of `run.hpp`.
#pragma once

#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "branchlora/continual/run.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE std::vector<Index> stage_ends(const std::vector<double>& shares, Index steps) {
  std::vector<Index> ends;
  double sum = 0;
  for (const double share : shares) {
    expect(share >= 0, "stages: expected shares of at least 0, found {}", share);
    sum += share;
    ends.push_back(static_cast<Index>(std::lround(sum * static_cast<double>(steps))));
  }
  expect(std::abs(sum - 1) < 1e-9, "stages: expected shares that sum to 1, found {}", sum);
  return ends;
}

namespace detail {

BRANCHLORA_INLINE RunConfig config_of_run(const Options& options, const std::string& variant,
                                          const std::string& base) {
  nlohmann::json config = options.to_json();
  config["variant"] = variant;
  config["base"] = base;
  return config;
}

BRANCHLORA_INLINE void add_strategies(RunConfig& config, const std::vector<RunConfig>& strategies,
                                      const std::vector<Index>& held_bytes) {
  for (std::size_t i = 0; i < strategies.size(); ++i) {
    auto& entry = config.json()["strategies"].emplace_back(strategies[i].json());
    entry["held_bytes"] = held_bytes[i];
  }
}

BRANCHLORA_INLINE void add_start(RunConfig& config, Index samples) {
  config.json()["start_samples"] = samples;
}

BRANCHLORA_INLINE std::string run_identity(const std::string& base,
                                           const std::vector<std::string>& tasks,
                                           const std::string& name, const Options& options,
                                           const std::vector<RunConfig>& strategies) {
  nlohmann::json identity{
      {"name", name}, {"base", base}, {"tasks", tasks}, {"options", options.to_json()}};
  for (const RunConfig& s : strategies) identity["strategies"].push_back(s.json());
  return identity.dump();
}

}  // namespace detail

}  // namespace branchlora::continual

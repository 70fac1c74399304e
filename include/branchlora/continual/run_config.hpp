/// @file
/// The hyper-parameters of a run as JSON, behind a pointer.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

namespace branchlora::continual {

/// Facts about a run as a JSON value, an object unless it is given another. What passes them on
/// needs no more of nlohmann's library than its names; who reads them includes it.
class RunConfig {
 public:
  RunConfig();
  RunConfig(nlohmann::json json);  // NOLINT(google-explicit-constructor): it is one, kept apart
  RunConfig(const RunConfig& other);
  RunConfig(RunConfig&& other) noexcept;
  RunConfig& operator=(RunConfig other) noexcept;
  ~RunConfig();

  nlohmann::json& json() { return *json_; }
  const nlohmann::json& json() const { return *json_; }

  friend bool operator==(const RunConfig& a, const RunConfig& b);

 private:
  std::unique_ptr<nlohmann::json> json_;
};

bool operator==(const RunConfig& a, const RunConfig& b);

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/run_config-inl.hpp"
#endif

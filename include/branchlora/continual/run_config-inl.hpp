/// @file
/// The bodies of `run_config.hpp`.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "branchlora/continual/run_config.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE RunConfig::RunConfig() : RunConfig(nlohmann::json::object()) {}

BRANCHLORA_INLINE RunConfig::RunConfig(nlohmann::json json)
    : json_(std::make_unique<nlohmann::json>(std::move(json))) {}

BRANCHLORA_INLINE RunConfig::RunConfig(const RunConfig& other) : RunConfig(*other.json_) {}

BRANCHLORA_INLINE RunConfig::RunConfig(RunConfig&& other) noexcept = default;

BRANCHLORA_INLINE RunConfig& RunConfig::operator=(RunConfig other) noexcept {
  std::swap(json_, other.json_);
  return *this;
}

BRANCHLORA_INLINE RunConfig::~RunConfig() = default;

BRANCHLORA_INLINE bool operator==(const RunConfig& a, const RunConfig& b) {
  return *a.json_ == *b.json_;
}

}  // namespace branchlora::continual

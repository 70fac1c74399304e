/// @file
/// The bodies of `options.hpp`.
#pragma once

#include <nlohmann/json.hpp>

#include "branchlora/continual/options.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE nlohmann::json Options::to_json() const {
  nlohmann::json json{{"seed", seed},
                      {"steps", steps},
                      {"batch", batch},
                      {"rate", rate},
                      {"projector_rate", projector_rate},
                      {"warmup", warmup},
                      {"clip", clip},
                      {"beta2", beta2},
                      {"alpha", hyper.alpha},
                      {"dropout", hyper.dropout},
                      {"balance_weight", hyper.balance_weight},
                      {"temperature", hyper.temperature},
                      {"contrast_weight", hyper.contrast_weight},
                      {"routing_weight", hyper.routing_weight},
                      {"balance_delta", hyper.balance_delta},
                      {"bias_rate", hyper.bias_rate},
                      {"task_types", hyper.task_types},
                      {"storage", storage == Storage::full ? "full" : "bfloat16"},
                      {"full_matrix", full_matrix},
                      {"observed", observed},
                      {"answer_tokens", answer_tokens}};
  // Most methods see none: a record of theirs says it only if it was set.
  if (start_samples != Options{}.start_samples) json["start_samples"] = start_samples;
  return json;
}

}  // namespace branchlora::continual

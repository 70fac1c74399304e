#include "branchlora/io/peft_config.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>

#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

namespace {

/// The least that a file must say, with `key` set to `value`.
Json with(const char* key, Json value) {
  Json json{{"peft_type", "LORA"}, {"target_modules", {"q_proj"}}};
  json[key] = std::move(value);
  return json;
}

PeftConfig parse(const Json& json) { return parse_peft_config(json, "file"); }

}  // namespace

TEST_CASE("what is not said has PEFT's defaults") {
  const PeftConfig config = parse(with("peft_type", "LORA"));
  CHECK(config.r == 8);
  CHECK(config.lora_alpha == 8);
  CHECK(config.lora_dropout == 0);
  CHECK_FALSE(config.use_rslora);
  CHECK_FALSE(config.use_dora);
  CHECK(config.base_model_name_or_path.empty());
}

TEST_CASE("settings come back as they were written") {
  PeftConfig config;
  config.r = 4;
  config.lora_alpha = 6.5;
  config.lora_dropout = 0.05;
  config.use_rslora = true;
  config.fan_in_fan_out = true;
  config.target_modules = std::vector<std::string>{"q_proj", "v_proj"};
  config.rank_pattern = {{"v_proj", 2}};
  config.alpha_pattern = {{"^model.q_proj", 10}, {"v_proj", 0.25}};
  config.base_model_name_or_path = "some/where";
  config.task_type = "CAUSAL_LM";
  config.peft_version = "0.1";
  CHECK(parse(to_json(config)) == config);
  CHECK(to_json(config)["alpha_pattern"]["^model.q_proj"].is_number_integer());
  CHECK(to_json(config)["lora_alpha"] == 6.5);
  config.target_modules = ".*_proj";
  config.base_model_name_or_path.clear();
  CHECK(to_json(config)["base_model_name_or_path"].is_null());
  CHECK(parse(to_json(config)) == config);
}

TEST_CASE("a pattern gives a module its rank, alpha and s") {
  PeftConfig config;
  config.r = 4;
  config.lora_alpha = 6;
  config.rank_pattern = {{"layers.1.v_proj", 2}};
  config.alpha_pattern = {{"^model.layers.0.q_proj", 10}};
  CHECK(config.rank_of("model.layers.1.v_proj") == 2);
  CHECK(config.rank_of("layers.1.v_proj") == 2);
  CHECK(config.rank_of("model.layers.11.v_proj") == 4);
  CHECK(config.rank_of("model.xlayers.1.v_proj") == 4);
  CHECK(config.rank_of("model.layers.1.v_proj.x") == 4);
  CHECK(config.alpha_of("model.layers.0.q_proj") == 10);
  CHECK(config.alpha_of("whole.model.layers.0.q_proj") == 6);
  CHECK(config.scale_of("model.layers.0.q_proj") == 2.5);
  CHECK(config.scale_of("model.layers.1.v_proj") == 3);
  config.use_rslora = true;
  CHECK(config.scale_of("model.layers.0.q_proj") == 5);
}

TEST_CASE("targets are whole names after a dot") {
  PeftConfig config;
  config.target_modules = std::vector<std::string>{"q_proj", "mlp.up"};
  CHECK(config.targets("q_proj"));
  CHECK(config.targets("a.q_proj"));
  CHECK(config.targets("a.mlp.up"));
  CHECK_FALSE(config.targets("a.xq_proj"));
  CHECK_FALSE(config.targets("a.up"));
  CHECK_FALSE(config.targets("a.q_proj.b"));
  config.target_modules = "all-linear";
  CHECK(config.targets("anything"));
}

TEST_CASE("what is unknown may be off, and what changes nothing may be anything") {
  for (const Json& off : {Json(), Json(false), Json::object(), Json::array()}) {
    CHECK_NOTHROW(parse(with("setting_of_the_future", off)));
    CHECK_NOTHROW(parse(with("modules_to_save", off)));
  }
  CHECK_NOTHROW(parse(with("qalora_group_size", 16)));
  CHECK_NOTHROW(parse(with("revision", "main")));
  CHECK_NOTHROW(parse(with("init_lora_weights", "gaussian")));
  CHECK_NOTHROW(parse(with("init_lora_weights", false)));
}

TEST_CASE("unsupported, contradictory and mistyped settings are refused by name") {
  const auto refuse = [](const char* key, Json value, auto... parts) {
    check_mentions(error_of([&] { parse(with(key, value)); }), "file: ", key, parts...);
  };
  check_mentions(error_of([] { parse(Json::array()); }), "file", "expected an object");
  refuse("peft_type", "IA3", "found \"IA3\"");
  refuse("peft_type", nullptr, "LORA");
  refuse("target_modules", nullptr, "found none");
  refuse("target_modules", Json::array(), "found none");
  refuse("target_modules", "", "found none");
  refuse("target_modules", 3, "a list or a string");
  refuse("target_modules", {1}, "expected a string");
  refuse("target_modules", {""}, "empty name");
  refuse("r", 0, "found 0");
  refuse("r", 1.5, "whole number");
  refuse("r", "8", "whole number");
  refuse("lora_alpha", "8", "expected a number");
  refuse("lora_dropout", 1.0, "below 1");
  refuse("use_dora", 1, "true or false");
  refuse("bias", "all", "\"none\"");
  refuse("rank_pattern", {{"v", 0}}, "at least 1");
  refuse("rank_pattern", {{"v", "x"}}, "'v'");
  refuse("rank_pattern", {1}, "an object");
  refuse("alpha_pattern", {{"v.*", 1}}, "regular expression 'v.*'");
  refuse("init_lora_weights", "pissa", "changes the base weight");
  refuse("init_lora_weights", "loftq", "changes the base weight");
  refuse("modules_to_save", {"lm_head"}, "not supported", "lm_head");
  refuse("lora_bias", true, "not supported");
  refuse("layers_to_transform", {1}, "not supported");
  refuse("trainable_token_indices", {1, 2}, "not supported");
  refuse("setting_of_the_future", 1, "not supported");
}

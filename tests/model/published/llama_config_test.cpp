#include "branchlora/model/published/llama_config.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "io/temporary_folder.hpp"
#include "settings_text.hpp"

using namespace branchlora;
using model::DecoderConfig;
using model::published::Settings;
using test::check_mentions;
using test::error_of;

namespace {

/// SmolLM2-135M-Instruct's own file.
constexpr const char* smol = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
  "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576,
  "initializer_range": 0.041666666666666664, "intermediate_size": 1536, "is_llama_config": true,
  "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null,
  "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
  "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
  "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 49152})";

DecoderConfig read(const io::Json& json) {
  return model::published::read_llama(Settings(json, "config.json"));
}

/// The file with some settings changed, or taken away by null.
DecoderConfig read_with(const char* changes) { return read(test::with_changes(smol, changes)); }

std::string refusal(const char* changes) {
  return error_of([&] { read_with(changes); });
}

}  // namespace

TEST_CASE("the shape that a published file describes") {
  const DecoderConfig expected{.vocabulary = 49152,
                               .width = 576,
                               .layers = 30,
                               .heads = 9,
                               .kv_heads = 3,
                               .hidden = 1536,
                               .length = 8192,
                               .rope_base = 1e5,
                               .epsilon = 1e-5,
                               .head = 64,
                               .tied = true,
                               .scaled_embeddings = false};
  CHECK(read_with("{}") == expected);
}

TEST_CASE("what is absent is as transformers has it: LLaMA 7B") {
  const DecoderConfig c = read(io::parse_json(R"({"model_type": "llama"})", "short"));
  CHECK(c == DecoderConfig{.vocabulary = 32000,
                           .width = 4096,
                           .layers = 32,
                           .heads = 32,
                           .kv_heads = 32,
                           .hidden = 11008,
                           .length = 2048,
                           .rope_base = 1e4,
                           .epsilon = 1e-6,
                           .head = 128,
                           .tied = false,
                           .scaled_embeddings = false});
  CHECK(read_with(R"({"head_dim": 80})").head_size() == 80);
  CHECK(read_with(R"({"num_key_value_heads": null})").kv_heads == 9);
  CHECK(read_with(R"({"max_sequence_length": 16384})").length == 16384);
  CHECK(read_with(R"({"max_sequence_length": 2048})").length == 8192);
}

TEST_CASE("stretched positions, in every form in which they are written") {
  const op::RopeScaling none, linear{.factor = 2.0};
  const op::RopeScaling llama3{.factor = 8.0, .original = 8192.0, .low = 1.0, .high = 4.0};
  CHECK(read_with(R"({"rope_scaling": {"type": "linear", "factor": 2.0}})").rope_scaling == linear);
  CHECK(read_with(R"({"rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 2}})")
            .rope_scaling == linear);
  CHECK(read_with(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                      "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})")
            .rope_scaling == llama3);
  CHECK(read_with(R"({"rope_scaling": {"rope_type": "default"}})").rope_scaling == none);
  const DecoderConfig newer = read_with(
      R"({"rope_theta": null, "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}})");
  CHECK(newer.rope_base == 5e5);
  CHECK(newer.rope_scaling == none);
}

TEST_CASE("positions that are not supported, or contradict each other") {
  for (const char* kind : {"dynamic", "yarn", "longrope"}) {
    const std::string changes =
        fmt::format(R"({{"rope_scaling": {{"type": "{}", "factor": 2.0}}}})", kind);
    check_mentions(refusal(changes.c_str()), "rope_scaling: rope_type", "\"linear\"", kind);
  }
  check_mentions(refusal(R"({"rope_scaling": {"type": "linear", "rope_type": "llama3"}})"),
                 "rope_scaling: type", "\"llama3\"", "\"linear\"");
  check_mentions(refusal(R"({"rope_scaling": {"type": "linear"}})"), "factor", "found none");
  check_mentions(refusal(R"({"rope_scaling": {"type": "linear", "factor": 0}})"), "factor",
                 "above 0");
  check_mentions(refusal(R"({"rope_scaling": {"type": "llama3", "factor": 8}})"),
                 "original_max_position_embeddings", "found none");
  check_mentions(refusal(R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
                             "original_max_position_embeddings": 8192}})"),
                 "high_freq_factor", "more than");
  check_mentions(refusal(R"({"rope_scaling": {"type": "linear", "factor": 2, "beta_fast": 32}})"),
                 "rope_scaling: beta_fast", "not known");
  check_mentions(refusal(R"({"rope_parameters": {"rope_theta": 10000.0}})"),
                 "rope_parameters: rope_theta", "100000", "10000");
  check_mentions(refusal(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})"),
                 "partial_rotary_factor", "expected 1.0");
  check_mentions(refusal(R"({"rope_parameters": {}, "rope_scaling": {"type": "default"}})"),
                 "rope_scaling", "beside rope_parameters");
}

TEST_CASE("sizes that contradict each other") {
  check_mentions(refusal(R"({"hidden_size": 577})"), "hidden_size", "multiple of the 9 heads",
                 "577");
  check_mentions(refusal(R"({"num_key_value_heads": 4})"), "num_key_value_heads",
                 "divisor of the 9", "found 4");
  check_mentions(refusal(R"({"head_dim": 63})"), "head_dim", "even", "63");
  check_mentions(refusal(R"({"num_hidden_layers": 0})"), "num_hidden_layers", "at least 1");
}

TEST_CASE("settings that would make another model") {
  check_mentions(refusal(R"({"model_type": "mistral"})"), "model_type", "\"llama\"", "\"mistral\"");
  check_mentions(refusal(R"({"hidden_act": "gelu"})"), "hidden_act", "\"silu\"", "\"gelu\"");
  check_mentions(refusal(R"({"attention_bias": true})"), "attention_bias", "expected false");
  check_mentions(refusal(R"({"mlp_bias": true})"), "mlp_bias", "expected false");
  check_mentions(refusal(R"({"rope_interleaved": true})"), "rope_interleaved", "expected false");
  check_mentions(refusal(R"({"attention_dropout": 0.1})"), "attention_dropout", "0.1");
  check_mentions(refusal(R"({"sliding_window": 4096})"), "config.json: sliding_window", "not known",
                 "4096");
  check_mentions(refusal(R"({"quantization_config": {"bits": 4}})"), "quantization_config");
}

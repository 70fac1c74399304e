#include "branchlora/io/gguf_tokenizer.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"
#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

namespace {

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/tokenizers";

/// What GGUF's metadata say of the tokenizer `name`.json, whose pre-tokenizer is called `pre`.
Json metadata_of(const std::string& name, const std::string& pre) {
  const Json file = read_json(golden / (name + ".json"));
  const Json& model = file.at("model");
  std::vector<std::string> tokens(model.at("vocab").size());
  for (const auto& [token, id] : model.at("vocab").items()) tokens.at(id) = token;
  std::vector<int> types(tokens.size(), 1);
  for (const Json& token : file.at("added_tokens")) types.at(token.at("id")) = 3;
  std::vector<std::string> merges;
  for (const Json& pair : model.at("merges")) {
    merges.push_back(pair.at(0).get<std::string>() + " " + pair.at(1).get<std::string>());
  }
  return {{"tokenizer.ggml.model", "gpt2"},   {"tokenizer.ggml.pre", pre},
          {"tokenizer.ggml.tokens", tokens},  {"tokenizer.ggml.token_type", types},
          {"tokenizer.ggml.merges", merges},  {"tokenizer.ggml.bos_token_id", 0U},
          {"tokenizer.ggml.eos_token_id", 1U}};
}

/// The numbers that the reference gives to all strings, in a row.
std::vector<Index> golden_ids(const std::string& name) {
  const auto file = SafeTensors::open(golden / "ids.safetensors");
  const auto bytes = file.tensor(name + ".ids").bytes;
  std::vector<std::uint16_t> ids(bytes.size() / 2);
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return {ids.begin(), ids.end()};
}

const Json& metadata() {
  static const Json json = metadata_of("smollm", "smollm");
  return json;
}

/// `metadata()` with another value of a key, or without it.
Json with(const std::string& key, Json value) {
  Json json = metadata();
  value.is_null() ? void(json.erase(key)) : void(json[key] = std::move(value));
  return json;
}

}  // namespace

TEST_CASE("tokenizers made from what GGUF keeps give the reference's numbers for all strings") {
  const auto strings = read_json(golden / "strings.json").get<std::vector<std::string>>();
  for (const auto& [name, pre] : {std::pair("gpt2", "gpt-2"),
                                  {"smollm", "smollm"},
                                  {"llama3", "llama-bpe"},
                                  {"qwen2", "qwen2"}}) {
    CAPTURE(name);
    const data::BpeTokenizer tokenizer(gguf_tokenizer(metadata_of(name, pre), "file"));
    std::vector<Index> ids;
    for (const std::string& text : strings) {
      const auto more = tokenizer.encode(text);
      ids.insert(ids.end(), more.begin(), more.end());
    }
    CHECK(ids == golden_ids(name));
  }
}

TEST_CASE("marks are put around a text as the file says") {
  const auto ends = [](const Json& json) {
    const auto ids = data::BpeTokenizer(gguf_tokenizer(json, "file")).encode("a bird");
    return std::pair(ids.front() == 0, ids.back() == 1);
  };
  CHECK(ends(metadata()) == std::pair(false, false));
  CHECK(ends(with("tokenizer.ggml.add_bos_token", true)) == std::pair(true, false));
  CHECK(ends(with("tokenizer.ggml.add_eos_token", true)) == std::pair(false, true));
  Json llama = metadata_of("llama3", "llama-bpe");
  CHECK(ends(llama) == std::pair(true, false));
  llama["tokenizer.ggml.add_bos_token"] = false;
  CHECK(ends(llama) == std::pair(false, false));
}

TEST_CASE("tokens of users are found in text, but are no special ones") {
  Json json = metadata();
  json["tokenizer.ggml.tokens"].push_back("<tool>");
  json["tokenizer.ggml.token_type"].push_back(4);
  json["tokenizer.ggml.tokens"].push_back("[unused]");
  json["tokenizer.ggml.token_type"].push_back(5);
  const data::BpeTokenizer tokenizer(gguf_tokenizer(json, "file"));
  const Index tool = tokenizer.size() - 2;
  CHECK(tokenizer.token(tool) == "<tool>");
  const auto ids = tokenizer.encode("a<tool><|im_end|>");
  REQUIRE(ids.size() == 3);
  CHECK(ids[1] == tool);
  CHECK(tokenizer.decode(ids, data::SpecialTokens::Omit) == "a<tool>");
  CHECK(tokenizer.encode("[unused]").size() > 1);
}

TEST_CASE("its configuration names the marks and keeps the way of a chat") {
  CHECK(gguf_tokenizer_config(with("tokenizer.chat_template", "{{ x }}"), "file") ==
        Json::parse(R"({
    "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
    "bos_token": "<|endoftext|>", "eos_token": "<|im_start|>", "chat_template": "{{ x }}"})"));
}

TEST_CASE("a tokenizer that is not known, or contradicts itself, is refused by name") {
  const auto refuse = [](const std::string& key, const Json& value, auto... parts) {
    check_mentions(error_of([&] { gguf_tokenizer(with(key, value), "a.gguf"); }), "a.gguf",
                   parts...);
  };
  refuse("tokenizer.ggml.model", "llama", "tokenizer.ggml.model", "\"llama\"");
  refuse("tokenizer.ggml.model", nullptr, "tokenizer.ggml.model", "found none");
  refuse("tokenizer.ggml.pre", "deepseek-llm", "gpt-2, smollm, llama-bpe, qwen2", "deepseek-llm");
  refuse("tokenizer.ggml.pre", nullptr, "tokenizer.ggml.pre");
  refuse("tokenizer.ggml.pre", 4, "expected a string");
  refuse("tokenizer.ggml.tokens", {"a", 1}, "tokens[1]", "expected a string");
  refuse("tokenizer.ggml.merges", nullptr, "tokenizer.ggml.merges");
  refuse("tokenizer.ggml.merges", {1}, "merges[0]");
  refuse("tokenizer.ggml.token_type", Json::array({1}), "one a token, found 1");
  refuse("tokenizer.ggml.add_space_prefix", true, "add_space_prefix", "byte-level");
  refuse("tokenizer.ggml.add_bos_token", 1, "add_bos_token", "true or false");
  Json types = metadata().at("tokenizer.ggml.token_type");
  types[5] = 6;
  refuse("tokenizer.ggml.token_type", types, "token_type[5]", "found number 6");
  Json tokens = metadata().at("tokenizer.ggml.tokens");
  tokens[9] = tokens[8];
  refuse("tokenizer.ggml.tokens", tokens, "appears twice, as 8 and 9");
  Json json = with("tokenizer.ggml.add_eos_token", true);
  json["tokenizer.ggml.eos_token_id"] = 560;
  check_mentions(error_of([&] { gguf_tokenizer(json, "a.gguf"); }), "eos_token_id",
                 "a token below 560");
  check_mentions(error_of([&] { gguf_tokenizer_config(json, "a.gguf"); }), "eos_token_id",
                 "a token below 560");
}

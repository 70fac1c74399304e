#include "branchlora/io/gguf_llama.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"
#include "gguf_bytes.hpp"
#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

namespace {

const std::filesystem::path source = BRANCHLORA_SOURCE_DIR "/tests/golden/gguf/llama.gguf";

/// The weight whose published name is number `index` in alphabetical order, as make_gguf.py has it.
std::vector<float> weight(Index index, const std::vector<Index>& shape) {
  const Index rows = shape.size() == 2 ? shape[0] : 1;
  std::vector<float> values;
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < shape.back(); ++c) {
      values.push_back(static_cast<float>((37 * index + 11 * r + 5 * c + r * c) % 255 - 127));
    }
  }
  return values;
}

void check_weights(const SafeTensors& file, Dtype dtype) {
  const auto names = file.names();
  REQUIRE(names.size() == 2 + 2 * 9);
  for (std::size_t i = 0; i < names.size(); ++i) {
    CAPTURE(names[i]);
    const TensorView& tensor = file.tensor(names[i]);
    CHECK(tensor.dtype == dtype);
    std::vector<float> values(static_cast<std::size_t>(tensor.size()));
    file.read<float>(names[i], values);
    CHECK(values == weight(static_cast<Index>(i), tensor.shape));
  }
}

/// A model of one layer of width 4 by hand, with one change.
class SmallModel {
 public:
  /// Replaces a value of metadata; an empty one takes it out.
  SmallModel& set(const std::string& key, std::uint32_t type, const std::string& content) {
    std::erase_if(values_, [&](const Value& value) { return value.key == key; });
    if (!content.empty()) values_.push_back({key, type, content});
    return *this;
  }

  /// Replaces a tensor; one without extents is taken out.
  SmallModel& shape(const std::string& name, const std::vector<std::uint64_t>& extents) {
    std::erase_if(tensors_, [&](const Tensor& tensor) { return tensor.name == name; });
    if (!extents.empty()) tensors_.push_back({name, extents});
    return *this;
  }

  std::string bytes() const {
    std::vector<std::string> values;
    for (const auto& [key, type, content] : values_) {
      values.push_back(test::gguf::value(key, type, content));
    }
    std::vector<std::string> tensors;
    std::uint64_t offset = 0;
    for (const auto& [name, extents] : tensors_) {
      tensors.push_back(test::gguf::tensor(name, extents, 0, offset));
      offset += 1024;
    }
    return test::gguf::file(values, tensors, std::string(offset, '\0'));
  }

 private:
  struct Value {
    std::string key;
    std::uint32_t type;
    std::string content;
  };
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> extents;
  };
  static std::string u32(std::uint32_t x) { return test::gguf::u32(x); }

  std::vector<Value> values_{
      {"general.architecture", 8, test::gguf::text("llama")},
      {"llama.block_count", 4, u32(1)},
      {"llama.context_length", 4, u32(16)},
      {"llama.embedding_length", 4, u32(4)},
      {"llama.feed_forward_length", 4, u32(8)},
      {"llama.attention.head_count", 4, u32(2)},
      {"llama.attention.layer_norm_rms_epsilon", 6, test::gguf::bytes(1e-6F)},
      {"tokenizer.ggml.tokens", 9,
       u32(8) + test::gguf::u64(2) + test::gguf::text("a") + test::gguf::text("b")},
  };
  std::vector<Tensor> tensors_{
      {"token_embd.weight", {4, 2}},        {"output_norm.weight", {4}},
      {"blk.0.attn_norm.weight", {4}},      {"blk.0.attn_q.weight", {4, 4}},
      {"blk.0.attn_k.weight", {4, 4}},      {"blk.0.attn_v.weight", {4, 4}},
      {"blk.0.attn_output.weight", {4, 4}}, {"blk.0.ffn_norm.weight", {4}},
      {"blk.0.ffn_gate.weight", {4, 8}},    {"blk.0.ffn_up.weight", {4, 8}},
      {"blk.0.ffn_down.weight", {8, 4}},
  };
};

}  // namespace

TEST_CASE("a model becomes the folder that it was made from") {
  const test::TemporaryFolder parent;
  const auto folder = parent.path() / "new" / "folder";
  convert_gguf_llama(source, folder);
  check_weights(SafeTensors::open(folder / "model.safetensors"), Dtype::F32);
  CHECK(SafeTensors::open(folder / "model.safetensors").metadata() == Metadata{{"format", "pt"}});

  CHECK(read_json(folder / "config.json") == Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "attention_bias": false,
    "mlp_bias": false, "max_position_embeddings": 128, "rms_norm_eps": 1e-05,
    "rope_theta": 50000.0, "tie_word_embeddings": true, "vocab_size": 560,
    "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2})"));
  CHECK(read_json(folder / "tokenizer_config.json").at("chat_template") == "{{ messages }}");

  const auto made = data::BpeTokenizer::load(folder / "tokenizer.json");
  const auto original =
      data::BpeTokenizer::load(BRANCHLORA_SOURCE_DIR "/tests/golden/tokenizers/smollm.json");
  CHECK(made.size() == original.size());
  const std::string text = "<|im_start|>What's the 3rd bird, in 2024?<|im_end|>\n";
  CHECK(made.encode(text) == original.encode(text));
}

TEST_CASE("weights in bfloat16, over an older file") {
  const test::TemporaryFolder folder;
  folder.write("model.safetensors", "old");
  convert_gguf_llama(source, folder.path(), Dtype::BF16);
  check_weights(SafeTensors::open(folder.path() / "model.safetensors"), Dtype::BF16);
  CHECK(read_json(folder.path() / "config.json").at("torch_dtype") == "bfloat16");
  check_mentions(error_of([&] { convert_gguf_llama(source, folder.path(), Dtype::F16); }),
                 "F32 or BF16, found F16");
}

TEST_CASE("what the file leaves out is as in LLaMA; output weights of their own are kept") {
  const test::TemporaryFolder folder;
  const auto open = [&](const SmallModel& model) {
    return Gguf::open(folder.write("small.gguf", model.bytes()));
  };
  const Json config = gguf_llama_config(open(SmallModel()));
  CHECK(config.at("num_key_value_heads") == 2);
  CHECK(config.at("rope_theta") == 10000.0);
  CHECK(config.at("rms_norm_eps") == 1e-6);
  CHECK(config.at("tie_word_embeddings") == true);
  CHECK_FALSE(config.contains("bos_token_id"));

  const auto untied = open(SmallModel().shape("output.weight", {4, 2}));
  CHECK(gguf_llama_config(untied).at("tie_word_embeddings") == false);
  write_gguf_llama_weights(untied, folder.path() / "weights");
  CHECK(SafeTensors::open(folder.path() / "weights").contains("lm_head.weight"));
}

TEST_CASE("another model, or sizes that do not agree, are refused by name") {
  using test::gguf::text;
  using test::gguf::u32;
  const test::TemporaryFolder folder;
  const auto refuse = [&](const SmallModel& model, auto... parts) {
    const auto path = folder.write("small.gguf", model.bytes());
    check_mentions(error_of([&] {
                     const auto file = Gguf::open(path);
                     gguf_llama_config(file);
                     write_gguf_llama_weights(file, folder.path() / "weights");
                   }),
                   path.string(), parts...);
  };
  const auto set = [](const std::string& key, std::uint32_t type, const std::string& content) {
    return SmallModel().set(key, type, content);
  };
  refuse(set("general.architecture", 8, text("qwen2")), "\"llama\"", "qwen2");
  refuse(set("general.architecture", 8, ""), "general.architecture", "found none");
  refuse(set("llama.block_count", 8, ""), "llama.block_count");
  refuse(set("llama.block_count", 4, u32(0)), "at least 1, found number 0");
  refuse(set("llama.block_count", 4, u32(2)), "'blk.1.attn_norm.weight'");
  refuse(set("llama.block_count", 5, u32(~0U)), "whole number", "-1");
  refuse(set("llama.expert_count", 4, u32(8)), "llama.expert_count: expected none");
  refuse(set("llama.attention.sliding_window", 4, u32(8)), "sliding_window");
  refuse(set("llama.rope.scaling.type", 8, text("yarn")), "rope.scaling.type", "yarn");
  refuse(set("llama.attention.head_count_kv", 4, u32(3)), "2 heads of queries and 3 of keys");
  refuse(set("llama.attention.head_count_kv", 4, u32(0)), "0 of keys");
  refuse(set("llama.attention.head_count", 4, u32(4)), "heads of an even width, found 1");
  refuse(set("llama.attention.value_length", 4, u32(4)), "value_length: expected 2, the width");
  refuse(set("llama.rope.dimension_count", 4, u32(1)), "dimension_count: expected 2");
  refuse(set("llama.vocab_size", 4, u32(3)), "expected 2, as many as tokens");
  refuse(set("llama.attention.layer_norm_rms_epsilon", 4, u32(1)), "a positive number");
  refuse(set("llama.attention.layer_norm_rms_epsilon", 6, u32(0)), "a positive number");
  refuse(set("llama.rope.freq_base", 6, u32(0x7F800000)), "freq_base", "a positive number");
  refuse(SmallModel().shape("blk.0.attn_v.weight", {}), "'blk.0.attn_v.weight'", "found none");
  refuse(SmallModel().shape("blk.0.attn_k.weight", {4, 2}), "'blk.0.attn_k.weight'",
         "expected shape [4, 4], found [2, 4]");
  refuse(SmallModel().shape("blk.0.attn_q.bias", {4}), "'blk.0.attn_q.bias'", "none of that name");
  refuse(SmallModel().shape("rope_freqs.weight", {1}), "'rope_freqs.weight'");
}

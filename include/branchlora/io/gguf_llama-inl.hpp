/// @file
/// How a LLaMA model in a GGUF file is turned into its published form.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/dtype.hpp"
#include "branchlora/io/gguf.hpp"
#include "branchlora/io/gguf_llama.hpp"
#include "branchlora/io/gguf_tokenizer.hpp"
#include "branchlora/io/half.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/located.hpp"
#include "branchlora/io/safetensors_writer.hpp"

namespace branchlora::io {

namespace detail {

/// Reads what a GGUF file's metadata say of a model of architecture llama.
class GgufLlamaReader {
 public:
  explicit GgufLlamaReader(const Gguf& file)
      : file_(file), metadata_{file.metadata(), file.path().string()} {
    const Located architecture = metadata_.field("general.architecture");
    if (architecture.text() != "llama") architecture.refuse("\"llama\"");
    for (const char* key : {"llama.expert_count", "llama.attention.sliding_window"}) {
      if (number(key, 0) != 0) metadata_.field(key).refuse("none");
    }
    if (metadata_.sets("llama.rope.scaling.type") &&
        metadata_.field("llama.rope.scaling.type").text() != "none") {
      metadata_.field("llama.rope.scaling.type").refuse("\"none\"");
    }
  }

  GgufLlamaShape shape() const {
    GgufLlamaShape s;
    s.layers = positive("llama.block_count");
    s.width = positive("llama.embedding_length");
    s.inner_width = positive("llama.feed_forward_length");
    s.heads = positive("llama.attention.head_count");
    s.key_heads = number("llama.attention.head_count_kv", s.heads);
    expect(s.key_heads > 0 && s.heads % s.key_heads == 0,
           "{}: expected heads in equal groups, found {} heads of queries and {} of keys",
           metadata_.where, s.heads, s.key_heads);
    s.head_width = number("llama.attention.key_length", s.width / s.heads);
    expect(s.head_width > 0 && s.head_width % 2 == 0,
           "{}: expected heads of an even width, found {}", metadata_.where, s.head_width);
    for (const char* key : {"llama.attention.value_length", "llama.rope.dimension_count"}) {
      if (number(key, s.head_width) != s.head_width) {
        metadata_.field(key).refuse(fmt::format("{}, the width of a head", s.head_width));
      }
    }
    const Located tokens = metadata_.field("tokenizer.ggml.tokens");
    s.tokens = std::ssize(tokens.list().value);
    if (number("llama.vocab_size", s.tokens) != s.tokens) {
      metadata_.field("llama.vocab_size").refuse(fmt::format("{}, as many as tokens", s.tokens));
    }
    s.tied = !file_.contains("output.weight");
    return s;
  }

  Json config(Dtype dtype) const {
    const GgufLlamaShape s = shape();
    Json config = {
        {"architectures", Json::array({"LlamaForCausalLM"})},
        {"model_type", "llama"},
        {"hidden_act", "silu"},
        {"hidden_size", s.width},
        {"intermediate_size", s.inner_width},
        {"num_hidden_layers", s.layers},
        {"num_attention_heads", s.heads},
        {"num_key_value_heads", s.key_heads},
        {"head_dim", s.head_width},
        {"attention_bias", false},
        {"mlp_bias", false},
        {"max_position_embeddings", positive("llama.context_length")},
        {"rms_norm_eps", real("llama.attention.layer_norm_rms_epsilon")},
        {"rope_theta",
         metadata_.sets("llama.rope.freq_base") ? real("llama.rope.freq_base") : 10000.0},
        {"tie_word_embeddings", s.tied},
        {"vocab_size", s.tokens},
        {"torch_dtype", dtype == Dtype::BF16 ? "bfloat16" : "float32"},
    };
    for (const auto& [key, name] : {std::pair("tokenizer.ggml.bos_token_id", "bos_token_id"),
                                    {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                    {"tokenizer.ggml.padding_token_id", "pad_token_id"}}) {
      if (metadata_.sets(key)) config[name] = metadata_.field(key).number();
    }
    return config;
  }

 private:
  Index number(const char* key, Index otherwise) const {
    return metadata_.sets(key) ? metadata_.field(key).number() : otherwise;
  }

  Index positive(const char* key) const {
    const Located field = metadata_.field(key);
    if (field.number() == 0) field.refuse("at least 1");
    return field.number();
  }

  /// A positive number. Files have it in single precision: the shortest decimal that rounds to it
  /// is what it was made from (1e-05, not 9.999999747378752e-06).
  double real(const char* key) const {
    const Located field = metadata_.field(key);
    const bool good = field.value.is_number_float() && field.value.get<double>() > 0;
    if (!good || !std::isfinite(field.value.get<float>())) {
      field.refuse("a positive number");
    }
    return std::stod(fmt::format("{}", field.value.get<float>()));
  }

  const Gguf& file_;
  Located metadata_;
};

/// Where a published tensor comes from.
struct GgufSource {
  std::string name;
  std::vector<Index> shape;
  Index rotated_heads = 0;  ///< Heads whose rows are in the order that `restore_rows` undoes.
};

/// The published tensors of a LLaMA model by name, and their names in GGUF.
BRANCHLORA_INLINE std::map<std::string, GgufSource> gguf_llama_sources(const GgufLlamaShape& s) {
  const Index queries = s.heads * s.head_width;
  const Index keys = s.key_heads * s.head_width;
  std::map<std::string, GgufSource> all{
      {"model.embed_tokens.weight", {"token_embd.weight", {s.tokens, s.width}}},
      {"model.norm.weight", {"output_norm.weight", {s.width}}}};
  if (!s.tied) all["lm_head.weight"] = {"output.weight", {s.tokens, s.width}};
  for (Index i = 0; i < s.layers; ++i) {
    const auto put = [&](std::string_view name, std::string_view source, std::vector<Index> shape,
                         Index rotated_heads = 0) {
      all[fmt::format("model.layers.{}.{}.weight", i, name)] = {
          fmt::format("blk.{}.{}.weight", i, source), std::move(shape), rotated_heads};
    };
    put("input_layernorm", "attn_norm", {s.width});
    put("self_attn.q_proj", "attn_q", {queries, s.width}, s.heads);
    put("self_attn.k_proj", "attn_k", {keys, s.width}, s.key_heads);
    put("self_attn.v_proj", "attn_v", {keys, s.width});
    put("self_attn.o_proj", "attn_output", {s.width, queries});
    put("post_attention_layernorm", "ffn_norm", {s.width});
    put("mlp.gate_proj", "ffn_gate", {s.inner_width, s.width});
    put("mlp.up_proj", "ffn_up", {s.inner_width, s.width});
    put("mlp.down_proj", "ffn_down", {s.width, s.inner_width});
  }
  return all;
}

/// Throws `Error` unless `file` holds the tensors of `sources`, of their shapes, and no others.
BRANCHLORA_INLINE void check_sources(const Gguf& file,
                                     const std::map<std::string, GgufSource>& sources) {
  std::vector<std::string> expected;
  for (const auto& [name, source] : sources) {
    const auto& shape = file.tensor(source.name).shape;
    expect(shape == source.shape, "{}: tensor '{}': expected shape [{}], found [{}]",
           file.path().string(), source.name, fmt::join(source.shape, ", "),
           fmt::join(shape, ", "));
    expected.push_back(source.name);
  }
  std::ranges::sort(expected);
  for (const std::string& name : file.names()) {
    expect(std::ranges::binary_search(expected, name),
           "{}: tensor '{}': expected the tensors of a LLaMA model, which has none of that name",
           file.path().string(), name);
  }
}

/// The elements of a tensor in the published order. Of each rotated head of width w, GGUF holds row
/// i and row i + w / 2 (which one angle turns together) side by side, as rows 2 i and 2 i + 1.
BRANCHLORA_INLINE void restore_rows(const GgufTensor& tensor, Index rotated_heads,
                                    std::span<float> out) {
  if (rotated_heads == 0) return dequantise(tensor.type, tensor.bytes, out);
  const auto rows = static_cast<std::size_t>(tensor.shape[0]);
  const auto width = out.size() / rows;
  const auto row_bytes = tensor.bytes.size() / rows;
  const auto head = rows / static_cast<std::size_t>(rotated_heads);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t in_head = row % head;
    const std::size_t target = row - in_head + in_head / 2 + in_head % 2 * (head / 2);
    dequantise(tensor.type, tensor.bytes.subspan(row * row_bytes, row_bytes),
               out.subspan(target * width, width));
  }
}

}  // namespace detail

BRANCHLORA_INLINE GgufLlamaShape gguf_llama_shape(const Gguf& file) {
  return detail::GgufLlamaReader(file).shape();
}

BRANCHLORA_INLINE Json gguf_llama_config(const Gguf& file, Dtype dtype) {
  return detail::GgufLlamaReader(file).config(dtype);
}

BRANCHLORA_INLINE void write_gguf_llama_weights(const Gguf& file, const std::filesystem::path& path,
                                                Dtype dtype) {
  expect(dtype == Dtype::F32 || dtype == Dtype::BF16,
         "{}: expected weights to be written as F32 or BF16, found {}", path.string(),
         to_string(dtype));
  const auto sources = detail::gguf_llama_sources(gguf_llama_shape(file));
  detail::check_sources(file, sources);
  std::vector<TensorEntry> entries;
  for (const auto& [name, source] : sources) entries.push_back({name, dtype, source.shape});
  std::vector<float> values;
  std::vector<std::uint16_t> narrow;
  stream_safetensors(path, std::move(entries), {{"format", "pt"}}, [&](const TensorEntry& entry) {
    const detail::GgufSource& source = sources.at(entry.name);
    const GgufTensor& tensor = file.tensor(source.name);
    values.resize(static_cast<std::size_t>(tensor.size()));
    detail::restore_rows(tensor, source.rotated_heads, values);
    if (dtype == Dtype::F32) return std::as_bytes(std::span(values));
    narrow.resize(values.size());
    std::ranges::transform(values, narrow.begin(), float_to_bf16);
    return std::as_bytes(std::span(narrow));
  });
}

BRANCHLORA_INLINE void convert_gguf_llama(const std::filesystem::path& source,
                                          const std::filesystem::path& folder, Dtype dtype) {
  const Gguf file = Gguf::open(source);
  const Json config = gguf_llama_config(file, dtype);
  const Json tokenizer = gguf_tokenizer(file.metadata(), source.string());
  const Json tokenizer_config = gguf_tokenizer_config(file.metadata(), source.string());
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  expect(!failure, "cannot make the folder '{}': {}", folder.string(), failure.message());
  write_gguf_llama_weights(file, folder / "model.safetensors", dtype);
  write_file(folder / "tokenizer.json", tokenizer.dump() + "\n");
  write_file(folder / "tokenizer_config.json", tokenizer_config.dump(2) + "\n");
  write_file(folder / "config.json", config.dump(2) + "\n");
}

}  // namespace branchlora::io

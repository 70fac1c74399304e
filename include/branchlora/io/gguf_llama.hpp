/// @file
/// A LLaMA model in a GGUF file, turned into the folder in which such models are published:
/// `config.json`, `model.safetensors`, `tokenizer.json`.
#pragma once

#include <filesystem>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/dtype.hpp"
#include "branchlora/io/gguf.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::io {

/// The sizes of a LLaMA model.
struct GgufLlamaShape {
  Index layers = 0;
  Index width = 0;
  Index inner_width = 0;  ///< Of the feed-forward layers.
  Index heads = 0;
  Index key_heads = 0;  ///< Heads of keys and values, which several query heads share.
  Index head_width = 0;
  Index tokens = 0;
  bool tied = false;  ///< The output weights are the embeddings.
};

/// The sizes of the LLaMA model in `file`. Throws `Error` if it holds another architecture,
/// experts, a sliding window, or sizes that do not agree.
GgufLlamaShape gguf_llama_shape(const Gguf& file);

/// The `config.json` of the LLaMA model in `file`, whose weights are kept as `dtype`. Throws
/// `Error` as `gguf_llama_shape` does, and for a scaled rotary embedding.
Json gguf_llama_config(const Gguf& file, Dtype dtype = Dtype::F32);

/// Writes the weights of the LLaMA model in `file` to `path` as `dtype`, F32 or BF16, under their
/// published names and in the published order of rows. One tensor is in memory at a time. Throws
/// `Error` if a tensor is missing, of another shape, or none of such a model.
void write_gguf_llama_weights(const Gguf& file, const std::filesystem::path& path,
                              Dtype dtype = Dtype::F32);

/// Turns the GGUF file `source` into a folder as published models have it, its configuration last.
/// The folder is made if there is none; files of the same names are replaced. Throws `Error` if the
/// file is no LLaMA model with a byte-level tokenizer, or the disk refuses.
void convert_gguf_llama(const std::filesystem::path& source, const std::filesystem::path& folder,
                        Dtype dtype = Dtype::F32);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/gguf_llama-inl.hpp"
#endif

/// @file
/// The tokenizer inside a GGUF file, as the `tokenizer.json` that it was made from.
#pragma once

#include <string>

#include "branchlora/io/json.hpp"

namespace branchlora::io {

/// The `tokenizer.json` of the byte-level tokenizer that a GGUF file's `metadata` describe. Throws
/// `Error`, beginning with `name`, if the tokenizer is of another model, its pre-tokenizer is none
/// of gpt-2, smollm, llama-bpe and qwen2, or what is said of tokens does not agree.
Json gguf_tokenizer(const Json& metadata, const std::string& name);

/// The `tokenizer_config.json` beside it: the class that opens it, marks by name, and how turns of
/// a chat are written, as far as the file says so.
Json gguf_tokenizer_config(const Json& metadata, const std::string& name);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/gguf_tokenizer-inl.hpp"
#endif

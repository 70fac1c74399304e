/// @file
/// How the word tokenizer works.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/split_text.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE Tokenizer::Tokenizer(const std::vector<std::string>& words,
                                       const std::string& name)
    : tokens_{"<pad>", "<s>", "</s>", "<unk>"} {
  for (const std::string& word : words) {
    expect(split_text(word) == std::vector<std::string>{word},
           "{}: entry {}: expected one token in lower case, found '{}'", name, size() - 4, word);
    expect(ids_.emplace(word, size()).second, "{}: entry {}: '{}' appears twice", name, size() - 4,
           word);
    tokens_.push_back(word);
  }
}

BRANCHLORA_INLINE Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  const io::Json json = io::read_json(path);
  expect(json.is_array(), "{}: expected a list of [token, count], found {}", path.string(),
         json.type_name());
  std::vector<std::string> words;
  for (const io::Json& entry : json) {
    expect(entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_number_integer(),
           "{}: entry {}: expected [token, count], found {}", path.string(), words.size(),
           entry.dump());
    words.push_back(entry[0].get<std::string>());
  }
  return Tokenizer(words, path.string());
}

BRANCHLORA_INLINE Index Tokenizer::id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? unknown : found->second;
}

BRANCHLORA_INLINE const std::string& Tokenizer::token(Index id) const {
  expect(id >= 0 && id < size(), "tokenizer: expected a token number from 0 to {}, found {}",
         size() - 1, id);
  return tokens_[static_cast<std::size_t>(id)];
}

BRANCHLORA_INLINE std::vector<Index> Tokenizer::encode(std::string_view text) const {
  std::vector<Index> ids;
  for (const std::string& word : split_text(text)) ids.push_back(id(word));
  return ids;
}

BRANCHLORA_INLINE std::string Tokenizer::decode(std::span<const Index> ids) const {
  std::string text;
  for (const Index id : ids) {
    if (!text.empty()) text += ' ';
    text += token(id);
  }
  return text;
}

BRANCHLORA_INLINE Index Tokenizer::count_unknown(std::span<const Index> ids) {
  return std::ranges::count(ids, unknown);
}

}  // namespace branchlora::data

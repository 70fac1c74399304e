/// @file
/// The word tokenizer of MiniCoIN.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/split_text.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

/// Turns text into token numbers and back. A token is what `split_text` calls one; its number is
/// its place in the vocabulary, after four special tokens.
class Tokenizer {
 public:
  static constexpr Index pad = 0;      ///< `<pad>`: fills up, means nothing.
  static constexpr Index begin = 1;    ///< `<s>`: begins a sequence.
  static constexpr Index end = 2;      ///< `</s>`: ends an answer.
  static constexpr Index unknown = 3;  ///< `<unk>`: a token that the vocabulary lacks.

  /// A tokenizer of `words`, which get the numbers from 4 on. Throws `Error`, in which `name`
  /// stands for the vocabulary, if a word appears twice or is not one token.
  explicit Tokenizer(const std::vector<std::string>& words, const std::string& name = "vocabulary")
      : tokens_{"<pad>", "<s>", "</s>", "<unk>"} {
    for (const std::string& word : words) {
      expect(split_text(word) == std::vector<std::string>{word},
             "{}: entry {}: expected one token in lower case, found '{}'", name, size() - 4, word);
      expect(ids_.emplace(word, size()).second, "{}: entry {}: '{}' appears twice", name,
             size() - 4, word);
      tokens_.push_back(word);
    }
  }

  /// Reads a vocabulary: a JSON list of `[token, count]`. Throws `Error` naming file and entry.
  static Tokenizer load(const std::filesystem::path& path) {
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

  /// Number of tokens, the special ones among them.
  Index size() const { return static_cast<Index>(tokens_.size()); }

  /// The number of `token`, or `unknown`.
  Index id(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? unknown : found->second;
  }

  /// The token of number `id`. Throws `Error` if there is none.
  const std::string& token(Index id) const {
    expect(id >= 0 && id < size(), "tokenizer: expected a token number from 0 to {}, found {}",
           size() - 1, id);
    return tokens_[static_cast<std::size_t>(id)];
  }

  /// The token numbers of `text`, no special ones added.
  std::vector<Index> encode(std::string_view text) const {
    std::vector<Index> ids;
    for (const std::string& word : split_text(text)) ids.push_back(id(word));
    return ids;
  }

  /// The tokens of `ids`, separated by single spaces.
  std::string decode(std::span<const Index> ids) const {
    std::string text;
    for (const Index id : ids) {
      if (!text.empty()) text += ' ';
      text += token(id);
    }
    return text;
  }

  /// How many of `ids` are tokens that the vocabulary lacks.
  static Index count_unknown(std::span<const Index> ids) {
    return std::ranges::count(ids, unknown);
  }

 private:
  std::vector<std::string> tokens_;
  std::map<std::string, Index, std::less<>> ids_;
};

}  // namespace branchlora::data

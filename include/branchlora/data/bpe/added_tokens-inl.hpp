/// @file
/// How added tokens are found.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/added_tokens.hpp"
#include "branchlora/data/bpe/merger.hpp"
#include "branchlora/data/bpe/normalizer.hpp"
#include "branchlora/data/bpe/unicode.hpp"

namespace branchlora::data::bpe {

BRANCHLORA_INLINE AddedTokens::AddedTokens(const Located& root, const Merger& merger,
                                           const Normalizer& normalizer) {
  if (!root.sets("added_tokens")) return;
  const Located list = root.field("added_tokens");
  for (std::size_t i = 0; i < list.list().value.size(); ++i) {
    const Located json = list.item(i);
    const bool normalized = json.object().flag("normalized", false);
    const Token& token = add(json, merger, normalized ? normalizer : Normalizer());
    if (!token.sought.empty()) (normalized ? in_normalized_ : in_raw_).add(token);
  }
}

BRANCHLORA_INLINE const AddedTokens::Token* AddedTokens::find(Index id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

BRANCHLORA_INLINE std::optional<Index> AddedTokens::id(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

BRANCHLORA_INLINE std::vector<AddedTokens::Stretch> AddedTokens::cut_normalized(
    std::string_view text) const {
  return cut(in_normalized_, text);
}

BRANCHLORA_INLINE void AddedTokens::Needles::add(const Token& token) {
  const std::string& text = token.sought;
  auto& bucket = buckets_[static_cast<unsigned char>(text[0])];
  const auto at = std::ranges::find_if(
      bucket, [&](const auto& entry) { return entry.first.size() < text.size(); });
  bucket.emplace(at, text, token.id);
}

BRANCHLORA_INLINE const std::pair<std::string, Index>* AddedTokens::Needles::match(
    std::string_view text) const {
  const auto& bucket = buckets_[static_cast<unsigned char>(text[0])];
  const auto found = std::ranges::find_if(
      bucket, [&](const auto& entry) { return text.starts_with(entry.first); });
  return found == bucket.end() ? nullptr : &*found;
}

BRANCHLORA_INLINE const AddedTokens::Token& AddedTokens::add(const Located& json,
                                                             const Merger& merger,
                                                             const Normalizer& normalizer) {
  Token token;
  token.id = json.field("id", ".").number();
  token.content = json.field("content", ".").text();
  token.sought = normalizer(token.content);
  token.special = json.flag("special", false);
  token.takes_before = json.flag("lstrip", false);
  token.takes_after = json.flag("rstrip", false);
  expect(!json.flag("single_word", false),
         "{}: '{}': single_word: expected false, this reader knows no whole words", json.where,
         token.content);
  const auto its_id = merger.id(token.content);
  expect(!its_id || *its_id == token.id,
         "{}: expected '{}' to be {}, as in the vocabulary, "
         "found {}",
         json.where, token.content, its_id.value_or(0), token.id);
  const std::string* other = merger.token(token.id);
  expect(!other || *other == token.content,
         "{}: expected one token a number, found {} for '{}' and '{}'", json.where, token.id,
         other ? *other : "", token.content);
  expect(ids_.emplace(token.content, token.id).second, "{}: '{}' appears twice", json.where,
         token.content);
  const auto [known, fresh] = by_id_.emplace(token.id, token);
  expect(fresh, "{}: expected one token a number, found {} for '{}' and '{}'", json.where, token.id,
         known->second.content, token.content);
  return known->second;
}

BRANCHLORA_INLINE std::vector<AddedTokens::Stretch> AddedTokens::cut(const Needles& needles,
                                                                     std::string_view text) const {
  std::vector<Stretch> all;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto* match = needles.match(text.substr(at));
    if (!match) {
      ++at;
      continue;
    }
    const Token& token = by_id_.at(match->second);
    std::size_t begin = at;
    std::size_t end = at + match->first.size();
    if (token.takes_before) begin -= space_at_end(text.substr(done, at - done));
    if (token.takes_after) end += space_at_start(text.substr(end));
    if (done < begin) all.push_back({text.substr(done, begin - done)});
    all.push_back({text.substr(begin, end - begin), &token});
    done = at = end;
  }
  if (done < text.size()) all.push_back({text.substr(done)});
  return all;
}

BRANCHLORA_INLINE std::size_t AddedTokens::space_at_start(std::string_view text) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const CodePoint next = first_code_point(text.substr(bytes));
    if (!is_space(next.value)) break;
    bytes += next.bytes;
  }
  return bytes;
}

BRANCHLORA_INLINE std::size_t AddedTokens::space_at_end(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0) {
    std::size_t at = begin - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
    if (!is_space(first_code_point(text.substr(at)).value)) break;
    begin = at;
  }
  return text.size() - begin;
}

}  // namespace branchlora::data::bpe

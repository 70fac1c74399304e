/// @file
/// How pieces are merged.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/byte_map.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/merger.hpp"

namespace branchlora::data::bpe {

BRANCHLORA_INLINE std::string byte_token(unsigned char byte) {
  return fmt::format("<0x{:02X}>", byte);
}

BRANCHLORA_INLINE Merger::Merger(const Located& root, bool byte_level) {
  const Located model = root.field("model");
  if (model.object().has("type") && model.field("type", ".").text() != "BPE") {
    model.field("type", ".").refuse("\"BPE\"");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (model.sets(key) && !model.field(key, ".").text().empty()) {
      model.field(key, ".").refuse("none");
    }
  }
  if (model.sets("dropout") && model.field("dropout", ".").value != 0) {
    model.field("dropout", ".").refuse("none");
  }
  fuses_unknown_ = model.flag("fuse_unk", false);
  byte_fallback_ = model.flag("byte_fallback", false);
  ignores_merges_ = model.flag("ignore_merges", false);
  read_vocabulary(model.field("vocab", "."));
  read_merges(model.field("merges", "."));
  if (model.sets("unk_token") && !model.field("unk_token", ".").text().empty()) {
    const Located unknown = model.field("unk_token", ".");
    unknown_ = id(unknown.text());
    if (!unknown_) unknown.refuse("a token of the vocabulary");
  }
  check_completeness(model, byte_level);
}

BRANCHLORA_INLINE std::optional<Index> Merger::id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

BRANCHLORA_INLINE const std::string* Merger::token(Index id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

BRANCHLORA_INLINE void Merger::encode(std::string_view piece, std::vector<Index>& out) const {
  if (ignores_merges_) {
    if (const auto whole = id(piece)) return out.push_back(*whole);
  }
  for (const Symbol& symbol : merged(symbols(piece))) out.push_back(symbol.id);
}

BRANCHLORA_INLINE std::size_t Merger::Hash::operator()(std::string_view text) const {
  return std::hash<std::string_view>{}(text);
}

BRANCHLORA_INLINE std::uint64_t Merger::key(Index left, Index right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

BRANCHLORA_INLINE const Merger::Merge* Merger::find_merge(Index left, Index right) const {
  const auto found = merges_.find(key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

BRANCHLORA_INLINE void Merger::read_vocabulary(const Located& vocabulary) {
  for (const auto& [token, number] : vocabulary.object().value.items()) {
    const Index id = Located{number, vocabulary.where + ": '" + token + "'"}.number();
    ids_.emplace(token, id);
    const auto [other, fresh] = tokens_.emplace(id, token);
    expect(fresh, "{}: expected one token a number, found {} for '{}' and '{}'", vocabulary.where,
           id, other->second, token);
    size_ = std::max(size_, id + 1);
  }
}

BRANCHLORA_INLINE void Merger::read_merges(const Located& merges) {
  for (std::size_t rank = 0; rank < merges.list().value.size(); ++rank) {
    const Located merge = merges.item(rank);
    const auto parts = read_merge(merge);
    const auto need = [&](const std::string& token) {
      const auto found = id(token);
      expect(found.has_value(),
             "{}: expected tokens of the vocabulary, found '{}' and '{}': it "
             "has no '{}'",
             merge.where, parts[0], parts[1], token);
      return *found;
    };
    const Index left = need(parts[0]);
    const Index right = need(parts[1]);
    merges_[key(left, right)] = {rank, need(parts[0] + parts[1])};
  }
}

BRANCHLORA_INLINE std::vector<std::string> Merger::read_merge(const Located& merge) {
  if (merge.value.is_array()) {
    auto parts = merge.texts();
    if (parts.size() != 2) merge.refuse("a list of two tokens");
    return parts;
  }
  const std::string& text = merge.text();
  const auto space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos) {
    merge.refuse("two tokens with a space between them");
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

BRANCHLORA_INLINE void Merger::check_completeness(const Located& model, bool byte_level) const {
  for (int byte = 0; byte < 256; ++byte) {
    const auto b = static_cast<unsigned char>(byte);
    expect(!byte_fallback_ || id(byte_token(b)),
           "{}: expected a token '{}', as byte_fallback is on, found none", model.where,
           byte_token(b));
  }
  expect(byte_level || byte_fallback_ || unknown_,
         "{}: expected an unk_token, byte_fallback or a ByteLevel pre-tokenizer, found none",
         model.where);
}

BRANCHLORA_INLINE std::vector<Merger::Symbol> Merger::symbols(std::string_view piece) const {
  std::vector<Symbol> all;
  const auto put = [&all](Index id) {
    const auto at = std::ssize(all);
    all.push_back({id, at - 1, at + 1});
  };
  bool after_unknown = false;
  while (!piece.empty()) {
    const std::string_view character = piece.substr(0, first_code_point(piece).bytes);
    piece.remove_prefix(character.size());
    const auto found = id(character);
    if (found) {
      put(*found);
    } else if (byte_fallback_) {
      for (const char c : character) put(*id(byte_token(static_cast<unsigned char>(c))));
    } else if (unknown_ && !(after_unknown && fuses_unknown_)) {
      put(*unknown_);
    }
    after_unknown = !found && !byte_fallback_;
  }
  if (!all.empty()) all.back().next = none;
  return all;
}

BRANCHLORA_INLINE std::vector<Merger::Symbol> Merger::merged(std::vector<Symbol> all) const {
  struct Candidate {
    std::size_t rank;
    std::ptrdiff_t at;  ///< The left one of the two.
    Index id;
    bool operator>(const Candidate& other) const {
      return std::tie(rank, at) > std::tie(other.rank, other.at);
    }
  };
  const auto symbol = [&all](std::ptrdiff_t i) -> Symbol& {
    return all[static_cast<std::size_t>(i)];
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](std::ptrdiff_t left) {
    if (left < 0 || symbol(left).next == none) return;
    const Merge* merge = find_merge(symbol(left).id, symbol(symbol(left).next).id);
    if (merge) queue.push({merge->rank, left, merge->id});
  };
  for (std::ptrdiff_t i = 0; i < std::ssize(all); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbol(best.at);
    if (left.next < 0) continue;  // joined, or at the end, since it was queued
    Symbol& right = symbol(left.next);
    const Merge* merge = find_merge(left.id, right.id);
    if (!merge || merge->id != best.id) continue;  // one of the two has changed
    left.id = merge->id;
    left.next = std::exchange(right.next, gone);
    if (left.next >= 0) symbol(left.next).previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  std::erase_if(all, [](const Symbol& s) { return s.next == gone; });
  return all;
}

}  // namespace branchlora::data::bpe

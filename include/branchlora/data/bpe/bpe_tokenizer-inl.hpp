/// @file
/// How a tokenizer.json turns text into tokens and back.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/added_tokens.hpp"
#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/decoder.hpp"
#include "branchlora/data/bpe/merger.hpp"
#include "branchlora/data/bpe/normalizer.hpp"
#include "branchlora/data/bpe/post_processor.hpp"
#include "branchlora/data/bpe/pre_tokenizer.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

struct BpeTokenizer::Parts {
  explicit Parts(const bpe::Located& root)
      : normalizer(root.object()),
        pre_tokenizer(root),
        merger(root, pre_tokenizer.byte_level()),
        added(root, merger, normalizer),
        post_processor(root),
        decoder(root) {}

  bpe::Normalizer normalizer;
  bpe::PreTokenizer pre_tokenizer;
  bpe::Merger merger;
  bpe::AddedTokens added;
  bpe::PostProcessor post_processor;
  bpe::Decoder decoder;
};

BRANCHLORA_INLINE BpeTokenizer BpeTokenizer::load(const std::filesystem::path& path) {
  return BpeTokenizer(io::read_json(path), path.string());
}

BRANCHLORA_INLINE BpeTokenizer::BpeTokenizer(const io::Json& json, const std::string& name)
    : parts_(std::make_shared<const Parts>(bpe::Located{json, name})) {}

BRANCHLORA_INLINE Index BpeTokenizer::size() const {
  return std::max(parts_->merger.size(), parts_->added.size());
}

BRANCHLORA_INLINE std::optional<Index> BpeTokenizer::id(std::string_view token) const {
  const auto added = parts_->added.id(token);
  return added ? added : parts_->merger.id(token);
}

BRANCHLORA_INLINE const std::string& BpeTokenizer::token(Index id) const {
  const std::string* found = find(id);
  expect(found != nullptr, "tokenizer: expected the number of a token below {}, found {}", size(),
         id);
  return *found;
}

BRANCHLORA_INLINE std::vector<Index> BpeTokenizer::encode(std::string_view text,
                                                          SpecialTokens special) const {
  const std::string valid = valid_utf8(text);
  std::vector<Index> ids;
  bool first = true;
  for (const auto& raw : parts_->added.cut_raw(valid)) {
    if (raw.token) {
      ids.push_back(raw.token->id);
    } else {
      encode_stretch(parts_->normalizer(std::string(raw.text)), first, ids);
    }
    first = false;
  }
  return special == SpecialTokens::Keep ? parts_->post_processor(std::move(ids)) : ids;
}

BRANCHLORA_INLINE std::string BpeTokenizer::decode(std::span<const Index> ids,
                                                   SpecialTokens special) const {
  std::vector<std::string> tokens;
  for (const Index id : ids) {
    const auto* added = parts_->added.find(id);
    if (added && added->special && special == SpecialTokens::Omit) continue;
    if (const std::string* text = added ? &added->sought : parts_->merger.token(id)) {
      tokens.push_back(*text);
    }
  }
  return parts_->decoder(std::move(tokens));
}

BRANCHLORA_INLINE const std::string* BpeTokenizer::find(Index id) const {
  const auto* added = parts_->added.find(id);
  return added ? &added->content : parts_->merger.token(id);
}

BRANCHLORA_INLINE void BpeTokenizer::encode_stretch(const std::string& text, bool first,
                                                    std::vector<Index>& ids) const {
  for (const auto& part : parts_->added.cut_normalized(text)) {
    if (part.token) {
      ids.push_back(part.token->id);
    } else {
      for (const bpe::Piece& piece : parts_->pre_tokenizer({std::string(part.text), first})) {
        parts_->merger.encode(piece.text, ids);
      }
    }
    first = false;
  }
}

}  // namespace branchlora::data

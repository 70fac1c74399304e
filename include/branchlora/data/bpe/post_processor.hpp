/// @file
/// The special tokens that a tokenizer puts around a text.
#pragma once

#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/data/bpe/component.hpp"

namespace branchlora::data::bpe {

/// The `post_processor` of a tokenizer.json, as far as it is about one text.
class PostProcessor {
 public:
  /// Reads `root.post_processor`. Throws `Error` naming a type that is not known, or if a template
  /// names a token that it does not list, or the text not exactly once.
  explicit PostProcessor(const Located& root);

  /// `ids` with the special tokens before and after.
  std::vector<Index> operator()(std::vector<Index> ids) const;

 private:
  void read_template(const Located& json);

  std::vector<Index> before_;
  std::vector<Index> after_;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/post_processor-inl.hpp"
#endif

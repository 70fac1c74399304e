/// @file
/// Which tensor of a published checkpoint holds which parameter.
#pragma once

#include <string>
#include <vector>

#include "branchlora/model/config.hpp"

namespace branchlora::model::published {

/// A parameter of the library's model, and the tensor that it is read from.
struct Weight {
  std::string parameter;
  std::string tensor;
  std::vector<Index> shape;  ///< That the tensor must have.
  /// The tensor is a convolution (out, colour, y, x), the parameter its rows as `unfold` orders a
  /// patch: (out, y, x, colour).
  bool patches = false;
};

/// The tensors of a checkpoint: those that are read, and what others may begin with.
struct WeightMap {
  std::vector<Weight> read;
  std::vector<std::string> unread;

  /// A linear layer or norm.
  void add(const std::string& parameter, const std::string& tensor, std::vector<Index> shape);
  /// The same with a bias.
  void add_biased(const std::string& parameter, const std::string& tensor,
                  const std::vector<Index>& shape);

  /// A LLaMA whose tensors begin with `prefix`, and whose output layer, unless tied, is `head`.
  void add_llama(const DecoderConfig& c, const std::string& prefix, const std::string& head);

  /// A CLIP vision tower of `blocks` blocks whose tensors begin with `prefix`.
  void add_clip(const VisionConfig& c, Index blocks, const std::string& prefix);

  /// The projector, whose two layers are called `first` and `second`.
  void add_projector(const ModelConfig& c, const std::string& first, const std::string& second);
};

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/weights-inl.hpp"
#endif

/// @file
/// The selector that mixes tasks by how near their keys are.
#pragma once

#include <vector>

#include "branchlora/selector/nearest_key.hpp"

namespace branchlora {

/// Weighs each task t by softmax(s / temperature)_t, where s_t is the similarity that
/// `NearestKeySelector` takes: cos(image, key) + cos(text, key), or one of them alone. A low
/// temperature is nearly the nearest key.
///
/// The source is DISCO's subspace selective activation (arXiv 2503.12897), whose released code has
/// temperature 0.05 and reads the text alone. Its keys are the means of CLIP's features; ours are
/// those of unit embeddings.
class SoftmaxKeySelector final : public NearestKeySelector {
 public:
  explicit SoftmaxKeySelector(Reads reads = Reads::both, double temperature = 0.05);

  bool mixes() const override { return true; }
  std::vector<double> weights(const Embedding& embedding) const override;

 private:
  double temperature_;
};

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/selector/softmax_keys-inl.hpp"
#endif

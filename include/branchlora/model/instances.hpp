/// @file
/// The parts of the model, for programs that compile them once for a backend.
///
/// A program of several sources includes this in each of them and says
/// `BRANCHLORA_MODEL_INSTANCES(extern, B)`; one of its sources says
/// `BRANCHLORA_MODEL_INSTANCES(, B)`.
#pragma once

#include "branchlora/model/generate.hpp"

/// Explicit instantiations for the backend `B`.
#define BRANCHLORA_MODEL_INSTANCES(prefix, B)                                       \
  namespace branchlora::model {                                                     \
  prefix template class DecoderBlock<B>;                                            \
  prefix template class Decoder<B>;                                                 \
  prefix template class VisionBlock<B>;                                             \
  prefix template class VisionTower<B>;                                             \
  prefix template class Projector<B>;                                               \
  prefix template class Multimodal<B>;                                              \
  prefix template std::vector<std::vector<std::int32_t>> generate<B>(               \
      Multimodal<B>&, Tape<B>&, const Batch&, const FeatureBank<B>&,                \
      std::span<const std::int32_t>, std::int32_t, Index, std::span<const double>); \
  }

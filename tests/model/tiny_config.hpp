/// @file
/// The sizes of a multimodal model that is small enough for every test.
#pragma once

#include "branchlora/model/config.hpp"

namespace branchlora::test {

/// Four image tokens of 16 numbers each, two decoder blocks with grouped heads.
inline model::ModelConfig tiny_config() {
  return {.vision = {.image = 8,
                     .kernel = 4,
                     .stride = 2,
                     .width = 4,
                     .layers = 1,
                     .heads = 2,
                     .hidden = 6,
                     .merge = 2},
          .decoder = {.vocabulary = 11,
                      .width = 8,
                      .layers = 2,
                      .heads = 4,
                      .kv_heads = 2,
                      .hidden = 6,
                      .length = 40}};
}

}  // namespace branchlora::test

/// @file
/// The rows of a batch that the last block must finish.
#pragma once

#include <cstdint>
#include <vector>

#include "branchlora/core/sequences.hpp"

namespace branchlora::model {

/// A part of a batch's rows.
struct KeptRows {
  std::vector<std::int32_t> rows;
  Sequences sequences;  ///< What is left of each sequence.
};

}  // namespace branchlora::model

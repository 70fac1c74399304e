/// @file
/// Which blocks of a factor each token uses in a top-k mixture.
#pragma once

#include <cstdint>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// A sparse choice of row blocks: token t uses rows `b * block .. (b + 1) * block` of a factor for
/// each b among `table[t * k .. (t + 1) * k]`, which are distinct. No table means that every token
/// uses every row. A plain struct, so that it travels to a device as it is.
///
/// `rest_is_zero` says of the left factor of `skinny_outer` that its elements of rows which were
/// not chosen are zeros, so that a backend may read them.
struct Chosen {
  const std::int32_t* table = nullptr;
  Index k = 0;
  Index block = 0;
  bool rest_is_zero = false;

  constexpr bool everything() const { return table == nullptr; }
  /// The choice of the tokens from `first` on.
  constexpr Chosen from(Index first) const {
    return everything() ? Chosen{} : Chosen{table + first * k, k, block, rest_is_zero};
  }
};

}  // namespace branchlora

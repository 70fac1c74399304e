/// @file
/// The register block of the products with a packed matrix of bfloat16, in tiles.
#pragma once

#include <type_traits>

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/fill_copy.hpp"
#include "branchlora/eigen/packed_kernel.hpp"
#include "branchlora/eigen/packed_matrix.hpp"
#include "branchlora/eigen/tiles.hpp"

namespace branchlora::eigen::gemm {

#if defined(BRANCHLORA_TILES)

/// The register block in tiles: two beside each other, and two or one of tokens. The same as
/// `VectorKernel<bfloat16>`, but for the order of sums: what is in y comes first, then depth by
/// depth of a tile the sums of its even and of its odd products.
struct TileKernel {
  static constexpr int tokens = 2 * tiles::size;
  static constexpr Index block = 128;
  /// Lines fetched of what lies ahead with a tile's depth: a panel's share of the tokens.
  static constexpr int fetched = 8;

  using Registers = tiles::Tiles;

  static void run(const bfloat16* a, const bfloat16* b, Index depth, float* y, Index stride,
                  Index rows, Index count, bool add, Ahead<bfloat16> ahead) {
    const bool one = rows <= tiles::size;
    const bool whole = rows % tiles::size == 0 && count == panel<bfloat16>;
    alignas(cache_line) float apart[tokens * panel<bfloat16>];
    const MatrixView<float> part(apart, rows, count, panel<bfloat16>);
    const MatrixView<float> target(y, rows, count, stride);
    if (!whole && add) copy(target, part);
    float* const to = whole ? y : apart;
    const Index step = whole ? stride : panel<bfloat16>;
    one ? sum<1>(a, b, depth, to, step, add, ahead) : sum<2>(a, b, depth, to, step, add, ahead);
    if (!whole) copy(part, target);
  }

 private:
  template <int Rows>
  [[gnu::noinline]] static void sum(const bfloat16* a, const bfloat16* b, Index depth, float* y,
                                    Index stride, bool add, Ahead<bfloat16> ahead) {
    constexpr Index a_bytes = row_step<bfloat16> * static_cast<Index>(sizeof(bfloat16));
    constexpr Index b_bytes =
        pair<bfloat16> * panel<bfloat16> * static_cast<Index>(sizeof(bfloat16));
    const Index y_bytes = stride * static_cast<Index>(sizeof(float));
    for_results<Rows>(y, stride, [&](auto tile, const float* from) {
      add ? tiles::load<tile>(from, y_bytes) : tiles::clear<tile>();
    });
    for (; depth > 0; depth -= granule<bfloat16>) {
      tiles::load<6>(b, b_bytes);
      tiles::load<4>(a, a_bytes);
      tiles::load<7>(b + pair<bfloat16> * tiles::size, b_bytes);
      if constexpr (Rows == 2) tiles::load<5>(a + tiles::size * row_step<bfloat16>, a_bytes);
      for (int i = 0; i < fetched; ++i) ahead.fetch();
      tiles::multiply<0, 4, 6>();
      tiles::multiply<1, 4, 7>();
      if constexpr (Rows == 2) {
        tiles::multiply<2, 5, 6>();
        tiles::multiply<3, 5, 7>();
      }
      a += granule<bfloat16>;
      b += granule<bfloat16> * panel<bfloat16>;
    }
    for_results<Rows>(y, stride, [&](auto tile, float* to) { tiles::store<tile>(to, y_bytes); });
  }

  /// Calls `call(constant tile, where it lies in y)` for each tile of the result.
  template <int Rows, class Call>
  [[gnu::always_inline]] static void for_results(float* y, Index stride, Call&& call) {
    call(std::integral_constant<int, 0>(), y);
    call(std::integral_constant<int, 1>(), y + tiles::size);
    if constexpr (Rows == 2) {
      call(std::integral_constant<int, 2>(), y + tiles::size * stride);
      call(std::integral_constant<int, 3>(), y + tiles::size * stride + tiles::size);
    }
  }
};

#endif

}  // namespace branchlora::eigen::gemm

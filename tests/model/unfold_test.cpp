#include "branchlora/model/unfold.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;
using model::VisionConfig;

namespace {

/// A picture in which no two numbers are the same.
std::vector<float> numbered(const VisionConfig& c) {
  std::vector<float> rgb(static_cast<std::size_t>(c.image * c.image * 3));
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<float>(i);
  return rgb;
}

Dense unfolded(const VisionConfig& c) {
  std::vector<double> rows(static_cast<std::size_t>(c.patches() * c.patch_size()), -99.0);
  const auto rgb = numbered(c);
  model::unfold<double>(rgb, c, {rows.data(), c.patches(), c.patch_size()});
  return {c.patches(), c.patch_size(), rows};
}

/// The same, one patch after another: tokens from the top left along the rows, and within a token
/// its merged patches likewise.
Dense naive(const VisionConfig& c) {
  Dense rows(c.patches(), c.patch_size());
  const auto rgb = numbered(c);
  const Index border = (c.kernel - c.stride) / 2;
  Index i = 0;
  for (Index ty = 0; ty < c.side(); ty += c.merge) {
    for (Index tx = 0; tx < c.side(); tx += c.merge) {
      for (Index y = ty; y < ty + c.merge; ++y) {
        for (Index x = tx; x < tx + c.merge; ++x, ++i) {
          for (Index ky = 0; ky < c.kernel; ++ky) {
            for (Index kx = 0; kx < c.kernel; ++kx) {
              const Index py = y * c.stride - border + ky;
              const Index px = x * c.stride - border + kx;
              if (py < 0 || px < 0 || py >= c.image || px >= c.image) continue;
              for (Index colour = 0; colour < 3; ++colour) {
                const float value = rgb[static_cast<std::size_t>((py * c.image + px) * 3 + colour)];
                rows(i, (ky * c.kernel + kx) * 3 + colour) =
                    static_cast<double>(value / 127.5F - 1.0F);
              }
            }
          }
        }
      }
    }
  }
  return rows;
}

}  // namespace

TEST_CASE("patches are those of a naive loop, whatever overlaps and merges") {
  for (const auto& [image, kernel, stride, merge] : {std::array<Index, 4>{8, 2, 2, 1},
                                                     {8, 2, 2, 2},
                                                     {12, 4, 2, 3},
                                                     {12, 6, 3, 2},
                                                     {9, 3, 3, 1}}) {
    const VisionConfig c{.image = image, .kernel = kernel, .stride = stride, .merge = merge};
    CAPTURE(image);
    CAPTURE(kernel);
    CHECK(unfolded(c) == naive(c));
  }
}

TEST_CASE("a patch of four, by hand") {
  // 4 x 4 pixels, patches of 2 x 2 without overlap, all four merged into one token: their order is
  // top left, top right, bottom left, bottom right.
  const Dense rows = unfolded({.image = 4, .kernel = 2, .stride = 2, .merge = 2});
  const auto value = [](int i) {
    return static_cast<double>(static_cast<float>(i) / 127.5F - 1.0F);
  };
  CHECK(rows(0, 0) == value(0));
  CHECK(rows(1, 0) == value(2 * 3));
  CHECK(rows(2, 0) == value(2 * 4 * 3));
  CHECK(rows(3, 11) == value(4 * 4 * 3 - 1));
}

TEST_CASE("outside of the picture is grey") {
  const VisionConfig c{.image = 8, .kernel = 4, .stride = 2, .merge = 1};
  const Dense rows = unfolded(c);
  for (Index k = 0; k < 4 * 3; ++k) CHECK(rows(0, k) == 0.0);  // the top row of the corner patch
  CHECK(rows(0, (1 * 4 + 1) * 3) == -1.0);                     // pixel (0, 0), which is black
}

TEST_CASE("a picture of another size is refused") {
  const VisionConfig c{.image = 8, .kernel = 2, .stride = 2};
  std::vector<double> rows(static_cast<std::size_t>(c.patches() * c.patch_size()));
  const std::vector<float> small(7 * 7 * 3);
  check_mentions(error_of([&] {
                   model::unfold<double>(small, c, {rows.data(), c.patches(), c.patch_size()});
                 }),
                 "8 x 8", "147");
}

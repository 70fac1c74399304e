#include "branchlora/data/augment.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace branchlora;
using data::Augmentation;
using data::Image;

namespace {

constexpr Augmentation still{.scale = 0, .turn = 0, .shift = 0, .dimmest = 1, .brightest = 1};

Image image_of(Index side, auto pixel) {
  Image image{side, side, {}};
  for (Index y = 0; y < side; ++y) {
    for (Index x = 0; x < side; ++x) {
      for (Index c = 0; c < 3; ++c) image.rgb.push_back(static_cast<std::uint8_t>(pixel(x, y, c)));
    }
  }
  return image;
}

float at(const std::vector<float>& pixels, Index side, Index x, Index y, Index c) {
  return pixels[static_cast<std::size_t>((y * side + x) * 3 + c)];
}

}  // namespace

TEST_CASE("no change is no change, to the bit") {
  const Image image =
      image_of(48, [](Index x, Index y, Index c) { return (7 * x + 5 * y + 80 * c) % 256; });
  CHECK(data::augment(image, still, Random(1)) == data::pixels(image));
}

TEST_CASE("a picture moves by a similarity within the limits") {
  // Red is 4x and green 4y, so an augmented pixel tells where it was taken from, exactly but for
  // the rounding of floats, since bilinear interpolation of a plane is that plane.
  constexpr Index side = 60;
  const Image image = image_of(side, [](Index x, Index y, Index c) {
    return c == 0 ? 4 * x : c == 1 ? 4 * y : 0;
  });
  Augmentation how = still;
  how.scale = 0.1;
  how.turn = 0.12;
  how.shift = 0.04;
  double least_turn = 1, most_turn = -1, least_scale = 2, most_scale = 0, furthest = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto out = data::augment(image, how, Random(seed));
    const auto source = [&](Index x, Index y, Index c) {
      return static_cast<double>(at(out, side, x, y, c)) / 4;
    };
    // Differences around the centre, where nothing is clamped.
    const double xx = (source(40, 30, 0) - source(20, 30, 0)) / 20;
    const double yx = (source(40, 30, 1) - source(20, 30, 1)) / 20;
    const double xy = (source(30, 40, 0) - source(30, 20, 0)) / 20;
    const double yy = (source(30, 40, 1) - source(30, 20, 1)) / 20;
    CHECK(xx == doctest::Approx(yy).epsilon(1e-5));
    CHECK(std::abs(yx + xy) < 1e-5);
    const double scale = std::hypot(xx, yx);
    const double angle = std::atan2(yx, xx);
    least_scale = std::min(least_scale, scale);
    most_scale = std::max(most_scale, scale);
    least_turn = std::min(least_turn, angle);
    most_turn = std::max(most_turn, angle);
    // The centre of a picture of 60 lies at 29.5.
    const double dx = source(29, 29, 0) + (xx + xy) / 2 - 29.5;
    const double dy = source(29, 29, 1) + (yx + yy) / 2 - 29.5;
    furthest = std::max({furthest, std::abs(dx), std::abs(dy)});
  }
  CHECK(least_scale >= 1 / 1.1 - 1e-5);
  CHECK(most_scale <= 1 / 0.9 + 1e-5);
  CHECK(least_turn >= -0.12 - 1e-5);
  CHECK(most_turn <= 0.12 + 1e-5);
  CHECK(furthest <= 0.04 * side + 1e-4);
  // 200 draws reach within a tenth of every limit (each fails to with probability 0.95^200 = 4e-5).
  CHECK(least_scale < 0.93);
  CHECK(most_scale > 1.08);
  CHECK(least_turn < -0.108);
  CHECK(most_turn > 0.108);
  CHECK(furthest > 0.036 * side);
}

TEST_CASE("colours change by a factor each, and stay within 0 and 255") {
  const Image image = image_of(8, [](Index, Index, Index c) { return c == 2 ? 250 : 100; });
  Augmentation how = still;
  how.dimmest = 0.5;
  how.brightest = 1.5;
  bool clipped = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto out = data::augment(image, how, Random(seed));
    for (Index c = 0; c < 3; ++c) {
      for (Index i = 1; i < 64; ++i) CHECK(at(out, 8, i % 8, i / 8, c) == at(out, 8, 0, 0, c));
    }
    CHECK(at(out, 8, 0, 0, 0) >= 50.0F);
    CHECK(at(out, 8, 0, 0, 0) < 150.0F);
    CHECK(at(out, 8, 0, 0, 0) != at(out, 8, 0, 0, 1));
    CHECK(at(out, 8, 0, 0, 2) <= 255.0F);
    clipped = clipped || at(out, 8, 0, 0, 2) == 255.0F;
  }
  CHECK(clipped);
}

TEST_CASE("what is drawn depends on the random family alone") {
  const Image image = image_of(16, [](Index x, Index y, Index c) { return 10 * x + y + c; });
  const Augmentation how;
  CHECK(data::augment(image, how, Random(3)) == data::augment(image, how, Random(3)));
  CHECK(data::augment(image, how, Random(3)) != data::augment(image, how, Random(4)));
}

TEST_CASE("borders repeat: a plain picture stays plain however it moves") {
  const Image image = image_of(16, [](Index, Index, Index) { return 90; });
  Augmentation how = still;
  how.turn = 3;
  how.shift = 0.5;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const float v : data::augment(image, how, Random(seed))) {
      CHECK(v == doctest::Approx(90).epsilon(1e-6));
    }
  }
}

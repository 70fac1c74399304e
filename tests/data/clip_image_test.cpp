#include "branchlora/data/clip_image.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "branchlora/io/safetensors.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/clip_images";
const std::vector<std::string> names{"landscape", "portrait", "strip"};

std::vector<std::uint8_t> golden_bytes(const std::string& tensor) {
  const auto file = io::SafeTensors::open(golden / "expected.safetensors");
  const auto bytes = file.tensor(tensor).bytes;
  std::vector<std::uint8_t> values(bytes.size());
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

ClipPreprocessing small(Squaring squaring) {
  ClipPreprocessing how;
  how.size = 32;
  how.squaring = squaring;
  return how;
}

}  // namespace

// Weights are whole multiples of 2^-22 on both sides and sums are exact, so 8-bit results are
// equal.
TEST_CASE("resizing gives Pillow's bytes") {
  for (const std::string& name : names) {
    CAPTURE(name);
    const Image image = load_image(golden / (name + ".png"));
    CHECK(resize_bicubic(image, 21, 45).rgb == golden_bytes(name + ".21x45"));
    CHECK(resize_bicubic(image, image.width, image.height) == image);
  }
}

TEST_CASE("squares are those of CLIP's processor, byte by byte") {
  for (const std::string& name : names) {
    CAPTURE(name);
    const Image image = load_image(golden / (name + ".png"));
    const Image cropped = clip_square(image, small(Squaring::CentreCrop));
    CHECK(cropped.width == 32);
    CHECK(cropped.height == 32);
    CHECK(cropped.rgb == golden_bytes(name + ".crop"));
    CHECK(clip_square(image, small(Squaring::Pad)).rgb == golden_bytes(name + ".pad"));
  }
}

// The reference computes in float: values up to 2.7 after three roundings of relative size 2^-24,
// and the mean, itself rounded, subtracted from a number near it: below 4 * 2^-24 / 0.26 + 3 *
// 2^-24 * 2.7 = 1.4e-6.
TEST_CASE("normalised pixels are those of CLIP's processor") {
  for (const std::string& name : names) {
    CAPTURE(name);
    const Image image = load_image(golden / (name + ".png"));
    const auto found = clip_pixels(image, small(Squaring::CentreCrop));
    const auto file = io::SafeTensors::open(golden / "expected.safetensors");
    std::vector<float> expected(found.size());
    file.read(name + ".pixels", std::span(expected));
    float worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      worst = std::max(worst, std::abs(found[i] - expected[i % 3 * 32 * 32 + i / 3]));
    }
    CHECK(worst < 1.4e-6F);
  }
}

TEST_CASE("cropping keeps what lies inside and fills the rest") {
  const Image image{2, 1, {1, 2, 3, 4, 5, 6}};
  CHECK(crop(image, 1, 0, 1, 1).rgb == std::vector<std::uint8_t>{4, 5, 6});
  CHECK(crop(image, -1, 0, 2, 2, {7, 8, 9}).rgb ==
        std::vector<std::uint8_t>{7, 8, 9, 1, 2, 3, 7, 8, 9, 7, 8, 9});
}

TEST_CASE("empty pictures are refused") {
  check_mentions(error_of([] { clip_square({}, {}); }), "at least one pixel", "0 x 0");
  check_mentions(error_of([] { resize_bicubic({1, 1, {1, 2, 3}}, 0, 4); }), "1 x 1 to 0 x 4");
}

#include "branchlora/data/image.hpp"

#include <doctest/doctest.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

#include <cstdlib>
#include <string>

#include "../io/temporary_folder.hpp"
#include "branchlora/data/image_check.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

/// Pixel (x, y) is (x, y, 7 x + 3 y), so that no two of a small picture are the same.
Image pattern(Index width, Index height) {
  Image image{width, height, {}};
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<std::uint8_t>(x));
      image.rgb.push_back(static_cast<std::uint8_t>(y));
      image.rgb.push_back(static_cast<std::uint8_t>(7 * x + 3 * y));
    }
  }
  return image;
}

void append(void* to, void* bytes, int size) {
  static_cast<std::string*>(to)->append(static_cast<char*>(bytes), static_cast<std::size_t>(size));
}

std::string png(const Image& image, int channels = 3) {
  std::string file;
  stbi_write_png_to_func(append, &file, static_cast<int>(image.width),
                         static_cast<int>(image.height), channels, image.rgb.data(), 0);
  return file;
}

std::string jpeg(const Image& image) {
  std::string file;
  stbi_write_jpg_to_func(append, &file, static_cast<int>(image.width),
                         static_cast<int>(image.height), 3, image.rgb.data(), 95);
  return file;
}

std::uint32_t checksum(const Image& image) {
  return detail::crc32({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()});
}

}  // namespace

TEST_CASE("a PNG comes back pixel by pixel, in one to four channels") {
  const test::TemporaryFolder folder;
  const Image image = pattern(13, 7);
  CHECK(load_image(folder.write("rgb.png", png(image))) == image);

  const Image grey{2, 1, {10, 200}};
  CHECK(load_image(folder.write("grey.png", png(grey, 1))) ==
        Image{2, 1, {10, 10, 10, 200, 200, 200}});
  const Image transparent{1, 1, {1, 2, 3, 0}};
  CHECK(load_image(folder.write("rgba.png", png(transparent, 4))) == Image{1, 1, {1, 2, 3}});
}

TEST_CASE("a JPEG comes back nearly") {
  const test::TemporaryFolder folder;
  Image image{16, 16, {}};
  image.rgb.assign(3 * 16 * 16, 90);
  const Image back = load_image(folder.write("flat.jpg", jpeg(image)));
  CHECK(back.width == 16);
  CHECK(back.height == 16);
  REQUIRE(back.rgb.size() == image.rgb.size());
  for (const int value : back.rgb) {
    REQUIRE(std::abs(value - 90) <= 2);  // one level by quantisation, one by colour conversion
  }
}

TEST_CASE("every cut of a PNG, and every changed byte, is an error that names the file") {
  const test::TemporaryFolder folder;
  const std::string good = png(pattern(5, 4));
  const auto path = folder.path() / "bad.png";
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    folder.write("bad.png", std::string_view(good).substr(0, size));
    check_mentions(error_of([&] { load_image(path); }), path.string());
  }
  for (std::size_t i = 0; i < good.size(); ++i) {
    CAPTURE(i);
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    folder.write("bad.png", changed);
    check_mentions(error_of([&] { load_image(path); }), path.string());
  }
}

TEST_CASE("every cut of a JPEG is an error that names the file") {
  const test::TemporaryFolder folder;
  const std::string good = jpeg(pattern(16, 16));
  const auto path = folder.path() / "bad.jpg";
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    folder.write("bad.jpg", std::string_view(good).substr(0, size));
    check_mentions(error_of([&] { load_image(path); }), path.string());
  }
}

TEST_CASE("a small file that claims to be a huge picture is refused") {
  const test::TemporaryFolder folder;
  std::string file = jpeg(pattern(16, 16));
  const auto frame = file.find("\xFF\xC0");  // then a length of 2, a depth of 1, height and width
  REQUIRE(frame != file.npos);
  file.replace(frame + 5, 4, "\xFF\xFE\xFF\xFD");
  check_mentions(error_of([&] { load_image(folder.write("huge.jpg", file)); }), "huge.jpg",
                 "at most 67108864 pixels, found 65533 x 65534");
}

TEST_CASE("a JPEG without the Huffman tables that it names comes to the same each time") {
  const test::TemporaryFolder folder;
  std::string file = jpeg(pattern(16, 16));
  for (auto at = file.find("\xFF\xC4"); at != file.npos; at = file.find("\xFF\xC4")) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(file[at + i]); };
    file.erase(at, 2 + (std::size_t{byte(2)} << 8) + byte(3));
  }
  const auto path = folder.write("bare.jpg", file);
  const auto outcome = [&] {
    try {
      return load_image(path);
    } catch (const Error&) {
      return Image{};
    }
  };
  const Image first = outcome();
  for (int i = 0; i < 4; ++i) {
    const std::string dirt(20'000, '\xA5');  // as large as what the decoder asks for
    CHECK(outcome() == first);
  }
}

TEST_CASE("what is no image is refused") {
  const test::TemporaryFolder folder;
  check_mentions(error_of([&] { load_image(folder.write("a.png", "hello")); }), "a.png",
                 "expected a PNG or JPEG");
  check_mentions(error_of([&] { load_image(folder.path() / "absent.png"); }), "absent.png");
}

TEST_CASE("tiles are numbered along the rows") {
  const ContactSheet sheet(pattern(12, 6), "sheet", 3, 4);
  CHECK(sheet.size() == 8);
  const Image tile = sheet.tile(6);  // third in the second row: pixels from (6, 3) on
  CHECK(tile.width == 3);
  CHECK(tile.height == 3);
  CHECK(tile.rgb.size() == 27);
  const Image whole = pattern(12, 6);
  for (std::size_t y = 0; y < 3; ++y) {
    for (std::size_t i = 0; i < 9; ++i) {
      CHECK(tile.rgb[9 * y + i] == whole.rgb[36 * (y + 3) + 18 + i]);
    }
  }
  check_mentions(error_of([&] { sheet.tile(8); }), "sheet", "from 0 to 7, found 8");
  check_mentions(error_of([&] { sheet.tile(-1); }), "found -1");
  check_mentions(error_of([] { ContactSheet(pattern(12, 7), "odd", 3, 4); }), "odd", "12 x 7");
  check_mentions(error_of([] { ContactSheet(pattern(11, 6), "odd", 3, 4); }), "odd", "11 x 6");
  check_mentions(error_of([] { ContactSheet(Image{}, "none", 3, 4); }), "none");
}

TEST_CASE("a store finds whole files and tiles below its folder") {
  const test::TemporaryFolder folder;
  folder.write("sub/sheet.png", png(pattern(12, 6)));
  folder.write("a#1.png", png(pattern(2, 2)));
  ImageStore store(folder.path(), 3, 4);
  CHECK(store.load("sub/sheet.png") == pattern(12, 6));
  CHECK(store.load("./sub/sheet.png#5") == ContactSheet(pattern(12, 6), "", 3, 4).tile(5));
  CHECK(store.load("a#1.png") == pattern(2, 2));

  std::filesystem::remove(folder.path() / "sub/sheet.png");
  CHECK(store.load("sub/sheet.png#0").width == 3);  // decoded once and kept
  check_mentions(error_of([&] { store.load("sub/sheet.png#8"); }), "sub/sheet.png", "found 8");
  check_mentions(error_of([&] { store.load("sub/sheet.png"); }), "sub/sheet.png", "cannot open");
  check_mentions(error_of([&] { store.load("sub/sheet.png#-1"); }), "sheet.png#-1");
  check_mentions(error_of([&] { store.load("sub/sheet.png#99999999999999999999"); }), "9 digits");
  for (const char* outside : {"../x.png", "sub/../../x.png", "/etc/x.png", "", ".."}) {
    CAPTURE(outside);
    check_mentions(error_of([&] { store.load(outside); }), "below this folder");
  }
}

// The checksums come from an independent decoder (zlib and the palette, in another language).
TEST_CASE("tiles of MiniCoIN are the right pixels") {
  ImageStore science(BRANCHLORA_SOURCE_DIR "/data/minicoin/01-scienceqa");
  CHECK(checksum(science.load("images.png#17")) == 45533545U);
  CHECK(checksum(science.load("images.png#0")) == 2605322976U);
  ImageStore digits(BRANCHLORA_SOURCE_DIR "/data/minicoin/08-ocrvqa");
  CHECK(checksum(digits.load("images.png#868")) == 755476551U);
}

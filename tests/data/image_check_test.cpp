#include "branchlora/data/image_check.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace branchlora::data;

TEST_CASE("CRC-32 of the standard check text") {
  CHECK(detail::crc32("123456789") == 0xCBF43926U);
  CHECK(detail::crc32("") == 0U);
}

TEST_CASE("other files than PNG and JPEG") {
  for (const std::string file : {"", "GIF89a", "\x89PNG", "BM12", "\xFF\xD8"}) {
    CAPTURE(file);
    CHECK(find_image_defect(file) == "expected a PNG or JPEG image, found another kind of file");
  }
}

TEST_CASE("a chunk whose length runs past the end, up to the largest, is a truncated PNG") {
  const std::string signature = "\x89PNG\r\n\x1A\n";
  for (const std::string& length : {std::string("\xFF\xFF\xFF\xFF"), std::string("\0\0\0\1", 4)}) {
    const auto defect = find_image_defect(signature + length + "IENDcrc!");
    REQUIRE(defect);
    CHECK(defect->find("truncated") != std::string::npos);
  }
}

TEST_CASE("an end mark inside a JPEG's header segment, as in a thumbnail, does not count") {
  const std::string thumbnail("\xFF\xD8\xFF\xE1\0\6\xFF\xD9\1\1", 10);
  const std::string scan("\xFF\xDA\0\4\1\1\x12\x34", 8);
  CHECK(find_image_defect(thumbnail + scan).has_value());
  CHECK_FALSE(find_image_defect(thumbnail + scan + "\xFF\xD9").has_value());
  CHECK_FALSE(find_image_defect(thumbnail + "\xFF" + scan + "\xFF\xD9 trailing").has_value());
}

TEST_CASE("a JPEG whose segments say length 0 or run past the end is refused, and soon") {
  CHECK(find_image_defect(std::string("\xFF\xD8\xFF\xE0\0\0", 6)).has_value());
  CHECK(find_image_defect("\xFF\xD8\xFF\xE0\xFF\xFF").has_value());
  CHECK(find_image_defect(std::string(100'000, '\xFF').insert(1, "\xD8")).has_value());
}

TEST_CASE("a Huffman table of more codes than there are bytes is refused, wherever it lies") {
  const std::string start = "\xFF\xD8";
  const std::string scan("\xFF\xDA\0\4\1\1\x12\x34", 8);
  const std::string end = "\xFF\xD9";
  // A segment of tables: the first of one code, the second of `codes` in its longest two lengths.
  const auto tables = [](int codes) {
    const std::string first = std::string("\0\1", 2) + std::string(15, '\0') + "x";
    std::string second = std::string(15, '\0') + '\xFF' + static_cast<char>(codes - 255);
    second += std::string(static_cast<std::size_t>(codes), 'x');
    const std::size_t length = 2 + first.size() + second.size();
    return std::string("\xFF\xC4") + static_cast<char>(length >> 8) + static_cast<char>(length) +
           first + second;
  };
  for (const int codes : {255, 256, 257, 300, 510}) {
    CAPTURE(codes);
    for (const std::string& file :
         {start + tables(codes) + scan + end, start + scan + tables(codes) + scan + end,
          start + tables(255) + tables(codes) + scan + end}) {
      const auto defect = find_image_defect(file);
      CHECK(defect.has_value() == (codes > 256));
      if (defect) CHECK(defect->find("more than 256 codes") != std::string::npos);
    }
  }
  // What is cut off counts as far as it is there.
  const std::string cut = start + scan + tables(300).substr(0, 2 + 2 + 18 + 17);
  CHECK(find_image_defect(cut + end).value().find("more than 256 codes") != std::string::npos);
}

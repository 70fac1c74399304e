#include "branchlora/io/gguf_blocks.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/io/half.hpp"
#include "gguf_bytes.hpp"
#include "temporary_folder.hpp"
#include "to_half.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;
using test::gguf::bytes;
using test::gguf::u32;

namespace {

std::vector<float> read(GgufType type, const std::string& stored, std::size_t count = 32) {
  std::vector<float> out(count);
  dequantise(type, std::as_bytes(std::span(stored)), out);
  return out;
}

std::string half(float x) { return bytes(float_to_f16(x)); }

/// Sixteen bytes, of which byte i has i below and 15 - i above.
std::string nibbles() {
  std::string out;
  for (int i = 0; i < 16; ++i) out += static_cast<char>(i | (15 - i) << 4);
  return out;
}

/// f(i) for the 32 elements of a block, whose lower four bits `nibbles` gives: i, then 31 - i.
std::vector<float> each(auto f) {
  std::vector<float> out;
  for (int i = 0; i < 32; ++i) out.push_back(static_cast<float>(f(i < 16 ? i : 31 - i, i)));
  return out;
}

}  // namespace

TEST_CASE("blocks are what the format says, worked out by hand") {
  CHECK(read(GgufType::Q4_0, half(0.5F) + nibbles()) ==
        each([](int q, int) { return 0.5 * (q - 8); }));
  CHECK(read(GgufType::Q4_1, half(0.5F) + half(-3) + nibbles()) ==
        each([](int q, int) { return 0.5 * q - 3; }));
  // The fifth bits of elements 1, 15, 16 and 31.
  const std::uint32_t fifth = 1U << 1 | 1U << 15 | 1U << 16 | 1U << 31;
  const auto whole = [=](int q, int i) { return q + (fifth >> i & 1U ? 16 : 0); };
  CHECK(read(GgufType::Q5_0, half(-2) + u32(fifth) + nibbles()) ==
        each([&](int q, int i) { return -2.0 * (whole(q, i) - 16); }));
  CHECK(read(GgufType::Q5_1, half(0.25F) + half(7) + u32(fifth) + nibbles()) ==
        each([&](int q, int i) { return 0.25 * whole(q, i) + 7; }));
  std::string eight = half(0.125F);
  for (int i = 0; i < 32; ++i) eight += static_cast<char>(8 * i - 128);
  std::vector<float> expected;
  for (int i = 0; i < 32; ++i) expected.push_back(static_cast<float>(i - 16));
  CHECK(read(GgufType::Q8_0, eight) == expected);
}

TEST_CASE("plain types are read as they are, at any address") {
  const auto odd = [](const std::string& stored, GgufType type) {
    const std::string shifted = "x" + stored;
    std::vector<float> out(2);
    dequantise(type, std::as_bytes(std::span(shifted)).subspan(1), out);
    return out;
  };
  const std::vector<float> values{-1.5F, 0x1p-14F};
  CHECK(odd(bytes(values[0]) + bytes(values[1]), GgufType::F32) == values);
  CHECK(odd(half(values[0]) + half(values[1]), GgufType::F16) == values);
  CHECK(odd(bytes(float_to_bf16(values[0])) + bytes(float_to_bf16(values[1])), GgufType::BF16) ==
        values);
}

TEST_CASE("several blocks follow one another; what is no whole number of them is refused") {
  const std::string block = half(1) + std::string(32, '\x03');
  CHECK(read(GgufType::Q8_0, block + block, 64) == std::vector<float>(64, 3.0F));
  check_mentions(error_of([&] { read(GgufType::Q8_0, block, 64); }),
                 "64 elements of Q8_0 in whole blocks of 34 bytes, found 34");
  check_mentions(error_of([&] { read(GgufType::Q8_0, block + "x", 32); }), "found 35");
}

TEST_CASE("types have names, read here or not") {
  CHECK(gguf_type_name(0) == "F32");
  CHECK(gguf_type_name(3) == "Q4_1");
  CHECK(gguf_type_name(14) == "Q6_K");
  CHECK(gguf_type_name(77) == "number 77");
  CHECK(find_gguf_block(30)->name == "BF16");
  CHECK_FALSE(find_gguf_block(14));
  CHECK(block_of(GgufType::Q5_1).bytes == 24);
}

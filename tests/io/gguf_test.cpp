#include "branchlora/io/gguf.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "branchlora/core/random.hpp"
#include "branchlora/io/safetensors.hpp"
#include "gguf_bytes.hpp"
#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using namespace branchlora::test::gguf;
using test::check_mentions;
using test::error_of;

namespace {

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/gguf";

std::vector<float> read(const Gguf& file, const std::string& name) {
  std::vector<float> out(static_cast<std::size_t>(file.tensor(name).size()));
  file.read(name, out);
  return out;
}

/// `count` floats that are all `x`.
std::string floats(float x, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += bytes(x);
  return out;
}

}  // namespace

TEST_CASE("metadata of every type are what the reference has written") {
  const Json metadata = Gguf::open(golden / "types.gguf").metadata();
  const Json expected = Json::parse(R"({
    "general.architecture": "golden", "u8": 255, "i8": -128, "u16": 65535, "i16": -32768,
    "u32": 4294967295, "i32": -2147483648, "yes": true, "no": false, "text": "naïve ☃",
    "u64": 18446744073709551615, "i64": -9223372036854775808, "f64": 0.1,
    "numbers": [1, -2, 3], "texts": ["a", "", "Ġb"], "lists": [[1, 2], [3]]})");
  for (const auto& [key, value] : expected.items()) {
    CAPTURE(key);
    CHECK(metadata.at(key) == value);
  }
  CHECK(metadata.at("f32") == 0.1F);
  CHECK(metadata.size() == expected.size() + 1);
}

TEST_CASE("tensors of every type are exactly the floats that the reference makes of them") {
  const auto file = Gguf::open(golden / "types.gguf");
  const auto expected = SafeTensors::open(golden / "types.safetensors");
  CHECK(file.names() == expected.names());
  CHECK(file.names().size() == 8);
  for (const std::string& name : file.names()) {
    CAPTURE(name);
    CHECK(file.tensor(name).shape == std::vector<Index>{3, 64});
    CHECK(block_of(file.tensor(name).type).name == name);
    std::vector<float> floats(3 * 64);
    expected.read<float>(name, floats);
    CHECK(read(file, name) == floats);
  }
}

TEST_CASE("a file by hand: order of extents, scalars, nothing, gaps, what follows") {
  const test::TemporaryFolder folder;
  const std::string data =
      bytes(1.0F) + bytes(2.0F) + floats(3, 6) + std::string(32, 'x') + bytes(4.0F) + "rest";
  const auto path =
      folder.write("file", file({},
                                {tensor("scalar", {}, 0, 64), tensor("matrix", {4, 2}, 0, 0),
                                 tensor("empty", {3, 0}, 0, 0)},
                                data));
  const auto file = Gguf::open(path);
  CHECK(file.path() == path);
  CHECK(file.metadata().empty());
  CHECK(file.names() == std::vector<std::string>{"empty", "matrix", "scalar"});
  CHECK(file.contains("empty"));
  CHECK_FALSE(file.contains("other"));
  CHECK(file.tensor("matrix").shape == std::vector<Index>{2, 4});
  CHECK(read(file, "matrix") == std::vector<float>{1, 2, 3, 3, 3, 3, 3, 3});
  CHECK(read(file, "scalar") == std::vector<float>{4});
  CHECK(file.tensor("empty").shape == std::vector<Index>{0, 3});
  CHECK(read(file, "empty").empty());
  check_mentions(error_of([&] { file.tensor("other"); }), path.string(), "'other'");
  std::vector<float> three(3);
  check_mentions(error_of([&] { file.read("scalar", three); }), path.string(), "'scalar'",
                 "expected 3 elements, found 1");
}

TEST_CASE("version 2, a file without tensors, and another alignment") {
  const test::TemporaryFolder folder;
  CHECK(Gguf::open(folder.write("old", file({value("k", 4, u32(7))}, {}, "", 1, 2)))
            .metadata()
            .at("k") == 7);
  const auto alignment = value("general.alignment", 4, u32(256));
  const auto file = Gguf::open(folder.write(
      "wide", test::gguf::file({alignment}, {tensor("a", {1}, 0, 0), tensor("b", {1}, 0, 256)},
                               bytes(1.0F) + std::string(252, '\0') + bytes(2.0F), 256)));
  CHECK(read(file, "a") == std::vector<float>{1});
  CHECK(read(file, "b") == std::vector<float>{2});
}

TEST_CASE("a copy keeps the mapping alive") {
  const test::TemporaryFolder folder;
  const auto path = folder.write("file", file({}, {tensor("w", {2}, 0, 0)}, floats(5, 2)));
  auto first = std::make_unique<Gguf>(Gguf::open(path));
  const Gguf second = *first;
  first.reset();
  CHECK(read(second, "w") == std::vector<float>{5, 5});
}

TEST_CASE("what the format forbids is refused, naming the file") {
  struct Bad {
    std::string why;
    std::string file;
    const char* message;
  };
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  constexpr std::uint64_t half = std::uint64_t{1} << 32;
  const auto counts = [](std::uint64_t tensors, std::uint64_t values, const std::string& rest) {
    return "GGUF" + u32(3) + u64(tensors) + u64(values) + rest;
  };
  const auto one = [](std::vector<std::uint64_t> extents, std::uint32_t type, std::uint64_t offset,
                      std::size_t data) {
    return file({}, {tensor("w", extents, type, offset)}, std::string(data, '\0'));
  };
  const auto list = [](std::uint32_t type, std::uint64_t count, const std::string& rest) {
    return file({value("k", 9, u32(type) + u64(count) + rest)}, {}, "", 1);
  };
  std::string nested = u32(4) + u64(1) + u32(7);
  for (int i = 0; i < 4; ++i) nested = u32(9) + u64(1) + nested;
  const std::string small = value("k", 0, "\x01");
  const std::string aligned = tensor("a", {8}, 0, 0);
  const std::vector<Bad> all{
      {"empty file", "", "magic: expected 4 bytes, found 0"},
      {"another file", "PK\3\4" + std::string(40, '\0'), "begins with 'GGUF'"},
      {"no version", "GGUF\3", "version: expected 4 bytes, found 1"},
      {"version 1", file({}, {}, "", 1, 1), "version 2 or 3, found 1"},
      {"version 4", file({}, {}, "", 1, 4), "version 2 or 3, found 4"},
      {"big-endian", file({}, {}, "", 1, 0x03000000), "big-endian"},
      {"no counts", "GGUF" + u32(3) + u64(0), "number of metadata values"},
      {"absurd number of tensors", counts(most, 0, ""), "expected 18446744073709551615 tensors"},
      {"more tensors than fit", counts(2, 0, std::string(47, '\0')), "found 47 bytes"},
      {"absurd number of values", counts(0, most, ""), "18446744073709551615 metadata values"},
      {"more values than fit", counts(0, 2, small), "found 14 bytes"},
      {"key past the end", counts(0, 1, u64(most) + "abcdefgh"), "key of metadata: expected"},
      {"key that is no UTF-8", file({value("\xC3(", 0, "\x01")}, {}), "in UTF-8"},
      {"surrogate in a string", file({value("k", 8, text("\xED\xA0\x80"))}, {}), "in UTF-8"},
      {"string past the end", file({value("k", 8, u64(99) + "abc")}, {}),
       "metadata 'k': expected 99"},
      {"key twice", file({small, small}, {}), "metadata 'k' appears twice"},
      {"unknown type", file({value("k", 13, "\x01")}, {}), "type from 0 to 12, found 13"},
      {"value cut off", counts(0, 1, value("k", 10, "1234")), "'k': expected 8 bytes, found 4"},
      {"boolean 2", file({value("k", 7, "\x02")}, {}), "boolean, found 2"},
      {"list of unknown type", list(99, 0, ""), "type from 0 to 12, found 99"},
      {"absurd list", list(0, most, ""), "a list of 18446744073709551615 values"},
      {"list of strings past the end", list(8, 3, text("a") + text("b")), "a list of 3 values"},
      {"lists too deep", file({value("k", 9, nested)}, {}), "at most 4 deep"},
      {"alignment that is text", file({value("general.alignment", 8, text("32"))}, {}),
       "power of two"},
      {"alignment 0", file({value("general.alignment", 4, u32(0))}, {}), "found 0"},
      {"alignment 24", file({value("general.alignment", 4, u32(24))}, {}), "found 24"},
      {"alignment 4", file({value("general.alignment", 4, u32(4))}, {}), "found 4"},
      {"alignment 2^31", file({value("general.alignment", 4, u32(1U << 31))}, {}), "2147483648"},
      {"negative alignment", file({value("general.alignment", 5, bytes(-32))}, {}), "found -32"},
      {"name twice", file({}, {tensor("a", {8}, 0, 0), tensor("a", {8}, 0, 32)}, floats(1, 16)),
       "'a': the name appears twice"},
      {"name that is no UTF-8", file({}, {tensor("\xFF", {1}, 0, 0)}, "1234"), "in UTF-8"},
      {"tensor cut off", counts(1, 0, tensor("a", {8}, 0, 0).substr(0, 24)),
       "tensor 'a': expected"},
      {"five dimensions", one({1, 1, 1, 1, 1}, 0, 0, 4), "at most 4 dimensions, found 5"},
      {"absurd dimensions", counts(1, 0, text("w") + u32(~0U) + std::string(20, '\0')),
       "at most 4 dimensions, found 4294967295"},
      {"type of no name", one({32}, 77, 0, 64), "found number 77"},
      {"type that is not read", one({256}, 14, 0, 210), "'w': expected a type of F32"},
      {"negative extent", one({most}, 0, 0, 4), "found 18446744073709551615"},
      {"product that overflows", one({half, half, 4}, 0, 0, 4), "overflows"},
      {"bytes that overflow", one({half << 30}, 0, 0, 4), "overflows"},
      {"rows of no whole blocks", one({48, 2}, 8, 0, 102), "multiple of 32 elements, as Q8_0"},
      {"scalar in blocks", one({}, 2, 0, 18), "multiple of 32 elements"},
      {"misaligned", one({1}, 0, 4, 8), "multiple of 32, found 4"},
      {"misaligned for this file",
       file({value("general.alignment", 4, u32(64))}, {tensor("w", {1}, 0, 32)}, floats(1, 64), 64),
       "multiple of 64, found 32"},
      {"offset past the end", one({1}, 0, 64, 36), "4 bytes of data from 64 on, found 36"},
      {"offset that would wrap around", one({8}, 0, most - 31, 64), "'w': expected 32 bytes"},
      {"data missing", one({2}, 0, 0, 7), "8 bytes of data from 0 on, found 7"},
      {"data missing altogether", counts(1, 0, tensor("w", {2}, 0, 0)), "found 0 in all"},
      {"overlap", file({}, {tensor("b", {8}, 0, 32), tensor("a", {9}, 0, 0)}, floats(1, 16)),
       "'b': expected its data to begin at 36 or later, found 32 (an overlap)"},
      {"the same place twice", file({}, {aligned, tensor("b", {8}, 0, 0)}, floats(1, 16)),
       "'b': expected its data to begin at 32"},
  };
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "bad.gguf";
  for (const Bad& bad : all) {
    CAPTURE(bad.why);
    folder.write("bad.gguf", bad.file);
    check_mentions(error_of([&] { Gguf::open(path); }), path.string(), bad.message);
  }
  CHECK_NOTHROW(Gguf::open(folder.write("good", one({2}, 0, 0, 8))));
  check_mentions(error_of([&] { Gguf::open(folder.write("k", one({256}, 14, 0, 210))); }),
                 "found Q6_K");
  check_mentions(error_of([&] { Gguf::open(folder.path() / "absent"); }), "absent");
  check_mentions(error_of([&] { Gguf::open(folder.path()); }), "found a folder");
}

TEST_CASE("every cut of a good file is refused, and no changed byte of its header is fatal") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> values{
      value("a", 8, text("text")), value("b", 9, u32(8) + u64(2) + text("x") + text("y")),
      value("c", 9, u32(0) + u64(3) + "123"), value("d", 12, bytes(0.5)), value("e", 7, "\x01")};
  const std::string good =
      file(values, {tensor("v", {32, 2}, 2, 0), tensor("w", {2}, 0, 64)}, std::string(72, '\x01'));
  CHECK_NOTHROW(Gguf::open(folder.write("good", good)));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    folder.write("cut", std::string_view(good).substr(0, size));
    check_mentions(error_of([&] { Gguf::open(folder.path() / "cut"); }), "cut");
  }
  const Random random(1);
  const std::size_t header = good.size() - 72;
  for (std::uint64_t i = 0; i < 4 * header; ++i) {
    std::string changed = good;
    changed[i % header] = static_cast<char>(random.below(i, 256));
    folder.write("changed", changed);
    try {
      for (const auto file = Gguf::open(folder.path() / "changed");
           const auto& name : file.names()) {
        CHECK(read(file, name).size() <= 128);
      }
    } catch (const Error& e) {
      check_mentions(e.what(), "changed");
    }
  }
}

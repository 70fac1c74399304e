#include "branchlora/io/safetensors.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "branchlora/core/random.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/half.hpp"
#include "temporary_folder.hpp"
#include "to_half.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

namespace {

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + rest;
}

/// The bytes of a file with this header and `data_bytes` zero bytes of data.
std::string file_with(const std::string& header, std::size_t data_bytes = 0) {
  return with_length(header.size(), header + std::string(data_bytes, '\0'));
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":)" + entry(dtype, shape, offsets) + "}";
}

}  // namespace

TEST_CASE("tensors of every kind come back as they were written") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "all.safetensors";
  const std::vector<float> f{1.5F, -0.0F, std::numeric_limits<float>::infinity(), 1e-40F, 3, 4};
  const std::vector<double> d{0.1};
  const std::array<std::uint8_t, 3> bytes{0, 7, 255};
  const std::vector<std::int64_t> i{std::numeric_limits<std::int64_t>::min(), 5};
  const std::vector<float> none;
  write_safetensors(
      path,
      {tensor_out<std::uint8_t>("bytes", {3}, bytes), tensor_out<float>("z.weight", {2, 3}, f),
       tensor_out<double>("scalar", {}, d), tensor_out<std::int64_t>("i", {1, 2}, i),
       tensor_out<float>("empty", {0, 4}, none)},
      {{"format", "pt"}, {"note", "\xC3\xA9 \" \\"}});

  const auto file = SafeTensors::open(path);
  CHECK(file.names() == std::vector<std::string>{"bytes", "empty", "i", "scalar", "z.weight"});
  CHECK(file.metadata() == Metadata{{"format", "pt"}, {"note", "\xC3\xA9 \" \\"}});
  CHECK(file.contains("i"));
  CHECK_FALSE(file.contains("j"));
  check_mentions(error_of([&] { file.tensor("j"); }), path.string(), "'j'");

  CHECK(file.tensor("z.weight").dtype == Dtype::F32);
  CHECK(file.tensor("z.weight").shape == std::vector<Index>{2, 3});
  CHECK(std::memcmp(file.tensor("z.weight").bytes.data(), f.data(), 24) == 0);
  CHECK(file.tensor("scalar").shape.empty());
  CHECK(file.tensor("scalar").size() == 1);
  CHECK(std::memcmp(file.tensor("scalar").bytes.data(), d.data(), 8) == 0);
  CHECK(file.tensor("empty").size() == 0);
  CHECK(file.tensor("empty").shape == std::vector<Index>{0, 4});
  CHECK(std::memcmp(file.tensor("i").bytes.data(), i.data(), 16) == 0);
  CHECK(std::memcmp(file.tensor("bytes").bytes.data(), bytes.data(), 3) == 0);
}

TEST_CASE("the written file is this one, byte for byte") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "file";
  const std::vector<float> f{1.0F};
  const std::vector<double> d{2.0};
  const std::array<std::uint8_t, 1> u{9};
  write_safetensors(path,
                    {tensor_out<float>("b", {1}, f), tensor_out<std::uint8_t>("u", {1}, u),
                     tensor_out<double>("d", {}, d), tensor_out<float>("a", {1, 1}, f)},
                    {{"k", "v"}});
  std::string header = R"({"__metadata__":{"k":"v"},"d":)" + entry("F64", "[]", "[0,8]") +
                       R"(,"a":)" + entry("F32", "[1,1]", "[8,12]") +  //
                       R"(,"b":)" + entry("F32", "[1]", "[12,16]") +   //
                       R"(,"u":)" + entry("U8", "[1]", "[16,17]") + "}";
  while (header.size() % 8 != 0) header += ' ';
  const std::string data("\0\0\0\0\0\0\0\x40\0\0\x80\x3F\0\0\x80\x3F\x09", 17);
  CHECK(read_file(path) == with_length(header.size(), header + data));
}

TEST_CASE("a file without tensors is a file") {
  const test::TemporaryFolder folder;
  write_safetensors(folder.path() / "none", {});
  CHECK(SafeTensors::open(folder.path() / "none").names().empty());
}

TEST_CASE("a copy keeps the mapping alive") {
  const test::TemporaryFolder folder;
  const std::vector<float> f{1.0F, 2.0F};
  write_safetensors(folder.path() / "f", {tensor_out<float>("w", {2}, f)});
  auto first = std::make_unique<SafeTensors>(SafeTensors::open(folder.path() / "f"));
  const SafeTensors second = *first;
  first.reset();
  std::vector<float> out(2);
  second.read<float>("w", out);
  CHECK(out == f);
}

TEST_CASE("floating types convert; 1.5, -2 and 2^-14 are exact in all of them") {
  const test::TemporaryFolder folder;
  const std::vector<double> values{1.5, -2.0, 0x1p-14};
  std::vector<float> floats;
  std::vector<std::uint16_t> halves;
  std::vector<std::uint16_t> brains;
  for (const double v : values) {
    floats.push_back(static_cast<float>(v));
    halves.push_back(float_to_f16(static_cast<float>(v)));
    brains.push_back(float_to_bf16(static_cast<float>(v)));
  }
  const auto path = folder.path() / "file";
  write_safetensors(path, {tensor_out<float>("F32", {3}, floats),
                           tensor_out<double>("F64", {3}, values),
                           {"F16", Dtype::F16, {3}, std::as_bytes(std::span(halves))},
                           {"BF16", Dtype::BF16, {3}, std::as_bytes(std::span(brains))},
                           tensor_out<std::uint16_t>("U16", {3}, halves)});
  const auto file = SafeTensors::open(path);
  for (const char* name : {"F32", "F64", "F16", "BF16"}) {
    CAPTURE(name);
    std::vector<float> f(3);
    std::vector<double> d(3);
    file.read<float>(name, f);
    file.read<double>(name, d);
    CHECK(f == floats);
    CHECK(d == values);
  }
  std::vector<float> f(3);
  check_mentions(error_of([&] { file.read<float>("U16", f); }), path.string(), "'U16'",
                 "found U16");
  f.resize(2);
  check_mentions(error_of([&] { file.read<float>("F32", f); }), "expected 2 elements, found 3");
}

TEST_CASE("whole numbers pass through as they are, and only as they are") {
  const test::TemporaryFolder folder;
  const std::vector<std::int64_t> wide{std::numeric_limits<std::int64_t>::min(), 5};
  const std::vector<std::uint8_t> narrow{0, 255};
  const auto path = folder.path() / "file";
  write_safetensors(path, {tensor_out<std::int64_t>("wide", {2}, wide),
                           tensor_out<std::uint8_t>("narrow", {2, 1}, narrow)});
  const auto file = SafeTensors::open(path);
  std::vector<std::int64_t> w(2);
  std::vector<std::uint8_t> n(2);
  file.read<std::int64_t>("wide", w);
  file.read<std::uint8_t>("narrow", n);
  CHECK(w == wide);
  CHECK(n == narrow);
  check_mentions(error_of([&] { file.read<std::int64_t>("narrow", w); }), path.string(),
                 "'narrow'", "expected type I64, found U8");
  w.resize(3);
  check_mentions(error_of([&] { file.read<std::int64_t>("wide", w); }), "expected 3 elements");
}

TEST_CASE("a tensor that lies at an odd address is read all the same") {
  const test::TemporaryFolder folder;
  // The header is 8k + 3 bytes long, so the floats begin at an odd place.
  std::string header = one("F32", "[2]", "[0,8]");
  while (header.size() % 8 != 3) header += ' ';
  const std::array<float, 2> values{1.25F, -7.0F};
  std::string data(8, '\0');
  std::memcpy(data.data(), values.data(), 8);
  const auto file =
      SafeTensors::open(folder.write("odd", with_length(header.size(), header + data)));
  CHECK(reinterpret_cast<std::uintptr_t>(file.tensor("w").bytes.data()) % 4 != 0);
  std::array<float, 2> out{};
  file.read<float>("w", std::span<float>(out));
  CHECK(out == values);
}

TEST_CASE("what the format forbids is refused, naming the file") {
  struct Bad {
    std::string why;
    std::string file;
    const char* message;
  };
  const std::string huge = "9223372036854775807";
  const std::string half = "4294967296";
  const std::string good = entry("F32", "[1]", "[0,4]");
  const std::vector<Bad> all{
      {"empty file", "", "at least 8 bytes, found 0"},
      {"seven bytes", "1234567", "at least 8 bytes, found 7"},
      {"header above the limit", with_length(100'000'001, "{}"), "at most 100000000 bytes"},
      {"length that would wrap around", with_length(~std::uint64_t{0}, "{}"), "at most 100000000"},
      {"header past the end", with_length(3, "{}"), "a header of 3 bytes, found 2"},
      {"no header", file_with(""), "begins with '{'"},
      {"header that begins with a space", file_with(" {}"), "begins with '{'"},
      {"header that is a list", file_with("[]"), "begins with '{'"},
      {"bytes that are no UTF-8", file_with("{\"\xFF\":1}"), "valid JSON"},
      {"no JSON", file_with("{\"a\""), "valid JSON"},
      {"zero padding", file_with(std::string("{}\0\0", 4)), "valid JSON"},
      {"trailing comma", file_with(R"({"w":)" + good + ",}", 4), "valid JSON"},
      {"name twice", file_with(R"({"w":)" + good + R"(,"w":)" + good + "}", 4), "appears twice"},
      {"field twice",
       file_with(R"({"w":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1),
       "appears twice"},
      {"metadata that is no object", file_with(R"({"__metadata__":[]})"), "__metadata__"},
      {"metadata that is a number", file_with(R"({"__metadata__":{"a":1}})"), "key 'a'"},
      {"entry that is no object", file_with(R"({"w":[1]})"), "'w': expected an object"},
      {"no dtype", file_with(R"({"w":{"shape":[],"data_offsets":[0,0]}})"), "field 'dtype'"},
      {"no shape", file_with(R"({"w":{"dtype":"F32","data_offsets":[0,0]}})"), "field 'shape'"},
      {"no offsets", file_with(R"({"w":{"dtype":"F32","shape":[]}})"), "field 'data_offsets'"},
      {"dtype that is no string", file_with(R"({"w":{"dtype":1,"shape":[],"data_offsets":[0,0]}})"),
       "dtype: expected a string"},
      {"unknown dtype", file_with(one("F31", "[1]", "[0,4]"), 4), "found 'F31'"},
      {"dtype in lower case", file_with(one("f32", "[1]", "[0,4]"), 4), "found 'f32'"},
      {"shape that is no list", file_with(one("F32", "1", "[0,4]"), 4), "shape: expected a list"},
      {"negative extent", file_with(one("F32", "[-1]", "[0,4]"), 4), "found -1"},
      {"fractional extent", file_with(one("F32", "[1.0]", "[0,4]"), 4), "found 1.0"},
      {"extent above 64 bits", file_with(one("U8", "[18446744073709551616]", "[0,4]"), 4), "shape"},
      {"extent that is text", file_with(one("F32", "[\"1\"]", "[0,4]"), 4), "whole numbers"},
      {"product that overflows", file_with(one("U8", "[" + half + "," + half + "]", "[0,0]")),
       "overflows"},
      {"overflow that a later 0 would hide",
       file_with(one("U8", "[" + huge + "," + huge + ",0]", "[0,0]")), "overflows"},
      {"bytes that overflow", file_with(one("F64", "[" + huge + "]", "[0,0]")), "overflows"},
      {"one offset", file_with(one("F32", "[1]", "[4]"), 4), "data_offsets"},
      {"three offsets", file_with(one("F32", "[1]", "[0,4,8]"), 4), "data_offsets"},
      {"offsets that go back", file_with(one("F32", "[1]", "[4,0]"), 4), "data_offsets"},
      {"negative offset", file_with(one("F32", "[1]", "[-4,0]"), 4), "found -4"},
      {"size too large for the shape", file_with(one("F32", "[1]", "[0,8]"), 8),
       "expected 4 bytes"},
      {"size too small for the shape", file_with(one("F32", "[2]", "[0,4]"), 4),
       "expected 8 bytes"},
      {"data that do not begin at 0", file_with(one("F32", "[1]", "[4,8]"), 8), "a gap"},
      {"gap", file_with(R"({"a":)" + good + R"(,"b":)" + entry("F32", "[1]", "[8,12]") + "}", 12),
       "'b': expected its data to begin at 4, found 8 (a gap)"},
      {"overlap", file_with(R"({"a":)" + good + R"(,"b":)" + entry("F32", "[1]", "[2,6]") + "}", 6),
       "(an overlap)"},
      {"the same place twice", file_with(R"({"a":)" + good + R"(,"b":)" + good + "}", 4),
       "(an overlap)"},
      {"data missing", file_with(one("F32", "[1]", "[0,4]"), 3), "expected 4 bytes of data"},
      {"data left over", file_with(one("F32", "[1]", "[0,4]"), 5), "found 5"},
      {"data without tensors", file_with("{}", 1), "expected 0 bytes of data"},
  };
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "bad.safetensors";
  for (const Bad& bad : all) {
    CAPTURE(bad.why);
    folder.write("bad.safetensors", bad.file);
    check_mentions(error_of([&] { SafeTensors::open(path); }), path.string(), bad.message);
  }
  CHECK_NOTHROW(
      SafeTensors::open(folder.write("good", file_with(one("F32", "[1]", "[0,4]") + "   ", 4))));
  check_mentions(error_of([&] { SafeTensors::open(folder.path() / "absent"); }), "absent");
  check_mentions(error_of([&] { SafeTensors::open(folder.path()); }), "found a folder");
}

TEST_CASE("zero-size tensors may share a place, in any order of the header") {
  const test::TemporaryFolder folder;
  const auto path =
      folder.write("file", file_with(R"({"z":)" + entry("F32", "[1]", "[4,8]") + R"(,"e":)" +
                                         entry("F32", "[0]", "[4,4]") + R"(,"d":)" +
                                         entry("F64", "[0,3]", "[4,4]") + R"(,"a":)" +
                                         entry("F32", "[1]", "[0,4]") + "}",
                                     8));
  CHECK(SafeTensors::open(path).names().size() == 4);
}

TEST_CASE("every cut of a good file is refused, and no changed byte of its header is fatal") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "file";
  const std::vector<float> f{1, 2, 3};
  const std::vector<double> d{1, 2};
  write_safetensors(path, {tensor_out<float>("a", {3}, f), tensor_out<double>("b", {2}, d)},
                    {{"k", "v"}});
  const std::string good = read_file(path);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    folder.write("cut", std::string_view(good).substr(0, size));
    check_mentions(error_of([&] { SafeTensors::open(folder.path() / "cut"); }), "cut");
  }
  const Random random(1);
  const std::size_t header = good.size() - 28;
  for (std::uint64_t i = 0; i < 2 * header; ++i) {
    std::string changed = good;
    changed[i % header] = static_cast<char>(random.below(i, 256));
    folder.write("changed", changed);
    try {
      for (const auto file = SafeTensors::open(folder.path() / "changed");
           const auto& name : file.names()) {
        const auto bytes = file.tensor(name).bytes;
        CHECK(std::as_const(bytes).size() <= 28);
      }
    } catch (const Error& e) {
      check_mentions(e.what(), "changed");
    }
  }
}

TEST_CASE("what cannot be written is refused, and the old file stays") {
  const test::TemporaryFolder folder;
  const auto path = folder.write("file", "old");
  const std::vector<float> f{1.0F};
  const auto refuse = [&](std::vector<TensorOut> tensors, auto... parts) {
    check_mentions(error_of([&] { write_safetensors(path, tensors); }), path.string(), parts...);
  };
  refuse({tensor_out<float>("w", {2}, f)}, "'w'", "F32 of shape [2], found 4");
  refuse({tensor_out<float>("w", {-1}, f)}, "'w'", "[-1]");
  refuse({tensor_out<float>("w", {1}, f), tensor_out<float>("w", {1}, f)}, "'w'", "twice");
  refuse({tensor_out<float>("__metadata__", {1}, f)}, "reserved");
  refuse({tensor_out<float>("\xFF", {1}, f)}, "UTF-8");
  check_mentions(error_of([&] { write_safetensors(path, {}, {{"k", "\xFF"}}); }), "UTF-8");
  CHECK(read_file(path) == "old");
}

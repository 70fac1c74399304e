#include "branchlora/io/safetensors_writer.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/safetensors.hpp"
#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

TEST_CASE("a streamed file is the one that is written at once, byte for byte") {
  const test::TemporaryFolder folder;
  const std::vector<float> f{1, 2, 3, 4};
  const std::vector<std::uint8_t> u{5, 6, 7};
  const std::vector<float> none;
  const Metadata metadata{{"format", "pt"}};
  write_safetensors(folder.path() / "whole",
                    {tensor_out<std::uint8_t>("u", {3}, u), tensor_out<float>("b", {2, 2}, f),
                     tensor_out<float>("a", {0, 2}, none)},
                    metadata);

  std::vector<std::string> order;
  std::vector<float> buffer;  // the same one for all, as a caller may have it
  const std::vector<TensorEntry> entries{
      {"u", Dtype::U8, {3}}, {"b", Dtype::F32, {2, 2}}, {"a", Dtype::F32, {0, 2}}};
  stream_safetensors(folder.path() / "streamed", entries, metadata, [&](const TensorEntry& entry) {
    order.push_back(entry.name);
    if (entry.name == "u") return std::as_bytes(std::span(u));
    buffer = entry.name == "b" ? f : none;
    return std::as_bytes(std::span(buffer));
  });
  CHECK(order == std::vector<std::string>{"a", "b", "u"});
  CHECK(read_file(folder.path() / "streamed") == read_file(folder.path() / "whole"));
}

TEST_CASE("what cannot be streamed is refused, and the old file stays") {
  const test::TemporaryFolder folder;
  const auto path = folder.write("file", "old");
  const std::array<float, 1> one{1};
  const auto refuse = [&](std::vector<TensorEntry> entries, auto... parts) {
    const auto bytes_of = [&](const TensorEntry&) { return std::as_bytes(std::span(one)); };
    check_mentions(error_of([&] { stream_safetensors(path, entries, {}, bytes_of); }),
                   path.string(), parts...);
  };
  constexpr Index half = std::numeric_limits<Index>::max() / 2;
  refuse({{"w", Dtype::F32, {2}}}, "'w'", "F32 of shape [2], found 4");
  refuse({{"w", Dtype::F32, {-1}}}, "'w'", "[-1]");
  refuse({{"w", Dtype::F32, {half, 4}}}, "'w'", "overflows");
  refuse({{"v", Dtype::U8, {half, 3}}, {"w", Dtype::U8, {half, 3}}}, "'w'", "overflows");
  refuse({{"w", Dtype::F32, {1}}, {"w", Dtype::F32, {1}}}, "'w'", "twice");
  refuse({{"__metadata__", Dtype::F32, {1}}}, "reserved");
  refuse({{"\xFF", Dtype::F32, {1}}}, "UTF-8");
  CHECK(read_file(path) == "old");
}

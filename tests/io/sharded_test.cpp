#include "branchlora/io/sharded.hpp"

#include <doctest/doctest.h>

#include <array>

#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

namespace {

/// Two shards, "a" in the first, "b" and "c" in the second.
void write_shards(const test::TemporaryFolder& folder) {
  const std::vector<float> f{1.5F, 2.5F};
  const std::vector<std::int32_t> i{7};
  write_safetensors(folder.path() / "1.safetensors", {tensor_out<float>("a", {2}, f)});
  write_safetensors(folder.path() / "2.safetensors",
                    {tensor_out<float>("b", {1, 2}, f), tensor_out<std::int32_t>("c", {}, i)});
}

std::filesystem::path write_index(const test::TemporaryFolder& folder, std::string_view content) {
  return folder.write("model.safetensors.index.json", content);
}

}  // namespace

TEST_CASE("many files are one set of tensors") {
  const test::TemporaryFolder folder;
  write_shards(folder);
  const auto index = write_index(folder, R"({"metadata":{"total_size":20},"weight_map":
      {"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})");
  for (const auto& path : {folder.path(), index}) {
    const auto all = ShardedTensors::open(path);
    CHECK(all.path() == index);
    CHECK(all.files() == 2);
    CHECK(all.names() == std::vector<std::string>{"a", "b", "c"});
    CHECK(all.contains("b"));
    CHECK_FALSE(all.contains("d"));
    CHECK(all.tensor("b").shape == std::vector<Index>{1, 2});
    std::array<float, 2> f{};
    all.read("a", std::span<float>(f));
    CHECK(f == std::array{1.5F, 2.5F});
    std::array<std::int32_t, 1> i{};
    all.read("c", std::span<std::int32_t>(i));
    CHECK(i[0] == 7);
    CHECK(all.path_of("b") == folder.path() / "2.safetensors");
    check_mentions(error_of([&] { all.tensor("d"); }), index.string(), "'d'");
    check_mentions(error_of([&] { all.read("c", std::span<float>(f).first(1)); }), "2.safetensors",
                   "'c'", "found I32");
  }
}

TEST_CASE("one file is a checkpoint too, by its folder or its name") {
  const test::TemporaryFolder folder;
  const std::vector<float> f{1.0F};
  const auto path = folder.path() / "model.safetensors";
  write_safetensors(path, {tensor_out<float>("w", {1}, f)});
  for (const auto& given : {folder.path(), path}) {
    const auto all = ShardedTensors::open(given);
    CHECK(all.path() == path);
    CHECK(all.files() == 1);
    CHECK(all.names() == std::vector<std::string>{"w"});
  }
  std::filesystem::remove(path);
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }), path.string());
}

TEST_CASE("an index that is wrong is refused, and no name of it leads out of its folder") {
  const test::TemporaryFolder folder;
  write_shards(folder);
  const auto refuse = [&](std::string_view content, auto... parts) {
    CAPTURE(content);
    const auto index = write_index(folder, content);
    check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }), index.string(),
                   parts...);
  };
  refuse("[]", "'weight_map'");
  refuse("{}", "'weight_map'");
  refuse(R"({"weight_map":["a"]})", "'weight_map'");
  refuse(R"({"weight_map":{"a":1}})", "'a'", "found 1");
  refuse(R"({"weight_map":{"a":"1.safetensors","a":"2.safetensors"}})", "twice");
  refuse(R"({"weight_map":{"a":"2.safetensors"}})", "'a' in '2.safetensors', found none");
  for (const std::string name :
       {"", ".", "..", "../1.safetensors", "/1.safetensors", "x/1.safetensors",
        R"(x\\1.safetensors)", "1..safetensors", R"(1.safetensors\u0000)"}) {
    refuse(R"({"weight_map":{"a":")" + name + "\"}}", "'a'", "beside the index");
  }
  write_index(folder, R"({"weight_map":{"a":"3.safetensors"}})");
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }), "index.json: tensor 'a'",
                 "in '3.safetensors', found no such file");
  folder.write("3.safetensors", "1234567");
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }), "3.safetensors",
                 "at least 8 bytes");
}

TEST_CASE("a tensor that its file has and the index does not, is refused") {
  const test::TemporaryFolder folder;
  write_shards(folder);
  write_index(folder, R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }),
                 (folder.path() / "2.safetensors").string() + ": tensor 'c'",
                 "index.json does not list it; found one");
  const std::vector<float> f{1.0F};
  write_safetensors(folder.path() / "1.safetensors",
                    {tensor_out<float>("a", {1}, f), tensor_out<float>("b", {1}, f)});
  write_index(folder, R"({"weight_map":
      {"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})");
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }),
                 (folder.path() / "1.safetensors").string() + ": tensor 'b'",
                 "index.json has it in '2.safetensors'; found one");
}

#include "branchlora/io/sharded.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <utility>

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

/// Resident memory of this process.
Index resident_bytes() {
  Index total = 0;
  Index resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
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
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }), "3.safetensors");
  folder.write("3.safetensors", "1234567");
  check_mentions(error_of([&] { ShardedTensors::open(folder.path()); }), "3.safetensors",
                 "at least 8 bytes");
}

TEST_CASE("a checkpoint of 7B takes memory only for what is read") {
  const test::TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::vector<Index>>> of_layer{
      {"input_layernorm.weight", {4096}},          {"mlp.down_proj.weight", {4096, 11008}},
      {"mlp.gate_proj.weight", {11008, 4096}},     {"mlp.up_proj.weight", {11008, 4096}},
      {"post_attention_layernorm.weight", {4096}}, {"self_attn.k_proj.weight", {4096, 4096}},
      {"self_attn.o_proj.weight", {4096, 4096}},   {"self_attn.q_proj.weight", {4096, 4096}},
      {"self_attn.v_proj.weight", {4096, 4096}}};
  Json header = Json::object();
  Json map = Json::object();
  std::uint64_t end = 0;
  for (int layer = 0; layer < 32; ++layer) {
    for (const auto& [part, shape] : of_layer) {
      const auto name = fmt::format("model.layers.{}.{}", layer, part);
      std::uint64_t bytes = 2;
      for (const Index extent : shape) bytes *= static_cast<std::uint64_t>(extent);
      header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
      map[name] = "model-00001-of-00001.safetensors";
      end += bytes;
    }
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::string start(8, '\0');
  std::memcpy(start.data(), &length, 8);
  const auto path = folder.write("model-00001-of-00001.safetensors", start + text);
  std::filesystem::resize_file(path, 8 + length + end);  // a hole, which reads as zeros
  write_index(folder, Json{{"weight_map", map}}.dump());
  REQUIRE(end > 12'000'000'000);

  // The header, its parsed form and the pages around the tensor: 16 MiB are ample, and a
  // thousandth of the file.
  const Index before = resident_bytes();
  const auto all = ShardedTensors::open(folder.path());
  std::vector<float> norm(4096, 1.0F);
  all.read("model.layers.17.post_attention_layernorm.weight", std::span<float>(norm));
  CHECK(norm == std::vector<float>(4096));
  CHECK(all.names().size() == 288);
  const Index grown = resident_bytes() - before;
  CAPTURE(grown);
  CHECK(grown < 16 * 1024 * 1024);

  std::vector<float> large(4096 * 4096);
  const Index floats = resident_bytes();
  all.read("model.layers.3.self_attn.q_proj.weight", std::span<float>(large));
  const Index touched = resident_bytes() - floats;
  CHECK(touched >= 4096 * 4096 * 2);  // that the measure sees what is touched
}

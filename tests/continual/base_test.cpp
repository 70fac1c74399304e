#include "branchlora/continual/base.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "continual/published.hpp"
#include "continual/stream.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::Base;

TEST_CASE("a base is opened by the shape in its checkpoint") {
  const Stream stream;
  CHECK(stream.base.config == tiny_config());
  TinyModel<float> first(tiny_config(), 1);
  TinyModel<float> second(tiny_config(), 2);
  stream.base.load(second.net);
  for (const auto& p : first.net.parameters()) CHECK(second.value(p.name) == to_dense(p.value));
}

TEST_CASE("the digest tells one base's weights from another's") {
  CHECK(Stream(1).base.digest == Stream(1).base.digest);
  CHECK(Stream(1).base.digest != Stream(2).base.digest);
}

TEST_CASE("what is no base model is refused by name") {
  const Stream stream;
  const auto vocabulary = stream.path("vocab.json");
  const auto path = stream.path("other.safetensors");
  const auto open = [&] { return error_of([&] { Base::open(path, vocabulary); }); };
  const auto write = [&](const io::Metadata& metadata) {
    const float zero[1] = {0};
    io::write_safetensors(path, {io::tensor_out("x", {1}, std::span<const float>(zero))}, metadata);
  };
  check_mentions(open(), path.string());  // no such file
  write({});
  check_mentions(open(), path.string(), "'model'", "found none");
  write({{"model", "{"}});
  check_mentions(open(), path.string(), "JSON");
  write({{"model", R"({"vision": 3})"}});
  check_mentions(open(), path.string(), "shape");
  nlohmann::json config = tiny_config();
  config["decoder"]["vocabulary"] = 12;
  write({{"model", config.dump()}});
  check_mentions(open(), path.string(), "12 tokens", vocabulary.string(), "11");
}

TEST_CASE("a published model is a base with the weights of its tensors") {
  for (const char* name : {"llama-tied", "llama-grouped", "llava"}) {
    CAPTURE(name);
    const GoldenCopy copy(name);
    const Base base = copy.open();
    const auto checkpoint = model::published::Checkpoint::open(copy.folder.path());
    CHECK(base.config == checkpoint.config());
    eigen::Backend<float> backend;
    model::Multimodal<eigen::Backend<float>> one(backend, base.config);
    model::Multimodal<eigen::Backend<float>> other(backend, base.config);
    base.load(one);
    checkpoint.load(other.parameters());
    for (const auto& p : one.parameters()) {
      CHECK(to_dense(p.value) == to_dense(other.parameters().find(p.name)->value));
    }
  }
}

TEST_CASE("the digest of a published model tells its weights, settings and words") {
  const GoldenCopy copy("llama-tied");
  const std::string digest = copy.open().digest;
  CHECK(copy.open().digest == digest);
  CHECK(copy.open(data::Conversation::VicunaV1).digest != digest);
  CHECK(copy.open(data::Conversation::Plain, 20).digest != digest);

  const auto tokenizer = copy.folder.path() / "tokenizer.json";
  std::ofstream(tokenizer, std::ios::app) << "\n";
  const std::string changed = copy.open().digest;
  CHECK(changed != digest);

  // The last tensor's first byte: three of its 32 floats are enough to be among the first bytes.
  const auto weights = copy.folder.path() / "model.safetensors";
  const auto file = io::SafeTensors::open(weights);
  const auto size = std::filesystem::file_size(weights);
  const auto end = static_cast<std::streamoff>(size) - 12;
  std::fstream(weights, std::ios::binary | std::ios::in | std::ios::out).seekp(end).put('\x11');
  CHECK(copy.open().digest != changed);
}

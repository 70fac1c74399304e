#include "branchlora/continual/task_data.hpp"

#include <doctest/doctest.h>

#include "continual/stream.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::Base;

TEST_CASE("a base is opened by the shape in its checkpoint") {
  const Stream stream;
  CHECK(stream.base.config == tiny_config());
  CHECK(stream.base.tokenizer.size() == 11);
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

TEST_CASE("embeddings are the means of vision features and of word embeddings") {
  Stream stream;
  const auto& split = stream.tasks[1].train;
  REQUIRE(split.size() == 12);
  TinyModel<float> tiny;
  const Dense words = tiny.value("decoder.embedding");
  for (std::size_t i = 0; i < split.samples.size(); ++i) {
    const auto& e = split.embeddings[i];
    const Dense features = to_dense(split.bank.image(split.examples[i].image));
    REQUIRE(std::ssize(e.image) == features.cols);
    for (Index c = 0; c < features.cols; ++c) {
      double mean = 0;
      for (Index r = 0; r < features.rows; ++r) mean += features(r, c);
      CHECK(e.image[static_cast<std::size_t>(c)] ==
            doctest::Approx(mean / static_cast<double>(features.rows)).epsilon(1e-12));
    }
    REQUIRE(std::ssize(e.text) == words.cols);
    for (Index c = 0; c < words.cols; ++c) {  // <s> is number 1, "say" is number 5
      CHECK(e.text[static_cast<std::size_t>(c)] ==
            doctest::Approx((words(1, c) + words(5, c)) / 2).epsilon(1e-12));
    }
  }
}

TEST_CASE("a sample without a picture has a text embedding alone") {
  Stream stream;
  continual::Preparation<Stream::B> preparation(stream.backend, stream.base);
  const auto split =
      preparation.prepare({sample_of("0", "", "look", "one")}, stream.folder.path(), 0);
  CHECK(split.examples[0].image == -1);
  CHECK(split.embeddings[0].image.empty());
  CHECK(split.embeddings[0].text.size() == 8);
}

TEST_CASE("words that the base does not know are refused") {
  Stream stream;
  continual::Preparation<Stream::B> preparation(stream.backend, stream.base);
  check_mentions(error_of([&] {
                   preparation.prepare({sample_of("0", "", "look at this", "one")},
                                       stream.folder.path(), 0);
                 }),
                 stream.folder.path().string(), "2 tokens");
}

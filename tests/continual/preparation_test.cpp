#include "branchlora/continual/preparation.hpp"

#include <doctest/doctest.h>

#include "continual/stream.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;

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

TEST_CASE("the hidden state is the base's at the question's last token, if it is asked for") {
  Stream stream;
  using B = Stream::B;
  const std::vector<data::Sample> samples{sample_of("0", "say0.png", "say", "three"),
                                          sample_of("1", "", "count", "one"),
                                          sample_of("2", "say1.png", "say", "four")};
  continual::Preparation<B> preparation(stream.backend, stream.base, true);
  const auto split = preparation.prepare(samples, stream.folder.path(), 0);
  TinyModel<float> tiny;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    CAPTURE(i);
    model::Batch batch;
    batch.push(model::question(split.examples[i]), split.bank.tokens);
    tiny.tape.reset();
    const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
    const Dense h = to_dense(
        tiny.net.hidden(tiny.tape, batch, tiny.net.gather(tiny.tape, batch, split.bank), routing)
            .value());
    REQUIRE(std::ssize(split.embeddings[i].hidden) == h.cols);
    for (Index c = 0; c < h.cols; ++c) {
      CHECK(split.embeddings[i].hidden[static_cast<std::size_t>(c)] ==
            doctest::Approx(h(h.rows - 1, c)).epsilon(1e-5));
    }
  }
  CHECK(split.embeddings[0].hidden != split.embeddings[2].hidden);
  CHECK(stream.tasks[0].train.embeddings[0].hidden.empty());
}

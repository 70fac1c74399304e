#include "branchlora/continual/validation.hpp"

#include <doctest/doctest.h>

#include <set>

#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("held-out and kept samples are the training samples, each once, and no others") {
  Stream stream;
  const auto tasks = continual::hold_out<Stream::B>(stream.tasks, 5);
  REQUIRE(tasks.size() == 3);
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const auto& from = stream.tasks[t].train;
    CHECK(tasks[t].info.name == stream.tasks[t].info.name);
    CHECK(tasks[t].train.size() == 10);
    CHECK(tasks[t].test.size() == 2);  // numbers 4 and 9 of 12
    CHECK(tasks[t].test.samples[0].id == from.samples[4].id);
    CHECK(tasks[t].test.samples[1].id == from.samples[9].id);
    std::set<std::string> ids;
    for (const auto* side : {&tasks[t].train, &tasks[t].test}) {
      CHECK(side->bank.all().data == from.bank.all().data);  // shared, not computed again
      for (std::size_t i = 0; i < side->samples.size(); ++i) {
        ids.insert(side->samples[i].id);
        // Sample, example and embedding still belong together.
        const auto k = static_cast<std::size_t>(std::stoi(side->samples[i].id));
        CHECK(side->examples[i].image == from.examples[k].image);
        CHECK(side->embeddings[i].image == from.embeddings[k].image);
      }
    }
    CHECK(ids.size() == from.samples.size());
  }
}

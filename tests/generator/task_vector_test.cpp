#include "branchlora/generator/task_vector.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "model/tiny_model.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using B = eigen::Backend<double>;

const std::vector<model::Example> examples{
    {0, 0, {{{1, 4, 5}, {6, 2}}}}, {1, 0, {{{1, 4}, {7, 8, 2}}}}, {0, 0, {{{1, 9, 3, 5}, {2}}}}};

}  // namespace

TEST_CASE("a task vector is the mean over answers' positions of the last layer's output") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(2);
  const Index width = tiny.net.config().decoder.width;
  const Index images = tiny.net.config().vision.tokens();
  std::vector<double> expected(static_cast<std::size_t>(width), 0.0);
  for (const model::Example& e : examples) {
    // One at a time: the positions from the prompt's last token to the one before the end.
    tiny.tape.reset();
    tiny.tape.set_recording(false);
    const auto batch = batch_of({e});
    const auto h = tiny.net
                       .hidden(tiny.tape, batch, tiny.net.gather(tiny.tape, batch, bank),
                               RoutingContext{&batch.sequences, batch.tasks})
                       .value();
    const auto& turn = e.turns.front();
    const Index first = images + std::ssize(turn.prompt) - 1;
    for (Index r = first; r < first + std::ssize(turn.answer); ++r) {
      for (Index c = 0; c < width; ++c) expected[static_cast<std::size_t>(c)] += h(r, c) / 6;
    }
  }
  tiny.tape.set_recording(true);
  for (const Index size : {1, 2, 16}) {
    CAPTURE(size);
    const auto found = generator::task_vector<B>(tiny.net, tiny.tape, examples, bank, {30, size});
    REQUIRE(found.size() == expected.size());
    for (std::size_t c = 0; c < found.size(); ++c) {
      CHECK(found[c] == doctest::Approx(expected[c]).epsilon(1e-10));
    }
  }
  CHECK(tiny.tape.recording());
}

TEST_CASE("a task vector looks at so many samples and no more") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(2);
  const std::span<const model::Example> all(examples);
  CHECK(generator::task_vector<B>(tiny.net, tiny.tape, all, bank, {.samples = 2}) ==
        generator::task_vector<B>(tiny.net, tiny.tape, all.first(2), bank));
  CHECK(generator::task_vector<B>(tiny.net, tiny.tape, all, bank, {.samples = 2}) !=
        generator::task_vector<B>(tiny.net, tiny.tape, all, bank));
}

TEST_CASE("a task vector refuses to be made of nothing") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(1);
  const auto make = [&](std::size_t count, generator::TaskVectorOptions options) {
    return error_of([&] {
      generator::task_vector<B>(tiny.net, tiny.tape, std::span(examples).first(count), bank,
                                options);
    });
  };
  check_mentions(make(0, {}), "task vector", "0 examples");
  check_mentions(make(1, {.samples = 0}), "0 examples");
  check_mentions(make(1, {.batch = 0}), "batches of 0");
}

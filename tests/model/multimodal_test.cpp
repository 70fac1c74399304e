#include "branchlora/model/multimodal.hpp"

#include <doctest/doctest.h>

#include <map>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/optim/adamw.hpp"
#include "model/tiny_model.hpp"
#include "support/gradient_check.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;
using model::Batch;
using model::Example;

namespace {

/// Single turns, several turns about one picture, and text alone.
std::vector<Example> examples() {
  return {{0, 0, {{{1, 4, 5}, {6, 2}}}},
          {1, 0, {{{1, 7}, {3, 2}}, {{1, 8, 9, 4}, {2}}, {{1, 5}, {10, 6, 2}}}},
          {-1, 0, {{{1, 9}, {7, 2}}}}};
}

constexpr Index pictures = 2;

}  // namespace

TEST_CASE("gradients of every parameter of the model, from pixels to loss") {
  TinyModel<double> tiny;
  tiny.net.train_base();
  const Batch batch = batch_of(examples());
  const auto& c = tiny.net.config().vision;
  std::vector<double> host(static_cast<std::size_t>(pictures * c.patches() * c.patch_size()));
  Sequences images;
  for (Index i = 0; i < pictures; ++i) {
    images.push(c.patches());
    model::unfold<double>(
        picture(c, i), c,
        {host.data() + i * c.patches() * c.patch_size(), c.patches(), c.patch_size()});
  }
  for (const auto& p : tiny.net.parameters()) REQUIRE(p.trainable);
  check_gradients(tiny.net.parameters(), [&](Tape<Double>& tape) {
    const auto patches = tape.constant({host.data(), pictures * c.patches(), c.patch_size()});
    return tiny.net.loss(tape, batch, tiny.net.features(tape, patches, images),
                         {&batch.sequences, batch.tasks});
  });
}

TEST_CASE("gradients of adapters and projector beside a frozen base") {
  TinyModel<double> tiny;
  tiny.net.freeze_base(Storage::full, 1.0);
  tiny.net.attach(method_of<Double, Branch>(), {.alpha = 6.0}, Random(5));
  for (Index task = 0; task < 2; ++task) {
    tiny.net.for_each_adapter([&](auto& adapter) {
      if (task > 0) adapter.end_task();
      adapter.begin_task(task);
    });
  }
  tiny.randomise(".lora_", 0.5);
  tiny.randomise(".router", 0.5);
  auto mixed = examples();
  mixed[1].task = 1;
  const Batch batch = batch_of(mixed);
  const auto bank = tiny.bank(pictures);
  check_gradients(tiny.net.parameters(), [&](Tape<Double>& tape) {
    return tiny.net.loss(tape, batch, tiny.net.gather(tape, batch, bank),
                         {&batch.sequences, batch.tasks});
  });
}

TEST_CASE_TEMPLATE("rows that nobody asks for can be left out", V, Lora4, Moe, Hydra, Branch,
                   HydraMeanToken, MoeBalanced) {
  TinyModel<double> tiny;
  tiny.net.freeze_base(Storage::full, 0.5);
  tiny.net.attach(method_of<Double, V>(), {.alpha = 6.0, .balance_weight = 0.7}, Random(5));
  tiny.net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  tiny.randomise(".lora_", 0.5);
  tiny.randomise(".router", 0.5);
  const Batch batch = batch_of(examples());
  const auto bank = tiny.bank(pictures);
  const RoutingContext routing{&batch.sequences, batch.tasks};
  std::map<std::string, Dense> gradients;
  const auto run = [&](bool all_rows) {
    tiny.tape.reset();
    const auto features = tiny.net.gather(tiny.tape, batch, bank);
    const auto logits =
        all_rows ? tiny.net.decoder().logits(
                       tiny.tape, tiny.net.hidden(tiny.tape, batch, features, routing), batch.rows)
                 : tiny.net.logits(tiny.tape, batch, features, routing);
    const Dense values = to_dense(logits.value());
    tiny.tape.backward(op::cross_entropy(tiny.tape, logits, batch.targets));
    return values;
  };
  const Dense whole = run(true);
  for (auto& p : tiny.net.parameters()) {
    if (p.trainable) gradients[p.name] = to_dense(p.grad);
  }
  tiny.net.parameters().clear_gradients();
  CHECK(distance(run(false), whole) < 1e-12);  // sums of the same terms in another order
  for (auto& p : tiny.net.parameters()) {
    CAPTURE(p.name);
    if (p.trainable) CHECK(distance(to_dense(p.grad), gradients.at(p.name)) < 1e-12);
  }
}

TEST_CASE("turns that share a picture give the logits that they give one by one") {
  // The same products and sums in another order of rows: a few dozen roundings of 1e-16.
  TinyModel<double> tiny;
  const auto bank = tiny.bank(pictures);
  const Dense packed = tiny.logits(batch_of(examples()), bank);
  std::vector<Example> separate;
  for (const Example& e : examples()) {
    for (const auto& turn : e.turns) separate.push_back({e.image, e.task, {turn}});
  }
  REQUIRE(separate.size() == 5);
  CHECK(distance(packed, tiny.logits(batch_of(separate), bank)) < 1e-12);
}

TEST_CASE("one span of picture and text is a prefix and a turn") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(pictures);
  Batch one = batch_of({examples()[0]});
  const Dense logits = tiny.logits(one, bank);
  const Index image = tiny.net.config().vision.tokens();
  const Index turn = one.sequences.tokens() - image;
  one.sequences.clear();
  one.sequences.push(image, {turn});
  REQUIRE(one.sequences.spans.size() == 2);
  CHECK(distance(logits, tiny.logits(one, bank)) < 1e-12);
}

TEST_CASE(
    "the picture, the order of its words and what comes before matter; what comes after does not") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(pictures);
  const auto first = [&](const Example& e) {
    Dense all = tiny.logits(batch_of({e}), bank);
    return dense(1, all.cols, [&](Index, Index c) { return all(0, c); });
  };
  const Example e = examples()[0];
  Example other = e;
  other.image = 1;
  CHECK(distance(first(e), first(other)) > 1e-3);
  other = e;
  std::swap(other.turns[0].prompt[1], other.turns[0].prompt[2]);
  CHECK(distance(first(e), first(other)) > 1e-3);
  other = e;
  other.turns[0].answer = {8, 8, 8, 2};
  CHECK(distance(first(e), first(other)) < 1e-12);
}

TEST_CASE("text alone needs no picture, in a batch of any kind") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(pictures);
  const Dense mixed = tiny.logits(batch_of(examples()), bank);
  const Dense alone = tiny.logits(batch_of({examples()[2]}), bank);  // no image rows at all
  const auto end = mixed.rows - alone.rows;
  CHECK(distance(alone, dense(alone.rows, alone.cols,
                              [&](Index i, Index c) { return mixed(end + i, c); })) < 1e-12);
}

TEST_CASE("examples do not see each other, in whatever order they come") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(pictures);
  const auto all = examples();
  const Dense forwards = tiny.logits(batch_of(all), bank);
  const Dense backwards = tiny.logits(batch_of({all[2], all[1], all[0]}), bank);
  const Index last = 2;            // rows of the third example
  const Index middle = 2 + 1 + 3;  // of the second
  CHECK(distance(forwards, dense(forwards.rows, forwards.cols, [&](Index i, Index c) {
                   if (i < 2) return backwards(last + middle + i, c);
                   if (i < 2 + middle) return backwards(last + i - 2, c);
                   return backwards(i - 2 - middle, c);
                 })) < 1e-12);
}

TEST_CASE("the features of a picture do not depend on how many are computed together") {
  TinyModel<double> tiny;
  const auto all = tiny.bank(7, 32);
  CHECK(all.all().rows == 7 * tiny.net.config().vision.tokens());
  for (const Index chunk : {1, 2, 3, 7}) {
    CAPTURE(chunk);
    CHECK(distance(to_dense(all.all()), to_dense(tiny.bank(7, chunk).all())) < 1e-13);
  }
  // ... and are the pictures' own.
  CHECK(distance(to_dense(all.image(0)), to_dense(all.image(1))) > 1e-3);
  const auto& c = tiny.net.config().vision;
  std::vector<double> patches(static_cast<std::size_t>(c.patches() * c.patch_size()));
  model::unfold<double>(picture(c, 5), c, {patches.data(), c.patches(), c.patch_size()});
  Sequences one;
  one.push(c.patches());
  tiny.tape.reset();
  const auto features = tiny.net.features(
      tiny.tape, tiny.tape.constant({patches.data(), c.patches(), c.patch_size()}), one);
  CHECK(distance(to_dense(all.image(5)), to_dense(features.value())) < 1e-13);
  CHECK(tiny.tape.recording());
}

TEST_CASE("a frozen base trains its projector alone, at its share of the rate, or nothing") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(pictures);
  const Batch batch = batch_of(examples());
  const Dense before = tiny.logits(batch, bank);
  tiny.net.train_base();
  for (const double rate : {0.25, 0.0}) {
    tiny.net.freeze_base(Storage::full, rate);
    CAPTURE(rate);
    CHECK(distance(tiny.logits(batch, bank), before) < 1e-12);
    for (const auto& p : tiny.net.parameters()) {
      CAPTURE(p.name);
      const bool projector = p.name.starts_with("projector.");
      CHECK(p.trainable == (projector && rate > 0));
      if (p.trainable) CHECK(p.learning_rate == 0.25);
    }
  }
  tiny.net.freeze_base(Storage::full, 0.25);
  std::map<std::string, Dense> old;
  for (const auto& p : tiny.net.parameters()) old[p.name] = to_dense(p.value);
  tiny.tape.reset();
  tiny.tape.backward(tiny.net.loss(tiny.tape, batch, tiny.net.gather(tiny.tape, batch, bank),
                                   {&batch.sequences, batch.tasks}));
  AdamW<Double> optimizer(tiny.net.parameters());
  optimizer.step(1e-2);
  for (const auto& p : tiny.net.parameters()) {
    CAPTURE(p.name);
    const Dense now = to_dense(p.value);
    CHECK((now == old[p.name]) == !p.name.starts_with("projector."));
    // AdamW's first step is the rate where the gradient is not next to zero.
    if (p.name == "projector.out.bias") {
      CHECK(distance(now, old[p.name]) == doctest::Approx(0.25e-2).epsilon(1e-3));
    }
  }
}

TEST_CASE("weights in bfloat16 move the logits by what rounding explains") {
  // Each of the 7 products of each block multiplies numbers that were rounded once, weights and
  // inputs, to within u = 2^-8 of themselves: its output is off by at most 2u of the sum of the
  // magnitudes that it adds up. With 14 products that follow each other or feed one residual
  // stream, and magnitudes about as large as the stream, 14 * 2u = 0.11 of the largest logit is
  // generous; rounding errors cancel, so 0.05 is the bound, and something must have been rounded.
  TinyModel<float> tiny;
  const auto bank = tiny.bank(pictures);
  const Batch batch = batch_of(examples());
  tiny.net.freeze_base(Storage::full, 1.0);
  const Dense exact = tiny.logits(batch, bank);
  tiny.net.freeze_base(Storage::bfloat16, 1.0);
  const double error = distance(tiny.logits(batch, bank), exact) / largest(exact);
  CAPTURE(error);
  CHECK(error > 1e-5);
  CHECK(error < 0.05);
  check_mentions(error_of([] {
                   TinyModel<double> fine;
                   fine.net.freeze_base(Storage::bfloat16, 1.0);
                 }),
                 "bfloat16", "float");
}

TEST_CASE("shapes that do not fit are refused") {
  eigen::Backend<double> backend;
  auto config = tiny_config();
  config.vision.merge = 3;
  check_mentions(error_of([&] { model::Multimodal<Double>(backend, config); }), "4", "merged by 3");
  config = tiny_config();
  config.decoder.heads = 3;
  check_mentions(error_of([&] { model::Multimodal<Double>(backend, config); }), "3 heads",
                 "width 8");
}

TEST_CASE("a sequence that is longer than the decoder has positions is refused") {
  TinyModel<double> tiny;
  const auto bank = tiny.bank(1);
  Example e{0, 0, {{std::vector<std::int32_t>(36, 4), {2}}}};
  CHECK_NOTHROW(tiny.logits(batch_of({e}), bank));  // 4 + 36 = 40 positions
  e.turns[0].prompt.push_back(4);
  check_mentions(error_of([&] { tiny.logits(batch_of({e}), bank); }), "41 tokens", "40");
}
